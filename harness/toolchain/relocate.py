"""Fills in the fields whose values are known and makes relocations of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.toolchain.errors import AsmError, Line
from harness.toolchain.layout import branch_value, final_place
from harness.toolchain.objects import Branch, Code, Data, Fixup, Section, Symbol
from harness.toolchain.values import NotLinearError, Value, evaluate

if TYPE_CHECKING:
    from harness.toolchain.assembler import Assembler

R_64, R_PC32, R_PLT32, R_32, R_32S, R_16, R_PC16, R_8, R_PC8, R_PC64 = (
    1,
    2,
    4,
    10,
    11,
    12,
    13,
    14,
    15,
    24,
)
_ABSOLUTE = {
    ("data", 8): R_64, ("data", 4): R_32, ("data", 2): R_16, ("data", 1): R_8,
    ("abs32", 4): R_32, ("abs32s", 4): R_32S, ("imm", 2): R_16, ("imm", 1): R_8,
}  # fmt: skip
_RELATIVE = {8: R_PC64, 4: R_PC32, 2: R_PC16, 1: R_PC8}


@dataclass(frozen=True, slots=True)
class Relocation:
    """One entry of a .rela section; `target` None means the absolute section."""

    offset: int
    kind: int
    target: Symbol | Section | None
    addend: int


def resolve(assembler: Assembler, section: Section, code: bytearray) -> list[Relocation]:
    """Writes known values into `code`, the bytes of `section`; the rest become relocations."""
    found: list[Relocation] = []
    for index, item in enumerate(section.items):
        start = section.offsets[index]
        if isinstance(item, Branch):
            relocation = _branch(section, item, start, code)
            if relocation is not None:
                found.append(relocation)
        elif isinstance(item, Code | Data):
            for fixup in assembler.fixups.get(item, ()):
                relocation = _field(section, fixup, start, code)
                if relocation is not None:
                    found.append(relocation)
    return found


def undefined(symbol: Symbol, line: Line, column: int) -> AsmError:
    """The error for a name that nothing defines."""
    what = "local label" if symbol.private else "symbol"
    hint = (
        "check the spelling" if symbol.private else f"define it, or declare .extern {symbol.name}"
    )
    return AsmError(f"undefined {what} '{symbol.name}'", line, column, hint)


def check_declared(value: Value, line: Line, column: int) -> None:
    """Raises AsmError if the value counts from a symbol that is neither defined nor declared."""
    for origin in value.origins:
        if isinstance(origin, Symbol) and not (origin.declared_extern or origin.binding == "weak"):
            raise undefined(origin, line, column)


def _field(section: Section, fixup: Fixup, start: int, code: bytearray) -> Relocation | None:
    try:
        value = evaluate(fixup.node, final_place)
    except NotLinearError:
        hint = "addresses can only be added, subtracted and, within a section, compared by distance"
        raise AsmError("this cannot be relocated", fixup.line, fixup.column, hint) from None
    except ZeroDivisionError:
        raise AsmError("division by zero", fixup.line, fixup.column) from None
    except RecursionError:
        raise AsmError("a symbol is defined by itself", fixup.line, fixup.column) from None
    check_declared(value, fixup.line, fixup.column)
    at = start + fixup.offset
    target = _target(value)
    if fixup.kind == "pc":
        return _relative(section, fixup, value, target, at, code)
    if value.is_number:
        _store(code, at, value.number, fixup)
        return None
    minus = [origin for origin, count in value.origins.items() if count == -1]
    if target is None and minus == [section] and len(value.origins) == 2:
        plus = next(origin for origin, count in value.origins.items() if origin is not section)
        if value.origins[plus] == 1 and isinstance(plus, Symbol | Section):
            return Relocation(at, _RELATIVE[fixup.size], plus, value.number + at)
    if target is None:
        hint = "the difference of two labels must be within one section"
        raise AsmError("this cannot be relocated", fixup.line, fixup.column, hint)
    base, addend = target
    return Relocation(at, _ABSOLUTE[fixup.kind, fixup.size], base, addend)


def _target(value: Value) -> tuple[Symbol | Section, int] | None:
    """What a relocation should name: the symbol itself if others can see it."""
    if len(value.origins) != 1:
        return None
    origin, count = next(iter(value.origins.items()))
    if count != 1 or not isinstance(origin, Symbol | Section):
        return None
    leaf = value.leaf
    if isinstance(leaf, Symbol) and leaf.binding in ("global", "weak") and leaf.anchor is not None:
        return leaf, value.number - leaf.anchor.offset()
    return origin, value.number


def _relative(
    section: Section,
    fixup: Fixup,
    value: Value,
    target: tuple[Symbol | Section, int] | None,
    at: int,
    code: bytearray,
) -> Relocation | None:
    end = at - fixup.offset + fixup.end
    if value.is_number:
        _store(code, at, value.number, fixup)
        return None
    if target is None:
        raise AsmError("this cannot be relocated", fixup.line, fixup.column)
    base, addend = target
    if base is section:
        _store(code, at, value.number - end, fixup)
        return None
    return Relocation(at, R_PC32, base, addend - (end - at))


def _branch(section: Section, item: Branch, start: int, code: bytearray) -> Relocation | None:
    value, near = branch_value(section, item)
    check_declared(value, item.line, item.column)
    end = start + item.size
    size = 1 if not item.grown else 2 if item.near is not None and item.near[0] == 16 else 4
    visible = isinstance(value.leaf, Symbol) and value.leaf.binding == "global"
    if near and not (visible and item.short is None):  # the linker sees calls of global functions
        disp = value.number - end
        half = 1 << (size * 8 - 1)
        if not -half <= disp < half:
            hint = "use a conditional jump or jmp; they have a long form" if size == 1 else ""
            message = (
                f"branch out of range: the target is {disp:+d} bytes away, {-half}..{half - 1} fit"
            )
            raise AsmError(message, item.line, item.column, hint)
        code[end - size : end] = (disp & (2 * half - 1)).to_bytes(size, "little")
        return None
    if size == 1:
        hint = "loop and jrcxz have a short form only"
        raise AsmError("branch out of range: the target is elsewhere", item.line, item.column, hint)
    if value.is_number:
        return Relocation(end - size, _RELATIVE[size], None, value.number - size)
    target = _target(value)
    if target is None:
        raise AsmError("this is no address to branch to", item.line, item.column)
    base, addend = target
    plt = isinstance(base, Symbol) and item.near is not None and item.near[0] == 64
    kind = R_PLT32 if plt else _RELATIVE[size]
    return Relocation(end - size, kind, base, addend - size)


def _store(code: bytearray, at: int, number: int, fixup: Fixup) -> None:
    bits = fixup.size * 8
    low = -(1 << (bits - 1))
    high = 1 << (bits - 1 if fixup.kind in ("abs32s", "pc") else bits)
    if not low <= number < high:
        hint = "use a wider operand"
        message = f"{number:#x} does not fit in {bits} bits"
        raise AsmError(message, fixup.line, fixup.column, hint)
    code[at : at + fixup.size] = (number & ((1 << bits) - 1)).to_bytes(fixup.size, "little")
