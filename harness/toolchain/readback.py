"""Holds an encoding against the statement it came from, and finishes it."""

from __future__ import annotations

from dataclasses import replace

from harness.toolchain.encoding import Template
from harness.toolchain.errors import AsmError
from harness.toolchain.objects import Code, Field, Fixup
from harness.toolchain.operands import SIZES, Memory
from harness.toolchain.registers import REGISTERS
from harness.toolchain.select import Expected

# Segment, address size, operand size, lock or repeat.
_ORDER = {
    0x26: 0, 0x2E: 0, 0x36: 0, 0x3E: 0, 0x64: 0, 0x65: 0, 0x67: 1, 0x66: 2,
    0xF0: 3, 0xF2: 3, 0xF3: 3,
}  # fmt: skip


def refuse(item: Code, reason: str) -> AsmError:
    """The error for a statement that Keystone would not encode."""
    expected = item.expected
    assert isinstance(expected, Expected)
    text = item.request[1]
    mnemonic = text.split()[0]
    if "mnemonic" in reason.lower() and "KS_ERR" in reason:
        hint = "check the spelling; Keystone 0.9.2 knows no newer instructions: use .byte"
        return AsmError(f"unknown instruction '{mnemonic}'", item.line, -1, hint)
    if "KS_ERR" not in reason:
        return AsmError(f"{reason}: {text}", item.line, -1, "write it another way, or use .byte")
    shape = text[len(mnemonic) :].strip() or "no operands"
    hint = "check number, sizes and kinds of the operands"
    return AsmError(f"'{mnemonic}' does not take {shape}", item.line, -1, hint)


def finish(item: Code, template: Template) -> list[Fixup]:
    """Patches `template` into the final bytes of `item`, checks it, and says what is open.

    Raises AsmError where the encoding does not say what the source says.
    """
    expected = item.expected
    assert isinstance(expected, Expected)
    if not expected.patched:
        _check(item, template, expected)
    code = bytearray(template.code)
    if expected.absolute:
        # mod=10 rm=100 with SIB "rsp" becomes mod=00 rm=100, SIB "no index, no base".
        code[template.modrm] &= 0x3F
        code[template.modrm + 1] = 0x25
    if expected.drop_zero_disp and template.disp[1] == 1:
        code[template.modrm] &= 0x3F
        del code[template.disp[0]]
    places = [_place(item, template, field) for field in item.fields]
    shift = len(code)
    code = _with_prefixes(item.prefix, code, expected.drop_prefix)
    shift = len(code) - shift
    fixups = []
    for field, place in zip(item.fields, places, strict=True):
        at = place + shift
        code[at : at + field.size] = bytes(field.size)
        kind = "imm"
        if field.role == "pc":
            kind = "pc"
        elif field.size >= 4:
            kind = "data" if field.size == 8 else "abs32s" if field.wide else "abs32"
        fixups.append(Fixup(at, field.size, field.node, kind, item.line, field.column, len(code)))
    item.prefix = b""
    item.template = replace(template, code=bytes(code))
    return fixups


def _place(item: Code, template: Template, field: Field) -> int:
    """Where the stand-in of a field is: where Capstone says, if it is really there."""
    if field.role == "far":
        at = len(template.code) - 2 - field.size
    else:
        at = (template.imm if field.role == "imm" else template.disp)[0]
    found = template.code[at : at + field.size]
    if not at or found != field.stand_in.to_bytes(field.size, "little"):
        hint = "write it another way"
        raise AsmError("this operand has no room for an address", item.line, field.column, hint)
    return at


def _with_prefixes(more: bytes, code: bytearray, drop: bool) -> bytearray:
    """Prefixes in the order of GNU as, without the needless operand-size prefix if told so."""
    count = 0
    while count < len(code) and code[count] in _ORDER:
        count += 1
    prefixes = [byte for byte in code[:count] if not (drop and byte == 0x66)] + list(more)
    prefixes.sort(key=lambda byte: _ORDER[byte])
    return bytearray(prefixes) + code[count:]


def _operand_bits(expected: Expected) -> int:
    for name in expected.registers:
        register = REGISTERS.get(name)
        if register is not None and register.bits and register.kind == "gpr":
            return register.bits
    if expected.memory is not None:
        return SIZES.get(expected.memory.size, 0)
    return 0


def _oversized(item: Code, value: int, column: int, bits: int) -> AsmError:
    where = f"{bits}-bit operand" if bits else "this instruction"
    hint = "64-bit operands take a sign-extended 32-bit number; use mov to a register first"
    hint = hint if bits == 64 else "use a wider operand or a smaller number"
    return AsmError(f"{value:#x} does not fit in a {where}", item.line, column, hint)


def _check(item: Code, template: Template, expected: Expected) -> None:
    registers = {operand[1] for operand in template.operands if operand[0] == "r"}
    if template.mnemonic == "nop" and item.request[1].startswith("xchg "):
        registers.update(expected.registers)  # of a register with itself
    if not template.mnemonic or not registers.issuperset(expected.registers):
        missing = ", ".join(sorted(set(expected.registers) - registers))
        raise _wrong(item, f"register {missing}" if missing else "the whole instruction")
    if expected.memory is not None:
        found = [operand for operand in template.operands if operand[0] == "m"]
        # An address of two bytes alone says that the address size is 16.
        bits = 16 if expected.memory.address_bits == 16 or template.disp[1] == 2 else 32
        if not any(_same_address(operand, expected.memory, expected, bits) for operand in found):
            raise _wrong(item, "the address")
    numbers = [operand for operand in template.operands if operand[0] == "i"]
    for value, column in expected.immediates:
        if not any(_same_number(value, found, size) for _, found, size in numbers):
            sizes = [size * 8 for _, _, size in numbers]
            if not sizes:
                if value == 1:  # shifts by one have an encoding without a number
                    continue
                raise _wrong(item, "the number")
            raise _oversized(item, value, column, _operand_bits(expected) or sizes[0])


def _wrong(item: Code, what: str) -> AsmError:
    return AsmError(
        f"Keystone encodes {what} differently from what is written: {item.request[1]}",
        item.line, -1, "write it another way, or use .byte",
    )  # fmt: skip


def _same_number(value: int, found: int, size: int) -> bool:
    bits = size * 8 or 64
    fits = -(1 << (bits - 1)) <= value < 1 << bits
    return fits and (value - found) % (1 << bits) == 0


def _same_address(found: tuple[object, ...], memory: Memory, expected: Expected, bits: int) -> bool:
    _, _, base, index, scale, disp, _ = found
    if expected.absolute:
        return base == "rsp"
    want_base = memory.base.name if memory.base else ""
    want_index = memory.index.name if memory.index else ""
    if memory.index and memory.address_bits == 16 and not memory.base:
        want_base, want_index = want_index, ""
    if (base, index if index not in ("riz", "eiz") else "") != (want_base, want_index):
        return False
    if want_index and scale != memory.scale:
        return False
    assert isinstance(disp, int)
    if isinstance(memory.disp, int):
        return (disp - memory.disp) % (1 << bits) == 0
    return True
