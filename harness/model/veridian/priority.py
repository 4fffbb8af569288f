"""Priorities, the boost of those who wait, and who preempts whom (fact sheet B2, B4)."""

from __future__ import annotations

import enum
from typing import Protocol

from harness.model.constants import Policy

BOOST_INTERVAL = 100
"""Jiffies of waiting that make a priority better by one."""
MAX_BOOST = 20


class Priority(enum.IntEnum):
    """Lower is better."""

    REAL_TIME_HIGH = 0
    REAL_TIME_NORMAL = 10
    REAL_TIME_LOW = 20
    SYSTEM_HIGH = 30
    SYSTEM_NORMAL = 40
    USER_HIGH = 50
    USER_NORMAL = 60
    USER_LOW = 70
    IDLE = 99


class SchedClass(enum.IntEnum):
    """In the order in which the rings are looked at."""

    REAL_TIME = 0
    NORMAL = 1
    IDLE = 2


_RT_FROM = ((67, Priority.REAL_TIME_HIGH), (34, Priority.REAL_TIME_NORMAL))
_NICE_TO = (
    (-16, Priority.SYSTEM_HIGH),
    (-11, Priority.SYSTEM_NORMAL),
    (-1, Priority.USER_HIGH),
    (9, Priority.USER_NORMAL),
)


def priority_of(policy: Policy, rt_priority: int, nice: int) -> Priority:
    """The priority that a workload's terms stand for: rt_priority 0..99, nice -20..19."""
    if policy is not Policy.NORMAL:
        return next((p for least, p in _RT_FROM if rt_priority >= least), Priority.REAL_TIME_LOW)
    return next((p for greatest, p in _NICE_TO if nice <= greatest), Priority.USER_LOW)


def class_of(priority: Priority) -> SchedClass:
    if priority <= Priority.REAL_TIME_LOW:
        return SchedClass.REAL_TIME
    return SchedClass.IDLE if priority is Priority.IDLE else SchedClass.NORMAL


class Prioritised(Protocol):
    """What a priority is computed from."""

    @property
    def priority(self) -> Priority: ...
    @property
    def boost(self) -> Priority | None: ...


def effective_priority(p: Prioritised, waited: int) -> int:
    """Priority of a task that has waited for so many jiffies, 0 for the one that runs.

    What it inherits counts only where it is better (fact sheet B4; D2, V25).
    """
    own = int(p.priority)
    if class_of(p.priority) is SchedClass.NORMAL:
        own = max(own - min(waited // BOOST_INTERVAL, MAX_BOOST), 0)
    return own if p.boost is None else min(own, int(p.boost))


def should_preempt(
    current: SchedClass, current_prio: int, slice_left: int, next: SchedClass, next_prio: int
) -> bool:
    """Whether `next` takes the CPU, by classes, effective priorities and current's ticks left."""
    if current is not next:
        return next < current
    if current is SchedClass.REAL_TIME:
        return next_prio < current_prio
    if current is SchedClass.NORMAL:
        return next_prio < current_prio or (next_prio == current_prio and slice_left == 0)
    return False
