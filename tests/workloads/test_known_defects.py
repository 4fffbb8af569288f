"""Defects of 2.6.11's balancing that the guest has on purpose, and loses with `fix=`.

For each a symptom is counted in the log: there is some without the correction, and none with it.
Both runs are replayed against the model, which has the same defects and corrections. L07 and L16,
which no run can show (all groups of a regular machine have the same power; the busiest CPU is never
one's own), are shown on the functions alone, in tests/functions and tests/model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.trace.grammar import Event
from harness.trace.trace import Trace
from tests.workloads.conftest import BootWorkload
from tests.workloads.loads import Attempt, attempts

IDLE, BUSY, NEWLY_IDLE = 0, 1, 2
NO_PRIO = 140


def useless_pushes(trace: Trace) -> Iterator[Event]:
    """L01: the migration thread of a CPU whose tasks are all pinned is sent to push."""
    return trace.of("push")


def failures_remembered(trace: Trace) -> Iterator[Attempt]:
    """L02: a CPU finds its domain balanced, and still has failures on record."""
    for attempt in attempts(trace):
        group = attempt.only("busiest_group")
        tick = attempt.begin.number("type") != NEWLY_IDLE
        balanced = group is not None and not group.number("cpus")
        if tick and balanced and attempt.events[-1].number("failed"):
            yield attempt


def intervals_too_long(trace: Trace) -> Iterator[Attempt]:
    """L03: the interval exceeds the domain's maximum."""
    longest = {
        (event.number("of"), event.number("level")): event.number("max_interval")
        for event in trace.of("domain")
    }
    for attempt in attempts(trace):
        last = attempt.events[-1]
        if last.number("interval") > longest[last.cpu, last.number("level")]:
            yield attempt


def bursts(trace: Trace) -> Iterator[Attempt]:
    """L04: an idle CPU balances again before the interval has passed, HZ being 1000."""
    last: dict[tuple[int, int], Attempt] = {}
    for attempt in attempts(trace):
        begin = attempt.begin
        if begin.number("type") == IDLE:
            place = begin.cpu, begin.number("level")
            before = last.get(place)
            last[place] = attempt
            if before is not None:
                passed = begin.number("jiffies") - before.begin.number("jiffies")
                if passed < begin.number("interval"):
                    yield attempt


def locks_for_nothing(trace: Trace) -> Iterator[Attempt]:
    """L05: a newly idle CPU locks another one, unasked, that has only the task it runs."""
    for attempt in attempts(trace):
        queue = attempt.only("busiest_queue")
        unasked = queue is not None and queue.number("nr") < 0
        locked = unasked and attempt.begin.number("type") == NEWLY_IDLE
        looked_at = attempt.only("skip") or attempt.only("pull")
        if locked and attempt.only("double_lock") and not looked_at:
            yield attempt


def _after_expired_pull(trace: Trace) -> Iterator[Event]:
    """The first slice end on a CPU after an expired task came there, unless the arrays swapped."""
    came: set[int] = set()
    target: dict[int, int] = {}
    for event in trace.of("move", "pull", "swap", "expire"):
        match event.name:
            case "move":
                target[event.cpu] = event.number("dst")
            case "pull" if event.number("expired"):
                came.add(target[event.cpu])
            case "swap":
                came.discard(event.number("rq"))
            case "expire" if event.cpu in came:
                came.discard(event.cpu)
                yield event


def expiries_unrecorded(trace: Trace) -> Iterator[Event]:
    """L08: a CPU that has an expired task, pulled there, knows of no expired priority."""
    return (event for event in _after_expired_pull(trace) if event.number("best") == NO_PRIO)


def records_kept_while_idle(trace: Trace) -> Iterator[Event]:
    """L09: a CPU that has idled remembers the priority of a task that expired before."""
    idled: set[int] = set()
    for event in trace.of("pick", "swap", "expire"):
        match event.name:
            case "pick" if event.number("prio") == NO_PRIO:
                idled.add(event.cpu)
            case "swap":
                idled.discard(event.cpu)
            case "expire" if event.cpu in idled:
                idled.discard(event.cpu)
                if event.number("best") < NO_PRIO:
                    yield event


def preempted_by_expired(trace: Trace) -> Iterator[Event]:
    """L10: a busy CPU reschedules because of a task that goes to its expired array."""
    for attempt in attempts(trace):
        if attempt.begin.number("type") != BUSY:
            continue
        names = [event.name for event in attempt.events]
        for place, event in enumerate(attempt.events):
            followed = names[place + 1 : place + 4] == ["dequeue", "enqueue", "resched"]
            if event.name == "pull" and event.number("expired") and followed:
                yield event


def pushed_to_others(trace: Trace) -> Iterator[Event]:
    """L11: a push goes to a CPU that has not asked for it."""
    asked: dict[int, int] = {}
    pushing: set[int] = set()
    for event in trace.of("push_request", "push", "move", "pushed"):
        match event.name:
            case "push_request" if not event.number("was"):
                asked[event.number("rq")] = event.cpu
            case "push":
                pushing.add(event.cpu)
            case "pushed":
                pushing.discard(event.cpu)
            case "move" if event.cpu in pushing and event.number("dst") != asked[event.cpu]:
                yield event


@dataclass(frozen=True)
class Defect:
    name: str
    symptoms: Callable[[Trace], Iterator[Any]]
    workload: str
    cpus: int = 4
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


EXPIRED, TAKEN = (f"tests/workloads/{name}.yaml" for name in ("expired", "taken"))

DEFECTS = [
    Defect("L01", useless_pushes, "W5-all"),
    Defect("L02", failures_remembered, "W7"),
    Defect("L03", intervals_too_long, "W7", options={"topology": "2x2"}),
    Defect("L04", bursts, "W7"),
    Defect("L05", locks_for_nothing, "W7"),
    Defect("L08", expiries_unrecorded, EXPIRED),
    Defect("L09", records_kept_while_idle, TAKEN, 2),
    Defect("L10", preempted_by_expired, EXPIRED, 2),
    Defect("L11", pushed_to_others, "W5-all"),
]


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_the_symptom_is_there_and_the_fix_removes_it(
    run_workload: BootWorkload, defect: Defect
) -> None:
    run = run_workload(defect.workload, defect.cpus, "virtual", **defect.options)
    assert any(True for _ in defect.symptoms(run.trace)), "no symptom without the correction"
    fixed = run_workload(defect.workload, defect.cpus, "virtual", fix=defect.name, **defect.options)
    left = list(defect.symptoms(fixed.trace))
    assert not left, f"{len(left)} symptoms with it, first {left[0]}"
