"""The workloads that come with the package are what their names say."""

from __future__ import annotations

import pytest

from harness.workload import Workload, decode, encode, fold_cpus, library_names, load
from harness.workload.document import dump, parse
from harness.workload.model import (
    Block,
    CpuDown,
    CpuUp,
    Exit,
    Fork,
    Policy,
    SetCpus,
    Step,
    Unit,
    Wake,
    walk,
)

NAMES = library_names()


def steps(workload: Workload) -> list[Step]:
    return [step for task in workload.tasks for _, step in walk(task.program, ())]


def test_the_library_is_complete_and_in_order() -> None:
    before, after = (f"W{n}" for n in range(1, 6)), (f"W{n}" for n in range(6, 12))
    expected = [*before, "W5-all", *after, "hotplug", "mixed"]
    assert expected == library_names()


@pytest.mark.parametrize("name", NAMES)
def test_each_encodes_under_its_own_name(name: str) -> None:
    workload = load(name)
    assert workload.name == name
    assert workload.description
    assert workload.duration is not None and workload.duration.unit is Unit.TICKS
    assert decode(encode(workload)).cpus == workload.cpus
    assert parse(dump(workload)) == workload


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cpus", [1, 2])
def test_each_fits_smaller_machines(name: str, cpus: int) -> None:
    assert decode(encode(fold_cpus(load(name), cpus))).cpus <= cpus


def test_w1_has_three_equal_hogs_on_one_cpu() -> None:
    first, *others = decode(encode(load("W1"))).tasks
    assert len(others) == 2
    assert all((t.nice, t.program, t.affinity) == (0, first.program, 1) for t in [first, *others])


def test_w2_has_the_nice_values_of_the_slices() -> None:
    assert [task.sched.nice for task in load("W2").tasks if task.sched] == [-20, -1, 0, 19]


def test_w3_wakes_across_cpus() -> None:
    workload = load("W3")
    assert [task.cpus for task in workload.tasks[:2]] == [frozenset({0}), frozenset({1})]
    wakers = [
        task.name for task in workload.tasks if Wake in {type(s) for _, s in walk(task.program, ())}
    ]
    assert len(wakers) == 3


@pytest.mark.parametrize("name", ["W1", "W2"])
def test_w1_and_w2_stay_on_one_cpu(name: str) -> None:
    assert all(task.cpus == frozenset({0}) for task in load(name).tasks)


@pytest.mark.parametrize(("name", "pinned"), [("W4", 0), ("W5", 8), ("W5-all", 16)])
def test_w4_and_w5_start_sixteen_hogs_on_cpu_0(name: str, pinned: int) -> None:
    tasks = load(name).tasks
    assert sum(task.count for task in tasks) == 16
    bound = [task for task in tasks if task.cpus == frozenset({0})]
    assert sum(task.count for task in bound) == pinned
    assert all(task.start_cpu == 0 for task in tasks if task not in bound)


def test_w6_stands_at_the_ends_of_the_bitmaps_words() -> None:
    levels = []
    for task in load("W6").tasks:
        assert task.sched is not None
        real_time = task.sched.policy is not Policy.NORMAL
        levels.append(99 - task.sched.priority if real_time else 120 + task.sched.nice)
    assert levels == [0, 63, 64, 65, 99, 100, 127, 128, 139]


def test_w7_wakes_workers_from_another_cpu() -> None:
    workload = load("W7")
    assert workload.tasks[0].count > workload.cpus
    assert workload.tasks[0].start_cpu == 0 and workload.tasks[1].cpus == frozenset({3})


def test_w8_changes_affinity_and_wakes() -> None:
    targets = {s.task.name for s in steps(load("W8")) if isinstance(s, SetCpus | Wake) and s.task}
    assert targets == {"target"}


def test_w9_forks_what_exits() -> None:
    found = steps(load("W9"))
    assert {s.thread for s in found if isinstance(s, Fork)} == {False, True}
    assert any(isinstance(s, Exit) for s in found)


def test_w10_blocks_one_task_alone_on_its_cpu() -> None:
    sleeper, waker = load("W10").tasks
    assert (sleeper.cpus, waker.cpus) == (frozenset({1}), frozenset({0}))
    assert any(isinstance(step, Block) for _, step in walk(sleeper.program, ()))


def test_w11_has_one_sleeper_and_hogs() -> None:
    sleeper, hog = load("W11").tasks
    assert (sleeper.count, hog.count) == (1, 3)


def test_hotplug_takes_every_cpu_but_the_first_away_and_back() -> None:
    found = steps(load("hotplug"))
    away = {step.cpu for step in found if isinstance(step, CpuDown)}
    assert away == {step.cpu for step in found if isinstance(step, CpuUp)} == {1, 2, 3}


def test_mixed_has_two_hundred_tasks() -> None:
    assert sum(not record.template for record in decode(encode(load("mixed"))).tasks) == 200
