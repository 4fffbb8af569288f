"""What the checked guest verifies of its own structures: each condition of each rule is broken by
itself, and what is sound passes, however close to a bound it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from tests.functions.guest import PanicError
from tests.kernel.checked import (
    FIFO,
    IDLE_RING,
    MAX_PRIO,
    NORMAL,
    RINGS,
    RR,
    RT_RINGS,
    SLOTS,
    Queue,
    Rings,
)  # fmt: skip
from tests.kernel.kernel import Kernel

T = TypeVar("T")
INTERRUPTIBLE = 1
DEF_TIMESLICE = 100
LONGEST_SLICE = 8 * DEF_TIMESLICE


@pytest.fixture
def queue(checked: Kernel) -> Queue:
    return Queue(checked)


@pytest.fixture
def rings(checked: Kernel) -> Rings:
    return Rings(checked)


def then(first: Callable[[T], object], second: Callable[[T], object]) -> Callable[[T], None]:
    """One after the other."""

    def both(on: T) -> None:
        first(on)
        second(on)

    return both


def swapped(q: Queue) -> None:
    q.set(active=q.arrays[1], expired=q.arrays[0])


def idle(q: Queue) -> None:
    """Nothing runs."""
    for array in q.arrays:
        q.fill(array, {})
    q.set(nr_running=0, curr=q.idle, expired_timestamp=0, best_expired_prio=MAX_PRIO)


def going_to_sleep(q: Queue) -> None:
    q.set_task(q.running, state=INTERRUPTIBLE)


def gone(q: Queue) -> None:
    """The running task is about to leave: off the queue already."""
    q.fill(q.arrays[0], {57: [q.realtime], 115: [q.second]})
    q.set(nr_running=3)
    q.set_task(q.running, state=INTERRUPTIBLE, array=0)


def task(name: str, **values: int) -> Callable[[Queue], object]:
    return lambda q: q.set_task(getattr(q, name), **values)


SOUND: list[Callable[[Queue], object]] = [
    lambda q: None, swapped, idle, going_to_sleep, gone,
    lambda q: q.set(curr=q.expired),
    lambda q: q.set(curr=q.idle),
    task("second", state=INTERRUPTIBLE, preempt_active=1),
    lambda q: q.set(best_expired_prio=100),
    lambda q: q.set(best_expired_prio=140),
    task("second", time_slice=1), task("second", time_slice=LONGEST_SLICE),
    task("second", static_prio=110), task("second", static_prio=120),
    task("realtime", static_prio=100), task("realtime", static_prio=139),
    task("realtime", policy=FIFO, time_slice=0),
    lambda q: q.set_task(q.second, sleep_avg=q.kernel.read_constants()["ns_max_sleep_avg"]),
]  # fmt: skip


@pytest.mark.parametrize("change", SOUND)
def test_a_sound_run_queue_passes(queue: Queue, change: Callable[[Queue], object]) -> None:
    change(queue)
    queue.check()


def relink(q: Queue, at: int, value: int) -> None:
    q.kernel.write(at, value.to_bytes(8, "little"))


def spoil_stack(q: Queue, of: int) -> None:
    stack = q.kernel.load(q.kernel.task, of, "stack")["stack"]
    q.kernel.write(stack, bytes(8))


def endless(q: Queue) -> None:
    """A list that comes round without its head, links agreeing."""
    first, second = q.link(q.running), q.link(q.second)
    relink(q, second, first)
    relink(q, first + 8, second)


BROKEN: list[tuple[str, Callable[[Queue], object]]] = [
    *[("S1", lambda q, bit=bit: q.flip(bit)) for bit in (0, 57, 58, 64, 115, 127, 128, 139)],
    ("S1", lambda q: q.flip(125, array=1)),
    ("S1", lambda q: q.flip(0, array=1)),
    *[("S2", lambda q, bit=bit: q.flip(bit)) for bit in (140, 141, 191)],
    ("S2", lambda q: q.flip(140, array=1)),
    ("S3", lambda q: q.kernel.store(q.array, q.arrays[0], "nr_active", 2)),
    ("S3", lambda q: q.kernel.store(q.array, q.arrays[0], "nr_active", 4)),
    ("S3", lambda q: q.kernel.store(q.array, q.arrays[1], "nr_active", 0)),
    ("S4", lambda q: q.set(nr_running=3)),
    ("S4", lambda q: q.set(nr_running=5)),
    ("S5", lambda q: q.set(active=q.arrays[1])),
    ("S5", lambda q: q.set(expired=q.arrays[0])),
    ("S5", lambda q: q.set(expired=q.arrays[1] + 8)),
    ("S5", lambda q: q.set(active=q.arrays[0] - 8)),
    ("S6", lambda q: q.set_task(q.second, array=q.arrays[1])),
    ("S6", task("second", array=0)),
    ("S6", task("second", prio=114)),
    ("S6", task("second", cpu=1)),
    ("S6", task("second", state=INTERRUPTIBLE)),
    ("S6", task("expired", state=INTERRUPTIBLE)),
    ("S7", lambda q: relink(q, q.link(q.second) + 8, q.head(q.arrays[0], 115))),
    ("S7", lambda q: relink(q, q.head(q.arrays[0], 115) + 8, q.link(q.running))),
    ("S7", lambda q: relink(q, q.link(q.running), q.head(q.arrays[0], 115))),
    ("S7", endless),
    ("S9", lambda q: q.set_task(q.idle, array=q.arrays[0])),
    ("S9", task("idle", prio=MAX_PRIO - 1)),
    ("S9", then(gone, lambda q: q.set_task(q.running, state=0))),
    ("S9", then(gone, lambda q: q.set_task(q.running, state=0, array=q.arrays[0] + 8))),
    ("S9", then(gone, lambda q: q.set_task(q.running, cpu=1))),
    ("S10", task("second", static_prio=99)), ("S10", task("second", static_prio=140)),
    ("S10", task("second", static_prio=109)), ("S10", task("second", static_prio=121)),
    ("S10", task("realtime", static_prio=99)), ("S10", task("realtime", static_prio=140)),
    ("S10", task("second", policy=RR)), ("S10", task("second", policy=FIFO)),
    ("S10", task("realtime", policy=NORMAL)),
    ("S10", task("second", time_slice=0)), ("S10", task("second", time_slice=-1)),
    ("S10", task("second", time_slice=LONGEST_SLICE + 1)),
    ("S10", task("realtime", time_slice=0)), ("S10", task("expired", time_slice=0)),
    ("S10", task("second", sleep_avg=-1)),
    ("S10", lambda q: q.set_task(
        q.second, sleep_avg=q.kernel.read_constants()["ns_max_sleep_avg"] + 1)),
    ("S11", lambda q: q.set(best_expired_prio=99)),
    ("S11", lambda q: q.set(best_expired_prio=141)),
    ("S11", then(idle, lambda q: q.set(expired_timestamp=5))),
    ("S12", lambda q: spoil_stack(q, q.second)),
    ("S12", lambda q: spoil_stack(q, q.expired)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "damage"), BROKEN)
def test_each_damage_of_a_run_queue_is_named(
    queue: Queue, rule: str, damage: Callable[[Queue], object]
) -> None:
    damage(queue)
    with pytest.raises(PanicError, match=f"^rule {rule}: "):
        queue.check()


def test_an_idle_queue_of_a_task_that_is_about_to_run_may_remember(queue: Queue) -> None:
    """Nothing is queued, but something runs: it may come back."""
    idle(queue)
    queue.set(curr=queue.running, expired_timestamp=5)
    queue.set_task(queue.running, state=INTERRUPTIBLE, array=0)
    queue.check()


SOUND_RINGS: list[Callable[[Rings], object]] = [
    lambda r: None,
    lambda r: r.overflow(0),
    lambda r: r.overflow(1),
    lambda r: r.overflow(3),
    lambda r: r.set(load=40, idle=1),
]


@pytest.mark.parametrize("change", SOUND_RINGS)
def test_a_sound_ready_queue_passes(rings: Rings, change: Callable[[Rings], object]) -> None:
    change(rings)
    rings.check()


def overflowing(**values: int) -> Callable[[Rings], None]:
    """A ring with three tasks behind it, and then that field wrong."""

    def damage(r: Rings) -> None:
        r.overflow(3)
        r.set_ring(5, **values)

    return damage


def behind_with_room(r: Rings) -> None:
    tasks = r.overflow(1)
    r.set_slot(5, 17, 0)
    r.set_ring(5, head=18, count=SLOTS - 1)
    r.set(nr_running=4 + len(tasks) - 1)


def refused(r: Rings) -> None:
    """A full ring let no more in, and yet it counts."""
    r.overflow(0)
    r.set(nr_running=4 + SLOTS + 1)


def in_the_other_word(r: Rings) -> None:
    """The first normal ring has a task, and the real-time rings' word says so."""
    r.fill(RT_RINGS, [r.waiting(RT_RINGS)], head=0)
    r.set(rt_bitmap=1 << 7 | 1 << RT_RINGS, nr_running=5, load=60)


