"""The run queue of one CPU (fact sheet A2), and the order in which two are locked (A10).

Locking: the fields of a run queue, and `array`, `prio` and `cpu` of the tasks queued in it, are
written under its lock with local interrupts off. Two locks are taken in ascending CPU order.
Written by their own CPU without the lock: `cpu_load`, `timestamp_last_tick`. Read by others without
it: `nr_running`, `cpu_load`, `timestamp_last_tick`, `curr` - what they read are hints.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from harness.model.arith import u64
from harness.model.array import PrioArray, dequeue_task, enqueue_task, enqueue_task_head
from harness.model.constants import MAX_PRIO, Constants
from harness.model.domain import Domain
from harness.model.stats import RunqueueStats
from harness.model.task import Task


@dataclass(frozen=True, slots=True)
class MigrationRequest:
    """Work for a CPU's migration thread: bring `task` from that CPU to another."""

    task: Task
    dest_cpu: int
    asker: Task | None = None
    """Who waits until it is done, where that matters."""


@dataclass(eq=False, slots=True)
class Runqueue:
    """State of one CPU's scheduler, as it stands after start-up (fact sheet A2)."""

    cpu: int
    k: Constants
    idle: Task
    domains: tuple[Domain, ...] = ()
    """Scheduling domains from the innermost out; none until they are built."""

    arrays: tuple[PrioArray, PrioArray] = field(default_factory=lambda: (PrioArray(), PrioArray()))
    active: PrioArray = field(init=False)
    expired: PrioArray = field(init=False)
    curr: Task = field(init=False)

    nr_running: int = 0
    """Tasks queued here, the running one included, the idle task not."""
    nr_switches: int = 0
    nr_uninterruptible: int = 0
    """Only the sum over all CPUs means anything."""
    cpu_load: int = 0
    """Decaying average of nr_running, 128 for each task."""
    timestamp_last_tick: int = 0
    """Nanoseconds."""
    expired_timestamp: int = 0
    """Jiffies of the first slice that ended since the arrays were swapped; 0 for none."""
    best_expired_prio: int = MAX_PRIO
    """Best static priority among those that expired since then; 140 for none."""

    migration_thread: Task | None = None
    migration_queue: list[MigrationRequest] = field(default_factory=list)
    active_balance: bool = False
    """Another CPU asked for a push of the running task."""
    push_cpu: int = 0
    """Who asked. 2.6.11 never reads it (D1, L11)."""

    stats: RunqueueStats = field(default_factory=RunqueueStats)

    def __post_init__(self) -> None:
        self.active, self.expired = self.arrays
        self.curr = self.idle

    @property
    def is_idle(self) -> bool:
        """Whether the idle task is current *now*, whatever may be queued (idle_cpu)."""
        return self.curr is self.idle


def __activate_task(p: Task, rq: Runqueue, jiffies: int) -> None:
    """Queue a task in the active array and count it (fact sheet A4)."""
    enqueue_task(p, rq.active, jiffies)
    rq.nr_running += 1


def __activate_idle_task(rq: Runqueue) -> None:
    """Queue the idle task first in its list, for a CPU that goes offline (fact sheet A4)."""
    enqueue_task_head(rq.idle, rq.active)
    rq.nr_running += 1


def deactivate_task(p: Task, rq: Runqueue) -> None:
    """Take a task off its run queue (fact sheet A4). Raises ValueError if it is on none."""
    if p.array is None:
        raise ValueError(f"{p!r} is not queued")
    rq.nr_running -= 1
    dequeue_task(p, p.array)
    p.array = None


def task_preempts_curr(p: Task, rq: Runqueue) -> bool:
    """Strictly better than what runs there (fact sheet A5)."""
    return p.prio < rq.curr.prio


def translate_time(ns: int, source: Runqueue, target: Runqueue) -> int:
    """A time of one CPU's clock in another's, by their last ticks (fact sheet A8, A14).

    Nanoseconds, unsigned 64-bit: where the clocks disagree the result may wrap (D1, L06).
    """
    return u64(ns - source.timestamp_last_tick + target.timestamp_last_tick)


class LockOp(enum.Enum):
    LOCK = "lock"
    TRYLOCK = "trylock"
    UNLOCK = "unlock"


LockStep = tuple[LockOp, int]
"""An operation on the lock of the run queue with that CPU number."""


def double_rq_lock(cpu_a: int, cpu_b: int) -> list[LockStep]:
    """Steps to take the locks of two run queues: the lower one first (fact sheet A10)."""
    return [(LockOp.LOCK, cpu) for cpu in sorted({cpu_a, cpu_b})]


def double_lock_balance(this_cpu: int, busiest_cpu: int, trylock_ok: bool) -> list[LockStep]:
    """Steps to take a second lock while holding `this_cpu`'s (fact sheet A10).

    The held lock is dropped only when the other is taken by somebody *and* comes before it in
    order; after that the caller must read everything again.
    """
    steps = [(LockOp.TRYLOCK, busiest_cpu)]
    if trylock_ok:
        return steps
    if busiest_cpu < this_cpu:
        return [
            *steps,
            (LockOp.UNLOCK, this_cpu),
            (LockOp.LOCK, busiest_cpu),
            (LockOp.LOCK, this_cpu),
        ]
    return [*steps, (LockOp.LOCK, busiest_cpu)]
