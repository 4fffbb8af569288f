"""Numbers and enumerations of the scheduler (fact sheet A1), and the clock handed to its functions.

Priorities run from 0 (best) to 139; 0..99 are real-time. Slices and time-outs are in jiffies and
depend on HZ; sleep averages and time stamps are in nanoseconds.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property

from harness.model.fixes import NO_FIXES, Fixes

NS_PER_SECOND = 1_000_000_000

MAX_RT_PRIO = 100
MAX_PRIO = 140
IDLE_PRIO = MAX_PRIO

CHILD_PENALTY = 95
PARENT_PENALTY = 100
EXIT_WEIGHT = 3
# Share of the time on the run queue that an ordinary wakeup is credited, in 128ths of it.
ON_RUNQUEUE_WEIGHT_128 = 30 * 128 // 100
MAX_BONUS = 10
INTERACTIVE_DELTA = 2

SCHED_LOAD_SCALE = 128


class State(enum.IntFlag):
    """What a task is doing. RUNNING means "runnable", on a CPU or not."""

    RUNNING = 0
    INTERRUPTIBLE = 1
    UNINTERRUPTIBLE = 2
    STOPPED = 4
    TRACED = 8
    EXIT_ZOMBIE = 16
    EXIT_DEAD = 32


WAKE_ANY = State.INTERRUPTIBLE | State.UNINTERRUPTIBLE | State.STOPPED | State.TRACED


class Policy(enum.IntEnum):
    NORMAL = 0
    FIFO = 1
    RR = 2


class IdleType(enum.IntEnum):
    """Why a CPU looks for work elsewhere; also the index of the balancing counters."""

    SCHED_IDLE = 0
    NOT_IDLE = 1
    NEWLY_IDLE = 2


class SDFlag(enum.IntFlag):
    """What a scheduling domain takes part in."""

    LOAD_BALANCE = 1
    BALANCE_NEWIDLE = 2
    BALANCE_EXEC = 4
    WAKE_IDLE = 8
    WAKE_AFFINE = 16
    WAKE_BALANCE = 32
    SHARE_CPUPOWER = 64


@dataclass(frozen=True, slots=True)
class Now:
    """The two clocks a CPU read: `ns` (sched_clock of that CPU) and the global `jiffies`."""

    ns: int
    jiffies: int


@dataclass(frozen=True)
class Constants:
    """What a machine is configured by: everything that depends on HZ (fact sheet A1), corrections.

    Raises ValueError for a HZ at which the default slice would be no tick at all.
    """

    hz: int = 1000
    fixes: Fixes = NO_FIXES

    def __post_init__(self) -> None:
        if self.hz < 10:
            raise ValueError(f"hz={self.hz}: the default slice of 100 ms needs hz >= 10")

    @cached_property
    def ns_per_jiffy(self) -> int:
        return NS_PER_SECOND // self.hz

    @cached_property
    def min_timeslice(self) -> int:
        """Jiffies."""
        return max(5 * self.hz // 1000, 1)

    @cached_property
    def def_timeslice(self) -> int:
        """Jiffies: the full slice of nice 0."""
        return 100 * self.hz // 1000

    @cached_property
    def max_sleep_avg(self) -> int:
        """Jiffies."""
        return self.def_timeslice * MAX_BONUS

    @cached_property
    def starvation_limit(self) -> int:
        """Jiffies that expired tasks wait, for each running task, before slices end for all."""
        return self.max_sleep_avg

    @cached_property
    def ns_max_sleep_avg(self) -> int:
        """Nanoseconds: 10^9 at every HZ that divides it and is a multiple of ten."""
        return self.jiffies_to_ns(self.max_sleep_avg)

    @cached_property
    def granularity(self) -> int:
        """Jiffies that an interactive task of highest bonus runs before it goes to the tail."""
        return 10 * self.hz // 1000 or 1

    def ns_to_jiffies(self, ns: int) -> int:
        return ns // self.ns_per_jiffy

    def jiffies_to_ns(self, jiffies: int) -> int:
        return jiffies * self.ns_per_jiffy

    def msecs_to_jiffies(self, ms: int) -> int:
        """Rounded up."""
        return -(-ms * self.hz // 1000)


def nice_to_prio(nice: int) -> int:
    """Static priority of a nice level: -20 -> 100, 0 -> 120, 19 -> 139 (fact sheet A1)."""
    return MAX_RT_PRIO + nice + 20


def prio_to_nice(static_prio: int) -> int:
    return static_prio - MAX_RT_PRIO - 20
