"""Policy veridian under the standard workloads: what its design promises, seen in the log.

Every run is also replayed against the model, as part of its verdict; here stand the promises that a
reader of the log can check without one. What each re-created defect comes to is test_defects.py's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache

import pytest

from harness.boot import Run
from harness.boot import boot as boot_guest
from harness.trace.grammar import Event
from harness.workload import Workload, load
from harness.workload.document import parse
from harness.workload.units import parse_span
from tests.veridian.workloads import OWN

BootFunction = Callable[..., Run]

WORKLOADS = [
    ("W1", 1),
    ("W2", 2),
    ("W4", 4),
    ("W5", 4),
    ("W8", 2),
    ("W9", 4),
    ("lopsided", 2),
]
"""Each with a number of CPUs."""

SLICE = 10
DEAD = 32
MESSAGES = [
    "Initializing scheduler with bootstrap task...",
    "Scheduler initialized with bootstrap task",
    "x86_64 timer configured for preemptive scheduling",
    "Starting scheduler execution",
    "Entering idle loop",
]
NOT_RECREATED = ("V04", "V12", "V14", "V23", "V25", "V26", "V27", "V29")


STEALING = parse(
    """
name: stealing
duration: 60 ticks
cpus: 2
tasks:
  hog:
    count: 5
    start_cpu: 0
    program: [forever: [run: 10 ticks]]
  napper:
    start_cpu: 1
    program: [forever: [run: 300us, sleep: 2 ticks]]
"""
)

FIXED: Mapping[str, Workload] = {**OWN, STEALING.name: STEALING}
"""Workloads that are not the library's, by name."""


@cache
def run_of(name: str, cpus: int, clock: str = "virtual", algorithm: str = "priority") -> Run:
    """One run for all tests that look at the same one."""
    workload = FIXED[name] if name in FIXED else load(name, duration=parse_span("200 ticks"))
    run = boot_guest(
        workload=workload,
        cpus=cpus,
        clock=clock,
        policy="veridian",
        algorithm=algorithm,
        timeout=300,
        quiet=100,
    )
    assert run.outcome == "pass", run.verdict
    return run


def events(run: Run, name: str) -> list[Event]:
    return list(run.trace.of(name))


def notes(run: Run) -> list[str]:
    """The scheduler's messages, in the order in which they were written."""
    return [note.text.removeprefix("[SCHED] ") for note in run.trace.notes]


def totals(run: Run) -> Counter[str]:
    """The sums of all CPUs' counters."""
    sums: Counter[str] = Counter()
    for event in events(run, "v_cpu"):
        sums.update({key: int(value) for key, value in event.fields.items()})
    return sums


@pytest.mark.parametrize(("name", "cpus"), WORKLOADS)
def test_workloads_run_to_their_end(name: str, cpus: int) -> None:
    run = run_of(name, cpus)
    assert run.result.status == 33
    started = [e for e in events(run, "task_new") if not e.word("name").startswith("starter")]
    assert started


@pytest.mark.parametrize("name", ["W3", "W8"])
def test_under_the_real_clock_too(name: str) -> None:
    run = run_of(name, 2, clock="real")
    assert events(run, "v_wake" if name == "W3" else "v_set_cpus")


@pytest.mark.parametrize(("name", "cpus"), WORKLOADS)
def test_metrics_add_up(name: str, cpus: int) -> None:
    """Counters of the CPUs, totals of the tasks, the events, and the lines in words: all agree."""
    run = run_of(name, cpus)
    sums = totals(run)
    switches = events(run, "switch")
    assert len(events(run, "v_cpu")) == cpus
    assert sums["calls"] == len(events(run, "v_schedule"))
    assert sums["switches"] == len(switches)
    assert sums["voluntary"] == sum(event.number("voluntary") for event in switches)
    assert sums["ipis"] == sum(event.number("ipi") for event in events(run, "v_kick"))
    moved = sum(event.number("moved") for event in events(run, "v_migrated"))
    placed = sum(event.number("migrated") for event in events(run, "v_place"))
    assert sums["migrations"] == moved + placed
    words = "\n".join(notes(run))
    assert f"Context switches: {sums['switches']}, {sums['voluntary']} of them voluntary" in words
    assert f"Load balances: {sums['balances']}, task migrations: {sums['migrations']}" in words
    assert f"IPC blocks: {sums['blocks']}, wakeups: {sums['wakeups']}" in words


@pytest.mark.parametrize(("name", "cpus"), WORKLOADS)
def test_migrations_of_tasks_add_up_to_those_of_cpus(name: str, cpus: int) -> None:
    run = run_of(name, cpus)
    of_tasks = sum(event.number("migrations") for event in events(run, "v_task"))
    assert of_tasks == totals(run)["migrations"]


