"""Relative jumps, calls and loops: which forms they have and how Keystone is asked for them."""

from __future__ import annotations

from harness.toolchain.errors import Line
from harness.toolchain.mnemonics import words
from harness.toolchain.objects import Branch
from harness.toolchain.operands import Immediate

_CONDITIONS = words(
    "o no b c nae ae nb nc e z ne nz be na a nbe s ns p pe np po l nge ge nl le ng g nle"
)
_JCC = {f"j{condition}" for condition in _CONDITIONS}
_SHORT_ONLY = {"loop", "loope", "loopz", "loopne", "loopnz", "jcxz", "jecxz", "jrcxz"}
BRANCHES = _JCC | _SHORT_ONLY | {"jmp", "call"}


def branch(mnemonic: str, target: Immediate, bits: int, prefix: bytes, line: Line) -> Branch:
    """A relative jump, call or loop. Its field ends its code: 1 byte short, else 4 (2) bytes."""
    short = None if mnemonic == "call" else (bits, f"{mnemonic} 0x10")
    near = None
    if mnemonic not in _SHORT_ONLY:
        near = (bits, f"{mnemonic} 0x1234" if bits == 16 else f"{mnemonic} 0x12345678")
    return Branch(line, target.node, target.column, prefix, short, near)


def near_form(code: bytes, bits: int) -> bytes:
    """The near form of a branch; in 16-bit code Keystone's is 32 bits wide."""
    if bits != 16:
        return code[:-4] + bytes(4)
    return code[1:-4] + bytes(2) if code[0] == 0x66 else code[:-2] + bytes(2)
