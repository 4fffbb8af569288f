"""Waking a task, and placing one that is in no ring (fact sheet B5, B9)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from harness.model.constants import State
from harness.model.veridian.balance import note_migration
from harness.model.veridian.cpu import Cpu
from harness.model.veridian.task import Task


class WakeStep(enum.Enum):
    NOTHING = "it does not sleep like that"
    RUNNABLE = "it had not left yet: to be runnable again is all it takes"
    PLACE = "it is to be placed"


def begin_wakeup(p: Task, home: Cpu, mask: State) -> WakeStep:
    """What a wake-up finds under the lock of the task's CPU."""
    if not p.state & mask:
        return WakeStep.NOTHING
    p.state = State.RUNNING
    if p.ring is not None or home.curr is p:
        return WakeStep.RUNNABLE
    return WakeStep.PLACE


@dataclass(eq=False, slots=True)
class Claim:
    """A task in no ring, which one CPU is placing."""

    task: Task
    origin: int
    """The CPU that it comes from."""
    woken: bool = False
    """It has slept, and stays on its CPU if it may."""
    migrates: bool = False
    """It was runnable: to change its CPU counts as a migration."""
    reset: bool = False
    """Its affinity had to be given up."""


def arrive(claim: Claim, cpu: Cpu, jiffies: int) -> bool:
    """Queue it, there; gives whether that was a migration. Else its waiting begins now."""
    p = claim.task
    migrated = claim.migrates and cpu.number != claim.origin
    if migrated:
        p.cpu = claim.origin
        note_migration(p, cpu.number)
    else:
        p.cpu = cpu.number
        p.since = jiffies
    cpu.enqueue(p)
    return migrated
