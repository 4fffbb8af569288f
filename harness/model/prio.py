"""Slices, dynamic priorities and interactivity (fact sheet A5).

A task that sleeps gathers `sleep_avg`, one that runs spends it. It is read as a *bonus* of 0..10,
which shifts the priority by +5..-5 around the static one. A task whose bonus exceeds a threshold
that depends on its nice level is *interactive*: it returns to the active array when its slice ends.
"""

from __future__ import annotations

from harness.model.arith import c_div, elapsed, u32, u64
from harness.model.constants import (
    INTERACTIVE_DELTA,
    MAX_BONUS,
    MAX_PRIO,
    MAX_RT_PRIO,
    Constants,
    nice_to_prio,
    prio_to_nice,
)
from harness.model.fixes import Fix
from harness.model.runqueue import Runqueue
from harness.model.task import Task, rt_task


def task_timeslice(p: Task, k: Constants) -> int:
    """Full slice in jiffies by static priority (fact sheet A5).

    Four times as long for negative nice, hence the step from 420 ms to 100 ms at nice 0 (D1, L13).
    """
    base = 4 * k.def_timeslice if p.static_prio < nice_to_prio(0) else k.def_timeslice
    return max(base * (MAX_PRIO - p.static_prio) // 20, k.min_timeslice)


def current_bonus(p: Task, k: Constants) -> int:
    """CURRENT_BONUS: the sleep average on a scale of 0..10 (fact sheet A5)."""
    return k.ns_to_jiffies(p.sleep_avg) * MAX_BONUS // k.max_sleep_avg


def effective_prio(p: Task, k: Constants) -> int:
    """Dynamic priority from static priority and bonus (fact sheet A5); real-time is left alone."""
    if rt_task(p):
        return p.prio
    prio = p.static_prio - (current_bonus(p, k) - MAX_BONUS // 2)
    return min(max(prio, MAX_RT_PRIO), MAX_PRIO - 1)


def delta(p: Task) -> int:
    """DELTA: how far below its static priority a task must be to count as interactive (A5).

    The division truncates: nice -1..-3 give 2, like nice 0.
    """
    return c_div(prio_to_nice(p.static_prio) * 10, 40) + INTERACTIVE_DELTA


def task_interactive(p: Task) -> bool:
    """TASK_INTERACTIVE, from the dynamic priority of the moment (fact sheet A5)."""
    return p.prio <= p.static_prio - delta(p)


def interactive_sleep_jiffies(p: Task, k: Constants) -> int:
    """Sleep that makes a task just interactive, in jiffies (fact sheet A5).

    From nice 12 on it exceeds what can be gathered, so such tasks never get there.
    """
    return k.max_sleep_avg * (MAX_BONUS // 2 + delta(p) + 1) // MAX_BONUS - 1


def interactive_sleep(p: Task, k: Constants) -> int:
    """INTERACTIVE_SLEEP in nanoseconds (fact sheet A5)."""
    return k.jiffies_to_ns(interactive_sleep_jiffies(p, k))


def timeslice_granularity(p: Task, k: Constants, online_cpus: int) -> int:
    """Jiffies an interactive task runs before an equal gets its turn (fact sheet A5)."""
    return (k.granularity << max(MAX_BONUS - current_bonus(p, k), 1) - 1) * online_cpus


def round_robin_due(p: Task, k: Constants, online_cpus: int) -> bool:
    """Whether an interactive task with slice left goes to the tail now (fact sheet A6 step 4).

    The time used is an unsigned 32-bit difference: after a change of nice the slice left may exceed
    a full one, and then it wraps.
    """
    granularity = timeslice_granularity(p, k, online_cpus)
    used = u32(task_timeslice(p, k) - p.time_slice)
    return task_interactive(p) and used % granularity == 0 and p.time_slice >= granularity


def expired_starving(rq: Runqueue, jiffies: int) -> bool:
    """EXPIRED_STARVING: interactive tasks must expire like others for now (fact sheet A5).

    Either the expired have waited too long, or one of better static priority than current is among
    them.
    """
    limit = rq.k.starvation_limit * rq.nr_running + 1
    waited_too_long = rq.expired_timestamp and u64(jiffies - rq.expired_timestamp) >= limit
    return bool(waited_too_long) or rq.curr.static_prio > rq.best_expired_prio


def recalc_task_prio(p: Task, now_ns: int, k: Constants) -> None:
    """Credit the sleep since `p.timestamp` and set the dynamic priority (fact sheet A5).

    `now_ns` lies after `p.timestamp`; if not, the unsigned difference counts as a sleep of the
    longest kind, unless L06 is corrected (D1). The task must be off the lists.
    """
    slept = elapsed(p.timestamp, now_ns, guarded=Fix.L06 in k.fixes)
    slept = min(slept, k.ns_max_sleep_avg)
    if slept:
        _credit_sleep(p, slept, k)
    p.prio = effective_prio(p, k)


def _credit_sleep(p: Task, slept: int, k: Constants) -> None:
    threshold = interactive_sleep(p, k)
    uninterruptible = p.activated == -1
    if p.mm and not uninterruptible and slept > threshold:
        # An idler: interactive, but one default slice away from being a hog again.
        p.sleep_avg = k.jiffies_to_ns(k.max_sleep_avg - k.def_timeslice)
        return
    credit = slept * max(MAX_BONUS - current_bonus(p, k), 1)
    if p.mm and uninterruptible:
        # Waiting for a disk is no sign of interactivity: no rise beyond the threshold.
        if p.sleep_avg >= threshold:
            credit = 0
        elif p.sleep_avg + credit >= threshold:
            p.sleep_avg = threshold
            credit = 0
    p.sleep_avg = min(p.sleep_avg + credit, k.ns_max_sleep_avg)
