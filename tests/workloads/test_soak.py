"""A long run under the real clock loses no task and breaks no rule.

In two ways: one run that logs nothing but its totals, whose guest checks its own run queues at
every unlock; and runs with everything in their log, each decision of which is replayed.

    SOAK=1 pytest tests/workloads/test_soak.py      1,000,000 switches checked, 100,000 replayed
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from harness.boot import Run
from harness.trace.trace import Trace
from harness.workload import load
from harness.workload.model import Span, Unit
from tests.boot import PATIENT

LONG = bool(os.environ.get("SOAK"))
CHECKED_SWITCHES, CHECKED_TICKS = (1_000_000, 90_000) if LONG else (5_000, 600)
REPLAYED_SWITCHES = 100_000 if LONG else 1_000
MIGRATIONS = 0.01
"""At least so many for each switch."""
WORKLOAD = "tests/workloads/soak.yaml"


def total(trace: Trace, event: str, field: str) -> int:
    return sum(item.number(field) for item in trace.of(event))


def pulled(trace: Trace) -> int:
    return sum(total(trace, "schedstat_moves", f"{kind}_gained") for kind in "ibn")


def test_the_guest_finds_nothing_wrong_with_itself(boot: Callable[..., Run]) -> None:
    workload = replace(load(WORKLOAD), duration=Span(CHECKED_TICKS, Unit.TICKS))
    run = boot(cpus=4, clock="real", workload=workload, checked=True, loglevel=0, **PATIENT)
    assert run.outcome == "pass", run.verdict
    switches = total(run.trace, "cpu_summary", "switches")
    assert switches >= CHECKED_SWITCHES
    assert pulled(run.trace) >= MIGRATIONS * switches
    # Nobody is lost: every task of the workload has gone on running to the end.
    turns = [event.number("pcnt") for event in run.trace.of("task_summary")]
    assert sum(1 for pcnt in turns if pcnt > CHECKED_TICKS / 100) >= 26


def test_every_decision_of_many_runs_is_the_models(boot: Callable[..., Run]) -> None:
    switches = moves = 0
    for seed in count(1):
        run = boot(cpus=4, clock="real", seed=seed, workload=WORKLOAD, **PATIENT)
        assert run.outcome == "pass", run.verdict
        switches += total(run.trace, "cpu_summary", "switches")
        moves += pulled(run.trace)
        if switches >= REPLAYED_SWITCHES:
            break
    assert moves >= MIGRATIONS * switches