def in_the_normal_word(r: Rings) -> None:
    """The same of the idle ring and the normal rings' word."""
    r.set(normal_bitmap=1 << 1 | 1 << IDLE_RING - RT_RINGS, idle_flag=0)


BROKEN_RINGS: list[tuple[str, Callable[[Rings], object]]] = [
    ("V1", lambda r: r.set(rt_bitmap=1 << 7 | 1 << RT_RINGS)),
    ("V1", lambda r: r.set(normal_bitmap=1 << 1 | 1 << 4)),
    ("V1", lambda r: r.set(idle_flag=2)),
    ("V1", lambda r: r.set(idle_flag=0)),
    ("V1", lambda r: r.set(rt_bitmap=0)),
    ("V1", lambda r: r.set(rt_bitmap=1 << 7 | 1)),
    ("V1", lambda r: r.set(normal_bitmap=0)),
    ("V1", lambda r: r.set(normal_bitmap=1 << 1 | 1 << 3)),
    ("V1", lambda r: r.set_ring(7, count=2)),
    ("V1", lambda r: r.set_ring(7, count=0)),
    ("V1", lambda r: r.set_ring(7, head=SLOTS + 3)),
    ("V1", lambda r: r.set_ring(7, tail=SLOTS + 4)),
    ("V1", lambda r: r.set_ring(7, tail=5)),
    ("V1", lambda r: r.set_ring(0, tail=10)),
    ("V1", lambda r: r.set_ring(7, count=SLOTS + 1)),
    ("V1", lambda r: r.set_slot(7, 3, 0)),
    ("V1", lambda r: r.set_slot(7, 4, r.tasks[0])),
    ("V1", lambda r: r.set_slot(7, 2, r.tasks[0])),
    ("V1", lambda r: r.set_slot(0, 9, r.tasks[0])),
    ("V1", lambda r: r.set_slot(0, 8, r.tasks[0])),
    ("V1", lambda r: r.set_ring(0, overflow_first=r.tasks[0])),
    ("V1", lambda r: r.set_ring(0, overflow_last=r.tasks[0])),
    ("V1", lambda r: r.set_ring(0, overflowed=1)),
    ("V1", lambda r: r.set_ring(7, overflow_first=r.tasks[0])),
    ("V1", lambda r: r.set_ring(7, overflow_last=r.tasks[0])),
    ("V1", overflowing(overflowed=2)), ("V1", overflowing(overflowed=4)),
    ("V1", overflowing(overflowed=0)), ("V1", overflowing(overflow_first=0)),
    ("V1", overflowing(overflow_last=0)),
    ("V1", behind_with_room), ("V1", in_the_other_word), ("V1", in_the_normal_word),
    ("V1", then(lambda r: r.overflow(0), lambda r: r.set_ring(5, count=2 * SLOTS))),
    ("V2", lambda r: r.set(nr_running=3)),
    ("V2", lambda r: r.set(nr_running=5)),
    ("V2", lambda r: r.set(load=40)),
    ("V2", lambda r: r.set(load=60)),
    ("V2", lambda r: r.set(idle=1)),
    ("V2", then(lambda r: r.overflow(0), lambda r: r.set(load=110))),
    ("V2", then(lambda r: r.overflow(0), lambda r: r.set(nr_running=3))),
    ("V4", refused),
    ("S6", lambda r: r.kernel.store(r.kernel.task, r.tasks[0], "array", r.ring_at(7))),
    ("S6", lambda r: r.kernel.store(r.kernel.task, r.tasks[3], "array", 0)),
    ("S6", lambda r: r.kernel.store(r.kernel.task, r.tasks[1], "cpu", 1)),
    ("S6", lambda r: r.kernel.store(r.vtask, r.vtasks + r.vtask.size, "ring", 30)),
    ("S6", lambda r: r.kernel.store(r.kernel.task, r.overflow(3)[-1], "cpu", 1)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "damage"), BROKEN_RINGS)
def test_each_damage_of_a_ready_queue_is_named(
    rings: Rings, rule: str, damage: Callable[[Rings], object]
) -> None:
    damage(rings)
    with pytest.raises(PanicError, match=f"^rule {rule}: "):
        rings.check()


def test_a_bit_of_any_ring_without_tasks_is_seen(rings: Rings) -> None:
    for ring in set(range(RT_RINGS)) - {7}:
        rings.set(rt_bitmap=1 << 7 | 1 << ring)
        with pytest.raises(PanicError, match="rule V1: a bit does not tell"):
            rings.check()
    assert IDLE_RING == RINGS - 1
