"""The boots of a campaign show what they are there for."""

from __future__ import annotations

import pytest

from harness.boot import Run, build_id_of, default_image
from harness.mutate.boots import boots


@pytest.mark.parametrize("policy", ["o1", "veridian"])
def test_every_boot_has_a_name_of_its_own(policy: str) -> None:
    names = [scenario.name for scenario in boots(policy)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("policy", ["o1", "veridian"])
def test_cpus_beyond_half_a_word_work_wake_and_let_tasks_go(policy: str) -> None:
    [wide] = [scenario for scenario in boots(policy) if scenario.cpus > 32]
    image = default_image()
    config = wide.config(image, timeout=120, quiet=60)
    with Run(config, build_id=build_id_of(image)) as run:
        assert run.passed, run.verdict.reason
        switched = {event.cpu for event in run.trace.events if event.name == "switch"}
        moved = {event.fields["src"] for event in run.trace.events if event.name == "move"}
    assert {32, 33} <= switched
    if policy == "o1":
        assert 33 in moved
