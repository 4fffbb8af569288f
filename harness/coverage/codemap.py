"""The lines of an image that have code, and at which addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.toolchain.image import Image

TEXT = ".text"

LineCounts = dict[str, list[list[int]]]
"""By file, pairs of a line and how often it was executed."""


@dataclass(frozen=True)
class CodeMap:
    """Where lines and addresses of an image's text meet. Files are relative to the project."""

    text: range
    """Addresses of the section."""
    line_at: Mapping[int, tuple[str, int]]
    """File and line for every address that came from one."""
    functions: Mapping[str, tuple[tuple[str, int], ...]]
    """Of each file the functions, (name, line of the first instruction), in order of address."""

    @property
    def lines(self) -> dict[str, set[int]]:
        """The lines of each file that have code."""
        found: dict[str, set[int]] = {}
        for file, line in self.line_at.values():
            found.setdefault(file, set()).add(line)
        return found

    def executed(self, addresses: Iterable[int]) -> dict[str, set[int]]:
        """The lines of each file of which one of these instructions is a part."""
        found: dict[str, set[int]] = {}
        for address in addresses:
            place = self.line_at.get(address)
            if place is not None:
                found.setdefault(place[0], set()).add(place[1])
        return found

    def counted(self, counts: Mapping[int, int]) -> LineCounts:
        """How often lines were executed: as often as the instruction of theirs that was executed
        most."""
        found: dict[str, dict[int, int]] = {}
        for address, count in counts.items():
            place = self.line_at.get(address)
            if place is not None:
                lines = found.setdefault(place[0], {})
                lines[place[1]] = max(lines.get(place[1], 0), count)
        return {
            file: [list(pair) for pair in sorted(lines.items())] for file, lines in found.items()
        }


def code_map(image: Image, root: Path) -> CodeMap:
    """Reads the line table; ``root`` is the folder that holds the guest's sources."""
    section = image.sections[TEXT]
    text = range(section.address, section.address + section.size)
    prefix = f"{root.resolve()}/"
    line_at = {}
    for address in text:
        location = image.locate(address)
        if location.line:
            line_at[address] = (location.file.removeprefix(prefix), location.line)
    functions: dict[str, list[tuple[str, int]]] = {}
    for symbol in sorted(image.symbols.values(), key=lambda symbol: symbol.address):
        place = line_at.get(symbol.address)
        if symbol.kind == "func" and place is not None:
            functions.setdefault(place[0], []).append((symbol.name, place[1]))
    return CodeMap(text, line_at, {file: tuple(names) for file, names in functions.items()})
