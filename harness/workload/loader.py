"""Workloads by name or by path, in whichever of the formats the file is."""

from __future__ import annotations

import re
from pathlib import Path

from harness.workload import rtapp
from harness.workload.document import parse
from harness.workload.errors import WorkloadError, suggest
from harness.workload.model import Span, Workload

LIBRARY = Path(__file__).parent / "library"


def library_names() -> list[str]:
    """The workloads that come with the package, in natural order."""
    return sorted((path.stem for path in LIBRARY.glob("*.yaml")), key=_natural)


def _natural(name: str) -> tuple[str, int, str]:
    word, number, rest = re.fullmatch(r"(\D*)(\d*)(.*)", name).groups()  # type: ignore[union-attr]
    return word, int(number or 0), rest


def load(name: str | Path, *, duration: Span | None = None) -> Workload:
    """A workload by its name in the library, or from a `.yaml`, `.yml` or `.json` file.

    A JSON file is taken as rt-app's when its `tasks` have no `program`. `duration` replaces the
    file's own, which endless rt-app files need. Raises WorkloadError.
    """
    path = _find(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise WorkloadError((), f"cannot read it: {reason}", str(path)) from None
    if path.suffix == ".json" and rtapp.is_rtapp(text, str(path)):
        return rtapp.parse(text, str(path), name=path.stem, duration=duration)
    return parse(text, str(path), json=path.suffix == ".json", duration=duration)


def _find(name: str | Path) -> Path:
    path = Path(name)
    if path.suffix in (".yaml", ".yml", ".json"):
        return path
    names = library_names()
    if str(name) not in names:
        raise WorkloadError(
            (),
            f"no workload named {str(name)!r}{suggest(str(name), names)};"
            " a file of your own ends in .yaml or .json",
        )
    return LIBRARY / f"{name}.yaml"