def test_the_originals_words_at_its_start() -> None:
    run = run_of("W1", 1)
    found = notes(run)
    assert found[: len(MESSAGES)] == MESSAGES
    first = events(run, "switch")[0].number("next")
    assert found[len(MESSAGES)] == f"DISPATCH_FIRST pid={first:#x}"


def test_balancing_is_announced_when_it_moves_tasks() -> None:
    run = run_of("lopsided", 2)
    found = Counter(notes(run))
    moves = [event for event in events(run, "v_migrated") if event.number("moved")]
    assert moves
    assert found["Load balancing: migrating tasks"] == len(moves)
    assert found["Successfully migrated tasks"] == len(moves)
    assert totals(run)["balances"] == len(moves)


def test_balancing_leaves_a_difference_of_two() -> None:
    """Ten hogs of CPU 0, four of them pinned there, end as six and four, or as five and five."""
    run = run_of("lopsided", 2)
    last = events(run, "v_balanced")[-1]
    assert last.number("count") == 0
    assert last.number("max") - last.number("min") <= 20


def test_sixteen_hogs_of_one_cpu_spread_over_four() -> None:
    """W4: differences of more than two tasks do not last."""
    run = run_of("W4", 4)
    homes = {e.number("task"): e.number("rq") for e in events(run, "start")}
    hogs = {e.number("task") for e in events(run, "task_new") if e.word("name").startswith("hog")}
    for event in events(run, "v_enqueue"):
        homes[event.number("task")] = event.number("rq")
    counts = Counter(homes[hog] for hog in hogs)
    assert sorted(counts) == [0, 1, 2, 3]
    assert max(counts.values()) - min(counts.values()) <= 2


def test_equal_hogs_take_turns_of_one_slice() -> None:
    """W1: every hog runs ten ticks, then the next in turn; no two of them get far apart."""
    run = run_of("W1", 1)
    hogs = sorted(
        e.number("task") for e in events(run, "task_new") if e.word("name").startswith("hog")
    )
    ticks = Counter(e.number("task") for e in events(run, "v_tick"))
    assert max(ticks[hog] for hog in hogs) - min(ticks[hog] for hog in hogs) <= SLICE
    order = [e.number("next") for e in events(run, "switch") if e.number("next") in hogs]
    assert order[: 3 * len(hogs)] == hogs * 3


def test_dead_tasks_are_cleaned_up_after_100_ticks() -> None:
    run = run_of("W9", 4)
    ended: dict[int, int] = {}
    freed = 0
    for event in run.trace.events:
        if event.name == "v_schedule" and event.number("state") == DEAD:
            assert event.number("task") not in ended
            ended[event.number("task")] = event.number("jiffies")
        elif event.name == "task_free":
            assert event.number("jiffies") - ended.pop(event.number("task")) >= 100
            freed += 1
    assert freed
    assert Counter(notes(run))["Cleaned up dead task"] == freed


def test_round_robin_steals() -> None:
    """CPU 1 would idle whenever its only task sleeps, while four wait on CPU 0."""
    run = run_of("stealing", 2, algorithm="rr")
    assert {event.number("algorithm") for event in events(run, "v_pick")} == {0}
    assert any(event.number("rq") >= 0 for event in events(run, "v_victim"))


def test_a_run_without_defects_logs_none() -> None:
    assert not events(run_of("W1", 1), "bugs")


@pytest.mark.parametrize("bug", NOT_RECREATED)
def test_a_defect_that_cannot_be_recreated_is_refused_by_name(boot: BootFunction, bug: str) -> None:
    run = boot(policy="veridian", cpus=1, clock="virtual", bug=bug)
    assert run.result.status == 39
    assert re.search(rf"^REFUSED boot parameter bug={bug}: expected one of V01 ", run.text, re.M)


def test_an_unknown_algorithm_is_refused(boot: BootFunction) -> None:
    run = boot(policy="veridian", cpus=1, clock="virtual", algorithm="cfs")
    assert run.result.status == 39
    assert "REFUSED boot parameter algorithm=cfs: expected one of rr priority" in run.text


def test_more_cpus_than_a_mask_has_bits_are_refused(boot: BootFunction) -> None:
    run = boot(policy="veridian", cpus=65, clock="virtual", hz=100, memory_mib=256)
    assert "REFUSED policy=veridian: it schedules up to 64 CPUs, there are 65" in run.text


def test_self_tests_pass_on_this_policy(boot: BootFunction) -> None:
    run = boot(policy="veridian", cpus=2, clock="virtual", selftest="all")
    assert run.outcome == "pass", run.verdict
    assert "ok 7 switch" in run.text
