"""One CPU as the scheduler sees it (fact sheet B2, CpuInfo)."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.model.veridian.load import load_of
from harness.model.veridian.metrics import CpuMetrics
from harness.model.veridian.queue import ReadyQueue
from harness.model.veridian.task import Task


class Change(enum.Enum):
    """What happened to a ring."""

    ENQUEUE = "v_enqueue"
    DEQUEUE = "v_dequeue"


Observer = Callable[[Change, Task, int], None]
"""Told of a change right after it, with the task and the ring."""


@dataclass(eq=False, slots=True)
class Cpu:
    """A CPU's queue, its running task and its load."""

    number: int
    idle: Task
    queue: ReadyQueue = field(default_factory=ReadyQueue)
    curr: Task = field(init=False)
    online: bool = True
    nr_running: int = 0
    """Tasks that wait; the running one is not counted."""
    load: int = 0
    metrics: CpuMetrics = field(default_factory=CpuMetrics)
    observer: Observer | None = None

    def __post_init__(self) -> None:
        self.curr = self.idle

    @property
    def is_idle(self) -> bool:
        """Whether the idle task runs, whatever may wait."""
        return self.curr is self.idle

    def serves(self, p: Task) -> bool:
        """Whether a task may run here."""
        return self.online and p.may_use(self.number)

    def update_load(self) -> None:
        """The waiting tasks and the running one count (D2, V13)."""
        self.load = load_of(self.nr_running + (not self.is_idle))

    def enqueue(self, p: Task) -> None:
        """Put a task to the tail of its ring."""
        ring = self.queue.enqueue(p)
        self._changed(Change.ENQUEUE, p, ring, 1)

    def dequeue(self, p: Task) -> None:
        """Take a task out of its ring. Raises ValueError if it does not wait here."""
        ring = self.queue.remove(p)
        self._changed(Change.DEQUEUE, p, ring, -1)

    def _changed(self, change: Change, p: Task, ring: int, by: int) -> None:
        self.nr_running += by
        self.update_load()
        if self.observer is not None:
            self.observer(change, p, ring)


class Kick(enum.Enum):
    """How a CPU is made to reschedule."""

    PENDING = "it was asked before"
    LOCAL = "it is the asking CPU itself"
    IPI = "by interrupt"


def kick(cpu: Cpu, this_cpu: int) -> Kick:
    """Have a CPU reschedule; the interrupt goes out once what it is to see is there (V6)."""
    was, cpu.curr.need_resched = cpu.curr.need_resched, True
    if was:
        return Kick.PENDING
    return Kick.LOCAL if cpu.number == this_cpu else Kick.IPI


def kick_if_idle(cpu: Cpu, this_cpu: int) -> Kick | None:
    """After something was queued there. A CPU that is busy is left alone (fact sheet B5)."""
    return kick(cpu, this_cpu) if cpu.is_idle else None
