"""Policy o1 spreads tasks over CPUs as 2.6.11 does.

Every decision of every run is replayed against the model: who was found busiest and why, who was
moved in which order, who was passed over. Conservation, affinity and the identities of the
statistics are part of that verdict. Here stand the promises that a reader can check without one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from harness.trace.trace import Trace
from tests.workloads.conftest import BootWorkload
from tests.workloads.loads import attempts, lengths, settled
from tests.workloads.schedule import ids

CLOCKS = ("virtual", "real")
FULL = bool(os.environ.get("MATRIX"))
NEWLY_IDLE = 2

MACHINES: dict[str, dict[str, Any]] = {
    "1": {"cpus": 1},
    "2": {"cpus": 2},
    "4": {"cpus": 4},
    "8": {"cpus": 8, "hz": 500},
    "2x2": {"cpus": 4, "topology": "2x2"},
    "2x2x2": {"cpus": 8, "topology": "2x2x2", "hz": 500},
}
"""Flat machines by their CPUs; sockets x cores; sockets x cores x threads."""
NODES = {"cpus": 4, "topology": "nodes=2,sockets=1,cores=2", "machine": "q35"}
"""Balancing between nodes begins with shorter intervals than it keeps."""


def pulled(trace: Trace) -> int:
    return sum(event.number("nr") for event in trace.of("moved"))


def matrix() -> Iterator[tuple[str, str, str]]:
    """Workload, machine, clock. Eight CPUs at once take a small host minutes: MATRIX=1 has all."""
    for name in ("W4", "W5", "W5-all", "W7", "W8", "mixed"):
        for machine, clock in product(MACHINES, CLOCKS):
            eight = MACHINES[machine]["cpus"] == 8
            slow = eight and (clock == "real" or name == "W5-all")
            if FULL or not slow or (name == "W4" and machine == "8"):
                yield name, machine, clock


@pytest.mark.parametrize(("name", "machine", "clock"), list(matrix()))
def test_every_decision_is_the_models(
    run_workload: BootWorkload, name: str, machine: str, clock: str
) -> None:
    trace = run_workload(name, clock=clock, **MACHINES[machine]).trace
    assert len(list(trace.of("schedule"))) >= 10
    if machine != "1" and name in ("W4", "W5", "mixed"):
        assert pulled(trace)


@pytest.mark.parametrize("machine", ["2", "4", "8", "2x2", "2x2x2", "nodes"])
def test_hogs_of_one_cpu_end_up_everywhere(run_workload: BootWorkload, machine: str) -> None:
    """W4: sixteen hogs start on CPU 0. Nobody is idle and nobody has a crowd in the end."""
    options = NODES if machine == "nodes" else MACHINES[machine]
    trace = run_workload("W4", clock="virtual", **options).trace
    *_, (_, count) = lengths(trace)
    assert sum(count) == 16
    assert min(count) >= 1
    assert max(count) <= 16 // len(count) * 2


def test_two_cpus_converge_and_stay(run_workload: BootWorkload) -> None:
    """W4 on two CPUs: from 16 and 0 to a difference that 2.6.11 leaves alone, for good."""
    trace = run_workload("W4", 2, "virtual").trace
    last_unsettled = 0
    final = [0, 0]
    for event, count in lengths(trace):
        final = list(count)
        if not settled(max(count), min(count)):
            last_unsettled = event.ns
    assert settled(max(final), min(final))
    assert trace.end is not None
    assert last_unsettled < trace.end.ns / 2


def test_pinned_hogs_stay_and_the_others_go(run_workload: BootWorkload) -> None:
    """W5: eight pinned to CPU 0, eight free."""
    trace = run_workload("W5", 4, "virtual").trace
    pinned = set(ids(trace, "pinned"))
    moved = {event.number("task") for event in trace.of("pull")}
    assert not moved & pinned
    assert len(moved) >= 6
    kept = {event.number("task") for event in trace.of("skip") if event.number("why") == 2}
    assert kept == pinned


def test_a_cpu_without_work_takes_some_before_it_idles(run_workload: BootWorkload) -> None:
    """W7: workers block at different times on different CPUs."""
    trace = run_workload("W7", 4, "virtual").trace
    newly_idle = [a for a in attempts(trace) if a.begin.number("type") == NEWLY_IDLE]
    assert any(attempt.moved for attempt in newly_idle)
    assert any(not attempt.moved for attempt in newly_idle)


def test_a_task_that_ran_just_now_stays(run_workload: BootWorkload) -> None:
    """In the mixed load tasks are passed over because they run, and because they ran just now."""
    trace = run_workload("mixed", 4, "virtual").trace
    assert {event.number("why") for event in trace.of("skip")} >= {1, 3}
