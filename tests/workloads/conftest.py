"""Boots of the standard workloads, folded onto the CPUs that there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.boot import Run
from harness.workload import fold_cpus, load

BootWorkload = Callable[..., Run]


@pytest.fixture
def run_workload(boot: Callable[..., Run]) -> BootWorkload:
    """Boots a workload by name or path, folded onto fewer CPUs if it has to be; it must pass."""

    def start(name: str, cpus: int, clock: str, **options: Any) -> Run:
        workload = fold_cpus(load(name), cpus)
        run = boot(workload=workload, cpus=cpus, clock=clock, timeout=600, quiet=200, **options)
        assert run.outcome == "pass", run.verdict
        return run

    return start
