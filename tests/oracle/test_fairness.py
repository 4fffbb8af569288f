"""Who gets how much: each rule holds for a fair log and is broken by an unfair one."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from harness.model.domain import flat
from harness.oracle.fairness import balancing_settles, hogs_share_alike
from harness.oracle.rules import RULES
from harness.oracle.verdict import judge
from harness.trace.grammar import Event
from harness.trace.trace import Trace
from tests.oracle.runs import busy_run, unbalanced_run
from tests.trace.logs import event

Events = list[Event]


def trace(events: Iterable[Event], policy: str = "o1", clock: str = "virtual") -> Trace:
    first = event("hello", 0, policy=policy, cpus=4, hz=1000, clock=clock)
    return Trace((first, *(e._replace(seq=seq) for seq, e in enumerate(events, 1))))


def test_both_rules_are_part_of_every_verdict() -> None:
    checks = {rule.name.split()[0]: rule.check for rule in RULES}
    assert (checks["P13"], checks["P17"]) == (balancing_settles, hogs_share_alike)
    verdict = judge(trace([*hogs(0, 0, 0), *moves(0, 1, 6), *moves(1, 0, 5)]))
    assert any("P13 balancing" in str(finding) for finding in verdict.findings), verdict


def hogs(*cpus: int) -> Events:
    """Tasks 4, 5, ... on these CPUs."""
    return [
        made
        for task, cpu in enumerate(cpus, 4)
        for made in (
            event("task_new", 0, cpu, task=task, name="hog", cpu=cpu, policy=0, nice=0),
            event("enqueue", 0, cpu, task=task, rq=cpu, prio=120),
        )
    ]


def moves(src: int, dst: int, *tasks: int) -> Events:
    """An attempt at balancing by the CPU that they come to."""
    pulled = [
        e
        for task in tasks
        for e in (
            event("pull", 0, dst, task=task),
            event("dequeue", 0, dst, task=task, rq=src),
            event("enqueue", 0, dst, task=task, rq=dst),
        )
    ]
    moved = event("moved", 0, dst, nr=len(tasks))
    return [event("move", 0, dst, src=src, dst=dst), *pulled, moved]


def test_p13_balancing_that_settles_is_none() -> None:
    log = [*hogs(0, 0, 0, 0), *moves(0, 1, 7), *moves(0, 2), *moves(0, 2, 6), *moves(1, 0)]
    assert not list(balancing_settles(trace(log)))


def test_p13_a_task_that_is_carried_back_is_one() -> None:
    (found,) = balancing_settles(trace([*hogs(0, 0, 0), *moves(0, 1, 6), *moves(1, 0, 6)]))
    assert found[0].name == "moved"
    words = "as many tasks are on each CPU as once before, now that CPU 1 gives CPU 0 some"
    assert found[1] == words


def test_p13_so_is_another_one_in_its_place_and_a_way_round() -> None:
    circle = [*moves(0, 1, 6), *moves(1, 2, 6), *moves(2, 0, 6)]
    for back in ([*moves(0, 1, 6, 5), *moves(1, 0, 5), *moves(1, 0, 6)], circle):
        assert len(list(balancing_settles(trace([*hogs(0, 0, 0), *back])))) == 1


@pytest.mark.parametrize(
    "meanwhile",
    [
        event("activate", 0, 2, task=9, rq=2),
        event("wake_new", 0, 2, task=9, rq=2),
        event("schedule", 0, 0, task=4, state=1),
        event("set_cpus", 0, 0, task=6, allowed=1),
        event("cpu_down", 0, 1, rq=1),
    ],
    ids=lambda e: str(e.name),
)
def test_p13_what_happens_meanwhile_is_a_reason(meanwhile: Event) -> None:
    log = [*hogs(0, 0, 0), *moves(0, 1, 6), meanwhile, *moves(1, 0, 6)]
    assert not list(balancing_settles(trace(log)))


def test_p13_a_pass_of_schedule_that_takes_nobody_off_is_no_reason() -> None:
    for stays in ({"state": 0}, {"state": 1, "preempt": 1}):
        pass_ = event("schedule", 0, 0, task=4, **stays)
        log = [*hogs(0, 0, 0), *moves(0, 1, 6), pass_, *moves(1, 0, 6)]
        assert len(list(balancing_settles(trace(log)))) == 1


SLICE = 100
SWAP = event("swap", 0, 0, rq=0)


def turn(ticks: dict[int, int], *, slice: int = SLICE, to: int = 1) -> Events:
    """Tasks run on CPU 0 for so many ticks each and expire, and the arrays change places."""
    log = [
        e
        for task, number in ticks.items()
        for e in (
            *(event("account", 0, 0, task=task) for _ in range(number)),
            event("dequeue", 0, 0, task=task, rq=0),
            event("expire", 0, 0, task=task, to=to, slice=slice),
            event("enqueue", 0, 0, task=task, rq=0, array=to),
        )
    ]
    return [*log, SWAP]


EQUAL = {4: SLICE, 5: SLICE}


def unequal(by: int) -> Events:
    """Two turns in which task 5 gets more."""
    return [SWAP, *turn(EQUAL), *turn({4: SLICE, 5: SLICE + by})]


def test_p17_equal_shares_are_fair() -> None:
    log = [*hogs(0, 0), *turn({4: 3, 5: 90}), *turn(EQUAL), *turn(EQUAL)]
    assert not list(hogs_share_alike(trace(log)))
    assert not list(hogs_share_alike(trace([*hogs(0, 0), *unequal(SLICE)])))


def test_p17_more_than_a_slice_more_is_not() -> None:
    (found,) = hogs_share_alike(trace([*hogs(0, 0), *unequal(SLICE + 1)]))
    assert found[0].name == "swap"
    words = "task 5 gets 301 ticks on CPU 0, task 4 200, in 2 turns of slices of 100"
    assert found[1] == words


def test_p17_a_little_in_each_turn_adds_up() -> None:
    log = [*hogs(0, 0), SWAP, *(e for _ in range(12) for e in turn({4: SLICE, 5: SLICE - 9}))]
    assert len(list(hogs_share_alike(trace(log)))) == 1


def test_p17_one_that_is_passed_over_is_noticed() -> None:
    log = [*hogs(0, 0), SWAP, *turn(EQUAL), *turn({5: SLICE}), *turn({5: SLICE})]
    assert len(list(hogs_share_alike(trace(log)))) == 1


@pytest.mark.parametrize(
    "meanwhile",
    [
        event("schedule", 0, 0, task=4, state=1),
        event("yield", 0, 0, task=4),
        event("pull", 0, 1, task=4),
        event("set_nice", 0, 0, task=4, rq=0, nice=5),
        event("set_policy", 0, 0, task=4, rq=0, policy=1, rt_priority=5),
        event("fork", 0, 0, task=4, child=9),
        event("exit", 0, 0, task=9, parent=4),
        event("expire", 0, 0, task=4, to=0, slice=SLICE),
    ],
    ids=lambda e: str(e.name),
)
def test_p17_who_is_away_or_another_one_meanwhile_does_not_count(meanwhile: Event) -> None:
    log = [*hogs(0, 0), SWAP, *turn(EQUAL), meanwhile, *turn({4: SLICE, 5: 3 * SLICE})]
    assert not list(hogs_share_alike(trace(log)))


def test_p17_only_equals_are_compared() -> None:
    nicer = event("set_nice", 0, 0, task=5, rq=0, nice=-5)
    log = [*hogs(0, 0), nicer, SWAP, *turn({4: SLICE, 5: 8 * SLICE}), *turn(EQUAL)]
    assert not list(hogs_share_alike(trace(log)))


def test_p13_a_host_that_stops_cpus_leaves_balancing_outdated_loads() -> None:
    log = [*hogs(0, 0, 0), *moves(0, 1, 6), *moves(1, 0, 6)]
    assert not list(balancing_settles(trace(log, clock="real")))


def test_the_model_is_fair() -> None:
    for machine in (busy_run(2), unbalanced_run(flat(4))):
        log = machine.finish()
        assert not [*balancing_settles(log), *hogs_share_alike(log)]


def test_the_rules_are_about_policy_o1() -> None:
    log = trace([*hogs(0, 0, 0), *moves(0, 1, 6), *moves(1, 0, 6), *unequal(999)], "none")
    assert not [*balancing_settles(log), *hogs_share_alike(log)]
