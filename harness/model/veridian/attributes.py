"""Priority and affinity of a task change (fact sheet B3; D2, V20 and V24)."""

from __future__ import annotations

import enum

from harness.model.constants import Policy
from harness.model.veridian.cpu import Cpu
from harness.model.veridian.task import Task


def set_priority(p: Task, home: Cpu, policy: Policy, rt_priority: int, nice: int) -> None:
    """A waiting task leaves its ring for the change, and goes to the tail of its new one."""
    waits = p.ring is not None
    if waits:
        home.dequeue(p)
    p.policy, p.rt_priority, p.nice = policy, rt_priority, nice
    if waits:
        home.enqueue(p)


class AffinityStep(enum.Enum):
    STAYS = "it may stay, or does not need a CPU"
    PLACE = "it left its ring, and is to be placed"
    LEAVE = "it runs, and is to leave its CPU"


def set_cpus(p: Task, home: Cpu, allowed: int) -> AffinityStep:
    """No task waits or runs where it may not, from here on."""
    p.allowed = allowed
    if home.serves(p):
        return AffinityStep.STAYS
    if p.ring is not None:
        home.dequeue(p)
        return AffinityStep.PLACE
    return AffinityStep.LEAVE if home.curr is p else AffinityStep.STAYS
