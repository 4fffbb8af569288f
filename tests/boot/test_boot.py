"""The project's own guest, from the first instruction to the verdict."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from harness.boot import Run
from harness.oracle.outcome import Outcome
from harness.pytest_plugin import Booter

CPUS = [1, 2, 4, 8]
TICKS = 10  # what each CPU takes at least, unless told otherwise

# Eight CPUs that run at once on a small and busy host need their time.
PATIENT: dict[str, Any] = {"timeout": 300.0, "quiet": 120.0}


@pytest.mark.parametrize("clock", ["virtual", "real"])
@pytest.mark.parametrize("cpus", CPUS)
def test_every_cpu_comes_up_ticks_and_reaches_every_other(
    boot: Booter, cpus: int, clock: str
) -> None:
    run = boot(cpus=cpus, clock=clock, **PATIENT)
    assert run.outcome == "pass", run.verdict
    everyone = set(range(cpus))
    assert {event.cpu for event in run.trace.of("cpu_online")} == everyone
    for cpu in everyone:
        assert sum(event.cpu == cpu for event in run.trace.of("tick")) >= TICKS
    measured = list(run.trace.of("ipi_latency"))
    ways = {(event.cpu, event.number("to")) for event in measured}
    assert ways == set(permutations(everyone, 2))
    if cpus > 1 and clock == "virtual":  # whether a CPU halts in time is up to the host otherwise
        assert {event.number("halted") for event in measured} == {0, 1}
    assert {event.cpu for event in run.trace.of("cpu_summary")} == everyone


@pytest.mark.parametrize("machine", ["microvm", "q35", "pc"])
def test_every_machine_type_boots(boot: Booter, machine: str) -> None:
    run = boot(cpus=4, machine=machine, **PATIENT)
    assert run.outcome == "pass", run.verdict
    (found,) = run.trace.of("cpus_found")
    assert found.number("count") == 4


@pytest.mark.parametrize(("cpus", "repeats"), [(4, 20), (8, 5)])
def test_the_virtual_clock_repeats_a_run_byte_for_byte(
    boot: Booter, cpus: int, repeats: int
) -> None:
    first = boot(cpus=cpus, clock="virtual", seed=1)
    assert first.outcome == "pass", first.verdict
    for number in range(1, repeats):
        again = boot(cpus=cpus, clock="virtual", seed=1)
        assert again.log == first.log, f"run {number} differs from the first"


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_the_guests_own_tests(boot: Booter, selftests: Callable[[Run], None], clock: str) -> None:
    run = boot(selftest="all", clock=clock, **PATIENT)
    selftests(run)
    assert {"cpus", "exceptions", "lapic", "timer", "ipi", "lock", "switch"} <= {
        result.path for result in run.ktap.results
    }


def test_a_guest_without_self_tests_still_passes(boot: Booter) -> None:
    run = boot(selftest="none")
    assert run.outcome == "pass", run.verdict
    assert not run.ktap.present


@pytest.mark.parametrize("ticks", [1, 37])
def test_each_cpu_takes_the_ticks_it_was_asked_for(boot: Booter, ticks: int) -> None:
    run = boot(cpus=2, ticks=ticks, selftest="none")
    assert run.outcome == "pass", run.verdict
    for summary in run.trace.of("cpu_summary"):
        assert summary.number("ticks") >= ticks


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_lines_never_tear_though_all_cpus_write(boot: Booter, clock: str) -> None:
    run = boot(cpus=4, clock=clock, ticks=300, ring="2k", **PATIENT)
    assert run.outcome == "pass", run.verdict
    assert len(run.trace.events) >= 4 * 300


@pytest.mark.parametrize(
    ("params", "named"),
    [({"colour": "red"}, "colour"), ({"policy": "fair"}, "policy"), ({"ticks": "many"}, "ticks")],
)
def test_a_wrong_boot_parameter_is_refused_by_name(
    boot: Booter, params: dict[str, Any], named: str
) -> None:
    run = boot(**params)
    assert run.outcome is Outcome.FAIL, run.verdict
    assert "the guest refused: " in run.verdict.reason
    assert named in run.verdict.reason
    assert run.result.status == 39


def test_a_cpu_that_is_missing_is_refused(boot: Booter) -> None:
    run = boot(cpus=4, extra_args=["-smp", "3"])
    assert run.outcome is Outcome.FAIL, run.verdict
    assert "the guest refused: " in run.verdict.reason


def test_the_monitor_answers_beside_the_log(boot: Booter) -> None:
    with boot(monitor=1, selftest="none") as run:
        console = run.console
        console.expect_exact("sched> ")
        console.sendline("help")
        console.expect_exact("spawn")
        console.expect_exact("sched> ")
        console.sendline("ps")
        console.expect_exact("TASK")
        console.expect_exact("sched> ")
        console.sendline("spawn hog 1 5")
        console.expect(r"task \d+ started on CPU 1")
        console.expect_exact("sched> ")
        console.sendline("quit")
        assert run.outcome == "pass", run.verdict
    assert "TASK" in run.text
