"""A task, and what it is known by (fact sheet B2)."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.constants import Policy, State
from harness.model.veridian.priority import Priority, SchedClass, class_of, priority_of

TIME_SLICE = 10
"""Ticks."""

ALL_CPUS = (1 << 64) - 1


@dataclass(eq=False, slots=True)
class Task:
    """State of a task; a running one is in no ring."""

    pid: int
    name: str = "task"
    cpu: int = 0
    """Where it waits, runs, or ran last."""
    policy: Policy = Policy.NORMAL
    nice: int = 0
    rt_priority: int = 0
    state: State = State.RUNNING
    allowed: int = ALL_CPUS
    """Bit per CPU."""

    ring: int | None = None
    """The ring that it waits in, whatever its priority has become meanwhile."""
    slice: int = TIME_SLICE
    """Ticks left."""
    boost: Priority | None = None
    """A priority that it has inherited."""
    need_resched: bool = False

    since: int = 0
    """Jiffies since when it waits, or waited for its last turn."""
    arrival: int = 0
    """Jiffies when its turn began."""
    cpu_time: int = 0
    """Jiffies on a CPU, as ``run_delay`` waiting for one."""
    run_delay: int = 0
    pcnt: int = 0
    """Turns."""
    voluntary: int = 0
    """Switches away that it asked for, as ``involuntary`` the others."""
    involuntary: int = 0
    migrations: int = 0
    last_cpu: int | None = None
    """The CPU before its last migration."""
    idle: bool = False
    """Whether it is a CPU's idle task."""

    @property
    def priority(self) -> Priority:
        return Priority.IDLE if self.idle else priority_of(self.policy, self.rt_priority, self.nice)

    @property
    def sched_class(self) -> SchedClass:
        return class_of(self.priority)

    def may_use(self, cpu: int) -> bool:
        """Whether its affinity names that CPU."""
        return bool(self.allowed >> cpu & 1)


def idle_task(cpu: int) -> Task:
    """The task that a CPU runs when there is no other; its number is the CPU's."""
    return Task(cpu, "idle", cpu, idle=True, allowed=1 << cpu)
