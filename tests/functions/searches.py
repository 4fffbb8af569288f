"""bitmap.s: bit searches."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from harness.model import bitmap
from harness.model.constants import MAX_PRIO
from tests.functions.agreement import agrees, prios
from tests.functions.guest import Guest, PanicError

MAP_BYTES = 8 * bitmap.BITMAP_WORDS
words = st.integers(1, (1 << 64) - 1) | st.integers(0, 63).map(lambda bit: 1 << bit)
maps = st.lists(prios, max_size=4).map(lambda bits: _map([*bits, MAX_PRIO]))
offsets = prios | st.just(MAX_PRIO)


def _map(bits: list[int]) -> list[int]:
    found = [0] * bitmap.BITMAP_WORDS
    for bit in bits:
        bitmap.set_bit(found, bit)
    return found


def put_map(guest: Guest, words: list[int]) -> int:
    """Writes a map, then words full of bits that no search may look at."""
    at = guest.scratch(2 * MAP_BYTES)
    data = b"".join(word.to_bytes(8, "little") for word in words)
    guest.write(at, data.ljust(2 * MAP_BYTES, b"\xff"))
    return at


@agrees("sched_find_first_bit", given=st.tuples(maps))
def first_bit_of_a_map(guest: Guest, words: list[int]) -> None:
    assert guest.call("sched_find_first_bit", put_map(guest, words)) == (
        bitmap.sched_find_first_bit(words)
    )


@agrees("sched_find_first_bit", given=st.tuples(st.just([0] * bitmap.BITMAP_WORDS)))
def no_bit_at_all_is_refused(guest: Guest, words: list[int]) -> None:
    """The model raises ValueError, the guest panics."""
    assert _refusal(lambda: bitmap.sched_find_first_bit(words)).endswith("the delimiter is gone")
    at = put_map(guest, words)
    words_of_guest = _refusal(lambda: guest.call("sched_find_first_bit", at))
    assert words_of_guest == "sched_find_first_bit: the delimiter is gone"


def _refusal(search: Callable[[], int]) -> str:
    try:
        return f"found {search()}"
    except (ValueError, PanicError) as error:
        return str(error)


@agrees("find_next_bit", given=st.tuples(maps, offsets))
def next_bit_of_a_map(guest: Guest, words: list[int], offset: int) -> None:
    found = guest.call("find_next_bit", put_map(guest, words), MAX_PRIO, offset)
    assert found == bitmap.find_next_bit(words, offset)


@agrees("find_next_bit", given=st.tuples(st.lists(st.just(0) | words, min_size=1, max_size=3),
                                         st.integers(0, 191)))  # fmt: skip
def next_bit_of_any_map(guest: Guest, words: list[int], offset: int) -> None:
    """Other sizes, and maps without a bit after the offset."""
    size = 64 * len(words)
    offset %= size
    found = guest.call("find_next_bit", put_map(guest, words), size, offset)
    assert found == bitmap.find_next_bit(words, offset)
