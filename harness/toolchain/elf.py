"""Writes ELF64 relocatable objects for x86-64."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOTE, SHT_NOBITS = 1, 2, 3, 4, 7, 8
SHF_INFO_LINK = 0x40
SHN_UNDEF, SHN_ABS = 0, 0xFFF1
STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2
STT_SECTION = 3
STV_HIDDEN = 2
_RELOCATABLE, _X86_64 = 1, 62
_KINDS = {"progbits": SHT_PROGBITS, "nobits": SHT_NOBITS, "note": SHT_NOTE}


@dataclass(slots=True)
class ElfSection:
    """A section to write; `size` matters for nobits only. `relocations`: offset, type, symbol
    table index, addend."""

    name: str
    kind: str
    flags: int
    data: bytes
    alignment: int = 1
    entry_size: int = 0
    size: int = 0
    relocations: list[tuple[int, int, int, int]] = field(default_factory=list)


@dataclass(slots=True)
class ElfSymbol:
    """A symbol to write; `section` counts from 1 as sections are added, or is SHN_*."""

    name: str
    value: int
    size: int
    binding: int
    kind: int
    section: int
    hidden: bool = False


class StringTable:
    """Names behind one another, each ended by NUL, each stored once."""

    def __init__(self) -> None:
        self.data = bytearray(1)
        self._known: dict[str, int] = {"": 0}

    def add(self, name: str) -> int:
        """Offset of `name` in the table."""
        offset = self._known.get(name)
        if offset is None:
            offset = self._known[name] = len(self.data)
            self.data += name.encode() + b"\0"
        return offset


def write_object(sections: list[ElfSection], symbols: list[ElfSymbol]) -> bytes:
    """The whole file. `symbols` begin after the null entry, locals before the others."""
    names = StringTable()
    relocated = [(n, section) for n, section in enumerate(sections, 1) if section.relocations]
    symtab_index = len(sections) + len(relocated) + 1
    headers = [bytes(64)]
    body = bytearray()

    def place(data: bytes, alignment: int) -> int:
        body.extend(bytes(-(64 + len(body)) % alignment))
        offset = 64 + len(body)
        body.extend(data)
        return offset

    def header(name: str, kind: int, flags: int, offset: int, size: int, *rest: int) -> None:
        link, info, alignment, entry = rest
        fields = (names.add(name), kind, flags, 0, offset, size, link, info, alignment, entry)
        headers.append(struct.pack("<IIQQQQIIQQ", *fields))

    for section in sections:
        nobits = section.kind == "nobits"
        size = section.size if nobits else len(section.data)
        offset = place(b"" if nobits else section.data, section.alignment)
        header(section.name, _KINDS[section.kind], section.flags, offset, size,
               0, 0, section.alignment, section.entry_size)  # fmt: skip
    for number, section in relocated:
        data = b"".join(
            struct.pack("<QQq", at, symbol << 32 | kind, addend)
            for at, kind, symbol, addend in section.relocations
        )
        header(".rela" + section.name, SHT_RELA, SHF_INFO_LINK, place(data, 8), len(data),
               symtab_index, number, 8, 24)  # fmt: skip
    strings = StringTable()
    table = bytes(24) + b"".join(_symbol(symbol, strings) for symbol in symbols)
    local = 1 + sum(symbol.binding == STB_LOCAL for symbol in symbols)
    header(".symtab", SHT_SYMTAB, 0, place(table, 8), len(table), symtab_index + 1, local, 8, 24)
    header(".strtab", SHT_STRTAB, 0, place(bytes(strings.data), 1), len(strings.data), 0, 0, 1, 0)
    names.add(".shstrtab")
    where = place(bytes(names.data), 1)
    header(".shstrtab", SHT_STRTAB, 0, where, len(names.data), 0, 0, 1, 0)
    table_at = place(b"", 8)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    count = len(headers)
    start = struct.pack("<HHIQQQIHHHHHH", _RELOCATABLE, _X86_64, 1, 0, 0, table_at, 0, 64, 0, 0, 64,
                        count, count - 1)  # fmt: skip
    return ident + start + bytes(body) + b"".join(headers)


def _symbol(symbol: ElfSymbol, strings: StringTable) -> bytes:
    info = symbol.binding << 4 | symbol.kind
    other = STV_HIDDEN if symbol.hidden else 0
    value = symbol.value & ((1 << 64) - 1)
    name = strings.add(symbol.name)
    return struct.pack("<IBBHQQ", name, info, other, symbol.section, value, symbol.size)
