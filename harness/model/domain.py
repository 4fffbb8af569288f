"""Scheduling domains and groups (fact sheet A12), built from the shape of the machine.

Every CPU has a chain of domains, innermost first, each spanning more CPUs than the one before. A
domain is divided into groups, and balancing happens between the groups of a domain: at the
innermost level a group is one CPU, further out it is the span of an inner domain. For two packages
of two cores, CPU 2 sees

    CORE  span {2,3}      groups {2} {3}            the CPU's own group comes first,
    CPU   span {0,1,2,3}  groups {2,3} {0,1}        the others follow in ascending order
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.model.arith import s64
from harness.model.bitmap import cpus, has_cpu
from harness.model.constants import SCHED_LOAD_SCALE, SDFlag
from harness.model.stats import DomainStats

if TYPE_CHECKING:
    from harness.model.task import Task


@dataclass(frozen=True)
class DomainParameters:
    """The tunable numbers of one kind of domain. Intervals are in ms, cache_hot_time in ns."""

    name: str
    min_interval: int
    max_interval: int
    busy_factor: int
    imbalance_pct: int
    cache_hot_time: int
    cache_nice_tries: int
    per_cpu_gain: int
    flags: SDFlag


_ALWAYS = SDFlag.LOAD_BALANCE | SDFlag.BALANCE_NEWIDLE | SDFlag.BALANCE_EXEC | SDFlag.WAKE_IDLE

SIBLING = DomainParameters(
    "SIBLING", 1, 2, 8, 110, 0, 0, 25, _ALWAYS | SDFlag.WAKE_AFFINE | SDFlag.SHARE_CPUPOWER
)
"""Hardware threads of a core."""

CPU = DomainParameters(
    "CPU", 1, 4, 64, 125, 2_500_000, 1, 100, _ALWAYS | SDFlag.WAKE_AFFINE | SDFlag.WAKE_BALANCE
)
"""Packages of a node; the only level of a flat machine."""

CORE = replace(CPU, name="CORE", imbalance_pct=110)
"""Cores of one package where there are several; 2.6.11 had no such level."""

NODE = DomainParameters("NODE", 8, 32, 32, 125, 10_000_000, 1, 100, _ALWAYS | SDFlag.WAKE_BALANCE)
"""NUMA nodes."""

DOMAIN_KINDS = {kind.name: kind for kind in (SIBLING, CORE, CPU, NODE)}
"""All of them by name, innermost first."""


@dataclass(frozen=True, slots=True)
class Group:
    cpumask: int
    cpu_power: int
    """128 for one full CPU."""


@dataclass(eq=False, slots=True)
class Domain:
    """One level of one CPU's chain; `groups` starts with the CPU's own."""

    parameters: DomainParameters
    span: int
    groups: tuple[Group, ...]
    last_balance: int = 0
    """Jiffies."""
    balance_interval: int = 1
    """Milliseconds."""
    nr_balance_failed: int = 0
    stats: DomainStats = field(default_factory=DomainStats)

    def has(self, flag: SDFlag) -> bool:
        return bool(self.parameters.flags & flag)


@dataclass(frozen=True)
class Level:
    """One level of the tree: the kind of its domains and their spans, which divide up the CPUs."""

    parameters: DomainParameters
    spans: tuple[int, ...]


@dataclass(frozen=True)
class Topology:
    """A regular machine; CPUs are numbered threads first, nodes last, as QEMU does."""

    nodes: int = 1
    sockets: int = 1
    """Per node."""
    cores: int = 1
    """Per socket."""
    threads: int = 1
    """Per core."""

    @property
    def nr_cpus(self) -> int:
        return self.nodes * self.sockets * self.cores * self.threads

    def levels(self) -> tuple[Level, ...]:
        """The levels of domains this machine has, innermost first (fact sheet A12).

        There is always a CPU level. SIBLING appears with several threads, CORE with several sockets
        of several cores, NODE with several nodes.
        """
        socket = self.cores * self.threads
        levels = []
        if self.threads > 1:
            levels.append(Level(SIBLING, self._spans(self.threads)))
        if self.sockets > 1 and self.cores > 1:
            levels.append(Level(CORE, self._spans(socket)))
        levels.append(Level(CPU, self._spans(self.sockets * socket)))
        if self.nodes > 1:
            levels.append(Level(NODE, self._spans(self.nr_cpus)))
        return tuple(levels)

    def _spans(self, size: int) -> tuple[int, ...]:
        return tuple(((1 << size) - 1) << first for first in range(0, self.nr_cpus, size))


def flat(nr_cpus: int) -> Topology:
    """A machine of single-core packages: one domain, one group a CPU."""
    return Topology(sockets=nr_cpus)


def build_domains(levels: Sequence[Level], cpu: int, jiffies: int = 0) -> tuple[Domain, ...]:
    """The chain of domains of one CPU, innermost first (fact sheet A12)."""
    chain = []
    parts = [Group(1 << n, SCHED_LOAD_SCALE) for n in cpus(sum(levels[0].spans))]
    for level in levels:
        span = next(span for span in level.spans if has_cpu(span, cpu))
        inside = [group for group in parts if group.cpumask & span]
        own = next(i for i, group in enumerate(inside) if has_cpu(group.cpumask, cpu))
        groups = tuple(inside[own:] + inside[:own])
        chain.append(Domain(level.parameters, span, groups, last_balance=jiffies))
        parts = [_join(level, span, parts) for span in level.spans]
    return tuple(chain)


def _join(level: Level, span: int, parts: Sequence[Group]) -> Group:
    inside = [group.cpu_power for group in parts if group.cpumask & span]
    if level.parameters.flags & SDFlag.SHARE_CPUPOWER:
        # Each further thread of a core adds a tenth of a CPU.
        return Group(span, SCHED_LOAD_SCALE + SCHED_LOAD_SCALE * (len(inside) - 1) // 10)
    return Group(span, sum(inside))


def domain_errors(cpu: int, chain: Sequence[Domain]) -> Iterator[str]:
    """What is wrong with a CPU's chain, in words: the rules of fact sheet A12."""
    for number, sd in enumerate(chain):
        where = f"cpu{cpu} domain{number}"
        last = number + 1 == len(chain)
        if not last and not sd.has(SDFlag.LOAD_BALANCE):
            yield f"{where} does not balance but has a parent"
        if not last and sd.span & ~chain[number + 1].span:
            yield f"{where} is not contained in its parent"
        if number == 0 and not has_cpu(sd.span, cpu):
            yield f"{where} does not span its CPU"
        if not has_cpu(sd.groups[0].cpumask, cpu):
            yield f"{where} does not start with the CPU's own group"
        yield from _group_errors(where, sd)


def _group_errors(where: str, sd: Domain) -> Iterator[str]:
    covered = 0
    for group in sd.groups:
        if not group.cpumask:
            yield f"{where} has an empty group"
        if not group.cpu_power:
            yield f"{where} has a group {group.cpumask:#x} without cpu_power"
        if covered & group.cpumask:
            yield f"{where} has CPUs {covered & group.cpumask:#x} in two groups"
        covered |= group.cpumask
    if covered != sd.span:
        yield f"{where} spans {sd.span:#x} but its groups cover {covered:#x}"


def task_hot(p: Task, now_ns: int, sd: Domain) -> bool:
    """Whether the caches still hold the task's data (fact sheet A14).

    `now_ns` is the last tick of the task's own run queue. Equality is cold; a task that ran after
    that tick, a negative difference, is hot.
    """
    return s64(now_ns - p.last_ran) < sd.parameters.cache_hot_time
