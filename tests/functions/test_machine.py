"""The machine that runs single functions: what it does when one does not come back as it should."""

from __future__ import annotations

import pytest

from harness.toolchain.image import Image, ImageError
from tests.functions.guest import Guest, PanicError
from tests.functions.machine import CallError, Layout

FUNCTION = "sched_find_first_bit"
SOMEBODY = 200
"""A CPU that no test makes the machine's."""


@pytest.fixture
def damaged(image: Image) -> Guest:
    """A copy of its own, for code of the test's own."""
    return Guest(image)


def place(guest: Guest, code: str) -> None:
    guest.patch(guest.addresses[FUNCTION], bytes.fromhex(code))


def test_arguments_and_result(damaged: Guest) -> None:
    place(damaged, "488d043e 4829d0 4829c8 c3")  # rdi + rsi - rdx - rcx
    assert damaged.call(FUNCTION, 1 << 40, 5, 3, 4) == (1 << 40) - 2
    assert damaged.call(FUNCTION, 0, 0, 1, 0) == (1 << 64) - 1


def test_registers_that_a_call_changes(damaged: Guest) -> None:
    place(damaged, "31c9 31c0 c3")  # xor ecx, ecx; xor eax, eax; ret
    damaged.call(FUNCTION, 1)
    assert damaged.clobbered(1) == {"rax", "rcx"}


def test_instructions_are_counted(damaged: Guest) -> None:
    place(damaged, "b904000000 ffc9 75fc c3")  # mov ecx, 4; dec ecx; jnz; ret
    assert damaged.count(FUNCTION) == 1 + 2 * 4 + 1
    damaged.call(FUNCTION)
    assert damaged.count(FUNCTION) == 1 + 2 * 4 + 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ebfe", "does not end"),
        ("31db c3", "does not preserve rbx"),
        ("31ed 4531ff c3", "does not preserve rbp, r15"),
        ("c20800", "does not preserve rsp"),
        ("31c0 8800 c3", r"sched_find_first_bit\+0x2 \(.*bitmap.s:\d+\)"),  # a write to address 0
        ("880516000000 c3", r"sched_find_first_bit"),  # a write to code
        ("0f0b", "sched_find_first_bit"),  # no instruction
    ],
)
def test_a_call_that_goes_wrong_says_where(damaged: Guest, code: str, words: str) -> None:
    place(damaged, code)
    with pytest.raises(CallError, match=words):
        damaged.call(FUNCTION, 1)
    place(damaged, "480fbcc7 c3")
    assert damaged.call(FUNCTION, 8) == 3, "the machine goes on after it"


def test_a_panic_is_its_words(guest: Guest) -> None:
    lock = Layout.of(guest.image, "lock")
    guest.write(guest.scratch(lock.size), lock.pack({"owner": SOMEBODY}))
    with pytest.raises(PanicError, match=r"^spin_unlock: this CPU does not hold the lock$"):
        guest.call("spin_unlock", guest.scratch(lock.size))


def test_fields_are_as_wide_as_the_next_is_away(image: Image) -> None:
    task = Layout.of(image, "task")
    assert task.fields["id"] == (0, 4)
    assert {task.fields[name][1] for name in ("prio", "time_slice", "activated")} == {4}
    assert {task.fields[name][1] for name in ("sleep_avg", "array", "cpus_allowed")} == {8}
    assert task.fields["run_list"][1] == 16
    values = {"prio": 139, "activated": -1, "sleep_avg": 10**9}
    wanted = {"prio": 139, "activated": 0xFFFFFFFF, "sleep_avg": 10**9, "static_prio": 0}
    assert task.unpack(task.pack(values), wanted) == wanted


def test_an_unknown_structure_is_refused(image: Image) -> None:
    with pytest.raises(ImageError, match="no structure 'nothing'"):
        Layout.of(image, "nothing")
