"""What a CPU is in the middle of when it balances, as the replay follows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.model.constants import IdleType, Now
from harness.model.core import Departure
from harness.model.domain import Domain, Group
from harness.model.load import LoadRead
from harness.model.migrate import Move
from harness.model.runqueue import Runqueue
from harness.model.task import Task

_NOTHING = LoadRead(0, 0)


@dataclass
class Reads:
    """Loads that a CPU has read without locks and logged, not used by the model yet.

    A run queue whose figures were both 0 is not logged.
    """

    pending: list[tuple[int, LoadRead]] = field(default_factory=list)
    silent: list[int] = field(default_factory=list)
    """CPUs that were needed and not logged."""
    since: int = 0
    """``seq`` after which these were read."""

    def begin(self, seq: int) -> None:
        """From here on loads are read for another purpose."""
        self.pending.clear()
        self.silent.clear()
        self.since = seq

    def __call__(self, cpu: int) -> LoadRead:
        """The next read, if it is of that CPU: the model reads in the order in which it must be."""
        if self.pending and self.pending[0][0] == cpu:
            return self.pending.pop(0)[1]
        self.silent.append(cpu)
        return _NOTHING


@dataclass
class Attempt:
    """A balancing attempt in one domain, from ``balance`` to ``balanced``."""

    sd: Domain
    level: int
    idle: IdleType
    group: Group | None = None
    """The one to take from."""
    imbalance: int = 0
    busiest: Runqueue | None = None
    """The one to take from, once that is known."""
    move: Move = field(default_factory=Move)
    """What has been moved."""
    wakes: Task | None = None
    """The migration thread that is woken in the end."""


@dataclass
class Push:
    """Active balancing by a migration thread, from ``push`` to ``pushed``."""

    targets: Iterator[tuple[Domain, int]]
    """CPUs not looked at yet."""
    sd: Domain | None = None
    target: int = -1
    """The CPU that is being pushed to, and where it was found."""
    move: Move = field(default_factory=Move)


@dataclass
class Pass:
    """A pass of schedule() that looks for work elsewhere before it decides."""

    departure: Departure
    now: Now
    domains: Iterator[tuple[int, Domain]]
    """Those not asked yet, with their levels."""


@dataclass
class TickDue:
    """What a CPU's last tick has to do about balancing."""

    idle: IdleType = IdleType.SCHED_IDLE
    """With which type; busy, once something was moved."""
    levels: set[int] = field(default_factory=set)
    """Domains that are due for certain and were not balanced yet."""
    first: int = 0
    """The next one is this or further out."""


@dataclass
class Balancing:
    """Everything of that, for one CPU."""

    reads: Reads = field(default_factory=Reads)
    attempt: Attempt | None = None
    push: Push | None = None
    scheduling: Pass | None = None
    exec_in: Domain | None = None
    """Where sched_exec looks for a CPU."""
    due: TickDue = field(default_factory=TickDue)
