"""The project's guest with a defect built in: what it looks like from outside."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.boot import default_image
from harness.toolchain.build import ROOT, build_image

GUEST = ROOT / "guest"


@dataclass(frozen=True)
class Change:
    """Lines that are exactly once in a file of the guest, and what stands in their place."""

    file: str
    old: Sequence[str]
    new: Sequence[str]
    indent: int = 4

    def apply(self, text: str) -> str:
        old, new = ("".join(f"{' ' * self.indent}{line}\n" for line in part) for part in
                    (self.old, self.new))  # fmt: skip
        found = text.count(old)
        assert found == 1, f"{self.file} has these lines {found} times, not once:\n{old}"
        return text.replace(old, new)


class Variants:
    """Builds changed guests; all share the objects of the files that do not change."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def build(
        self,
        name: str,
        changes: Sequence[Change],
        more: Sequence[Path] = (),
        *,
        checked: bool = False,
    ) -> Path:
        """The guest with some lines replaced and some sources added; ``checked``: CHECK=1."""
        default_image()  # makes the generated includes, too
        sources = {str(path.relative_to(GUEST)): path for path in sorted(GUEST.rglob("*.s"))}
        for change in changes:
            text = change.apply(sources[change.file].read_text())
            sources[change.file] = self._folder / name.replace(" ", "_") / change.file
            sources[change.file].parent.mkdir(parents=True, exist_ok=True)
            sources[change.file].write_text(text)
        built = build_image(
            [*sources.values(), *more],
            self._folder / ("checked.elf" if checked else "guest.elf"),
            linker_script=ROOT / "linker.ld",
            include=[GUEST / "include", ROOT / "build" / "include"],
            base=Path("/"),
            defines={"CHECK": 1} if checked else None,
        )
        return Path(shutil.copy(built, self._folder / f"{name.replace(' ', '_')}.elf"))
