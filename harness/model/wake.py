"""Waking a task (fact sheet A8): is it asleep, where should it run, queue it there.

begin_wakeup        under the lock of the task's run queue: is there anything to do?
place               which CPU: reads loads without locks, changes nothing
commit_placement    point the task there; if that is elsewhere, the lock is dropped here,
                    the other taken, and the question of begin_wakeup asked again
finish_wakeup       queue it and preempt if it is better
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.arith import u64
from harness.model.bitmap import cpus, has_cpu
from harness.model.constants import SCHED_LOAD_SCALE, WAKE_ANY, Now, SDFlag, State
from harness.model.domain import Domain, task_hot
from harness.model.load import LoadRead, ReadLoad, read_live
from harness.model.prio import recalc_task_prio
from harness.model.resched import Resched, preempt_curr
from harness.model.runqueue import Runqueue, __activate_task, translate_time
from harness.model.task import ALL_CPUS, Task


def activate_task(p: Task, rq: Runqueue, now: Now, *, in_interrupt: bool = False) -> None:
    """Queue a task that slept, its sleep credited (fact sheet A8).

    `now.ns` is in the clock of `rq`'s CPU: another CPU translates its own (translate_time) first.
    """
    recalc_task_prio(p, now.ns, rq.k)
    if p.activated == 0:
        p.activated = 2 if in_interrupt else 1
    p.timestamp = now.ns
    __activate_task(p, rq, now.jiffies)


class WakeStep(enum.Enum):
    """What the state of a task asks of somebody who wants to wake it."""

    NOT_ASLEEP = "its state is not among those to be woken"
    STILL_QUEUED = "it had not left the queue yet: running again is all it takes"
    SWITCHING_OUT = "it is off the queue but still on its CPU: queue it there"
    PLACE = "it sleeps: find a CPU for it"


def wake_step(p: Task, rq: Runqueue, mask: State = WAKE_ANY) -> WakeStep:
    """Look at a task under its run queue's lock (fact sheet A8, steps 1 and 2).

    A task that is still current on its CPU must not be placed elsewhere: two CPUs would run on one
    stack.
    """
    if not p.state & mask:
        return WakeStep.NOT_ASLEEP
    if p.array is not None:
        return WakeStep.STILL_QUEUED
    return WakeStep.SWITCHING_OUT if rq.curr is p else WakeStep.PLACE


def begin_wakeup(p: Task, rq: Runqueue, mask: State = WAKE_ANY) -> WakeStep:
    """Count the attempt and settle the cases that need no queueing (fact sheet A8, step 1)."""
    rq.stats.ttwu_cnt += 1
    return _settle(p, wake_step(p, rq, mask))


def recheck_wakeup(p: Task, rq: Runqueue, mask: State = WAKE_ANY) -> WakeStep:
    """The same after the lock was dropped to move the task, uncounted (fact sheet A8, step 4).

    Once moved it is not placed again, so PLACE means: queue it on `rq`.
    """
    return _settle(p, wake_step(p, rq, mask))


def _settle(p: Task, step: WakeStep) -> WakeStep:
    if step is WakeStep.STILL_QUEUED:
        p.state = State.RUNNING
    return step


class PlaceReason(enum.Enum):
    LOCAL = "it ran here before"
    NOT_ALLOWED = "it may not run here"
    WOULD_LOAD_US = "its CPU is idle and this one is busy"
    AFFINE = "its caches are cold: take it here"
    BALANCE = "this CPU has clearly less to do: take it here"
    NO_DOMAIN = "no domain speaks for moving it"


@dataclass(frozen=True, slots=True)
class Placement:
    cpu: int
    reason: PlaceReason
    domain: Domain | None = None
    """The domain that accepted the task, whose counter goes up."""


def place(
    p: Task,
    this_cpu: int,
    domains: Sequence[Domain],
    last_tick_ns: int,
    theirs: LoadRead,
    ours: LoadRead,
    *,
    sync: bool = False,
    online: int = ALL_CPUS,
) -> Placement:
    """Where a woken task goes: its old CPU or the waker's (fact sheet A8, step 3).

    `domains` are the waker's, `last_tick_ns` is that of the task's run queue, `theirs` and `ours`
    what was read of the task's CPU and of the waker's. `sync`: the waker is about to sleep. A CPU
    that is not `online` still has timers that wake, but takes no task.
    """
    cpu = p.cpu
    if cpu == this_cpu:
        return Placement(cpu, PlaceReason.LOCAL)
    if not has_cpu(p.cpus_allowed & online, this_cpu):
        return Placement(cpu, PlaceReason.NOT_ALLOWED)
    load, this_load = theirs.source, ours.target
    if sync:
        # Unsigned: from an interrupt on an almost idle CPU this wraps to "very busy".
        this_load = u64(this_load - SCHED_LOAD_SCALE)
    half = SCHED_LOAD_SCALE // 2
    if load < half and this_load > half:
        return Placement(cpu, PlaceReason.WOULD_LOAD_US)
    for sd in domains:
        reason = _domain_accepts(p, sd, last_tick_ns, load, this_load)
        if reason and has_cpu(sd.span, cpu):
            return Placement(this_cpu, reason, sd)
    return Placement(cpu, PlaceReason.NO_DOMAIN)


def _domain_accepts(
    p: Task, sd: Domain, last_tick_ns: int, load: int, this_load: int
) -> PlaceReason | None:
    if sd.has(SDFlag.WAKE_AFFINE) and not task_hot(p, last_tick_ns, sd):
        return PlaceReason.AFFINE
    half_threshold = sd.parameters.imbalance_pct + (sd.parameters.imbalance_pct - 100) // 2
    if sd.has(SDFlag.WAKE_BALANCE) and u64(half_threshold * this_load) <= u64(100 * load):
        return PlaceReason.BALANCE
    return None


def wake_idle(cpu: int, p: Task, domains: Sequence[Domain], idle: int) -> int:
    """An idle CPU near the chosen one, else that one (fact sheet A8); only with SMT scheduling.

    `domains` are those of `cpu`, `idle` is the mask of idle online CPUs as read. The search ends at
    the first domain that does not take part.
    """
    if has_cpu(idle, cpu):
        return cpu
    for sd in domains:
        if not sd.has(SDFlag.WAKE_IDLE):
            break
        for candidate in cpus(sd.span & idle & p.cpus_allowed):
            return candidate
    return cpu


def commit_placement(p: Task, rq: Runqueue, placement: Placement, new_cpu: int) -> bool:
    """Count a placement and point the task at `new_cpu` (fact sheet A8, step 4).

    True when that is another CPU: then `rq`'s lock is dropped and recheck_wakeup follows.
    """
    rq.stats.ttwu_attempts += 1
    if placement.domain and placement.reason is PlaceReason.AFFINE:
        placement.domain.stats.ttwu_wake_affine += 1
    elif placement.domain:
        placement.domain.stats.ttwu_wake_balance += 1
    if new_cpu == p.cpu:
        return False
    rq.stats.ttwu_moved += 1
    p.cpu = new_cpu
    return True


def finish_wakeup(
    p: Task,
    rq: Runqueue,
    this_cpu: int,
    now: Now,
    *,
    sync: bool = False,
    in_interrupt: bool = False,
) -> Resched | None:
    """Queue a woken task on `rq` and preempt if it is better (fact sheet A8, steps 5 to 7).

    `now.ns` is in `rq`'s clock. A synchronous waker on the same CPU is not preempted: it promised
    to leave.
    """
    if p.state == State.UNINTERRUPTIBLE:
        rq.nr_uninterruptible -= 1
        p.activated = -1
    activate_task(p, rq, now, in_interrupt=in_interrupt)
    stays_quiet = sync and rq.cpu == this_cpu
    resched = None if stays_quiet else preempt_curr(p, rq, this_cpu)
    p.state = State.RUNNING
    return resched


@dataclass(frozen=True, slots=True)
class Wakeup:
    """How a wakeup went. `woken` is what try_to_wake_up returns: it queued the task."""

    step: WakeStep
    placement: Placement | None = None
    resched: Resched | None = None

    @property
    def woken(self) -> bool:
        return self.step in (WakeStep.SWITCHING_OUT, WakeStep.PLACE)


def try_to_wake_up(
    p: Task,
    rqs: Sequence[Runqueue],
    this_cpu: int,
    now: Now,
    *,
    mask: State = WAKE_ANY,
    sync: bool = False,
    in_interrupt: bool = False,
    read: ReadLoad | None = None,
    idle: int | None = None,
) -> Wakeup:
    """The whole wakeup, nobody interfering (fact sheet A8). `now` is in `this_cpu`'s clock.

    `idle` is the mask of idle online CPUs with SMT scheduling, None without.
    """
    read = read or read_live(rqs)
    rq = rqs[p.cpu]
    step = begin_wakeup(p, rq, mask)
    placement = None
    if step is WakeStep.PLACE:
        theirs, ours = read(p.cpu), read(this_cpu)
        domains = rqs[this_cpu].domains
        placement = place(p, this_cpu, domains, rq.timestamp_last_tick, theirs, ours, sync=sync)
        new_cpu = placement.cpu
        if idle is not None:
            new_cpu = wake_idle(new_cpu, p, rqs[new_cpu].domains, idle)
        if commit_placement(p, rq, placement, new_cpu):
            rq = rqs[new_cpu]
            step = recheck_wakeup(p, rq, mask)
    resched = None
    if step in (WakeStep.SWITCHING_OUT, WakeStep.PLACE):
        there = Now(translate_time(now.ns, rqs[this_cpu], rq), now.jiffies)
        resched = finish_wakeup(p, rq, this_cpu, there, sync=sync, in_interrupt=in_interrupt)
    return Wakeup(step, placement, resched)
