"""Long runs of policy `veridian` under the real clock, each decision of which is replayed.

SOAK=1 pytest tests/veridian/test_soak.py      100,000 switches, by both algorithms
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle

from harness.boot import Run
from harness.workload import load
from harness.workload.model import Span, Unit
from tests.boot import PATIENT

LONG = bool(os.environ.get("SOAK"))
SWITCHES, TICKS = (100_000, 2000) if LONG else (200, 200)


def test_every_decision_of_many_runs_is_the_models(boot: Callable[..., Run]) -> None:
    workload = replace(load("mixed"), duration=Span(TICKS, Unit.TICKS))
    switches = 0
    for seed, algorithm in enumerate(cycle(["rr", "priority"]), start=1):
        options = {"workload": workload, "policy": "veridian", "algorithm": algorithm}
        run = boot(cpus=4, clock="real", seed=seed, **options, **PATIENT)
        assert run.outcome == "pass", run.verdict
        switches += sum(event.number("switches") for event in run.trace.of("v_cpu"))
        if switches >= SWITCHES:
            break
    assert switches >= SWITCHES
