"""CPUs leave and join scheduling (fact sheet B7)."""

from __future__ import annotations

from harness.model.veridian.cpu import Cpu
from harness.model.veridian.task import Task

BOOT_CPU = 0
"""The CPU that always stays."""


def cpu_down(cpu: Cpu) -> bool:
    """Nothing is queued here from now on; gives whether a task runs that has to leave.

    Raises ValueError for the boot CPU and for one that is offline.
    """
    if cpu.number == BOOT_CPU or not cpu.online:
        raise ValueError(f"CPU {cpu.number} cannot go offline")
    cpu.online = False
    return not cpu.is_idle


def drain(cpu: Cpu) -> Task | None:
    """The next task to be handed over, taken out of its ring (D2, V15); None if all are."""
    p = cpu.queue.first()
    if p is not None:
        cpu.dequeue(p)
    return p


def cpu_up(cpu: Cpu) -> None:
    """By the CPU itself, when it schedules (D2, V16). Raises ValueError for one that is up."""
    if cpu.online:
        raise ValueError(f"CPU {cpu.number} is online")
    cpu.online = True
