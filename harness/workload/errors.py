"""The one kind of error a bad workload raises."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from harness.workload.model import Path

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


def format_path(path: Path) -> str:
    """A path as people write it: `tasks.hog.program[3].wake`; odd keys are quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN.match(part):
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


class WorkloadError(ValueError):
    """A workload that cannot be used: where (`path`, and `place` = file:line:column if known) and
    why (`reason`).
    """

    def __init__(self, path: Path, reason: str, place: str = "") -> None:
        self.path = path
        self.reason = reason
        self.place = place
        where = [part for part in (place, format_path(path)) if part]
        super().__init__(": ".join([*where, reason]))


def suggest(word: str, known: Iterable[str]) -> str:
    """A hint for a word that is not among `known`: the nearest one, or the list if it is short."""
    choices = list(known)
    near = difflib.get_close_matches(word, choices, n=1)
    if near:
        return f" (did you mean {near[0]!r}?)"
    if choices and len(choices) <= 8:
        return f" (known: {', '.join(choices)})"
    return ""
