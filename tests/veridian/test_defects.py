"""The defects of VeridianOS's scheduler, re-created one by one, and the rule that catches each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.boot import Run
from harness.model.veridian.bugs import Bug, Decision, bugs_of
from harness.workload import Workload, load
from harness.workload.units import parse_span
from tests.veridian.workloads import CROWD, FULL, LOPSIDED, OWN, PLUGGING, SNATCHING, STANDING

README = Path(__file__).parents[2] / "guest" / "veridian" / "README.md"


@dataclass(frozen=True)
class Catch:
    """A workload that reaches a defect, and what its run comes to."""

    workload: Workload
    cpus: int
    rule: str
    """The rule that the run breaks, or the words of the guest's panic."""
    outcome: str = "violation"
    params: dict[str, str] = field(default_factory=dict)


def standard(name: str, ticks: str) -> Workload:
    """A workload of the library, for a shorter time."""
    return load(name, duration=parse_span(ticks))


LOCKED_TWICE = "spin_lock: this CPU holds the lock already"

CATCHES: dict[Bug, Catch] = {
    Bug.V01: Catch(standard("W2", "200 ticks"), 1, "V3"),
    Bug.V02: Catch(standard("W1", "60 ticks"), 1, "P17"),
    Bug.V03: Catch(standard("W1", "60 ticks"), 1, LOCKED_TWICE, "panic"),
    Bug.V05: Catch(standard("W10", "60 ticks"), 2, "V6"),
    Bug.V06: Catch(SNATCHING, 3, "fault", "panic"),
    Bug.V07: Catch(LOPSIDED, 2, "P12"),
    Bug.V08: Catch(LOPSIDED, 2, "P1"),
    Bug.V09: Catch(LOPSIDED, 2, "S8"),
    Bug.V10: Catch(CROWD, 1, "P1"),
    Bug.V11: Catch(standard("W3", "60 ticks"), 2, "V2"),
    Bug.V13: Catch(standard("W1", "60 ticks"), 1, "V3"),
    Bug.V15: Catch(PLUGGING, 2, "C1"),
    Bug.V16: Catch(PLUGGING, 2, "B7"),
    Bug.V17: Catch(standard("W9", "150 ticks"), 1, "C7"),
    Bug.V18: Catch(standard("W10", "60 ticks"), 2, "V2"),
    Bug.V19: Catch(FULL, 2, "V3"),
    Bug.V20: Catch(STANDING, 2, "V3"),
    Bug.V21: Catch(load("W3"), 2, LOCKED_TWICE, "panic"),
    Bug.V22: Catch(standard("W3", "60 ticks"), 2, "C2"),
    Bug.V24: Catch(STANDING, 2, "S6"),
    Bug.V28: Catch(standard("W1", "60 ticks"), 1, "P14"),
}
"""Which workload reaches a defect, on how many CPUs, and what catches it."""


def run_with(boot: Callable[..., Run], workload: Workload, cpus: int, **params: str | int) -> Run:
    options = {"clock": "virtual", "policy": "veridian", "timeout": 300, "quiet": 100}
    return boot(workload=workload, cpus=cpus, **options, **params)


@pytest.mark.parametrize("bug", CATCHES, ids=lambda bug: bug.name)
def test_a_defect_is_caught_by_its_rule(boot: Callable[..., Run], bug: Bug) -> None:
    catch = CATCHES[bug]
    run = run_with(boot, catch.workload, catch.cpus, bug=bug.name, **catch.params)
    assert run.outcome == catch.outcome, run.verdict
    (logged,) = run.trace.of("bugs")
    assert bugs_of(logged.number("mask")) == (bug,)
    if catch.outcome == "violation":
        broken = {str(finding).split()[1] for finding in run.verdict.findings}
        assert catch.rule in broken, run.verdict
    else:
        assert catch.rule in run.verdict.reason, run.verdict


@pytest.mark.parametrize("name", OWN)
def test_the_repaired_design_is_clean_there(boot: Callable[..., Run], name: str) -> None:
    """The same workloads as above without any defect; the standard ones are booted elsewhere."""
    workload = OWN[name]
    run = run_with(boot, workload, workload.cpus)
    assert run.outcome == "pass", run.verdict


def test_every_defect_is_decided() -> None:
    assert [bug.number for bug in Bug] == list(range(1, 30))
    on_request = {bug for bug in Bug if bug.on_request}
    assert on_request == set(CATCHES)
    assert all(bug.decision is Decision.FIXED for bug in on_request)
    rows = [line.split("|") for line in README.read_text().splitlines() if line.startswith("| V")]
    decided = {row[1].strip(): row[3].strip() for row in rows}
    assert set(decided) == {bug.name for bug in Bug}
    assert all(decided[bug.name].startswith(bug.decision.name.lower()) for bug in Bug)
