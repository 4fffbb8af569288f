"""Which accesses to memory tier unicorn may preempt, and which of them are two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.explore.accesses import Update, shared_accesses
from harness.explore.schedules import NEVER
from harness.explore.smp import Smp, Stop
from harness.explore.world import Actor, World
from harness.toolchain.image import Image


def updates(image: Image, function: str) -> list[Update | None]:
    """Of each shared access of a function, in order."""
    symbol = image.symbols[function]
    inside = range(symbol.address, symbol.address + symbol.size)
    return [each.update for each in shared_accesses(image) if each.address in inside]


def test_a_lock_is_taken_in_one_access_and_only_with_its_prefix(
    image: Image, planted: Callable[[str], Path]
) -> None:
    assert not any(updates(image, "spin_lock"))
    with Image(planted("no-lock-prefix")) as unlocked:
        twice = [each for each in updates(unlocked, "spin_lock") if each]
    assert [(each.size, each.base, each.bit) for each in twice] == [(4, "rdi", "")]


def test_a_bit_of_a_map_lies_in_a_later_word(image: Image) -> None:
    (update,) = [each for each in updates(image, "array_link") if each and each.bit]
    held = {update.base: 0x1000, update.bit: 139}
    assert update.address(lambda name: held[name]) == 0x1000 + update.displacement + 16


@pytest.mark.parametrize(
    ("update", "address"),
    [
        (Update(8, "rbx", "", 1, 0x20), 0x1020),
        (Update(4, "rbx", "rcx", 8, -8), 0x1010),
        (Update(4, "", "", 1, 0x7000), 0x7000),
        (Update(8, "rbx", "", 1, 0, "rcx"), 0x1000),
    ],
)
def test_where_an_instruction_writes(update: Update, address: int) -> None:
    held = {"rbx": 0x1000, "rcx": 3}
    assert update.address(lambda name: held[name]) == address


def enqueued_by_two(world: World, stop_at: int) -> int:
    """Tasks in an array where CPU 0 stops before a step while CPU 1 enqueues another, unlocked."""
    smp = world.smp
    smp.reset()
    array = world.queue(0) + world.runqueue.fields["arrays"][0]
    for cpu, name in enumerate(("first", "second")):
        task = world.tasks[name]
        function = smp.image.address("enqueue_task_at")
        smp.enter(cpu, world.stack_top(task), function, task, array, 0)
    smp.stop_at(stop_at)
    stopped = smp.go_on(0) is Stop.STEP
    smp.stop_at(NEVER)
    assert smp.go_on(1) is Stop.ENDS
    assert not stopped or smp.go_on(0) is Stop.ENDS
    at, width = world.array.fields["nr_active"]
    return smp.word(array + at, width)


def test_who_stops_between_reading_and_writing_loses_what_others_write(image: Image) -> None:
    sleepers = [Actor(name, 0, running=False, prio=n) for n, name in enumerate(("first", "second"))]
    world = World(Smp(image, 2), sleepers)
    counts = [enqueued_by_two(world, step) for step in range(1, 40)]
    assert sorted(set(counts)) == [1, 2]
    assert counts.count(1) == 1, "two steps of the count, one place between them"
