"""A linked image as the harness sees it: symbols, lines, sections, notes, structure layouts."""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

SHF_WRITE, SHF_ALLOC, SHF_EXEC = 1, 2, 4
PF_X, PF_W, PF_R = 1, 2, 4


class ImageError(Exception):
    """The file is no image that this module can read, or lacks what was asked for."""


@dataclass(frozen=True, slots=True)
class ImageSymbol:
    """`section` is empty for absolute symbols; `kind` is func, object or notype."""

    name: str
    address: int
    size: int
    kind: str
    binding: str
    section: str

    @property
    def is_absolute(self) -> bool:
        """Whether it is a constant and no address."""
        return not self.section


@dataclass(frozen=True, slots=True)
class ImageSection:
    """Where a section of the image is in memory; `occupies_file` is False for bss."""

    name: str
    address: int
    size: int
    writable: bool
    executable: bool
    occupies_file: bool

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.address <= address < self.address + self.size


@dataclass(frozen=True, slots=True)
class Segment:
    """One PT_LOAD. `permissions` is a subset of "rwx" in that order."""

    virtual: int
    physical: int
    file_size: int
    memory_size: int
    permissions: str


@dataclass(frozen=True, slots=True)
class Location:
    """What is at an address: `symbol` + `offset`, and `file`:`line` (0 where no line is known)."""

    address: int
    symbol: str
    offset: int
    file: str
    line: int

    def __str__(self) -> str:
        where = f"{self.symbol}+{self.offset:#x}" if self.symbol else f"{self.address:#x}"
        return f"{where} ({self.file}:{self.line})" if self.line else where


