"""How a log spreads its tasks over CPUs: what is runnable where, and how it moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.trace.grammar import Event
from harness.trace.trace import Trace

MAX_RT_PRIO = 100


def lengths(trace: Trace) -> Iterator[tuple[Event, list[int]]]:
    """After each change: how many normal tasks each CPU has, the running one included."""
    cpus = trace.hello.number("cpus") if trace.hello else 0
    count = [0] * cpus
    for event in trace.of("enqueue", "dequeue"):
        if event.number("prio") >= MAX_RT_PRIO:
            count[event.number("rq")] += 1 if event.name == "enqueue" else -1
            yield event, count


def settled(longer: int, shorter: int) -> bool:
    """Whether a busy CPU leaves this difference alone (fact sheet A13)."""
    return longer - shorter <= 1 or longer <= 1.25 * shorter


@dataclass(frozen=True)
class Attempt:
    """One balancing attempt, as a CPU logged it."""

    begin: Event
    events: tuple[Event, ...]
    """All of it, ``balance`` to ``balanced``."""

    def only(self, name: str) -> Event | None:
        return next((event for event in self.events if event.name == name), None)

    @property
    def moved(self) -> int:
        return self.events[-1].number("moved")


def attempts(trace: Trace) -> Iterator[Attempt]:
    """The balancing attempts, in the order in which they ended."""
    running: dict[int, list[Event]] = {}
    for event in trace.events:
        if event.name == "balance":
            running[event.cpu] = [event]
        elif event.cpu in running:  # interrupts are off: all that it logs belongs to the attempt
            running[event.cpu].append(event)
            if event.name == "balanced":
                begun = running.pop(event.cpu)
                yield Attempt(begun[0], tuple(begun))
