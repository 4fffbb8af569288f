"""Priority arrays: order within a list, counters, bitmap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.array import (
    PrioArray,
    dequeue_task,
    enqueue_task,
    enqueue_task_before,
    enqueue_task_head,
    requeue_task,
)
from harness.model.checks import bitmap_tells_lists, delimiter_only, nr_active_is_sum
from harness.model.task import Task
from tests.model.build import normal, pids


def array_of(*tasks: Task) -> PrioArray:
    array = PrioArray()
    for p in tasks:
        enqueue_task(p, array, 7)
    return array


def test_enqueue_appends_and_names_the_array() -> None:
    first, second = normal(1), normal(2)
    array = array_of(first, second)
    assert array.queue[120] == [first, second]
    assert array.nr_active == 2
    assert first.array is array


def test_the_first_enqueue_starts_the_wait() -> None:
    p = normal(1)
    array = array_of(p)
    dequeue_task(p, array)
    enqueue_task(p, array, 9)
    assert p.sched_info.last_queued == 7


def test_dequeue_leaves_the_name_of_the_array() -> None:
    p = normal(1)
    array = array_of(p)
    dequeue_task(p, array)
    assert p.array is array
    assert array.tasks() == []


def test_requeue_head_and_before() -> None:
    a, b, c, d = (normal(pid) for pid in range(4))
    array = array_of(a, b)
    requeue_task(a, array)
    assert pids(array.queue[120]) == [1, 0]
    enqueue_task_head(c, array)
    enqueue_task_before(d, a, array)
    assert pids(array.queue[120]) == [2, 1, 3, 0]
    assert array.nr_active == 4


def test_a_task_whose_priority_changed_in_the_list_cannot_be_dequeued() -> None:
    p = normal(1)
    array = array_of(p)
    p.prio += 1
    with pytest.raises(ValueError):
        dequeue_task(p, array)
    assert array.nr_active == 1


OPERATIONS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["toggle", "head", "requeue"])))
PRIORITIES = st.lists(
    st.sampled_from([0, 63, 64, 99, 120, 127, 128, 139]), min_size=10, max_size=10
)


@given(PRIORITIES, OPERATIONS)
def test_any_sequence_keeps_the_array_well_formed(
    prios: list[int], operations: list[tuple[int, str]]
) -> None:
    array = PrioArray()
    tasks = [Task(pid, prio=prio) for pid, prio in enumerate(prios)]
    lists: dict[int, list[Task]] = {prio: [] for prio in prios}
    for pid, operation in operations:
        p = tasks[pid]
        expected = lists[p.prio]
        if p not in expected and operation == "head":
            enqueue_task_head(p, array)
            expected.insert(0, p)
        elif p not in expected:
            enqueue_task(p, array, 1)
            expected.append(p)
        elif operation == "requeue":
            requeue_task(p, array)
            expected.append(expected.pop(expected.index(p)))
        else:
            dequeue_task(p, array)
            expected.remove(p)
        assert array.tasks() == [p for prio in sorted(lists) for p in lists[prio]]
        assert not [*bitmap_tells_lists(array, ""), *delimiter_only(array, "")]
        assert not [*nr_active_is_sum(array, "")]
