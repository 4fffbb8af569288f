"""Policy o1 under the standard workloads: what the O(1) scheduler promises, seen in the log.

Every run is also replayed against the model, as part of its verdict; here stand the promises that a
reader of the log can check without one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from harness.boot import Run
from tests.workloads.conftest import BootWorkload
from tests.workloads.schedule import (
    ACTIVE,
    EXPIRED,
    ids,
    only,
    swaps,
    ticks,
    turns,
    wake_latencies,
)

CPUS = (1, 2, 4)
CLOCKS = ("virtual", "real")
MS = 1_000_000
TIMESLICE = {-20: 800, -1: 420, 0: 100, 19: 5}


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("cpus", CPUS)
def test_equal_hogs_take_turns_of_one_slice(
    run_workload: BootWorkload, cpus: int, clock: str
) -> None:
    """W1: three hogs on CPU 0; each column a tenth of a second.

    hog/0  ##    ##    ##
    hog/1    ##    ##    ##
    hog/2      ##    ##    ##
           swap ^     ^     ^
    """
    trace = run_workload("W1", cpus, clock).trace
    hogs = ids(trace, "hog")
    rotations = list(swaps(trace, 0))
    assert len(rotations) >= 3
    for rotation in rotations:
        assert [event.number("task") for event in rotation] == hogs
        assert all(event.number("slice") == TIMESLICE[0] for event in rotation)
    used = ticks(trace)
    assert max(used[hog] for hog in hogs) - min(used[hog] for hog in hogs) <= TIMESLICE[0]


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("cpus", CPUS)
def test_nice_gives_slices_of_800_420_100_and_5(
    run_workload: BootWorkload, cpus: int, clock: str
) -> None:
    """W2: a rotation lasts 1,325 ticks, and the arrays swap only when all four have expired."""
    trace = run_workload("W2", cpus, clock).trace
    slice_of = {
        event.number("task"): TIMESLICE[event.number("nice")]
        for event in trace.of("task_new")
        if event.number("policy") == 0
    }
    assert sorted(slice_of.values()) == [5, 100, 420, 800]
    for event in trace.of("expire"):
        assert event.number("slice") == slice_of[event.number("task")]
        assert event.number("to") == EXPIRED
    rotations = list(swaps(trace, 0))
    assert rotations
    for rotation in rotations:
        assert sorted(event.number("task") for event in rotation) == sorted(slice_of)
    assert_ticks_between_expiries(trace.of("expire"), trace.of("account"), slice_of)


def assert_ticks_between_expiries(expiries: Any, accounts: Any, slice_of: dict[int, int]) -> None:
    """Between two of its expiries every task was accounted exactly one slice of ticks."""
    seqs: dict[int, list[int]] = {task: [] for task in slice_of}
    for event in expiries:
        seqs[event.number("task")].append(event.seq)
    counted = [(event.number("task"), event.seq) for event in accounts]
    for task, ends in seqs.items():
        for first, second in pairwise(ends):
            used = sum(1 for other, seq in counted if other == task and first < seq < second)
            assert used == slice_of[task]


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("cpus", CPUS)
def test_tasks_that_wake_each_other_lose_no_wakeup(
    run_workload: BootWorkload, cpus: int, clock: str
) -> None:
    """W3: wake-ups race with each other and with the target's way to sleep; all go on running."""
    trace = run_workload("W3", cpus, clock).trace
    tasks = {only(trace, name) for name in ("ping", "pong", "knock")}
    asked = Counter(event.number("task") for event in trace.of("wake"))
    assert asked.total() > 100
    switches = list(trace.of("switch"))
    assert {event.number("next") for event in switches} >= tasks
    assert sum(event.number("voluntary") for event in switches) > 30


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("cpus", CPUS)
def test_a_better_priority_preempts_and_an_equal_one_does_not(
    run_workload: BootWorkload, cpus: int, clock: str
) -> None:
    """W6: tasks at the levels around the words of the priority bitmap."""
    trace = run_workload("W6", cpus, clock).trace
    levels = {event.number("prio") for event in trace.of("pick")}
    assert levels >= {0, 63, 64, 65, 99, 100, 127, 128, 139}
    started = {event.number("task") for event in trace.of("start")}
    assert started <= {event.number("next") for event in trace.of("switch")}


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("cpus", CPUS)
def test_forks_and_exits_keep_the_books(run_workload: BootWorkload, cpus: int, clock: str) -> None:
    """W9: a child goes right before its parent, ends once, and is freed late and once."""
    trace = run_workload("W9", cpus, clock).trace
    forked = [event.number("child") for event in trace.of("fork")]
    assert len(forked) > 20
    assert len(list(trace.of("exit"))) > 20
    before_parent = {e.number("task") for e in trace.of("enqueue") if e.number("at") == 2}
    alone = {e.number("task") for e in trace.of("wake_new") if not e.number("clone_vm")}
    assert before_parent == alone
    ended: dict[int, int] = {}
    freed = 0
    for event in trace.events:
        if event.name == "exit":
            assert event.number("task") not in ended
            ended[event.number("task")] = event.ns
        elif event.name == "task_free":
            waited = event.ns - ended.pop(event.number("task"))
            freed += 1
            assert clock == "real" or waited > 98 * MS
    assert freed


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("cpus", [2, 4])
def test_a_halted_cpu_wakes_far_below_a_tick(
    run_workload: BootWorkload, cpus: int, clock: str
) -> None:
    """W10: 250 wake-ups of a task on a halted CPU, by another CPU."""
    trace = run_workload("W10", cpus, clock).trace
    latencies = wake_latencies(trace, only(trace, "sleeper"))
    # Under the real clock the host decides when a CPU runs: wake-ups may come faster than it does.
    assert len(latencies) >= (240 if clock == "virtual" else 50)
    assert clock == "real" or max(latencies) < MS // 10


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("cpus", CPUS)
def test_an_interactive_task_returns_to_the_active_array(
    run_workload: BootWorkload, cpus: int, clock: str
) -> None:
    """W11: the sleeper's slices end into the active array, the hogs' into the expired one."""
    trace = run_workload("W11", cpus, clock).trace
    interactive, hogs = only(trace, "interactive"), ids(trace, "hog")
    ends: dict[int, list[int]] = {task: [] for task in (interactive, *hogs)}
    for event in trace.of("expire"):
        ends[event.number("task")].append(event.number("to"))
    assert ACTIVE in ends[interactive]
    assert all(set(ends[hog]) == {EXPIRED} for hog in hogs)
    assert min(event.number("prio") for event in trace.of("pick")) < 120


