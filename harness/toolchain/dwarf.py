"""DWARF 4: which source line every instruction came from."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import PurePath

# Special opcodes step the line by -5..8 and the address by the rest.
_LINE_BASE, _LINE_RANGE, _OPCODE_BASE = -5, 14, 13
_OPERANDS = bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])
_LANG_MIPS_ASSEMBLER = 0x8001


@dataclass(frozen=True, slots=True)
class Sequence:
    """The rows of one code section: (offset, file, line), ascending; `number` names the section."""

    number: int
    size: int
    rows: list[tuple[int, str, int]]


@dataclass(slots=True)
class DebugSection:
    """Bytes and the fields that a relocation fills: (offset, width, target, addend), where target
    is the number of a code section or the name of another debug section."""

    data: bytearray = field(default_factory=bytearray)
    fields: list[tuple[int, int, int | str, int]] = field(default_factory=list)

    def reference(self, width: int, target: int | str, addend: int = 0) -> None:
        """Appends a field for a relocation."""
        self.fields.append((len(self.data), width, target, addend))
        self.data += bytes(width)


def uleb(value: int) -> bytes:
    """Unsigned little-endian base 128."""
    out = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def sleb(value: int) -> bytes:
    """Signed little-endian base 128."""
    out = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        done = (value == 0 and not low & 0x40) or (value == -1 and low & 0x40)
        out.append(low if done else low | 0x80)
        if done:
            return bytes(out)


def debug_sections(name: str, directory: str, sequences: list[Sequence]) -> dict[str, DebugSection]:
    """All debug sections of one object; `name` is the source, `directory` where it was named."""
    sequences = [sequence for sequence in sequences if sequence.rows]
    if not sequences:
        return {}
    out = {
        ".debug_line": _line(name, directory, sequences),
        ".debug_abbrev": DebugSection(bytearray(_ABBREV_RANGES if len(sequences) > 1 else _ABBREV)),
        ".debug_info": _info(name, directory, sequences),
        ".debug_aranges": _aranges(sequences),
    }
    if len(sequences) > 1:
        out[".debug_ranges"] = _ranges(sequences)
    return out


def _abbrev(*pairs: int) -> bytes:
    body = b"".join(uleb(value) for value in pairs)
    return uleb(1) + uleb(0x11) + b"\0" + body + b"\0\0\0"


# stmt_list sec_offset, low_pc addr, high_pc data8 | ranges sec_offset, name, comp_dir, producer,
# language data2
_TAIL = (0x03, 0x08, 0x1B, 0x08, 0x25, 0x08, 0x13, 0x05)
_ABBREV = _abbrev(0x10, 0x17, 0x11, 0x01, 0x12, 0x07, *_TAIL)
_ABBREV_RANGES = _abbrev(0x10, 0x17, 0x11, 0x01, 0x55, 0x17, *_TAIL)


def _with_length(section: DebugSection) -> DebugSection:
    """Puts the unit length in front."""
    out = DebugSection(bytearray(struct.pack("<I", len(section.data))) + section.data)
    out.fields = [(at + 4, width, target, addend) for at, width, target, addend in section.fields]
    return out


def _info(name: str, directory: str, sequences: list[Sequence]) -> DebugSection:
    out = DebugSection()
    out.data += struct.pack("<H", 4)
    out.reference(4, ".debug_abbrev")
    out.data += b"\x08\x01"
    out.reference(4, ".debug_line")
    if len(sequences) == 1:
        out.reference(8, sequences[0].number)
        out.data += struct.pack("<Q", sequences[0].size)
    else:
        out.data += bytes(8)
        out.reference(4, ".debug_ranges")
    for text in (name, directory, "sched-harness toolchain"):
        out.data += text.encode() + b"\0"
    out.data += struct.pack("<H", _LANG_MIPS_ASSEMBLER) + b"\0"
    return _with_length(out)


def _aranges(sequences: list[Sequence]) -> DebugSection:
    out = DebugSection(bytearray(struct.pack("<H", 2)))
    out.reference(4, ".debug_info")
    out.data += b"\x08\0" + bytes(4)
    for sequence in sequences:
        out.reference(8, sequence.number)
        out.data += struct.pack("<Q", sequence.size)
    out.data += bytes(16)
    return _with_length(out)


def _ranges(sequences: list[Sequence]) -> DebugSection:
    out = DebugSection()
    for sequence in sequences:
        out.reference(8, sequence.number)
        out.reference(8, sequence.number, sequence.size)
    out.data += bytes(16)
    return out


def _line(name: str, directory: str, sequences: list[Sequence]) -> DebugSection:
    files = [name]
    for sequence in sequences:
        for _, file, _ in sequence.rows:
            if file not in files:
                files.append(file)
    folders = list(dict.fromkeys(str(PurePath(file).parent) for file in files))
    header = bytearray([1, 1, 1, _LINE_BASE & 0xFF, _LINE_RANGE, _OPCODE_BASE]) + _OPERANDS
    for folder in folders:
        header += folder.encode() + b"\0"
    header += b"\0"
    for file in files:
        path = PurePath(file)
        header += path.name.encode() + b"\0" + uleb(folders.index(str(path.parent)) + 1) + b"\0\0"
    header += b"\0"
    out = DebugSection(bytearray(struct.pack("<HI", 4, len(header))) + header)
    numbers = {file: number for number, file in enumerate(files, 1)}
    for sequence in sequences:
        _program(out, sequence, numbers)
    return _with_length(out)


def _program(out: DebugSection, sequence: Sequence, numbers: dict[str, int]) -> None:
    out.data += b"\0\x09\x02"
    out.reference(8, sequence.number, sequence.rows[0][0])
    address, file, line = sequence.rows[0][0], 1, 1
    for offset, name, number in sequence.rows:
        if numbers[name] != file:
            file = numbers[name]
            out.data += b"\x04" + uleb(file)
        step, ahead = number - line, offset - address
        if not _LINE_BASE <= step < _LINE_BASE + _LINE_RANGE:
            out.data += b"\x03" + sleb(step)
            step = 0
        opcode = step - _LINE_BASE + _LINE_RANGE * ahead + _OPCODE_BASE
        if opcode > 255:
            out.data += b"\x02" + uleb(ahead)
            opcode = step - _LINE_BASE + _OPCODE_BASE
        out.data.append(opcode)
        address, line = offset, number
    out.data += b"\x02" + uleb(sequence.size - address) + b"\0\x01\x01"
