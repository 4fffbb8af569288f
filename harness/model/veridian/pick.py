"""The next task (fact sheet B4): by priority; or by round robin, which also steals."""

from __future__ import annotations

import enum

from harness.model.veridian.cpu import Cpu
from harness.model.veridian.load import NOTHING, Reads, cpus_of
from harness.model.veridian.task import Task

STEAL_THRESHOLD = 2
"""Waiting tasks that a CPU must have to be stolen from."""


class Algorithm(enum.IntEnum):
    ROUND_ROBIN = 0
    PRIORITY = 1


def pick_next(cpu: Cpu) -> Task | None:
    """The first task of the best ring; it leaves it only if it is going to run (D2, V01).

    All that wait here may run here: a change of affinity moves them at once (D2, V20).
    """
    return cpu.queue.first() if cpu.online else None


def find_victim(this_cpu: int, online: int, reads: Reads) -> int | None:
    """The CPU to steal a task from: most tasks waiting, two at least, the lowest first."""
    victim, most = None, STEAL_THRESHOLD - 1
    for cpu in cpus_of(online & ~(1 << this_cpu)):
        waiting = reads.get(cpu, NOTHING).nr
        if waiting > most:
            victim, most = cpu, waiting
    return victim