class Image:
    """Reads a linked ELF64 image; everything beyond the headers is read when first asked for.

    Raises ImageError for a file that is no ELF64 image, OSError for one that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream = path.open("rb")
        try:
            self._elf: Any = ELFFile(self._stream)
        except ELFError as error:
            self._stream.close()
            raise ImageError(f"{path} is no ELF file: {error}") from None
        if self._elf.elfclass != 64 or self._elf["e_machine"] != "EM_X86_64":
            self._stream.close()
            raise ImageError(f"{path} is no ELF64 file for x86-64")

    def close(self) -> None:
        """Releases the file."""
        self._stream.close()

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def entry(self) -> int:
        """Address of the ELF entry point."""
        return int(self._elf["e_entry"])

    @cached_property
    def build_id(self) -> str:
        """The build id in lower-case hex, as the guest prints it. Raises ImageError without one."""
        for note in self._all_notes():
            if note["n_name"] == "GNU" and note["n_type"] == "NT_GNU_BUILD_ID":
                return str(note["n_desc"])
        raise ImageError(f"{self.path} has no build id: link with --build-id")

    @cached_property
    def notes(self) -> dict[tuple[str, int | str], bytes]:
        """Contents of every note by (name, type)."""
        return {
            (note["n_name"], note["n_type"]): bytes(note["n_descdata"])
            for note in self._all_notes()
        }

    def _all_notes(self) -> Iterator[Any]:
        for section in self._elf.iter_sections():
            if section["sh_type"] == "SHT_NOTE":
                # Kernels of other people may have damaged ones, which say nothing.
                with contextlib.suppress(ConstructError):
                    yield from section.iter_notes()

    @cached_property
    def sections(self) -> dict[str, ImageSection]:
        """Sections that take memory, by name, in order of the file."""
        return {
            section.name: ImageSection(
                section.name,
                section["sh_addr"],
                section["sh_size"],
                bool(section["sh_flags"] & SHF_WRITE),
                bool(section["sh_flags"] & SHF_EXEC),
                section["sh_type"] != "SHT_NOBITS",
            )
            for section in self._elf.iter_sections()
            if section["sh_flags"] & SHF_ALLOC
        }

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The loadable segments."""
        return tuple(
            Segment(
                segment["p_vaddr"],
                segment["p_paddr"],
                segment["p_filesz"],
                segment["p_memsz"],
                "".join(
                    letter
                    for letter, bit in (("r", PF_R), ("w", PF_W), ("x", PF_X))
                    if segment["p_flags"] & bit
                ),
            )
            for segment in self._elf.iter_segments()
            if segment["p_type"] == "PT_LOAD"
        )

    @cached_property
    def symbols(self) -> dict[str, ImageSymbol]:
        """Every named symbol; of several with one name the global one wins."""
        table = self._elf.get_section_by_name(".symtab")
        found: dict[str, ImageSymbol] = {}
        for entry in table.iter_symbols() if table is not None else ():
            index = entry["st_shndx"]
            info = entry["st_info"]
            if not entry.name or index == "SHN_UNDEF" or info["type"] in _NO_SYMBOLS:
                continue
            section = "" if index == "SHN_ABS" else self._elf.get_section(index).name
            symbol = ImageSymbol(
                entry.name,
                entry["st_value"],
                entry["st_size"],
                info["type"][4:].lower(),
                info["bind"][4:].lower(),
                section,
            )
            if entry.name not in found or symbol.binding != "local":
                found[entry.name] = symbol
        return found

    def symbol(self, name: str) -> ImageSymbol:
        """The symbol of that name. Raises ImageError if there is none."""
        try:
            return self.symbols[name]
        except KeyError:
            raise ImageError(f"{self.path} has no symbol '{name}'") from None

    def address(self, name: str) -> int:
        """Address (or value, for a constant) of a symbol. Raises ImageError if there is none."""
        return self.symbol(name).address

    @cached_property
    def layouts(self) -> dict[str, dict[str, int]]:
        """Structure layouts: {structure: {field: offset}} from the constants `structure.field`.

        `structure.size` is in there as the field `size`.
        """
        found: dict[str, dict[str, int]] = {}
        for symbol in self.symbols.values():
            structure, dot, member = symbol.name.partition(".")
            if symbol.is_absolute and dot and structure:
                found.setdefault(structure, {})[member] = symbol.address
        return {
            name: dict(sorted(fields.items(), key=lambda item: item[1]))
            for name, fields in found.items()
        }

    def layout(self, structure: str) -> dict[str, int]:
        """Field offsets of one structure. Raises ImageError if it was not exported."""
        try:
            return self.layouts[structure]
        except KeyError:
            raise ImageError(f"{self.path} exports no structure '{structure}'") from None

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes of the image as loaded at `address` (bss is zero).

        Raises ImageError where no segment covers them.
        """
        for segment in self._elf.iter_segments():
            start = segment["p_vaddr"]
            if segment["p_type"] != "PT_LOAD" or not start <= address < start + segment["p_memsz"]:
                continue
            if address + size > start + segment["p_memsz"]:
                break
            data: bytes = segment.data()[address - start : address - start + size]
            return data + bytes(size - len(data))
        raise ImageError(f"{self.path} has no {size} bytes at {address:#x}")

    def section_at(self, address: int) -> ImageSection | None:
        """The section that covers an address, or None."""
        return next((s for s in self.sections.values() if address in s), None)

    def locate(self, address: int) -> Location:
        """Symbol and source line for an address; parts that are unknown are empty or zero."""
        symbol, offset = self._nearest_symbol(address)
        file, line = self._nearest_line(address)
        return Location(address, symbol, offset, file, line)

    @cached_property
    def _by_address(self) -> list[tuple[int, str]]:
        """Symbols that are addresses, ascending; functions and objects come last among equals, so
        that they win."""
        rank = {"notype": 0, "object": 1, "func": 2}
        return [
            (symbol.address, symbol.name)
            for symbol in sorted(
                (s for s in self.symbols.values() if not s.is_absolute),
                key=lambda s: (s.address, rank.get(s.kind, 0), s.binding != "local"),
            )
        ]

    def _nearest_symbol(self, address: int) -> tuple[str, int]:
        section = self.section_at(address)
        index = bisect.bisect_right(self._by_address, (address, "\U0010ffff")) - 1
        if section is None or index < 0:
            return "", 0
        start, name = self._by_address[index]
        return (name, address - start) if start >= section.address else ("", 0)

    @cached_property
    def _lines(self) -> list[tuple[int, int, str, int]]:
        """Every stretch of code that came from one line: (start, end, file, line), ascending."""
        found: list[tuple[int, int, str, int]] = []
        if not self._elf.has_dwarf_info():
            return found
        dwarf = self._elf.get_dwarf_info()
        for unit in dwarf.iter_CUs():
            program = dwarf.line_program_for_CU(unit)
            if program is None:
                continue
            previous = None
            for entry in program.get_entries():
                state = entry.state
                if state is None:
                    continue
                if previous is not None and state.address > previous.address:
                    file = _file_name(program, previous.file)
                    found.append((previous.address, state.address, file, previous.line))
                previous = None if state.end_sequence else state
        return sorted(found)

    def _nearest_line(self, address: int) -> tuple[str, int]:
        index = bisect.bisect_right(self._lines, (address, 1 << 64, "", 0)) - 1
        if index >= 0:
            start, end, file, line = self._lines[index]
            if start <= address < end:
                return file, line
        return "", 0


_NO_SYMBOLS = ("STT_SECTION", "STT_FILE")


def _file_name(program: Any, number: int) -> str:
    header = program.header
    five = header["version"] >= 5
    entry = header["file_entry"][number if five else number - 1]
    folders = header["include_directory"]
    name = entry.name.decode()
    folder = entry.dir_index if five else entry.dir_index - 1
    if folder < 0 or name.startswith("/"):
        return str(name)
    return f"{folders[folder].decode()}/{name}"
