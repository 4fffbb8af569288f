"""The monitor unplugs and plugs CPUs while a task computes."""

from __future__ import annotations

import re

import pytest

from harness.pytest_plugin import Booter
from tests.boot import PATIENT
from tests.boot.test_monitor import PROMPT, ask

CPUS = 2


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_a_task_leaves_a_cpu_that_is_unplugged(boot: Booter, clock: str) -> None:
    run = boot(cpus=CPUS, clock=clock, monitor=1, selftest="none", policy="o1", **PATIENT)
    run.console.expect_exact(PROMPT)
    found = re.search(r"task (\d+) started on CPU 1", ask(run.console, "spawn hog 1 1500"))
    assert found is not None
    # On CPU 0 the task keeps the monitor, which is the idle task, from answering before it ends.
    assert ask(run.console, "unplug 1") == "CPU 1 is unplugged\n"
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
    trace, hog = run.trace, int(found[1])
    changes = [event.name for event in trace.of("cpu_down", "cpu_dead", "cpu_up")]
    assert changes == ["cpu_down", "cpu_dead", "cpu_up"]
    # Drained, or taken by CPU 0 while the migration thread that was to drain it ran. Under the real
    # clock it may have been taken before it ran at all, or have ended before.
    # Its number may be another task's afterwards.
    ended = next(event.seq for event in trace.of("exit") if event.number("task") == hog)
    (down,) = (event.seq for event in trace.of("cpu_down"))
    turns = [
        event.cpu
        for event in trace.of("switch")
        if event.number("next") == hog and event.seq < ended
    ]
    assert turns[0] == 1 or clock == "real"
    assert turns[-1] == 0 or (clock == "real" and ended < down)


def test_a_policy_without_it_says_so(boot: Booter) -> None:
    run = boot(cpus=CPUS, monitor=1, selftest="none", **PATIENT)
    run.console.expect_exact(PROMPT)
    assert ask(run.console, "unplug 1") == "policy none keeps all its CPUs: boot with policy=o1\n"
    run.console.sendline("quit")
    assert run.outcome == "pass", run.verdict
