"""Small workloads, written where they are tested."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from harness.pytest_plugin import Booter
from harness.workload.document import parse
from tests.workload_guest.seen import Seen

RunTasks = Callable[..., Seen]

PATIENT: dict[str, Any] = {"timeout": 300.0, "quiet": 120.0}
"""Several CPUs that run at once on a small and busy host need their time."""


@pytest.fixture
def run_tasks(boot: Booter) -> RunTasks:
    """Boots the workload of a YAML text, by default on one CPU with the virtual clock; it must
    pass.
    """

    def run(text: str, cpus: int = 1, clock: str = "virtual", **options: Any) -> Seen:
        workload = parse("name: test\n" + textwrap.dedent(text))
        run = boot(workload=workload, cpus=cpus, clock=clock, **{**PATIENT, **options})
        assert run.outcome == "pass", run.verdict
        return Seen(run.trace)

    return run
