"""schedule() and the calls that change a task's standing (fact sheet A7, A9, A17).

schedule() is taken apart where the kernel may lose the lock:

    departure = put_prev(rq, now)        account the running task, dequeue it if it sleeps
    if not rq.nr_running: ...            idle_balance: other CPUs may wake or pull meanwhile
    decision = decide(rq, now.ns)        who runs next: changes nothing
    commit(rq, departure, decision, now) make it so
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.model.arith import elapsed, u64
from harness.model.array import PrioArray, dequeue_task, enqueue_task, requeue_task
from harness.model.bitmap import sched_find_first_bit
from harness.model.constants import (
    MAX_PRIO,
    MAX_RT_PRIO,
    ON_RUNQUEUE_WEIGHT_128,
    Constants,
    Now,
    Policy,
    State,
    nice_to_prio,
)
from harness.model.fixes import Fix
from harness.model.prio import current_bonus, recalc_task_prio
from harness.model.resched import Resched, preempt_curr, resched_task
from harness.model.runqueue import (
    Runqueue,
    __activate_task,
    deactivate_task,
)
from harness.model.stats import sched_info_switch
from harness.model.task import Task, rt_task


@dataclass(frozen=True, slots=True)
class Departure:
    """The running task's account when schedule() begins."""

    prev: Task
    run_time: int
    """Nanoseconds to take off its sleep average."""
    voluntary: bool
    dequeued: bool


def put_prev(
    rq: Runqueue, now_ns: int, *, preempt: bool = False, signal_pending: bool = False
) -> Departure:
    """Account the running task and dequeue it if it goes to sleep (fact sheet A7, steps 1 to 3).

    `preempt`: schedule() was entered from an interrupt, which never dequeues. `signal_pending`: an
    interruptible sleep is called off. The run time is an unsigned difference: a clock behind
    `timestamp` counts as the longest run, unless L06 is corrected (D1).
    """
    rq.stats.sched_cnt += 1
    prev = rq.curr
    prev.preempt_active = preempt
    run_time = elapsed(prev.timestamp, now_ns, guarded=Fix.L06 in rq.k.fixes)
    run_time = min(run_time, rq.k.ns_max_sleep_avg)
    run_time //= max(current_bonus(prev, rq.k), 1)
    voluntary = prev.state != State.RUNNING and not preempt
    dequeued = False
    if voluntary and signal_pending and prev.state & State.INTERRUPTIBLE:
        prev.state = State.RUNNING
    elif voluntary:
        if prev.state == State.UNINTERRUPTIBLE:
            rq.nr_uninterruptible += 1
        deactivate_task(prev, rq)
        dequeued = True
    return Departure(prev, run_time, voluntary, dequeued)


@dataclass(frozen=True, slots=True)
class Decision:
    """Who runs next and what finding it takes."""

    next: Task
    swap: bool
    """The arrays are exchanged first."""
    credit: int | None
    """Nanoseconds of waiting credited to a woken task as sleep, which may move it in the lists."""


def decide(rq: Runqueue, now_ns: int) -> Decision:
    """Pick the next task (fact sheet A7, steps 4 to 6): head of the best non-empty active list."""
    if not rq.nr_running:
        return Decision(rq.idle, swap=False, credit=None)
    swap = rq.active.nr_active == 0
    array = rq.expired if swap else rq.active
    next = array.queue[sched_find_first_bit(array.bitmap)][0]
    return Decision(next, swap, _waiting_credit(next, now_ns, rq.k))


def _waiting_credit(next: Task, now_ns: int, k: Constants) -> int | None:
    if rt_task(next) or next.activated <= 0:
        return None
    waited = elapsed(next.timestamp, now_ns, guarded=Fix.L06 in k.fixes)
    if next.activated == 1:
        return u64(waited * ON_RUNQUEUE_WEIGHT_128) // 128
    return waited


def commit(rq: Runqueue, departure: Departure, decision: Decision, now: Now) -> bool:
    """Carry a decision out (fact sheet A7, steps 4 to 8). True if the CPU changes tasks.

    A task credited here runs now, whatever list the new priority puts it in.
    """
    prev, next = departure.prev, decision.next
    if next is rq.idle:
        # best_expired_prio stays behind, stale (D1, L09).
        rq.expired_timestamp = 0
        if Fix.L09 in rq.k.fixes:
            rq.best_expired_prio = MAX_PRIO
        rq.stats.sched_goidle += 1
    else:
        _take_from_array(rq, decision, now.jiffies)
    prev.need_resched = False
    prev.sleep_avg = max(prev.sleep_avg - departure.run_time, 0)
    prev.timestamp = prev.last_ran = now.ns
    sched_info_switch(rq, prev, next, now.jiffies)
    if prev is next:
        return False
    next.timestamp = now.ns
    rq.nr_switches += 1
    rq.curr = next
    if departure.voluntary:
        prev.nvcsw += 1
    else:
        prev.nivcsw += 1
    return True


