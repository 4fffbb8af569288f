"""The timer tick's share of scheduling (fact sheet A6)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from harness.model.arith import u32
from harness.model.array import dequeue_task, enqueue_task, requeue_task
from harness.model.constants import IdleType, Now, Policy
from harness.model.prio import (
    effective_prio,
    expired_starving,
    round_robin_due,
    task_interactive,
    task_timeslice,
)
from harness.model.runqueue import Runqueue
from harness.model.task import Task, rt_task


class TickAction(enum.Enum):
    """What the tick did to the running task."""

    IDLE = "idle task: nothing to account"
    STALE = "slice ended before, not yet switched out"
    RUNS = "keeps running"
    RR_TAIL = "round-robin slice ended: to the tail of its list"
    GRANULE_TAIL = "interactive granule ended: to the tail of its list"
    TO_EXPIRED = "slice ended: to the expired array"
    TO_ACTIVE = "slice ended, interactive: back into the active array"


@dataclass(frozen=True, slots=True)
class Tick:
    action: TickAction
    idle: IdleType
    """With which idle type the tick goes on to rebalance_tick."""


def scheduler_tick(rq: Runqueue, now: Now, online_cpus: int) -> Tick:
    """Account one tick to the running task (fact sheet A6, steps 1 to 5).

    Step 6, balancing, is `balance.rebalance_tick`: it runs without the lock and reads other CPUs.
    """
    rq.timestamp_last_tick = now.ns
    p = rq.curr
    if p is rq.idle:
        return Tick(TickAction.IDLE, IdleType.SCHED_IDLE)
    return Tick(_account(p, rq, now.jiffies, online_cpus), IdleType.NOT_IDLE)


def _account(p: Task, rq: Runqueue, jiffies: int, online_cpus: int) -> TickAction:
    if p.array is not rq.active:
        p.need_resched = True
        return TickAction.STALE
    if rt_task(p) and p.policy != Policy.RR:
        return TickAction.RUNS
    p.time_slice = u32(p.time_slice - 1)
    if p.time_slice == 0:
        return _rr_slice_end(p, rq) if rt_task(p) else _slice_end(p, rq, jiffies)
    if not rt_task(p) and round_robin_due(p, rq.k, online_cpus):
        requeue_task(p, rq.active)
        p.need_resched = True
        return TickAction.GRANULE_TAIL
    return TickAction.RUNS


def _rr_slice_end(p: Task, rq: Runqueue) -> TickAction:
    _refill(p, rq)
    requeue_task(p, rq.active)
    return TickAction.RR_TAIL


def _slice_end(p: Task, rq: Runqueue, jiffies: int) -> TickAction:
    dequeue_task(p, rq.active)
    p.prio = effective_prio(p, rq.k)
    _refill(p, rq)
    if not rq.expired_timestamp:
        # Even when the task returns to the active array: the time runs from here.
        rq.expired_timestamp = jiffies
    if task_interactive(p) and not expired_starving(rq, jiffies):
        enqueue_task(p, rq.active, jiffies)
        return TickAction.TO_ACTIVE
    enqueue_task(p, rq.expired, jiffies)
    rq.best_expired_prio = min(rq.best_expired_prio, p.static_prio)
    return TickAction.TO_EXPIRED


def _refill(p: Task, rq: Runqueue) -> None:
    p.time_slice = task_timeslice(p, rq.k)
    p.first_time_slice = False
    p.need_resched = True
