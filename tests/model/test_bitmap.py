"""Bit searches at the word boundaries and against a search bit by bit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.bitmap import (
    __ffs,
    clear_bit,
    cpus,
    empty_bitmap,
    find_next_bit,
    sched_find_first_bit,
    set_bit,
    set_bits,
)

EDGES = [0, 1, 62, 63, 64, 65, 99, 100, 126, 127, 128, 129, 138, 139, 140]
ffs = __ffs


def bitmap(*bits: int) -> list[int]:
    words = empty_bitmap()
    for bit in bits:
        set_bit(words, bit)
    return words


@pytest.mark.parametrize("bit", EDGES)
def test_first_bit_is_found_at_every_boundary(bit: int) -> None:
    assert sched_find_first_bit(bitmap(bit)) == bit
    assert sched_find_first_bit(bitmap(bit, 139)) == min(bit, 139)


@pytest.mark.parametrize("bit", EDGES)
def test_next_bit_includes_its_offset(bit: int) -> None:
    assert find_next_bit(bitmap(bit), bit) == bit
    assert find_next_bit(bitmap(bit), max(bit - 1, 0)) == bit
    assert find_next_bit(bitmap(bit, 140), min(bit + 1, 140)) == 140


def test_empty_map_ends_at_the_delimiter() -> None:
    assert sched_find_first_bit(empty_bitmap()) == 140
    assert all(find_next_bit(empty_bitmap(), offset) == 140 for offset in range(141))


def test_without_the_delimiter_nothing_stops_at_140() -> None:
    words = empty_bitmap()
    clear_bit(words, 140)
    with pytest.raises(ValueError, match="delimiter"):
        sched_find_first_bit(words)
    assert {find_next_bit(words, offset) for offset in range(193)} == {192}


def test_ffs_of_zero_is_refused() -> None:
    assert [ffs(1 << bit) for bit in range(64)] == list(range(64))
    with pytest.raises(ValueError, match="undefined"):
        ffs(0)


@given(st.sets(st.integers(0, 140)), st.integers(0, 140))
def test_searches_equal_a_look_at_every_bit(bits: set[int], offset: int) -> None:
    words = bitmap(*bits)
    assert sched_find_first_bit(words) == min(bits | {140})
    assert find_next_bit(words, offset) == min(b for b in bits | {140} if b >= offset)


@given(st.lists(st.integers(0, 139)))
def test_bits_are_set_and_cleared_alone(bits: list[int]) -> None:
    words, expected = empty_bitmap(), {140}
    for bit in bits:
        (clear_bit if bit in expected else set_bit)(words, bit)
        expected ^= {bit}
    assert list(set_bits(words)) == sorted(expected)


@given(st.sets(st.integers(0, 254)))
def test_masks_are_walked_in_ascending_order(numbers: set[int]) -> None:
    assert list(cpus(sum(1 << n for n in numbers))) == sorted(numbers)
