"""No-operations that fill alignment gaps in code, as GNU as chooses them."""

from __future__ import annotations

_LONG = [
    "", "90", "6690", "0f1f00", "0f1f4000", "0f1f440000", "660f1f440000", "0f1f8000000000",
    "0f1f840000000000", "660f1f840000000000", "662e0f1f840000000000", "66662e0f1f840000000000",
]  # fmt: skip


def no_operations(size: int, bits: int) -> bytes:
    """`size` bytes that do nothing in code of that width."""
    out = b""
    while size:
        step = min(size, len(_LONG) - 1)
        out += bytes.fromhex(_LONG[step])
        size -= step
    return out
