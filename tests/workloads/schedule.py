"""What a log says about who ran when: the vocabulary in which expectations are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from harness.trace.grammar import Event
from harness.trace.trace import Trace

ACTIVE, EXPIRED = 0, 1


def ids(trace: Trace, name: str) -> list[int]:
    """Task numbers of `name` or of its instances `name/0`, `name/1`, ..., in order of creation."""
    return [
        event.number("task")
        for event in trace.of("task_new")
        if event.word("name") == name or event.word("name").startswith(f"{name}/")
    ]


def only(trace: Trace, name: str) -> int:
    """The one task of that name."""
    (task,) = ids(trace, name)
    return task


def ticks(trace: Trace) -> Counter[int]:
    """Ticks accounted to each task."""
    return Counter(event.number("task") for event in trace.of("account"))


def swaps(trace: Trace, cpu: int) -> Iterator[list[Event]]:
    """The slice ends on a CPU, in one list for each whole interval between two array swaps."""
    interval: list[Event] | None = None
    for event in trace.events:
        if event.cpu != cpu:
            continue
        if event.name == "swap":
            if interval is not None:
                yield interval
            interval = []
        elif event.name == "expire" and interval is not None:
            interval.append(event)


@dataclass(frozen=True)
class Turn:
    """A stretch of time for which a task had a CPU, in ns of the guest clock."""

    task: int
    cpu: int
    start: int
    end: int


def turns(trace: Trace, cpu: int) -> list[Turn]:
    """Who had the CPU, one turn after the other."""
    found: list[Turn] = []
    start: int | None = None
    for event in trace.of("switch"):
        if event.cpu != cpu:
            continue
        if start is not None:
            found.append(Turn(event.number("prev"), cpu, start, event.ns))
        start = event.ns
    return found


def wake_latencies(trace: Trace, task: int) -> list[int]:
    """Nanoseconds from each wake-up of a task to its next turn."""
    latencies: list[int] = []
    queued: int | None = None
    for event in trace.events:
        if event.name == "activate" and event.number("task") == task:
            queued = event.ns
        elif event.name == "switch" and event.number("next") == task and queued is not None:
            latencies.append(event.ns - queued)
            queued = None
    return latencies
