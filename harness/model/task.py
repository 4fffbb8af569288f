"""The task (fact sheet A2): what the scheduler knows of one thread.

Written under the lock of the run queue named by `cpu`; `need_resched` and `polling` are bits that
other CPUs set and read without it, so a replay sets them to the values read before it applies an
event.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.model.constants import IDLE_PRIO, MAX_RT_PRIO, Policy, State, nice_to_prio
from harness.model.stats import SchedInfo

if TYPE_CHECKING:
    from harness.model.array import PrioArray

ALL_CPUS = -1


@dataclass(eq=False, slots=True)
class Task:
    """One thread. Identity, not equality of fields, tells two tasks apart."""

    pid: int
    name: str = ""
    cpu: int = 0
    """The CPU whose run queue this task belongs to, also while it sleeps (task_cpu)."""
    state: State = State.RUNNING
    policy: Policy = Policy.NORMAL
    static_prio: int = nice_to_prio(0)
    prio: int = nice_to_prio(0)
    """Dynamic priority, the list it is queued in; changes only while it is off the lists."""
    rt_priority: int = 0
    array: PrioArray | None = None
    """The array it is queued in; None when it is in none. A running task stays queued."""
    cpus_allowed: int = ALL_CPUS
    mm: bool = True
    """Whether it has an address space of its own; kernel threads do not."""

    time_slice: int = 1
    """Jiffies left."""
    first_time_slice: bool = False
    """Still on the slice its parent gave it, so exit returns the rest to the parent."""
    sleep_avg: int = 0
    """Nanoseconds, 0 .. ns_max_sleep_avg: the measure of interactivity."""
    timestamp: int = 0
    """Nanoseconds: last time it was switched in or out, or queued by a wakeup."""
    last_ran: int = 0
    """Nanoseconds: last time it left a CPU, in the clock of that CPU, never adjusted."""
    activated: int = 0
    """How it was woken: -1 from uninterruptible sleep, 1 by a task, 2 by an interrupt, 0 not."""

    need_resched: bool = False
    polling: bool = False
    """Idle loop that watches need_resched and thus needs no interrupt."""
    preempt_active: bool = False
    """Entered schedule() by preemption, so a sleep state it had set does not dequeue it."""

    nvcsw: int = 0
    nivcsw: int = 0
    sched_info: SchedInfo = field(default_factory=SchedInfo)

    def __repr__(self) -> str:
        return f"<{self.name or 'task'} {self.pid} prio {self.prio} cpu {self.cpu}>"


def idle_task(cpu: int, pid: int = 0) -> Task:
    """The idle task of a CPU as it starts (fact sheet A2): never queued, worse than any other."""
    return Task(
        pid, f"idle/{cpu}", cpu, prio=IDLE_PRIO, static_prio=IDLE_PRIO, mm=False, need_resched=True
    )


def rt_task(p: Task) -> bool:
    """Real-time, by dynamic priority (fact sheet A5)."""
    return p.prio < MAX_RT_PRIO