def test_the_same_seed_gives_the_same_schedule(run_workload: BootWorkload) -> None:
    """A workload's log under the virtual clock is the same byte for byte."""
    logs = {run_workload("W3", 2, "virtual").log for _ in range(5)}
    assert len(logs) == 1


def test_turns_cover_the_time(run_workload: BootWorkload) -> None:
    """The turns on a CPU follow each other without a gap, and the hogs have nearly all of it."""
    trace = run_workload("W1", 1, "virtual").trace
    had = turns(trace, 0)
    assert all(first.end == second.start for first, second in pairwise(had))
    hogs = set(ids(trace, "hog"))
    busy = sum(turn.end - turn.start for turn in had if turn.task in hogs)
    assert busy > 0.95 * (had[-1].end - had[0].start)


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("cpus", CPUS)
def test_the_self_tests_pass_under_the_policy(
    boot: Callable[..., Run], cpus: int, clock: str
) -> None:
    """Tasks that yield to each other, alone on their CPU at the end: every kind of sched_yield."""
    run = boot(cpus=cpus, clock=clock, policy="o1", timeout=300, quiet=60)
    assert run.outcome == "pass", run.verdict
    counts = [event.number("yld_act_empty") for event in run.trace.of("schedstat")]
    assert len(counts) == cpus
    assert all(counts)


def test_locks_are_taken_in_order(run_workload: BootWorkload) -> None:
    """W8 moves tasks under two locks; with loglevel=2 the log has each of them."""
    trace = run_workload("W8", 4, "virtual", loglevel=2).trace
    assert len(list(trace.of("lock"))) == len(list(trace.of("unlock"))) > 1000
    assert any(event.number("result") == 0 for event in trace.of("migrate"))
