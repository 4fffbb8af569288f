"""Generated workloads are valid, end, and the scheduler does them right."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.boot import boot
from harness.machine import Topology
from harness.strategies import topologies, workloads
from harness.workload import Workload, encode, validate
from harness.workload.model import Block, Fork, Lock, Policy, SetCpus, Wake, walk

BOOTS = int(os.environ.get("HARNESS_GENERATED", "6"))
"""Boots for each policy; more of them in HARNESS_GENERATED."""
POLICIES = ("o1", "veridian")
MOST_CPUS = 4


@given(st.integers(1, MOST_CPUS).flatmap(lambda cpus: workloads(cpus=cpus)))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_generated_workloads_are_valid_and_end(workload: Workload) -> None:
    validate(workload)
    encode(workload)
    assert workload.duration is not None


def test_they_do_everything() -> None:
    seen: set[object] = set()

    @given(workloads(cpus=2))
    @settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    def collect(workload: Workload) -> None:
        for task in workload.tasks:
            seen.add(task.sched.policy if task.sched else None)
            seen.update(type(step) for _, step in walk(task.program, ()))

    collect()
    assert seen >= {Block, Fork, Lock, SetCpus, Wake, Policy.NORMAL, Policy.FIFO, Policy.RR}


@given(topologies(8))
def test_generated_topologies_have_so_many_cpus(topology: Topology) -> None:
    assert 1 <= topology.cpus <= 8


@pytest.mark.parametrize("policy", POLICIES)
def test_the_scheduler_does_them_right(policy: str) -> None:
    @given(st.integers(1, MOST_CPUS).flatmap(lambda n: st.tuples(st.just(n), workloads(cpus=n))))
    @settings(
        max_examples=BOOTS,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    def check(given_: tuple[int, Workload]) -> None:
        cpus, workload = given_
        with boot(workload=workload, cpus=cpus, policy=policy) as run:
            assert run.passed, f"{run.verdict}\n{run.command}"

    check()
