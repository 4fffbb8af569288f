"""Which instructions take a lock, a repeat prefix, a size that only an operand can tell."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of `text`."""
    return frozenset(text.split())


PREFIXES = {
    "lock": 0xF0, "rep": 0xF3, "repe": 0xF3, "repz": 0xF3, "repne": 0xF2, "repnz": 0xF2,
    "data16": 0x66, "data32": 0x66, "addr16": 0x67, "addr32": 0x67,
}  # fmt: skip
SEGMENT_BYTES = {"es": 0x26, "cs": 0x2E, "ss": 0x36, "ds": 0x3E, "fs": 0x64, "gs": 0x65}
LOCKABLE = words(
    """add adc and btc btr bts cmpxchg cmpxchg8b cmpxchg16b dec inc neg not or sbb sub xor xadd
    xchg"""
)
STRINGS = {
    f"{name}{size}" for name in ("movs", "stos", "lods", "scas", "cmps") for size in "bwdq"
} | {f"{name}{size}" for name in ("ins", "outs") for size in "bwd"}
SHIFTS = words("rol ror rcl rcr shl sal shr sar")
# Instructions whose operand size only an operand can tell.
SIZED = SHIFTS | words(
    """mov add adc sub sbb and or xor cmp test inc dec neg not mul imul div idiv bt bts btr btc
    movzx movsx cvtsi2sd cvtsi2ss fld fst fstp fadd fsub fmul fdiv fild fist fistp"""
)
IMM8 = SHIFTS | words("shld shrd bt bts btr btc int in out rorx")
