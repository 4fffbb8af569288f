"""The project's own guest, from the first instruction to the verdict, on every sort of machine."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from harness.boot import Run
from harness.pytest_plugin import Booter
from tests.boot import PATIENT

TICKS = 10  # what each CPU takes at least, unless told otherwise


def assert_everyone_was_there(run: Run, ticks: int) -> None:
    """Every CPU came up, ticked as often as asked, and handed in its totals."""
    assert run.outcome == "pass", run.verdict
    everyone = set(range(run.config.cpus))
    (found,) = run.trace.of("cpus_found")
    assert (found.word("source"), found.number("count")) == ("madt", run.config.cpus)
    assert {event.cpu for event in run.trace.of("cpu_online")} == everyone
    assert {event.cpu for event in run.trace.of("cpu_summary")} == everyone
    for summary in run.trace.of("cpu_summary"):
        assert summary.number("ticks") >= ticks, f"CPU {summary.cpu}"


@pytest.mark.parametrize("clock", ["virtual", "real"])
@pytest.mark.parametrize("cpus", [1, 2, 4, 8, 16])
def test_every_cpu_comes_up_ticks_and_reaches_every_other(
    boot: Booter, cpus: int, clock: str
) -> None:
    run = boot(cpus=cpus, clock=clock, **PATIENT)
    assert_everyone_was_there(run, TICKS)
    measured = list(run.trace.of("ipi_latency"))
    assert all(event.number("ns") > 0 for event in measured)
    pairs = set(permutations(range(cpus), 2))
    assert {(event.cpu, event.number("to")) for event in measured} == pairs
    if clock == "virtual":  # whether a CPU halts in time is up to the host otherwise
        # The boot CPU never halts there: somebody has to make the time pass. The first ones that it
        # interrupts may still halt from before, when all are to poll.
        due = {(sender, to) for sender, to in pairs if to != 0}
        halted = reached(run, halted=True)
        assert halted <= due
        last = {(event.cpu, event.number("to")): event for event in measured}
        assert all(has_just_ticked(run, pair[1], last[pair].ns) for pair in due - halted)
        assert reached(run, halted=False) >= {(sender, to) for sender, to in pairs if sender != 0}


def test_64_cpus_reach_each_other(boot: Booter) -> None:
    run = boot(cpus=64, clock="virtual", hz=100, ticks=2, selftest="ipi", **PATIENT)
    assert_everyone_was_there(run, ticks=2)
    assert reached(run, halted=True) == {
        (sender, to) for sender, to in permutations(range(64), 2) if to != 0
    }


def has_just_ticked(run: Run, cpu: int, ns: int) -> bool:
    """Whether a CPU cannot have halted again by then."""
    return any(event.cpu == cpu and 0 < ns - event.ns < 50_000 for event in run.trace.of("tick"))


def reached(run: Run, *, halted: bool) -> set[tuple[int, int]]:
    """Who interrupted whom, of those that were halted, or were not."""
    return {
        (event.cpu, event.number("to"))
        for event in run.trace.of("ipi_latency")
        if event.number("halted") == halted
    }


@pytest.mark.parametrize(
    ("cpus", "machine", "clock"),
    [
        (64, "microvm", "virtual"),
        (64, "q35", "virtual"),
        (64, "microvm", "real"),
        (255, "microvm", "virtual"),
        (255, "q35", "virtual"),
    ],
)
def test_many_cpus_come_up_and_tick(boot: Booter, cpus: int, machine: str, clock: str) -> None:
    """Without the self-tests, some of which take the square of the number of CPUs."""
    run = boot(cpus=cpus, machine=machine, clock=clock, hz=100, ticks=2, selftest="none", **PATIENT)
    assert_everyone_was_there(run, ticks=2)
    assert {event.number("apic") for event in run.trace.of("cpu_online")} == set(range(cpus))


@pytest.mark.parametrize("clock", ["virtual", "real"])
@pytest.mark.parametrize("machine", ["microvm", "q35", "pc"])
def test_every_machine_type_boots(boot: Booter, machine: str, clock: str) -> None:
    run = boot(cpus=4, machine=machine, clock=clock, **PATIENT)
    assert_everyone_was_there(run, TICKS)


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_the_guests_own_tests(boot: Booter, selftests: Callable[[Run], None], clock: str) -> None:
    run = boot(selftest="all", clock=clock, **PATIENT)
    selftests(run)
    assert {"cpus", "exceptions", "lapic", "timer", "ipi", "lock", "switch"} <= {
        result.path for result in run.ktap.results
    }


def test_one_self_test_can_be_asked_for(boot: Booter) -> None:
    run = boot(selftest="lock")
    assert run.outcome == "pass", run.verdict
    assert [result.path for result in run.ktap.results] == ["lock"]


def test_a_guest_without_self_tests_still_passes(boot: Booter) -> None:
    run = boot(selftest="none")
    assert run.outcome == "pass", run.verdict
    assert not run.ktap.present


@pytest.mark.parametrize("ticks", [1, 37])
def test_each_cpu_takes_the_ticks_it_was_asked_for(boot: Booter, ticks: int) -> None:
    run = boot(cpus=2, ticks=ticks, selftest="none")
    assert_everyone_was_there(run, ticks)


@pytest.mark.parametrize("hz", [100, 250, 1000])
def test_ticks_come_at_the_rate_asked_for(boot: Booter, hz: int) -> None:
    run = boot(cpus=2, clock="virtual", hz=hz, ticks=20, selftest="none")
    assert run.outcome == "pass", run.verdict
    for cpu in range(2):
        times = [event.ns for event in run.trace.of("tick") if event.cpu == cpu]
        mean = (times[-1] - times[0]) / (len(times) - 1)
        assert mean == pytest.approx(1e9 / hz, rel=0.002)
    (timer,) = run.trace.of("timer")
    # QEMU's local APIC counts nanoseconds; the guest divides them by 16.
    assert timer.number("lapic_khz") == pytest.approx(62_500, rel=0.001)
    assert timer.number("count") == pytest.approx(62_500_000 / hz, rel=0.001)


@pytest.mark.parametrize(("cpus", "repeats"), [(4, 20), (8, 5)])
def test_the_virtual_clock_repeats_a_run_byte_for_byte(
    boot: Booter, cpus: int, repeats: int
) -> None:
    first = boot(cpus=cpus, clock="virtual", seed=1, **PATIENT)
    assert first.outcome == "pass", first.verdict
    for number in range(1, repeats):
        again = boot(cpus=cpus, clock="virtual", seed=1, **PATIENT)
        assert again.log == first.log, f"run {number} differs from the first"


def test_hello_says_how_the_run_was_configured(boot: Booter) -> None:
    options: dict[str, Any] = {"cpus": 2, "clock": "virtual", "hz": 500, "seed": 2**64 - 1}
    run = boot(**options)
    assert run.outcome == "pass", run.verdict
    assert run.result.lines[0].startswith(b"[SCHED] 0 0 ")
    assert run.trace.hello is not None
    said = run.trace.hello.fields
    assert said == options | {"proto": 1, "build": run.build_id, "policy": "none"}
