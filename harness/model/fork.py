"""Birth of a task (fact sheet A8): slices are shared out."""

from __future__ import annotations

from harness.model.array import enqueue_task_before
from harness.model.constants import (
    CHILD_PENALTY,
    MAX_BONUS,
    PARENT_PENALTY,
    Constants,
    Now,
    State,
)
from harness.model.prio import current_bonus, effective_prio
from harness.model.resched import Resched, preempt_curr
from harness.model.runqueue import Runqueue, __activate_task, translate_time
from harness.model.stats import SchedInfo
from harness.model.task import Task


def sched_fork(child: Task, parent: Task, now_ns: int) -> bool:
    """Split the running parent's slice with a copy of it (fact sheet A8).

    True when the parent had a single jiffy: it keeps that one, and the caller runs scheduler_tick
    on this CPU, which ends the slice at once.
    """
    child.state = State.RUNNING
    child.array = None
    child.sleep_avg = parent.sleep_avg  # which another child's end may have changed just now
    child.sched_info = SchedInfo()
    child.time_slice = (parent.time_slice + 1) >> 1
    child.first_time_slice = True
    child.timestamp = now_ns
    parent.time_slice >>= 1
    if parent.time_slice:
        return False
    parent.time_slice = 1
    return True


def wake_up_new_task(
    child: Task, parent: Task, rq: Runqueue, this_rq: Runqueue, now: Now, *, clone_vm: bool = False
) -> Resched | None:
    """Queue a new task on `rq` for the parent running on `this_rq` (fact sheet A8).

    On the same CPU and with memory of its own the child goes right before the parent, in the
    parent's list and array, and runs first; sharing memory (`clone_vm`) it goes last.
    """
    rq.stats.wunt_cnt += 1
    child.sleep_avg = _penalised(child, CHILD_PENALTY, rq.k)
    child.prio = effective_prio(child, rq.k)
    resched = None
    if rq is not this_rq:
        child.timestamp = translate_time(child.timestamp, this_rq, rq)
        __activate_task(child, rq, now.jiffies)
        resched = preempt_curr(child, rq, this_rq.cpu)
        rq.stats.wunt_moved += 1
    elif clone_vm:
        __activate_task(child, rq, now.jiffies)
    else:
        _child_first(child, parent, rq, now.jiffies)
    parent.sleep_avg = _penalised(parent, PARENT_PENALTY, this_rq.k)
    return resched


def _child_first(child: Task, parent: Task, rq: Runqueue, jiffies: int) -> None:
    if parent.array is None:
        __activate_task(child, rq, jiffies)
    else:
        child.prio = parent.prio
        enqueue_task_before(child, parent, parent.array)
        rq.nr_running += 1
    parent.need_resched = True


def _penalised(p: Task, percent: int, k: Constants) -> int:
    """Sleep average in nanoseconds, cut to whole steps of bonus."""
    bonus = current_bonus(p, k) * percent // 100
    return k.jiffies_to_ns(bonus * k.max_sleep_avg // MAX_BONUS)
