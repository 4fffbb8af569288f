"""Statistics: the counters of schedstat version 10 and sched_info (fact sheet A18).

Field order is that in which the kernel's code prints `/proc/schedstat`, which is not the order that
its documentation gives (D1, L15).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING

from harness.model.constants import IdleType

if TYPE_CHECKING:
    from harness.model.runqueue import Runqueue
    from harness.model.task import Task


@dataclass(slots=True)
class SchedInfo:
    """Time on the CPU and time waiting for it, in jiffies; arrivals on the CPU."""

    cpu_time: int = 0
    run_delay: int = 0
    pcnt: int = 0
    last_queued: int = 0
    """Jiffies of the first enqueue since it last ran; 0 when it has not been queued since."""
    last_arrival: int = 0


@dataclass(slots=True)
class PullStats:
    """Tasks that move_tasks brought here and took away, for one idle type."""

    pt_gained: int = 0
    pt_lost: int = 0


@dataclass(slots=True)
class RunqueueStats:
    """The numbers of a `cpuN` line, in order."""

    yld_both_empty: int = 0
    yld_act_empty: int = 0
    yld_exp_empty: int = 0
    yld_cnt: int = 0
    sched_noswitch: int = 0
    sched_switch: int = 0
    sched_cnt: int = 0
    sched_goidle: int = 0
    alb_cnt: int = 0
    alb_gained: int = 0
    alb_lost: int = 0
    alb_failed: int = 0
    ttwu_cnt: int = 0
    ttwu_moved: int = 0
    ttwu_attempts: int = 0
    wunt_cnt: int = 0
    wunt_moved: int = 0
    smt_cnt: int = 0
    sbe_cnt: int = 0
    cpu_time: int = 0
    run_delay: int = 0
    pcnt: int = 0
    pt: list[PullStats] = field(
        default_factory=lambda: [PullStats() for _ in IdleType], kw_only=True
    )


@dataclass(slots=True)
class BalanceStats:
    """What load balancing did in one domain for one idle type."""

    lb_cnt: int = 0
    lb_failed: int = 0
    lb_imbalance: int = 0
    lb_nobusyq: int = 0
    lb_nobusyg: int = 0


@dataclass(slots=True)
class DomainStats:
    """The numbers of a `domainN` line after its mask, in order."""

    lb: list[BalanceStats] = field(default_factory=lambda: [BalanceStats() for _ in IdleType])
    sbe_pushed: int = 0
    sbe_attempts: int = 0
    ttwu_wake_affine: int = 0
    ttwu_wake_balance: int = 0


def sched_info_queued(info: SchedInfo, jiffies: int) -> None:
    """A task was queued: the wait begins, unless it had begun before (fact sheet A18)."""
    if not info.last_queued:
        info.last_queued = jiffies


def sched_info_switch(rq: Runqueue, prev: Task, next: Task, jiffies: int) -> None:
    """One task leaves the CPU, another or the same arrives; idle does not count (A18)."""
    if prev is not rq.idle:
        ran = jiffies - prev.sched_info.last_arrival
        prev.sched_info.cpu_time += ran
        rq.stats.cpu_time += ran
    if next is not rq.idle:
        info = next.sched_info
        waited = jiffies - info.last_queued if info.last_queued else 0
        info.last_queued = 0
        info.run_delay += waited
        info.last_arrival = jiffies
        info.pcnt += 1
        rq.stats.run_delay += waited
        rq.stats.pcnt += 1


def numbers(stats: RunqueueStats | DomainStats) -> Iterator[int]:
    """All counters, in the order of the kernel's code."""
    for value in astuple(stats):
        if isinstance(value, int):
            yield value
        else:
            for part in value:
                yield from part
