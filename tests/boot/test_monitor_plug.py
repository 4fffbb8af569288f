"""The monitor unplugs and plugs CPUs while a task computes."""

from __future__ import annotations

import pytest

from harness.pytest_plugin import Booter
from tests.boot import PATIENT
from tests.boot.test_monitor import PROMPT, ask

CPUS = 2


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_a_task_leaves_a_cpu_that_is_unplugged(boot: Booter, clock: str) -> None:
    run = boot(cpus=CPUS, clock=clock, monitor=1, selftest="none", policy="o1", **PATIENT)
    run.console.expect_exact(PROMPT)
    assert "started on CPU 1" in ask(run.console, "spawn hog 1 100000")
    assert ask(run.console, "unplug 1") == "CPU 1 is unplugged\n"
    assert " 0 runnable " in hog(ask(run.console, "ps"))
    assert "has to stay, or is unplugged already" in ask(run.console, "unplug 1")
    assert "has to stay, or is unplugged already" in ask(run.console, "unplug 0")
    assert ask(run.console, "spawn other 1") == "spawn: CPU 1 is unplugged\n"
    assert ask(run.console, "plug 1") == "CPU 1 is plugged in\n"
    assert ask(run.console, "plug 1") == "plug: CPU 1 is plugged in already\n"
    assert ask(run.console, "unplug") == "which CPU? there are 2, from 0\n"
    assert ask(run.console, "plug 2") == "which CPU? there are 2, from 0\n"
    assert "started on CPU 1" in ask(run.console, "spawn other 1 1")
    run.console.sendline("quit")
    assert run.outcome == "pass", run.verdict
    assert [event.name for event in run.trace.of("cpu_down", "cpu_dead", "cpu_up")] == [
        *("cpu_down", "cpu_dead", "cpu_up")
    ]


def hog(listing: str) -> str:
    """The line of that task."""
    (line,) = (line for line in listing.splitlines() if line.endswith(" hog"))
    return line


def test_a_policy_without_it_says_so(boot: Booter) -> None:
    run = boot(cpus=CPUS, monitor=1, selftest="none", **PATIENT)
    run.console.expect_exact(PROMPT)
    assert ask(run.console, "unplug 1") == "policy none keeps all its CPUs: boot with policy=o1\n"
    run.console.sendline("quit")
    assert run.outcome == "pass", run.verdict
