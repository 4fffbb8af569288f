"""What must happen in time: each rule holds for a patient log and is broken by an impatient one."""

from __future__ import annotations

from collections.abc import Iterable

from harness.oracle.liveness import (
    CLOSING_PERIODS,
    SILENT_PERIODS,
    nobody_starves,
    ticks_keep_coming,
)
from harness.oracle.rules import RULES
from harness.trace.grammar import Event
from harness.trace.trace import Trace
from tests.trace.logs import event

HZ = 100
MS = 1_000_000


def test_both_rules_are_part_of_every_verdict() -> None:
    checks = {rule.name.split()[0]: rule.check for rule in RULES}
    assert (checks["P9"], checks["P15"]) == (nobody_starves, ticks_keep_coming)


def trace(events: Iterable[Event], *, clock: str = "virtual", policy: str = "o1") -> Trace:
    hello = event("hello", 0, clock=clock, policy=policy, hz=HZ)
    return Trace(events=(hello, *events))


def ticks(*times: int) -> list[Event]:
    return [event("tick", n, 0, ms * MS, n=n) for n, ms in enumerate(times, start=1)]


def ended(ms: int) -> list[Event]:
    return [event("cpu_summary", 90, 0, ms * MS), event("end", 91, 0, ms * MS)]


PERIOD = 1000 // HZ
LONGEST = SILENT_PERIODS * PERIOD
CLOSING = CLOSING_PERIODS * PERIOD


def test_p15_ticks_within_the_bound_are_no_violation() -> None:
    assert not list(ticks_keep_coming(trace(ticks(0, LONGEST, 2 * LONGEST) + ended(3 * LONGEST))))


def test_p15_a_silent_cpu_is_one() -> None:
    (found,) = ticks_keep_coming(trace(ticks(0, LONGEST + 1, LONGEST + 2) + ended(CLOSING)))
    assert found[0].number("n") == 2
    assert found[1] == "CPU 0 has no tick for 1001.0 ms, 1000.0 ms are allowed"


def test_p15_a_cpu_that_stops_ticking_before_the_end_is_one() -> None:
    (found,) = ticks_keep_coming(trace(ticks(0, 10) + ended(CLOSING + 11)))
    assert found[0].name == "cpu_summary"


def test_p15_says_nothing_about_the_real_clock() -> None:
    log = trace(ticks(0, 5 * LONGEST) + ended(9 * LONGEST), clock="real")
    assert not list(ticks_keep_coming(log))


def waiting(until: int, *, before: Iterable[Event] = ()) -> list[Event]:
    """Task 5 is queued beside task 4, which runs on CPU 0, and CPU 0 ticks."""
    return [
        event("enqueue", 1, 0, task=4, rq=0, prio=120),
        event("switch", 2, 0, prev=0, next=4),
        event("enqueue", 3, 1, task=5, rq=0, prio=139),
        *before,
        *(event("tick", 3 + n, 0, n=n) for n in range(1, until + 1)),
    ]


BOUND = int(2 * 1.8 * HZ)
"""Ticks that two tasks may take for a turn."""


def test_p9_a_task_may_wait_for_a_turn_of_the_arrays() -> None:
    assert not list(nobody_starves(trace(waiting(BOUND))))


def test_p9_a_task_that_waits_longer_starves() -> None:
    (found,) = nobody_starves(trace(waiting(BOUND + 1)))
    assert found[1] == "task 5 waits for CPU 0 for 361 ticks, 360 are allowed for 2 tasks"


def test_p9_a_task_that_runs_or_leaves_meanwhile_does_not() -> None:
    for went in (
        [event("switch", 500, 0, prev=4, next=5), event("switch", 501, 0, prev=5, next=4)],
        [event("dequeue", 500, 1, task=5, rq=0)],
    ):
        more = [event("tick", 600 + n, 0, n=BOUND - 10 + n) for n in range(1, 30)]
        assert not list(nobody_starves(trace([*waiting(BOUND - 10), *went, *more])))


def test_p9_time_beside_a_real_time_task_does_not_count() -> None:
    fifo = event("enqueue", 4, 0, task=6, rq=0, prio=50)
    assert not list(nobody_starves(trace(waiting(4 * BOUND, before=[fifo]))))


def test_p9_is_about_policy_o1() -> None:
    assert not list(nobody_starves(trace(waiting(4 * BOUND), policy="none")))
