"""Bit searches over a priority bitmap (fact sheet A3), and iteration over CPU masks.

A priority bitmap is three 64-bit words for bits 0..140: one per priority, and bit 140, the
*delimiter*, which is always set. The searches do not clamp their result, so only the delimiter
makes them stop at 140: on an empty array they return 140, on a map that lost it anything may
happen. CPU masks are plain integers, bit n for CPU n.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.model.constants import MAX_PRIO

BITS_PER_LONG = 64
BITMAP_WORDS = -(-(MAX_PRIO + 1) // BITS_PER_LONG)
DELIMITER = MAX_PRIO


def __ffs(word: int) -> int:
    """Number of the lowest set bit (fact sheet A3).

    Raises ValueError for 0, for which the machine instruction has no defined result.
    """
    if not word:
        raise ValueError("__ffs(0) is undefined")
    return (word & -word).bit_length() - 1


def empty_bitmap() -> list[int]:
    """A map with nothing but the delimiter (fact sheet A2)."""
    words = [0] * BITMAP_WORDS
    set_bit(words, DELIMITER)
    return words


def set_bit(words: list[int], bit: int) -> None:
    words[bit // BITS_PER_LONG] |= 1 << bit % BITS_PER_LONG


def clear_bit(words: list[int], bit: int) -> None:
    words[bit // BITS_PER_LONG] &= ~(1 << bit % BITS_PER_LONG)


def set_bits(words: Sequence[int]) -> Iterator[int]:
    """Every set bit of a bitmap, ascending, the delimiter included."""
    for number, word in enumerate(words):
        for bit in cpus(word):
            yield number * BITS_PER_LONG + bit


def sched_find_first_bit(words: Sequence[int]) -> int:
    """First set bit of the whole map (fact sheet A3).

    Raises ValueError for a map without any bit: the original falls off its end there (D1, L12).
    """
    for number, word in enumerate(words):
        if word:
            return number * BITS_PER_LONG + __ffs(word)
    raise ValueError("no bit set: the delimiter is gone")


def find_next_bit(words: Sequence[int], offset: int) -> int:
    """First set bit at `offset` or after it (fact sheet A3).

    With no such bit the result is the number of bits in all words, 192, not 140: callers must
    compare with `>= MAX_PRIO`.
    """
    number, bit = divmod(offset, BITS_PER_LONG)
    if bit:
        rest = words[number] >> bit
        if rest:
            return offset + __ffs(rest)
        number += 1
    while number < len(words):
        if words[number]:
            return number * BITS_PER_LONG + __ffs(words[number])
        number += 1
    return len(words) * BITS_PER_LONG


def cpus(mask: int) -> Iterator[int]:
    """CPU numbers in a mask, ascending: the order of every scan over CPUs."""
    while mask:
        yield __ffs(mask)
        mask &= mask - 1


def has_cpu(mask: int, cpu: int) -> bool:
    return bool(mask >> cpu & 1)
