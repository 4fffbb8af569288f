"""Objects of the model and their counterparts in the guest's memory.

A `Mirror` writes tasks, arrays and run queues of the model into a guest, and compares them after
both sides have done the same: every field that both have, so that a function that changes what it
should leave alone is found out.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import fields

from harness.model.array import PrioArray
from harness.model.constants import MAX_PRIO
from harness.model.runqueue import Runqueue
from harness.model.stats import RunqueueStats
from harness.model.task import Task
from tests.functions.guest import Guest
from tests.functions.machine import Layout

# By the names that both sides have for them.
PLAIN_TASK_FIELDS = (
    "cpu",
    "state",
    "prio",
    "static_prio",
    "policy",
    "rt_priority",
    "time_slice",
    "first_time_slice",
    "activated",
    "mm",
    "sleep_avg",
    "timestamp",
    "last_ran",
    "cpus_allowed",
    "nvcsw",
    "nivcsw",
    "need_resched",
    "preempt_active",
)
SCHED_INFO_FIELDS = ("cpu_time", "run_delay", "pcnt", "last_queued", "last_arrival")
PLAIN_RUNQUEUE_FIELDS = (
    "cpu",
    "nr_running",
    "cpu_load",
    "nr_switches",
    "nr_uninterruptible",
    "expired_timestamp",
    "timestamp_last_tick",
    "best_expired_prio",
)
STATS_FIELDS = [field.name for field in fields(RunqueueStats) if field.name != "pt"]
LINK_BYTES = 16


class Mirror:
    """Room in a guest for some CPUs' run queues and some tasks. The latest takes all of it."""

    def __init__(self, guest: Guest, cpus: int = 2, tasks: int = 12) -> None:
        self.guest = guest
        guest.release_all()
        self._task_base = guest.allocate(guest.task.size * tasks)
        self._queue_base = guest.allocate(guest.runqueue.size * cpus)
        guest.set_word("runqueues", self._queue_base)

    def task(self, p: Task) -> int:
        """Address of a task: its pid is its place in the table."""
        return self._task_base + self.guest.task.size * p.pid

    def runqueue(self, rq: Runqueue) -> int:
        """Address of a run queue: the table is in order of CPUs."""
        return self._queue_base + self.guest.runqueue.size * rq.cpu

    def array(self, rq: Runqueue, number: int) -> int:
        """Address of one of the two arrays of a run queue."""
        first = self.runqueue(rq) + self.guest.runqueue.fields["arrays"][0]
        return first + self.guest.array.size * number

    def put_task(self, p: Task) -> int:
        """Writes a task that is in no list; returns its address."""
        address = self.task(p)
        self.guest.write(address, self.guest.task.pack(task_values(p) | {"id": p.pid}))
        return address

    def put_runqueue(self, rq: Runqueue) -> int:
        """Writes a run queue that nobody has locked, with empty arrays, its current and its idle
        task."""
        address = self.runqueue(rq)
        free = Layout.of(self.guest.image, "lock").pack({"owner": -1})
        values = runqueue_values(rq) | {
            "lock": int.from_bytes(free, "little"),
            "curr": self.put_task(rq.curr),
            "idle": self.put_task(rq.idle),
            "active": self.array(rq, rq.arrays.index(rq.active)),
            "expired": self.array(rq, rq.arrays.index(rq.expired)),
        }
        self.guest.write(address, self.guest.runqueue.pack(values))
        for number in (0, 1):
            self.guest.call("prio_array_init", self.array(rq, number))
        return address

    def compare_task(self, p: Task) -> None:
        """Raises AssertionError naming the fields that differ."""
        self._compare(f"task {p.pid}", self.guest.task, self.task(p), task_values(p))

    def compare_runqueue(self, rq: Runqueue) -> None:
        """The fields of a run queue, its arrays apart. Raises AssertionError as above."""
        layout, address = self.guest.runqueue, self.runqueue(rq)
        self._compare(f"run queue {rq.cpu}", layout, address, runqueue_values(rq))

    def _compare(self, what: str, layout: Layout, address: int, values: dict[str, int]) -> None:
        found = self.guest.load(layout, address, *values)
        wanted = layout.unpack(layout.pack(values), values)
        differ = {name: (found[name], wanted[name]) for name in values}
        differ = {name: both for name, both in differ.items() if both[0] != both[1]}
        assert not differ, f"{what}: fields (guest, model): {differ}"

    def compare_array(self, address: int, array: PrioArray) -> None:
        """Count, bitmap, and every link of every list. Raises AssertionError."""
        found = self.guest.load(self.guest.array, address, "nr_active", "bitmap")
        assert found["nr_active"] == array.nr_active, "nr_active"
        assert found["bitmap"] == bits(array.bitmap), "bitmap"
        heads = bytearray(_empty_heads(self._head(address, 0)))
        for prio in occupied(array):
            at = self._head(address, prio)
            ring = [at, *(self._link(p) for p in array.queue[prio]), at]
            heads[LINK_BYTES * prio : LINK_BYTES * (prio + 1)] = _pair(ring[1], ring[-2])
            for before, link, after in zip(ring, ring[1:], ring[2:], strict=False):
                assert self.guest.read(link, LINK_BYTES) == _pair(after, before), f"list {prio}"
        lists = self.guest.read(self._head(address, 0), len(heads))
        assert lists == heads, "list heads"

    def _head(self, address: int, prio: int) -> int:
        return address + self.guest.array.fields["queue"][0] + LINK_BYTES * prio

    def _link(self, p: Task) -> int:
        return self.task(p) + self.guest.task.fields["run_list"][0]


def occupied(array: PrioArray) -> Iterator[int]:
    """Priorities that have tasks."""
    return (prio for prio, tasks in enumerate(array.queue) if tasks)


@functools.cache
def _empty_heads(first: int) -> bytes:
    heads = (first + LINK_BYTES * prio for prio in range(MAX_PRIO))
    return b"".join(_pair(head, head) for head in heads)


def _pair(following: int, before: int) -> bytes:
    return following.to_bytes(8, "little") + before.to_bytes(8, "little")


def bits(words: Sequence[int]) -> int:
    """A bitmap as one number."""
    return sum(word << 64 * number for number, word in enumerate(words))


def task_values(p: Task) -> dict[str, int]:
    """Fields of a task, under the guest's names; neither its links nor its array."""
    values = {name: int(getattr(p, name)) for name in PLAIN_TASK_FIELDS}
    for name in SCHED_INFO_FIELDS:
        values[f"sched_{name}"] = int(getattr(p.sched_info, name))
    return values


def runqueue_values(rq: Runqueue) -> dict[str, int]:
    """Fields of a run queue, under the guest's names; neither its pointers nor its arrays."""
    values = {name: int(getattr(rq, name)) for name in PLAIN_RUNQUEUE_FIELDS}
    values |= {name: int(getattr(rq.stats, name)) for name in STATS_FIELDS}
    moved = (count for pt in rq.stats.pt for count in (pt.pt_gained, pt.pt_lost))
    return values | {"pt": sum(count << 64 * n for n, count in enumerate(moved))}
