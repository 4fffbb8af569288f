"""Machine-word arithmetic where Python's own would differ from C's."""

U32_MASK = (1 << 32) - 1
U64_MASK = (1 << 64) - 1


def u32(value: int) -> int:
    """Value of a C `unsigned int` expression."""
    return value & U32_MASK


def u64(value: int) -> int:
    """Value of a C `unsigned long` (or `unsigned long long`) expression."""
    return value & U64_MASK


def s64(value: int) -> int:
    """The same 64 bits read as a signed number."""
    value = u64(value)
    return value - (1 << 64) if value >> 63 else value


def elapsed(since: int, now: int, *, guarded: bool) -> int:
    """Unsigned difference of two times: if now lies behind, a very long time, or 0 if guarded."""
    return 0 if guarded and s64(now - since) < 0 else u64(now - since)


def c_div(dividend: int, divisor: int) -> int:
    """Signed division as C does it: the quotient is cut toward zero, not floored."""
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient
