"""Rules about run-queue locks, for logs of ``loglevel=2``, which have every lock and unlock.

A lock belongs to a CPU, not to a task: it is held across a context switch, and the incoming task
releases it. Rules K1 and K3 of the fact sheet's part C.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from harness.trace.grammar import Event
from harness.trace.trace import Trace

TRIED = 1
"""``how`` of a lock that was only taken because it was free: such a one may come out of order."""


def ascending_order(trace: Trace) -> Iterator[tuple[Event, str]]:
    """K1: who waits for a lock holds none of a CPU with a higher number."""
    held: dict[int, list[int]] = defaultdict(list)
    for event in trace.of("lock", "unlock"):
        rq, mine = event.number("rq"), held[event.cpu]
        if event.name == "lock":
            if event.number("how") != TRIED and any(other >= rq for other in mine):
                yield event, f"CPU {event.cpu} waits for lock {rq} while it holds {max(mine)}"
            mine.append(rq)
        elif rq in mine:
            mine.remove(rq)


def released_by_holder(trace: Trace) -> Iterator[tuple[Event, str]]:
    """K3: a lock is released by the CPU that holds it, and by the end of the run."""
    holder: dict[int, int] = {}
    last: Event | None = None
    for event in trace.of("lock", "unlock"):
        rq, last = event.number("rq"), event
        if event.name == "lock":
            if rq in holder:
                yield event, f"CPU {event.cpu} has lock {rq}, which CPU {holder[rq]} holds"
            holder[rq] = event.cpu
        elif holder.pop(rq, None) != event.cpu:
            yield event, f"CPU {event.cpu} releases lock {rq}, which it does not hold"
    if last is not None:
        for rq, cpu in holder.items():
            yield last, f"CPU {cpu} still holds lock {rq} at the end"
