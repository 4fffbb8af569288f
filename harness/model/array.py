"""Priority arrays (fact sheet A2, A4): 140 lists and a bitmap that tells which have tasks.

The caller holds the lock of the run queue that owns the array. All functions use the task's
priority of the moment, which is why it may only change while the task is off the lists.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.model.bitmap import clear_bit, empty_bitmap, set_bit
from harness.model.constants import MAX_PRIO
from harness.model.stats import sched_info_queued
from harness.model.task import Task


class Change(enum.Enum):
    """What can happen to a task and its list."""

    DEQUEUE = enum.auto()
    ENQUEUE_TAIL = enum.auto()
    ENQUEUE_HEAD = enum.auto()
    ENQUEUE_BEFORE = enum.auto()
    REQUEUE = enum.auto()


@dataclass(eq=False, slots=True)
class PrioArray:
    """`queue[i]` holds the tasks of priority i, head first; bit i is set iff it has any."""

    nr_active: int = 0
    bitmap: list[int] = field(default_factory=empty_bitmap)
    queue: list[list[Task]] = field(default_factory=lambda: [[] for _ in range(MAX_PRIO)])
    observer: Callable[[Change, Task, PrioArray], None] | None = None
    """Told of every change: a replay compares them with what the guest logged."""

    def tasks(self) -> list[Task]:
        """Every queued task, best priority first and head first."""
        return [p for tasks in self.queue for p in tasks]


def dequeue_task(p: Task, array: PrioArray) -> None:
    """Take a task off its list (fact sheet A4). Leaves `p.array` alone.

    Raises ValueError when the task is not in the list of its priority.
    """
    tasks = array.queue[p.prio]
    tasks.remove(p)
    array.nr_active -= 1
    if not tasks:
        clear_bit(array.bitmap, p.prio)
    if array.observer:
        array.observer(Change.DEQUEUE, p, array)


def enqueue_task(p: Task, array: PrioArray, jiffies: int) -> None:
    """Append a task to the list of its priority (fact sheet A4)."""
    sched_info_queued(p.sched_info, jiffies)
    _link(p, array, len(array.queue[p.prio]), Change.ENQUEUE_TAIL)


def enqueue_task_head(p: Task, array: PrioArray) -> None:
    """Put a task first in its list (fact sheet A4): parks the idle task of a CPU going offline."""
    _link(p, array, 0, Change.ENQUEUE_HEAD)


def enqueue_task_before(p: Task, other: Task, array: PrioArray) -> None:
    """Put a task right before another of the same priority: child before parent (fact sheet A8)."""
    _link(p, array, array.queue[p.prio].index(other), Change.ENQUEUE_BEFORE)


def requeue_task(p: Task, array: PrioArray) -> None:
    """Move a task to the tail of its list (fact sheet A4); counters and bitmap stay."""
    tasks = array.queue[p.prio]
    tasks.remove(p)
    tasks.append(p)
    if array.observer:
        array.observer(Change.REQUEUE, p, array)


def _link(p: Task, array: PrioArray, position: int, change: Change) -> None:
    array.queue[p.prio].insert(position, p)
    set_bit(array.bitmap, p.prio)
    array.nr_active += 1
    p.array = array
    if array.observer:
        array.observer(change, p, array)
