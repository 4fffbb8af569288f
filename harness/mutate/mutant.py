"""A mutant: some lines of the guest with others in their place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


class MutationError(Exception):
    """A change that cannot be made as described; the message names it and says why."""


@dataclass(frozen=True)
class Edit:
    """Lines ``first`` to ``last`` (from 1, both included) of a file become ``new``."""

    file: str
    first: int
    last: int
    new: tuple[str, ...]

    @property
    def lines(self) -> range:
        return range(self.first, self.last + 1)


@dataclass(frozen=True)
class Mutant:
    """``words`` say what is different; ``expected`` are the rules that the change breaks, where
    somebody has thought about it; ``label`` marks a sort of change (``stack``, ``order``).
    ``params`` are boot parameters by which the guest makes the change itself."""

    id: str
    words: str
    edits: tuple[Edit, ...]
    expected: tuple[str, ...] = ()
    label: str = ""
    params: tuple[tuple[str, str], ...] = ()

    @property
    def files(self) -> list[str]:
        """The sources that differ, such as ``guest/sched/core.s``."""
        return sorted({edit.file for edit in self.edits})

    def as_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        edits = [[edit.file, edit.first, edit.last, list(edit.new)] for edit in self.edits]
        return {"id": self.id, "words": self.words, "edits": edits}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Mutant:
        """Without what only reports need."""
        edits = tuple(Edit(file, a, b, tuple(new)) for file, a, b, new in value["edits"])
        return cls(value["id"], value["words"], edits)

    def applied(self, file: str, text: str) -> str:
        """The file's text with the change."""
        lines = text.split("\n")
        for edit in sorted(self.edits, key=lambda edit: -edit.first):
            if edit.file == file:
                lines[edit.first - 1 : edit.last] = edit.new
        return "\n".join(lines)


def without_repeats(mutants: Iterable[Mutant]) -> list[Mutant]:
    """Each change once: two operators may do the same to a line."""
    seen: dict[tuple[Edit, ...], Mutant] = {}
    for mutant in mutants:
        seen.setdefault(mutant.edits, mutant)
    return list(seen.values())
