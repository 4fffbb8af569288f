"""A parsed log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from harness.trace.damage import Damage, DamageKind
from harness.trace.grammar import Event
from harness.trace.ktap import KtapReport, parse_ktap
from harness.trace.panic import PanicReport, parse_panics, parse_refusals


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is no event: its number in the log, from 1, and what it says."""

    number: int
    text: str


@dataclass(frozen=True)
class Trace:
    """Everything a log says, and everything that is wrong with it."""

    events: tuple[Event, ...] = ()
    """Ordered by ``seq``; of two events with one ``seq`` the first that arrived."""
    notes: tuple[Line, ...] = ()
    """Lines that start with ``[SCHED]`` and are no events, without that start."""
    text: tuple[Line, ...] = ()
    """All other lines: self-test results, panic reports, the monitor."""
    damages: tuple[Damage, ...] = ()
    """The first damages, in the order in which they were found."""
    damage_counts: Mapping[DamageKind, int] = field(default_factory=dict)
    """How often each kind of damage was found, those not in ``damages`` included."""
    lines: int = 0
    """Lines read."""

    @property
    def sound(self) -> bool:
        """Whether this is, complete and unchanged, what a guest wrote from hello to end."""
        return not self.damage_counts

    @property
    def damage_total(self) -> int:
        return sum(self.damage_counts.values())

    @cached_property
    def hello(self) -> Event | None:
        return next(self.of("hello"), None)

    @cached_property
    def end(self) -> Event | None:
        return next(self.of("end"), None)

    @property
    def quiet(self) -> bool:
        """Whether the guest was told to log no decisions."""
        return next(self.of("quiet"), None) is not None

    def of(self, *names: str) -> Iterator[Event]:
        """The events of these names, in order."""
        return (event for event in self.events if event.type.name in names)

    @cached_property
    def cpus(self) -> frozenset[int]:
        """The CPUs that logged at least one event."""
        return frozenset(event.cpu for event in self.events)

    @cached_property
    def ktap(self) -> KtapReport:
        return parse_ktap(line.text for line in self.text)

    @cached_property
    def panics(self) -> tuple[PanicReport, ...]:
        return parse_panics(line.text for line in self.text)

    @cached_property
    def refusals(self) -> tuple[str, ...]:
        """Why the guest refused to start, where it did."""
        return parse_refusals(line.text for line in self.text)
