"""Statistics: the counters of schedstat version 10 and sched_info (fact sheet A18).

Field order is print order: `/proc/schedstat` is these dataclasses written one after another, in the
order of the kernel's code, which is not the order its documentation gives (D1, L15).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING

from harness.model.constants import IdleType

if TYPE_CHECKING:
    from harness.model.runqueue import Runqueue
    from harness.model.task import Task

VERSION = 10
MASK_CHUNK_BITS = 32


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


@dataclass(frozen=True)
class DomainLine:
    span: int
    stats: DomainStats


@dataclass(frozen=True)
class CpuLine:
    cpu: int
    stats: RunqueueStats
    domains: tuple[DomainLine, ...] = ()


@dataclass(frozen=True)
class Schedstat:
    """One reading of `/proc/schedstat`."""

    timestamp: int
    """Jiffies."""
    cpus: tuple[CpuLine, ...]


def snapshot(rqs: Sequence[Runqueue], jiffies: int) -> Schedstat:
    """The present counters of some run queues (shared with them, not copied)."""
    return Schedstat(
        jiffies,
        tuple(
            CpuLine(rq.cpu, rq.stats, tuple(DomainLine(sd.span, sd.stats) for sd in rq.domains))
            for rq in rqs
        ),
    )


def format_schedstat(stat: Schedstat, nr_cpus: int) -> str:
    """Text of `/proc/schedstat`, version 10 (fact sheet A18). `nr_cpus` sets the width of masks."""
    lines = [f"version {VERSION}", f"timestamp {stat.timestamp}"]
    for line in stat.cpus:
        lines.append(_join(f"cpu{line.cpu}", numbers(line.stats)))
        for level, domain in enumerate(line.domains):
            head = f"domain{level} {format_mask(domain.span, nr_cpus)}"
            lines.append(_join(head, numbers(domain.stats)))
    return "\n".join(lines) + "\n"


def format_mask(mask: int, nr_cpus: int) -> str:
    """CPU mask as the kernel prints it: hexadecimal, zero-filled, a comma every 32 CPUs."""
    chunks = []
    for low in reversed(range(0, nr_cpus, MASK_CHUNK_BITS)):
        bits = min(nr_cpus - low, MASK_CHUNK_BITS)
        chunks.append(f"{mask >> low & (1 << bits) - 1:0{-(-bits // 4)}x}")
    return ",".join(chunks)


def parse_schedstat(text: str) -> Schedstat:
    """Read `/proc/schedstat`. Raises ValueError with the line number for any other format."""
    timestamp: int | None = None
    cpus: list[tuple[int, RunqueueStats, list[DomainLine]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        head, *words = line.split() or [""]
        try:
            if number == 1:
                if [head, *words] != ["version", str(VERSION)]:
                    raise ValueError(f"expected 'version {VERSION}'")
            elif number == 2:
                timestamp = _timestamp(head, words)
            elif head.startswith("cpu"):
                cpus.append((int(head[3:]), _runqueue_stats(words), []))
            elif head.startswith("domain") and cpus:
                span = int("".join(words[:1]).replace(",", ""), 16)
                if int(head[6:]) != len(cpus[-1][2]):
                    raise ValueError("domains of a CPU are numbered from 0")
                cpus[-1][2].append(DomainLine(span, _domain_stats(words[1:])))
            else:
                raise ValueError("neither a cpu line nor a domain line after one")
        except ValueError as error:
            raise ValueError(f"schedstat line {number}: {error}: {line!r}") from None
    if timestamp is None:
        raise ValueError("schedstat: no timestamp line")
    return Schedstat(timestamp, tuple(CpuLine(c, s, tuple(d)) for c, s, d in cpus))


def _timestamp(head: str, words: list[str]) -> int:
    if head != "timestamp" or len(words) != 1:
        raise ValueError("expected 'timestamp <jiffies>'")
    return int(words[0])


def _runqueue_stats(words: list[str]) -> RunqueueStats:
    plain = _take(words, 22 + 6)
    pulls = [PullStats(*plain[at : at + 2]) for at in range(22, 28, 2)]
    return RunqueueStats(*plain[:22], pt=pulls)


def _domain_stats(words: list[str]) -> DomainStats:
    plain = _take(words, 15 + 4)
    balance = [BalanceStats(*plain[at : at + 5]) for at in range(0, 15, 5)]
    return DomainStats(balance, *plain[15:])


def _take(words: list[str], count: int) -> list[int]:
    if len(words) != count:
        raise ValueError(f"{len(words)} numbers where {count} belong")
    return [int(word) for word in words]


def numbers(stats: RunqueueStats | DomainStats) -> Iterator[int]:
    """All counters, in the order of the kernel's code."""
    for value in astuple(stats):
        if isinstance(value, int):
            yield value
        else:
            for part in value:
                yield from part


def _join(head: str, numbers: Iterator[int]) -> str:
    return " ".join([head, *map(str, numbers)])
