"""CPUs that leave and return while all runs: 2.6.11 cpu_down(), cpu_up(), migration_call().

    online = go_offline(cpu, online)     its migration thread runs, so no other task does there
    for p in its tasks, asleep or not:   move_task_off_dead_cpu
    migrate_nr_uninterruptible           then no task is left

Where the original stops all CPUs for the change, this scheduler lets them run: the bit changes
under the lock of the CPU's run queue, and who queues a task there under that lock sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.model.bitmap import __ffs, has_cpu
from harness.model.constants import Now, State
from harness.model.resched import Resched, preempt_curr
from harness.model.runqueue import Runqueue, deactivate_task, translate_time
from harness.model.task import ALL_CPUS, Task
from harness.model.wake import activate_task

BOOT_CPU = 0
"""Counts the jiffies, so it always stays."""

_ENDED = State.EXIT_ZOMBIE | State.EXIT_DEAD


def go_offline(cpu: int, online: int) -> int:
    """The mask of online CPUs without one. Raises ValueError if that is offline or has to stay."""
    if cpu == BOOT_CPU:
        raise ValueError(f"CPU {cpu} counts the jiffies and has to stay")
    if not has_cpu(online, cpu):
        raise ValueError(f"CPU {cpu} is offline")
    return online & ~(1 << cpu)


def come_online(cpu: int, online: int) -> int:
    """The mask of online CPUs with one more. Raises ValueError if that is online."""
    if has_cpu(online, cpu):
        raise ValueError(f"CPU {cpu} is online")
    return online | 1 << cpu


@dataclass(frozen=True, slots=True)
class Refuge:
    """Where a task of an offline CPU goes."""

    cpu: int
    reset: bool
    """Its affinity names no CPU that is online, and is opened to all."""


def refuge(p: Task, online: int) -> Refuge:
    """The lowest online CPU that the task may run on; if there is none, the lowest online one."""
    allowed = p.cpus_allowed & online
    return Refuge(__ffs(allowed or online), reset=not allowed)


def evades(p: Task, rq: Runqueue, online: int) -> bool:
    """Whether a task must not be queued where it belongs: that CPU is offline.

    Its own migration thread is bound to it and runs there all the same, to bring it back.
    """
    return not has_cpu(online, rq.cpu) and p is not rq.migration_thread


def leave(p: Task, src: Runqueue, dst: Runqueue, *, reset: bool) -> bool:
    """Take a task off a CPU, both run queues locked, and point it to another one.

    True: it was queued, and is to be activated there. Raises ValueError for a task that runs.
    """
    if src.curr is p:
        raise ValueError(f"{p!r} runs")
    if reset:
        p.cpus_allowed = ALL_CPUS
    queued = p.array is not None
    if queued:
        p.timestamp = translate_time(p.timestamp, src, dst)
        deactivate_task(p, src)
    p.cpu = dst.cpu
    return queued


@dataclass(frozen=True, slots=True)
class Moved:
    task: Task
    to: Refuge
    resched: Resched | None


def move_task_off_dead_cpu(
    p: Task, src: Runqueue, rqs: Sequence[Runqueue], now: Now, online: int
) -> Moved:
    """Move a task to its refuge; a queued one counts as woken there. `now` is in `src`'s clock."""
    to = refuge(p, online)
    dst = rqs[to.cpu]
    if not leave(p, src, dst, reset=to.reset):
        return Moved(p, to, None)
    activate_task(p, dst, Now(translate_time(now.ns, src, dst), now.jiffies))
    return Moved(p, to, preempt_curr(p, dst, src.cpu))


def residents(tasks: Iterable[Task], rq: Runqueue) -> Iterator[Task]:
    """Tasks that have to leave with a CPU: all that belong to it but its idle task and thread."""
    for p in tasks:
        if p.cpu == rq.cpu and p not in (rq.idle, rq.migration_thread) and not p.state & _ENDED:
            yield p


def migrate_live_tasks(
    tasks: Sequence[Task], src: Runqueue, rqs: Sequence[Runqueue], now: Now, online: int
) -> list[Moved]:
    """Move every task away from an offline CPU, in the order of their numbers."""
    return [move_task_off_dead_cpu(p, src, rqs, now, online) for p in [*residents(tasks, src)]]


def migrate_nr_uninterruptible(src: Runqueue, dst: Runqueue) -> None:
    """Hand on the count of uninterruptible sleepers, which only means something as a sum."""
    dst.nr_uninterruptible += src.nr_uninterruptible
    src.nr_uninterruptible = 0
