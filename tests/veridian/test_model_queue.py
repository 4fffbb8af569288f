"""The model of policy `veridian`: rings, priorities, preemption. Fact sheet B2 to B4."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.constants import Policy
from harness.model.veridian.attributes import set_priority
from harness.model.veridian.cpu import Cpu
from harness.model.veridian.priority import (
    Priority,
    SchedClass,
    effective_priority,
    priority_of,
    should_preempt,
)
from harness.model.veridian.queue import RING_SIZE, ReadyQueue, Ring, check_queue, ring_of
from harness.model.veridian.task import Task, idle_task

RT, NORMAL, IDLE = SchedClass


@pytest.mark.parametrize(
    ("nice", "priority", "ring"),
    [
        (-20, 30, 30),
        (-16, 30, 30),
        (-15, 40, 31),
        (-11, 40, 31),
        (-10, 50, 32),
        (-1, 50, 32),
        (0, 60, 33),
        (9, 60, 33),
        (10, 70, 33),
        (19, 70, 33),
    ],
)
def test_nice_names_a_priority(nice: int, priority: int, ring: int) -> None:
    p = Task(1, nice=nice)
    assert (p.priority, ring_of(p), p.sched_class) == (priority, ring, NORMAL)


@pytest.mark.parametrize(
    ("rt_priority", "ring"), [(99, 0), (67, 0), (66, 10), (34, 10), (33, 20), (1, 20), (0, 20)]
)
def test_real_time_priority_names_a_ring(rt_priority: int, ring: int) -> None:
    p = Task(1, policy=Policy.RR, rt_priority=rt_priority)
    assert (p.priority, ring_of(p), p.sched_class) == (ring, ring, RT)


def test_idle_tasks_have_a_ring_of_their_own() -> None:
    assert (ring_of(idle_task(3)), idle_task(3).priority) == (34, Priority.IDLE)


@given(st.lists(st.sampled_from(["push", "push", "push", "pop", "remove"]), max_size=400))
def test_a_ring_is_first_in_first_out(actions: list[str]) -> None:
    """Also beyond 256 tasks, and around the end of its places (V1, V4)."""
    ring = Ring()
    expected: list[Task] = []
    for number, action in enumerate(actions * 2):
        if action == "push" or not expected:
            p = Task(number)
            ring.push(p)
            expected.append(p)
        elif action == "pop":
            assert ring.pop() is expected.pop(0)
        else:
            assert ring.remove(expected.pop(len(expected) // 2))
        assert list(ring) == expected
        assert ring.count == min(len(expected), RING_SIZE)


def test_the_257th_task_waits_behind_the_ring() -> None:
    queue = ReadyQueue()
    tasks = [Task(number) for number in range(RING_SIZE + 3)]
    for p in tasks:
        queue.enqueue(p)
    assert list(queue.tasks()) == tasks
    assert not list(check_queue(queue))
    queue.remove(tasks[0])
    assert list(queue.tasks()) == tasks[1:]
    assert len(queue.rings[33].overflow) == 2


def test_a_task_is_removed_from_the_ring_that_it_was_put_into() -> None:
    """D2, V24."""
    queue, p = ReadyQueue(), Task(1)
    queue.enqueue(p)
    p.nice = -20
    assert queue.remove(p) == 33
    assert not list(check_queue(queue))
    with pytest.raises(ValueError, match="does not wait"):
        queue.remove(p)
    queue.enqueue(p)
    with pytest.raises(ValueError, match="waits in ring 30"):
        queue.enqueue(p)


def test_damaged_queues_are_described() -> None:
    queue = ReadyQueue()
    queue.enqueue(Task(1))
    queue.rt_bitmap = 1
    queue.normal_bitmap = 0
    queue.rings[33].head = 5
    found = list(check_queue(queue))
    assert len(found) == 3
    assert found[0] == "ring 0 has 0 tasks, its bit is 1"


def test_rings_are_looked_at_in_order() -> None:
    queue = ReadyQueue()
    tasks = [idle_task(0), Task(1, nice=19), Task(2), Task(3, nice=-20)]
    tasks += [
        Task(4, policy=Policy.FIFO, rt_priority=1),
        Task(5, policy=Policy.FIFO, rt_priority=99),
    ]
    for p in tasks:
        queue.enqueue(p)
    order = []
    while (best := queue.first()) is not None:
        order.append(best.pid)
        queue.remove(best)
    assert order == [5, 4, 3, 1, 2, 0]
    assert queue.best_ring() is None


@pytest.mark.parametrize(
    ("nice", "waited", "effective"),
    [(0, 0, 60), (0, 99, 60), (0, 100, 59), (0, 2000, 40), (0, 10**6, 40), (19, 1050, 60)],
)
def test_who_waits_gets_better(nice: int, waited: int, effective: int) -> None:
    assert effective_priority(Task(1, nice=nice), waited) == effective


def test_real_time_and_idle_tasks_get_no_boost() -> None:
    assert effective_priority(Task(1, policy=Policy.RR, rt_priority=50), 10**6) == 10
    assert effective_priority(idle_task(0), 10**6) == 99


def test_an_inherited_priority_counts_where_it_is_better() -> None:
    """D2, V25: not instead of the boost."""
    p = Task(1, boost=Priority.USER_HIGH)
    assert effective_priority(p, 0) == 50
    assert effective_priority(p, 2000) == 40


@pytest.mark.parametrize(
    ("current", "slice_left", "next", "preempts"),
    [
        ((IDLE, 99), 10, (NORMAL, 70), True),
        ((IDLE, 99), 10, (RT, 20), True),
        ((IDLE, 99), 0, (IDLE, 99), False),
        ((NORMAL, 30), 10, (RT, 20), True),
        ((RT, 20), 0, (NORMAL, 30), False),
        ((RT, 10), 0, (RT, 10), False),
        ((RT, 10), 10, (RT, 0), True),
        ((NORMAL, 60), 10, (NORMAL, 59), True),
        ((NORMAL, 60), 1, (NORMAL, 60), False),
        ((NORMAL, 60), 0, (NORMAL, 60), True),
        ((NORMAL, 60), 0, (NORMAL, 61), False),
        ((NORMAL, 60), 0, (IDLE, 99), False),
    ],
)
def test_should_preempt(
    current: tuple[SchedClass, int], slice_left: int, next: tuple[SchedClass, int], preempts: bool
) -> None:
    assert should_preempt(*current, slice_left, *next) is preempts


def test_a_new_priority_changes_the_ring_of_a_waiting_task() -> None:
    cpu = Cpu(0, idle_task(0))
    first, second = Task(1), Task(2)
    for p in (first, second):
        cpu.enqueue(p)
    set_priority(first, cpu, Policy.NORMAL, 0, 5)
    assert list(cpu.queue.tasks()) == [second, first]
    set_priority(first, cpu, Policy.FIFO, 99, 5)
    assert list(cpu.queue.tasks()) == [first, second]
    assert cpu.nr_running == 2
    away = Task(3)
    set_priority(away, cpu, Policy.NORMAL, 0, -20)
    assert (away.ring, priority_of(away.policy, 0, away.nice)) == (None, Priority.SYSTEM_HIGH)
