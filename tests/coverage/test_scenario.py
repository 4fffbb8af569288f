"""The standard boots: each has a name of its own, and can be set up."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.coverage.scenario import CPUS, Scenario, extra, of_workloads, standard
from harness.machine import ConfigError
from harness.mutate.boots import boots
from harness.workload import WorkloadError, library_names

IMAGE = Path("image.elf")


@pytest.mark.parametrize("policy", ["o1", "veridian"])
def test_every_workload_is_booted_on_machines_of_each_size(policy: str) -> None:
    found = standard(policy)
    for name in (None, *library_names()):
        assert {s.cpus for s in found if s.workload == name} >= set(CPUS)
    names = [scenario.name for scenario in found]
    assert len(set(names)) == len(names)
    assert all(("veridian" in name) == (policy == "veridian") for name in names)


@pytest.mark.parametrize("scenario", [*extra("o1"), *boots("o1")], ids=lambda s: s.name)
def test_a_scenario_is_a_machine(scenario: Scenario) -> None:
    config = scenario.config(IMAGE, timeout=1, quiet=1)
    assert config.cpus == scenario.cpus
    assert config.params["policy"] == "o1"
    assert dict(scenario.params).items() <= config.params.items()
    assert len(config.modules) == (scenario.workload is not None)


def test_names_say_what_differs() -> None:
    plain = Scenario("W8", 4)
    assert plain.name == "W8@4"
    special = Scenario("a/b.yaml", 2, "veridian", "real", 100, "2x1", "q35", "max", (("x", "1"),))
    assert special.name == "b@2/real/veridian/hz=100/2x1/q35/max/x=1"
    assert [s.name for s in of_workloads(["selftest"])] == [f"selftest@{n}" for n in CPUS]


def test_what_cannot_be_booted_is_said() -> None:
    with pytest.raises(WorkloadError):
        Scenario("W99", 1).config(IMAGE, timeout=1, quiet=1)
    with pytest.raises(ConfigError):
        Scenario("W1", 4, topology="3x1").config(IMAGE, timeout=1, quiet=1)
