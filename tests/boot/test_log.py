"""The log of the real guest under pressure: no line torn, none lost, or all losses counted."""

from __future__ import annotations

from itertools import pairwise

import pytest

from harness.boot import Run
from harness.oracle.outcome import Outcome
from harness.pytest_plugin import Booter
from harness.trace.damage import DamageKind
from tests.boot import PATIENT

CPUS = 4
MARKS = 2000  # each CPU, all at the same time


def marks(run: Run, cpu: int) -> list[int]:
    """The numbered marks that a CPU logged, in their order."""
    return [event.number("n") for event in run.trace.of("mark") if event.cpu == cpu]


@pytest.mark.parametrize("ring", ["2k", "8k", "512k"])
@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_a_flood_from_all_cpus_loses_and_tears_nothing(boot: Booter, clock: str, ring: str) -> None:
    run = boot(cpus=CPUS, clock=clock, flood=MARKS, ring=ring, selftest="none", **PATIENT)
    assert run.outcome == "pass", run.verdict
    for cpu in range(CPUS):
        assert marks(run, cpu) == list(range(1, MARKS + 1))


def test_marks_are_numbered_while_all_cpus_log(boot: Booter) -> None:
    """Events of different CPUs alternate, so the flood is one of all CPUs at once."""
    run = boot(cpus=CPUS, clock="virtual", flood=MARKS, ring="2k", selftest="none", **PATIENT)
    order = [event.cpu for event in run.trace.of("mark")]
    changes = sum(before != after for before, after in pairwise(order))
    assert changes > 10 * CPUS


def test_lines_stay_whole_while_ticks_interrupt_the_writers(boot: Booter) -> None:
    run = boot(cpus=CPUS, clock="real", ticks=300, ring="2k", **PATIENT)
    assert run.outcome == "pass", run.verdict
    assert len(list(run.trace.of("tick"))) >= CPUS * 300


def test_what_a_full_ring_drops_is_counted(boot: Booter) -> None:
    run = boot(
        cpus=1, clock="virtual", flood=MARKS, ring="2k", ring_full="drop", selftest="none", hz=100
    )
    assert run.outcome is Outcome.LOST_LOG, run.verdict
    assert run.result.status == 33, "the guest itself finds nothing wrong"
    assert set(run.trace.damage_counts) == {DamageKind.DROPPED}
    assert run.trace.end is not None
    dropped = run.trace.end.number("dropped")
    (summary,) = run.trace.of("cpu_summary")
    ticks = summary.number("ticks") - len(list(run.trace.of("tick")))
    assert dropped == MARKS - len(marks(run, 0)) + ticks
    assert dropped > 0
    assert f"the guest dropped {dropped} events" in run.verdict.reason


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_dropping_is_counted_on_all_cpus(boot: Booter, clock: str) -> None:
    run = boot(cpus=CPUS, clock=clock, flood=MARKS, ring="2k", ring_full="drop", **PATIENT)
    assert run.outcome is Outcome.LOST_LOG, run.verdict
    assert set(run.trace.damage_counts) == {DamageKind.DROPPED}
    assert run.trace.end is not None
    lost = CPUS * MARKS - len(list(run.trace.of("mark")))
    assert run.trace.end.number("dropped") >= lost > 0


def test_the_frame_of_the_log_remains_at_the_lowest_level(boot: Booter) -> None:
    run = boot(cpus=2, loglevel=0)
    assert run.outcome == "pass", run.verdict
    names = {event.name for event in run.trace.events}
    assert {"hello", "cpu_online", "cpu_summary", "end"} <= names
    assert not names & {"tick", "switch", "ipi_send"}
