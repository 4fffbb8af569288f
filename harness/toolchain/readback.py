"""Holds an encoding against the statement it came from, and finishes it."""

from __future__ import annotations

from dataclasses import replace

from harness.toolchain.encoding import Template
from harness.toolchain.errors import AsmError
from harness.toolchain.expression import Node
from harness.toolchain.objects import Code, Fixup
from harness.toolchain.operands import SIZES, Memory
from harness.toolchain.registers import REGISTERS
from harness.toolchain.select import Expected

_ORDER = dict.fromkeys(b"&.6>de", 0) | {0x67: 1, 0x66: 2}
_ORDER |= {0xF0: 3, 0xF2: 3, 0xF3: 3}


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
    bits = _operand_bits(expected)
    for value, column in expected.immediates:
        if (bits and not -(1 << (bits - 1)) <= value < 1 << bits) or bits == 64:
            return _oversized(item, value, column, bits)
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
    disp_at, imm_at = template.disp[0], template.imm[0]
    if expected.absolute:
        # mod=10 rm=100 with SIB "rsp" becomes mod=00 rm=100, SIB "no index, no base".
        code[template.modrm] &= 0x3F
        code[template.modrm + 1] = 0x25
    if expected.drop_zero_disp and template.disp[1] == 1:
        code[template.modrm] &= 0x3F
        del code[disp_at]
        imm_at -= 1
    removed = 0
    if expected.drop_prefix and code[0] == 0x66:
        del code[0]
        removed = 1
    code = _sorted_prefixes(bytearray(item.prefix) + code)
    shift = len(item.prefix) - removed
    item.prefix = b""
    item.template = Template(
        bytes(code), template.mnemonic, 0, (disp_at + shift, template.disp[1]),
        (imm_at + shift, template.imm[1]), template.operands,
    )  # fmt: skip
    fixups = [_fixup(item, field.role, field.node, field.column) for field in item.fields]
    for fixup in fixups:
        code[fixup.offset : fixup.offset + fixup.size] = bytes(fixup.size)
    item.template = replace(item.template, code=bytes(code))
    return fixups


def _sorted_prefixes(code: bytearray) -> bytearray:
    count = 0
    while count < len(code) and code[count] in _ORDER:
        count += 1
    return bytearray(sorted(code[:count], key=_ORDER.__getitem__)) + code[count:]


def _fixup(item: Code, role: str, node: Node, column: int) -> Fixup:
    template, expected = item.template, item.expected
    assert template is not None and isinstance(expected, Expected)
    mode = abs(item.request[0])
    if role == "far":
        size = 4 if mode == 64 else 2
        return Fixup(
            len(template.code) - 2 - size,
            size,
            node,
            "abs32" if size == 4 else "imm",
            item.line,
            column,
        )
    if role == "imm":
        at, size = template.imm
        wide = template.mnemonic == "push" or _operand_bits(expected) == 64
        kind = {8: "data", 4: "abs32s" if wide else "abs32"}.get(size, "imm")
    else:
        at, size = template.disp
        memory = expected.memory
        assert memory is not None
        bits = memory.address_bits or mode
        kind = "pc" if role == "pc" else "abs32s" if bits == 64 else "abs32"
        kind = kind if size == 4 else "imm"
    if size == 0:
        raise AsmError("this operand has no room for an address", item.line, column)
    return Fixup(at, size, node, kind, item.line, column, len(template.code))


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
    if not template.mnemonic or not registers.issuperset(expected.registers):
        missing = ", ".join(set(expected.registers) - registers)
        raise _wrong(item, f"register {missing}" if missing else "the whole instruction")
    if expected.memory is not None:
        found = [operand for operand in template.operands if operand[0] == "m"]
        if not any(_same_address(operand, expected.memory, expected) for operand in found):
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
    bits = size * 8
    fits = -(1 << (bits - 1)) <= value < 1 << bits
    return fits and (value - found) % (1 << bits) == 0


def _same_address(found: tuple[object, ...], memory: Memory, expected: Expected) -> bool:
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
        modulus = 1 << (16 if memory.address_bits == 16 else 32)
        return (disp - memory.disp) % modulus == 0
    return True
