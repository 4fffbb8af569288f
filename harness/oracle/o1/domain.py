"""Replay of the boot's scheduling domains: what the guest built is what the model builds.

The boot CPU logs the domains of every CPU, with their groups, before the first task exists, and
then hands each CPU its own. They are held, line by line, against those that the model builds for
the shape of the machine, or, where that is unknown, for the shape that the log itself claims.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from harness.model.bitmap import has_cpu
from harness.model.domain import (
    CPU,
    DOMAIN_KINDS,
    Domain,
    Level,
    Topology,
    build_domains,
    domain_errors,
    flat,
)
from harness.oracle.o1.laws import Law
from harness.oracle.o1.world import World
from harness.oracle.prediction import LawBrokenError, Prediction
from harness.trace.grammar import Value, event_type
from harness.trace.trace import Trace

_DOMAIN, _GROUP, _ATTACH = map(event_type, ("domain", "group", "attach"))
_JIFFIES = [field.name for field in _DOMAIN.fields].index("last_balance")


class DomainsDue:
    """The domains that are to come, and the chains that they make up."""

    def __init__(self, levels: Sequence[Level], nr_cpus: int) -> None:
        self._levels = levels
        self._nr_cpus = nr_cpus
        self._jiffies = 0
        self._lines = self._predictions()
        self._next = next(self._lines, None)

    def _predictions(self) -> Iterator[Prediction]:
        for cpu in range(self._nr_cpus):
            for number, sd in enumerate(build_domains(self._levels, cpu)):
                yield Prediction(_DOMAIN, _domain_values(cpu, number, sd))
                for group in sd.groups:
                    yield Prediction(_GROUP, (group.cpumask, group.cpu_power))
        for cpu in range(self._nr_cpus):
            yield Prediction(_ATTACH, (cpu,))

    def take(self, world: World, cpu: int, name: str, values: tuple[Value, ...]) -> None:
        """Hold an event against the one that is due; ``attach`` hands a CPU its chain."""
        due = self._next
        if due is None or due.name != name or not _agree(due.values, values):
            raise LawBrokenError(Law.A12, f"{due or 'nothing'} is due")
        if name == "domain":
            self._check_time(world, cpu, int(values[_JIFFIES]), first=values[:2] == (0, 0))
        elif name == "attach":
            rq = world.rq(int(values[0]))
            rq.domains = build_domains(self._levels, rq.cpu, self._jiffies)
            for words in domain_errors(rq.cpu, rq.domains):
                raise LawBrokenError(Law.A12, words)
        self._next = next(self._lines, None)

    def require_all(self) -> None:
        """Nothing may be missing any more: there are tasks to divide up."""
        if self._next is not None:
            raise LawBrokenError(Law.A12, f"{self._next} is due before the first task")

    def _check_time(self, world: World, cpu: int, jiffies: int, *, first: bool) -> None:
        """All domains count from the same jiffy, which was read before any was built."""
        if first:
            if jiffies > world.ticks + 1:
                words = f"CPU {cpu} reads jiffies {jiffies} after {world.ticks} ticks"
                raise LawBrokenError(Law.P16, words)
            self._jiffies = jiffies
        elif jiffies != self._jiffies:
            raise LawBrokenError(Law.A12, f"last_balance={self._jiffies} is due")


def _agree(due: Sequence[Value | None], seen: Sequence[Value]) -> bool:
    return all(one in (None, other) for one, other in zip(due, seen, strict=True))


def _domain_values(cpu: int, number: int, sd: Domain) -> tuple[Value | None, ...]:
    kind = sd.parameters
    return (
        *(cpu, number, kind.name, sd.span, int(kind.flags)),
        *(kind.min_interval, kind.max_interval, kind.busy_factor, kind.imbalance_pct),
        *(kind.cache_hot_time, kind.cache_nice_tries, None),
    )


def domain(world: World, cpu: int, *values: Value) -> None:
    """The boot CPU tells of a CPU's domain."""
    world.domains.take(world, cpu, "domain", values)


def group(world: World, cpu: int, *values: Value) -> None:
    """The next group of the domain before."""
    world.domains.take(world, cpu, "group", values)


def attach(world: World, cpu: int, *values: Value) -> None:
    """A CPU has its domains from here on."""
    world.domains.take(world, cpu, "attach", values)


def levels_of(trace: Trace, nr_cpus: int) -> tuple[Level, ...]:
    """The levels that a log's domains claim; those of a flat machine where they cannot be true."""
    spans: dict[int, tuple[str, set[int]]] = {}
    for event in trace.of("domain"):
        level, name, span = event.number("level"), event.word("name"), event.number("span")
        spans.setdefault(level, (name, set()))[1].add(span)
    names = [spans[level][0] for level in sorted(spans)]
    ranks = [list(DOMAIN_KINDS).index(name) for name in names if name in DOMAIN_KINDS]
    ascending = all(one < other for one, other in pairwise(ranks))
    divided = all(_divides(masks, nr_cpus) for _, masks in spans.values())
    known = len(ranks) == len(names) and CPU.name in names
    if not (known and ascending and divided):
        return flat(nr_cpus).levels()
    return tuple(
        Level(DOMAIN_KINDS[name], tuple(sorted(masks, key=lambda mask: mask & -mask)))
        for name, masks in (spans[level] for level in sorted(spans))
    )


def _divides(masks: set[int], nr_cpus: int) -> bool:
    """Whether each CPU is in exactly one of the masks, and nothing else is in any."""
    return all(sum(has_cpu(mask, cpu) for mask in masks) == 1 for cpu in range(nr_cpus)) and all(
        0 < mask < 1 << nr_cpus for mask in masks
    )


def levels_for(trace: Trace, topology: Topology | None, nr_cpus: int) -> tuple[Level, ...]:
    """The levels of the machine, by its shape where that is known and has as many CPUs."""
    if topology is not None and topology.nr_cpus == nr_cpus:
        return topology.levels()
    return levels_of(trace, nr_cpus)