def _take_from_array(rq: Runqueue, decision: Decision, jiffies: int) -> None:
    next = decision.next
    if decision.swap:
        rq.stats.sched_switch += 1
        rq.active, rq.expired = rq.expired, rq.active
        rq.expired_timestamp = 0
        rq.best_expired_prio = MAX_PRIO
    else:
        rq.stats.sched_noswitch += 1
    if decision.credit is not None:
        dequeue_task(next, rq.active)
        recalc_task_prio(next, u64(next.timestamp + decision.credit), rq.k)
        enqueue_task(next, rq.active, jiffies)
    next.activated = 0


def schedule(
    rq: Runqueue,
    now: Now,
    *,
    preempt: bool = False,
    signal_pending: bool = False,
    idle_balance: Callable[[], None] = lambda: None,
) -> Decision:
    """The whole of schedule() (fact sheet A7); `idle_balance` is called with an empty run queue."""
    departure = put_prev(rq, now.ns, preempt=preempt, signal_pending=signal_pending)
    if not rq.nr_running:
        idle_balance()
    decision = decide(rq, now.ns)
    commit(rq, departure, decision, now)
    return decision


def sched_yield(rq: Runqueue, jiffies: int) -> PrioArray:
    """Put the running task last, then the caller runs schedule() (fact sheet A17).

    An ordinary task goes to the expired array, a real-time one to the tail of its list. Returns the
    array it ends in. Raises ValueError when the running task is not queued (the idle task).
    """
    p, stats = rq.curr, rq.stats
    array = p.array
    if array is None:
        raise ValueError(f"{p!r} cannot yield: it is not queued")
    stats.yld_cnt += 1
    if array.nr_active == 1:
        stats.yld_act_empty += 1
        stats.yld_both_empty += not rq.expired.nr_active
    elif not rq.expired.nr_active:
        stats.yld_exp_empty += 1
    target = rq.active if rt_task(p) else rq.expired
    if array is target:
        requeue_task(p, array)
    else:
        dequeue_task(p, array)
        enqueue_task(p, target, jiffies)
    return target


def set_user_nice(p: Task, rq: Runqueue, nice: int, this_cpu: int, jiffies: int) -> Resched | None:
    """Change the nice level (fact sheet A17); out of range or unchanged is ignored.

    An ordinary task loses its bonus: its dynamic becomes its new static priority, and the slice
    stays. The comparison that decides about preemption is with its old *dynamic* priority.
    """
    new_prio = nice_to_prio(nice)
    if new_prio == p.static_prio or not -20 <= nice <= 19:
        return None
    p.static_prio = new_prio
    if rt_task(p):
        return None
    array = p.array
    if array is not None:
        dequeue_task(p, array)
    change, p.prio = new_prio - p.prio, new_prio
    if array is None:
        return None
    enqueue_task(p, array, jiffies)
    if change < 0 or (change > 0 and rq.curr is p):
        return resched_task(rq.curr, this_cpu)
    return None


def sched_setscheduler(
    p: Task, rq: Runqueue, policy: Policy, rt_priority: int, this_cpu: int, jiffies: int
) -> Resched | None:
    """Change policy and real-time priority, 0..99, always 0 for NORMAL (fact sheet A17).

    A queued task ends in the active array. Raises ValueError for a priority unfit for the policy.
    Linux grants a real-time priority of 0 to nobody, but the level it leads to, 99, exists.
    """
    if not 0 <= rt_priority < MAX_RT_PRIO or (policy == Policy.NORMAL and rt_priority != 0):
        raise ValueError(f"rt_priority {rt_priority} does not go with {policy.name}")
    queued, old_prio = p.array is not None, p.prio
    if queued:
        deactivate_task(p, rq)
    p.policy, p.rt_priority = policy, rt_priority
    p.prio = p.static_prio if policy == Policy.NORMAL else MAX_RT_PRIO - 1 - rt_priority
    if not queued:
        return None
    __activate_task(p, rq, jiffies)
    if rq.curr is p:
        return resched_task(p, this_cpu) if p.prio > old_prio else None
    return preempt_curr(p, rq, this_cpu)
