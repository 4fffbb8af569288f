"""Asking a CPU to reschedule (fact sheet A9)."""

from __future__ import annotations

import enum

from harness.model.runqueue import Runqueue, task_preempts_curr
from harness.model.task import Task


class Resched(enum.Enum):
    """What resched_task had to do so that the task's CPU calls schedule()."""

    PENDING = "was asked before"
    LOCAL = "this CPU looks at the flag by itself"
    POLLING = "that CPU's idle loop watches the flag"
    IPI = "interrupt sent"


def resched_task(p: Task, this_cpu: int) -> Resched:
    """Ask the CPU that runs `p` to reschedule (fact sheet A9). `this_cpu` is the one asking."""
    was_set = p.need_resched
    p.need_resched = True
    if was_set:
        return Resched.PENDING
    if p.cpu == this_cpu:
        return Resched.LOCAL
    return Resched.POLLING if p.polling else Resched.IPI


def preempt_curr(p: Task, rq: Runqueue, this_cpu: int) -> Resched | None:
    """Reschedule `rq`'s CPU if `p` is strictly better than what runs there (fact sheet A5, A9)."""
    return resched_task(rq.curr, this_cpu) if task_preempts_curr(p, rq) else None
