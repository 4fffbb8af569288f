"""What becomes of ended tasks (fact sheet B8; D2, V17)."""

from __future__ import annotations

from collections.abc import Iterable

from harness.model.constants import State
from harness.model.veridian.cpu import Cpu
from harness.model.veridian.task import Task

CLEANUP_DELAY = 100
"""Jiffies from a task's end to the reuse of its slot and stack."""

ENDED = (State.EXIT_ZOMBIE, State.EXIT_DEAD)


class CleanupQueue:
    """The one queue of dead tasks, with the jiffies of their ends."""

    def __init__(self) -> None:
        self.ended: dict[int, int] = {}
        """By task."""
        self.queued: dict[int, int] = {}
        """Jiffies by which a task was certainly in the queue; a CPU may be slow to put it there."""

    def add(self, p: Task, jiffies: int) -> None:
        self.ended[p.pid] = jiffies

    def note_queued(self, pid: int, jiffies: int) -> None:
        self.queued[pid] = jiffies

    def refusal(self, p: Task, jiffies: int, cpus: Iterable[Cpu]) -> str | None:
        """Why a task may not be freed now, in words."""
        end = self.ended.get(p.pid)
        if end is None:
            return f"it has not ended: its state is {int(p.state)}"
        if p.ring is not None or any(cpu.curr is p for cpu in cpus):
            return "it still runs or waits"
        if jiffies - end < CLEANUP_DELAY:
            return f"that is {jiffies - end} jiffies after its end, {CLEANUP_DELAY} are due"
        return None

    def free(self, p: Task) -> None:
        del self.ended[p.pid]
        self.queued.pop(p.pid, None)

    def overdue(self, jiffies: int, grace: int) -> int | None:
        """A task that should have been freed more than `grace` jiffies ago."""
        limit = jiffies - CLEANUP_DELAY - grace
        return next((pid for pid, since in self.queued.items() if since < limit), None)
