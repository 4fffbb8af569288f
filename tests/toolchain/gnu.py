"""GNU as beside our assembler: the same text through both, and what differs."""

from __future__ import annotations

import io
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import capstone
from elftools.elf.elffile import ELFFile

from harness.toolchain.rewrite import gas_rewrite

_PC32 = 2
_MODES = {16: capstone.CS_MODE_16, 32: capstone.CS_MODE_32, 64: capstone.CS_MODE_64}


@dataclass
class ObjectFacts:
    """What two objects must agree on. Relocations: {section: [(offset, type, target, addend)]}."""

    sections: dict[str, tuple[str, int, int, int, int]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    symbols: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    relocations: dict[str, list[tuple[int, int, str, int]]] = field(default_factory=dict)


def facts(data: bytes) -> ObjectFacts:
    """Reads an object; debug sections are left out."""
    elf: Any = ELFFile(io.BytesIO(data))
    out = ObjectFacts()
    table = elf.get_section_by_name(".symtab")
    for section in elf.iter_sections():
        wanted = section["sh_flags"] & 2 or section["sh_type"] == "SHT_NOTE"
        if wanted or section.name.startswith(".note"):
            out.sections[section.name] = (
                section["sh_type"],
                section["sh_flags"],
                section["sh_size"],
                section["sh_addralign"],
                section["sh_entsize"],
            )
            if section["sh_type"] != "SHT_NOBITS":
                out.contents[section.name] = section.data()
        if section["sh_type"] == "SHT_RELA" and not section.name.startswith(".rela.debug"):
            found = []
            for entry in section.iter_relocations():
                symbol = table.get_symbol(entry["r_info_sym"])
                name = symbol.name
                if not name and isinstance(symbol["st_shndx"], int):
                    name = "section " + elf.get_section(symbol["st_shndx"]).name
                found.append((entry["r_offset"], entry["r_info_type"], name, entry["r_addend"]))
            out.relocations[section.name] = sorted(found)
    for symbol in table.iter_symbols() if table is not None else ():
        if symbol.name and symbol["st_info"]["type"] != "STT_FILE":
            index = symbol["st_shndx"]
            where = elf.get_section(index).name if isinstance(index, int) else index
            out.symbols[symbol.name] = (
                symbol["st_info"]["bind"],
                symbol["st_info"]["type"],
                where,
                symbol["st_value"],
                symbol["st_size"],
                symbol["st_other"]["visibility"],
            )
    return out


def gnu_object(text: str, folder: Path, include: tuple[Path, ...] = ()) -> bytes:
    """The object that GNU as makes of rewritten `text`; includes are rewritten into `folder`."""
    copies = folder / "rewritten"
    copies.mkdir(parents=True, exist_ok=True)
    for directory in reversed(include):
        for path in directory.glob("*.inc"):
            (copies / path.name).write_text(gas_rewrite(path.read_text()))
    source, target = folder / "gnu.s", folder / "gnu.o"
    source.write_text(gas_rewrite(text))
    command = ["as", "-I", str(copies), str(source), "-o", str(target)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise AssertionError(f"GNU as refuses the rewritten source:\n{result.stderr}")
    return target.read_bytes()


def gnu_errors(lines: list[str], folder: Path) -> dict[int, str]:
    """Which lines (from 0) GNU as refuses, and its words."""
    source = folder / "check.s"
    source.write_text("\n".join(lines) + "\n")
    command = ["as", str(source), "-o", "/dev/null"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.findall(r"check\.s:(\d+): Error: (.*)", result.stderr)
    return {int(number) - 1: words for number, words in found}


def differences(ours: ObjectFacts, gnu: ObjectFacts, bits: int = 64) -> list[str]:
    """Every difference that is not allowed, in words.

    Allowed, because the objects mean the same:
    * We always add .note.GNU-stack; GNU as does so only on request.
    * Constants that an include defines and nobody exports are left out of our symbol table;
      GNU as repeats them in every object.
    * `.long symbol - .` of a visible symbol of this file: we name its section, GNU as the symbol.
    """
    found = []
    for name in sorted(ours.sections.keys() | gnu.sections.keys()):
        mine, theirs = ours.sections.get(name), gnu.sections.get(name)
        if mine != theirs and not (name == ".note.GNU-stack" and theirs is None):
            found.append(f"section {name}: ours {mine}, GNU {theirs}")
    for name in sorted(ours.symbols.keys() | gnu.symbols.keys()):
        one, other = ours.symbols.get(name), gnu.symbols.get(name)
        if one is None and other is not None and other[0] == "STB_LOCAL" and other[2] == "SHN_ABS":
            continue
        if one != other:
            found.append(f"symbol {name}: ours {one}, GNU {other}")
    for name in ours.contents.keys() & gnu.contents.keys():
        if ours.contents[name] != gnu.contents[name]:
            found.append(f"contents of {name}:")
            found += instruction_differences(ours.contents[name], gnu.contents[name], bits)
    for name in sorted(ours.relocations.keys() | gnu.relocations.keys()):
        left = _by_section(ours.relocations.get(name, []), ours)
        right = _by_section(gnu.relocations.get(name, []), gnu)
        if left != right:
            found.append(f"{name}: ours only {left - right}, GNU only {right - left}")
    return found


def instruction_differences(ours: bytes, gnu: bytes, bits: int) -> list[str]:
    """Disassembles both and shows the instructions that differ."""
    decoder = capstone.Cs(capstone.CS_ARCH_X86, _MODES[bits])
    decoder.skipdata = True

    def listing(data: bytes) -> list[str]:
        return [
            f"{i.address:#06x} {i.bytes.hex():20} {i.mnemonic} {i.op_str}"
            for i in decoder.disasm(data, 0)
        ]

    pairs = [(a, b) for a, b in zip(listing(ours), listing(gnu), strict=False) if a != b]
    # Branches over a difference differ too; the cause comes first.
    pairs.sort(key=lambda pair: len(pair[0].split()[1]) == len(pair[1].split()[1]))
    return [f"  ours {one}\n  GNU  {other}" for one, other in pairs][:10]


def _by_section(
    entries: list[tuple[int, int, str, int]], of: ObjectFacts
) -> set[tuple[int, int, str, int]]:
    """Relative data relocations against a defined symbol, said of its section instead."""
    out = set()
    for offset, kind, target, addend in entries:
        symbol = of.symbols.get(target)
        elsewhere = symbol is None or symbol[2] in ("SHN_UNDEF", "SHN_ABS")
        if kind == _PC32 and symbol is not None and not elsewhere and symbol[0] != "STB_WEAK":
            target, addend = f"section {symbol[2]}", addend + symbol[3]
        out.add((offset, kind, target, addend))
    return out
