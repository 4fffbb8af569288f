"""From a finished assembly to the bytes of its object file."""

from __future__ import annotations

from pathlib import Path

from harness.toolchain import elf
from harness.toolchain.assembler import Assembler
from harness.toolchain.dwarf import Sequence, debug_sections
from harness.toolchain.errors import AsmError
from harness.toolchain.layout import check_spaces, contents, final_place, lay_out
from harness.toolchain.objects import EXEC, Branch, Code, Section, Symbol
from harness.toolchain.relocate import (
    R_32,
    R_64,
    Relocation,
    check_declared,
    resolve,
    undefined,
)
from harness.toolchain.values import NotLinearError, Value, evaluate

_TYPES = {"": 0, "notype": 0, "object": 1, "function": 2, "common": 5, "tls_object": 6}
_STACK_NOTE = ".note.GNU-stack"


def object_bytes(assembler: Assembler) -> bytes:
    """Lays out, resolves and writes. Raises AsmError for what only shows now."""
    sections = list(assembler.sections.values())
    for number, section in enumerate(sections, 1):
        section.index = number
    lay_out(sections)
    elf_sections: list[elf.ElfSection] = []
    relocations: list[list[Relocation]] = []
    for section in sections:
        check_spaces(section)
        nobits = section.kind == "nobits"
        code = bytearray() if nobits else contents(section)
        relocations.append([] if nobits else resolve(assembler, section, code))
        elf_sections.append(
            elf.ElfSection(
                section.name, section.kind, section.flags, bytes(code), section.alignment,
                section.entry_size, section.size,
            )
        )  # fmt: skip
    _add_debug(assembler, sections, elf_sections)
    symbols, numbers = _symbol_table(assembler, sections, len(elf_sections))
    _check_uses(assembler)
    _add_relocations(elf_sections, relocations, numbers)
    if _STACK_NOTE not in assembler.sections:
        elf_sections.append(elf.ElfSection(_STACK_NOTE, "progbits", 0, b""))
    return elf.write_object(elf_sections, symbols)


def _symbol_table(
    assembler: Assembler, sections: list[Section], count: int
) -> tuple[list[elf.ElfSymbol], dict[object, int]]:
    """Section symbols, locals, then the others; and the number of each in the table."""
    symbols = [
        elf.ElfSymbol("", 0, 0, elf.STB_LOCAL, elf.STT_SECTION, number)
        for number in range(1, count + 1)
    ]
    numbers: dict[object, int] = {section: section.index for section in sections}
    visible = [symbol for symbol in assembler.symbols.values() if not symbol.private]
    for wanted in ("local", "others"):
        for symbol in visible:
            others = symbol.binding in ("global", "weak") or not symbol.defined
            if others != (wanted == "others"):
                continue
            entry = _symbol(assembler, symbol)
            if entry is not None:
                symbols.append(entry)
                numbers[symbol] = len(symbols)
    return symbols, numbers


def _symbol(assembler: Assembler, symbol: Symbol) -> elf.ElfSymbol | None:
    binding = {"global": elf.STB_GLOBAL, "weak": elf.STB_WEAK}.get(symbol.binding, elf.STB_LOCAL)
    kind = _TYPES[symbol.kind]
    if not symbol.defined:
        if symbol.binding == "global" and not symbol.declared_extern:
            line = symbol.declaration or assembler.source.last
            hint = "define it, or import it with .extern"
            raise AsmError(f".globl '{symbol.name}', but it is not defined here", line, -1, hint)
        if symbol.used is None:
            return None
        if not symbol.declared_extern and symbol.binding != "weak":
            raise undefined(symbol, symbol.used, symbol.used_column)
        if not symbol.binding:
            binding = elf.STB_GLOBAL
        return elf.ElfSymbol(symbol.name, 0, 0, binding, kind, elf.SHN_UNDEF, symbol.hidden)
    value = _symbol_value(symbol)
    size = _symbol_size(symbol)
    if value.is_number:
        if binding == elf.STB_LOCAL and _comes_from_include(assembler, symbol):
            return None
        index, address = elf.SHN_ABS, value.number
    else:
        origin = next(iter(value.origins))
        if not isinstance(origin, Section) or value.origins != {origin: 1}:
            assert symbol.line is not None
            if binding == elf.STB_LOCAL:
                return None
            raise AsmError(f"'{symbol.name}' has no address of its own", symbol.line)
        index, address = origin.index, value.number
    return elf.ElfSymbol(symbol.name, address, size, binding, kind, index, symbol.hidden)


def _comes_from_include(assembler: Assembler, symbol: Symbol) -> bool:
    """Constants of shared includes would otherwise appear once for every object."""
    line = symbol.line
    while line is not None and line.macro and line.origin is not None:
        line = line.origin
    return line is None or line.file != assembler.main


def _symbol_value(symbol: Symbol) -> Value:
    line = symbol.line
    assert line is not None
    try:
        value = evaluate(symbol, final_place)
    except NotLinearError:
        raise AsmError(f"the value of '{symbol.name}' is no address", line) from None
    except ZeroDivisionError:
        raise AsmError("division by zero", line) from None
    except RecursionError:
        raise AsmError(f"'{symbol.name}' is defined by itself", line) from None
    check_declared(value, line, -1)
    return value


def _symbol_size(symbol: Symbol) -> int:
    if symbol.size is None:
        return 0
    line = symbol.declaration or symbol.line
    assert line is not None
    try:
        value = evaluate(symbol.size, final_place)
    except (NotLinearError, ZeroDivisionError, RecursionError):
        value = None
    if value is None or not value.is_number or value.number < 0:
        hint = "use .size name, . - name behind the last byte, in the same section"
        raise AsmError(f"the size of '{symbol.name}' is no number", line, -1, hint)
    return value.number


def _check_uses(assembler: Assembler) -> None:
    for symbol in assembler.symbols.values():
        if symbol.private and not symbol.defined and symbol.used is not None:
            raise undefined(symbol, symbol.used, symbol.used_column)


def _add_relocations(
    elf_sections: list[elf.ElfSection],
    relocations: list[list[Relocation]],
    numbers: dict[object, int],
) -> None:
    for section, found in zip(elf_sections, relocations, strict=False):
        for relocation in found:
            number = 0 if relocation.target is None else numbers[relocation.target]
            section.relocations.append(
                (relocation.offset, relocation.kind, number, relocation.addend)
            )


def _add_debug(
    assembler: Assembler, sections: list[Section], elf_sections: list[elf.ElfSection]
) -> None:
    sequences = [
        Sequence(section.index, section.size, _rows(section))
        for section in sections
        if section.flags & EXEC
    ]
    made = debug_sections(assembler.main, str(Path.cwd()), sequences)
    # Debug sections refer to each other; offset 0 of each is where this object's part begins, and
    # relocations against section symbols say so.
    base = len(elf_sections)
    index = {name: base + 1 + number for number, name in enumerate(made)}
    for name, debug in made.items():
        section = elf.ElfSection(name, "progbits", 0, bytes(debug.data))
        for at, width, target, addend in debug.fields:
            number = index[target] if isinstance(target, str) else target
            section.relocations.append((at, R_64 if width == 8 else R_32, number, addend))
        elf_sections.append(section)


def _rows(section: Section) -> list[tuple[int, str, int]]:
    rows = []
    for index, item in enumerate(section.items):
        if isinstance(item, Code | Branch):
            file, line = item.line.place()
            rows.append((section.offsets[index], file, line))
    return rows
