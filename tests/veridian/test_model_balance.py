"""The model of policy `veridian`: loads, balancing, placement. Fact sheet B5 to B7."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.constants import Policy
from harness.model.veridian.balance import (
    Balance,
    MigrateError,
    balance_load,
    due,
    migrate_task,
    migrate_tasks,
)
from harness.model.veridian.cpu import Cpu
from harness.model.veridian.load import LoadRead, find_cpu, find_least_loaded_cpu, load_of
from harness.model.veridian.pick import find_victim
from harness.model.veridian.task import ALL_CPUS, Task, idle_task

Decision = tuple[int, int, int] | None
"""Busiest, idlest, count; None for a balanced system."""

VECTORS: list[tuple[list[int], Decision]] = [
    ([0, 0], None),
    ([1, 0], None),
    ([2, 0], None),
    ([3, 0], (0, 1, 1)),
    ([4, 0], (0, 1, 2)),
    ([5, 0], (0, 1, 2)),
    ([6, 0], (0, 1, 3)),
    ([7, 0], (0, 1, 3)),
    ([10, 0], (0, 1, 3)),
    ([11, 0], (0, 1, 3)),
    ([20, 0], (0, 1, 3)),
    ([0, 3], (1, 0, 1)),
    ([3, 3, 0], (0, 2, 1)),
    ([0, 3, 0, 3], (1, 0, 1)),
    ([10, 13], None),
    ([25, 10], None),
    ([12, 7], (0, 1, 1)),
    ([12, 8], None),
    ([5, 5, 2, 2], (0, 2, 1)),
    ([100, 100], None),
]
"""Runnable tasks of each CPU, and what balance_load decides."""


def decide(tasks: Sequence[int]) -> Balance:
    reads = {cpu: LoadRead(n, load_of(n)) for cpu, n in enumerate(tasks)}
    return balance_load((1 << len(tasks)) - 1, reads)


@pytest.mark.parametrize(("tasks", "decision"), VECTORS, ids=[str(v[0]) for v in VECTORS])
def test_balance_vectors(tasks: list[int], decision: Decision) -> None:
    found = decide(tasks)
    got = (found.busiest, found.idlest, found.count) if found.count else None
    assert got == decision


MOVES = [0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 3]
"""By the difference of two queue lengths."""


@pytest.mark.parametrize("difference", range(len(MOVES)))
def test_a_difference_moves_so_many(difference: int) -> None:
    for lower in range(len(MOVES) - difference):
        assert decide([lower, lower + difference]).count == MOVES[difference]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=8))
def test_the_decision_is_bounded_and_between_extremes(tasks: list[int]) -> None:
    found = decide(tasks)
    assert 0 <= found.count <= 3
    loads = [load_of(n) for n in tasks]
    assert (found.max_load, found.min_load) == (max(loads), min(loads))
    if found.count:
        assert tasks[found.busiest] - tasks[found.idlest] >= 3
        assert found.busiest == loads.index(max(loads))
        assert found.idlest == loads.index(min(loads))
        # Moving never turns the imbalance around.
        assert tasks[found.busiest] - found.count >= tasks[found.idlest] + found.count - 1


def test_offline_cpus_do_not_count() -> None:
    reads = {0: LoadRead(0, 50), 1: LoadRead(0, 100), 2: LoadRead()}
    assert balance_load(0b101, reads) == Balance(0, 2, 50, 0, 2)
    assert balance_load(0b001, reads).count == 0


def test_cpus_balance_at_their_tenth_or_hundredth_tick() -> None:
    assert [n for n in range(1, 301) if due(n, idle=False)] == [100, 200, 300]
    assert [n for n in range(1, 31) if due(n, idle=True)] == [10, 20, 30]


def pair() -> tuple[Cpu, Cpu]:
    """The first two CPUs of a machine; the first has something to run."""
    src, dst = (Cpu(number, idle_task(number)) for number in range(2))
    src.curr = Task(99)
    return src, dst


def waiting(src: Cpu, number: int, *, nice: int = 0, allowed: int = ALL_CPUS) -> Task:
    p = Task(number, cpu=src.number, nice=nice, allowed=allowed)
    src.enqueue(p)
    return p


def test_pinned_tasks_keep_their_places() -> None:
    """The count bounds moves, not attempts; what may not move does not change places."""
    src, dst = pair()
    allowed = [1, ALL_CPUS, 1, ALL_CPUS, 1, 1, ALL_CPUS, ALL_CPUS]
    tasks = [waiting(src, 10 + i, allowed=mask) for i, mask in enumerate(allowed)]
    moved = migrate_tasks(src, dst, 3)
    assert moved == [tasks[1], tasks[3], tasks[6]]
    assert list(src.queue.tasks()) == [tasks[i] for i in (0, 2, 4, 5, 7)]
    assert list(dst.queue.tasks()) == moved
    assert (src.nr_running, dst.nr_running) == (5, 3)
    assert (src.load, dst.load) == (60, 30)
    assert all((p.cpu, p.last_cpu, p.migrations) == (1, 0, 1) for p in moved)


def test_a_queue_of_pinned_tasks_gives_none() -> None:
    src, dst = pair()
    tasks = [waiting(src, 10 + i, allowed=1) for i in range(4)]
    assert migrate_tasks(src, dst, 3) == []
    assert list(src.queue.tasks()) == tasks
    assert all(p.migrations == 0 for p in tasks)


def test_the_best_ring_goes_first() -> None:
    src, dst = pair()
    low = waiting(src, 10, nice=15)
    normal = waiting(src, 11)
    high = waiting(src, 12, nice=-20)
    rt = Task(13, policy=Policy.FIFO, rt_priority=99)
    src.enqueue(rt)
    assert migrate_tasks(src, dst, 3) == [rt, high, low]
    assert list(src.queue.tasks()) == [normal]


def test_an_offline_target_gets_none() -> None:
    src, dst = pair()
    waiting(src, 10)
    dst.online = False
    assert migrate_tasks(src, dst, 1) == []
    assert src.nr_running == 1


def test_migrate_task_says_why_not() -> None:
    src, dst = pair()
    p, pinned = waiting(src, 10), waiting(src, 11, allowed=1)
    lost = Task(12)
    errors = [migrate_task(q, src, dst) for q in (pinned, src.curr, lost)]
    assert errors == [MigrateError.AFFINITY, MigrateError.RUNNING, MigrateError.NOT_FOUND]
    idle = idle_task(3)
    idle.allowed = ALL_CPUS
    assert migrate_task(idle, src, dst) is MigrateError.IDLE_CLASS
    assert migrate_task(p, src, dst) is None
    assert (p.cpu, p.last_cpu, p.migrations) == (1, 0, 1)
    assert (src.nr_running, dst.nr_running, dst.load) == (1, 1, 10)


def test_placement_takes_the_least_loaded_of_the_mask() -> None:
    reads = {0: LoadRead(2, 30), 1: LoadRead(0, 10), 2: LoadRead(0, 10), 3: LoadRead(4, 50)}
    assert find_least_loaded_cpu(0b1111, reads) == 1
    assert find_least_loaded_cpu(0b1101, reads) == 2
    assert find_least_loaded_cpu(0b11111, reads) == 4
    assert find_least_loaded_cpu(0, reads) is None
    p = Task(1, allowed=0b1001)
    assert find_cpu(p, 0b1111, reads).cpu == 0
    gone = find_cpu(p, 0b0110, reads)
    assert (gone.cpu, gone.reset) == (1, True)
    with pytest.raises(ValueError, match="no CPU"):
        find_cpu(p, 0, reads)


def test_full_cpus_are_chosen_among_too() -> None:
    """D2, V19: neither CPU 0 by default, nor the first eight only."""
    full = {cpu: LoadRead(20, 100) for cpu in range(12)}
    assert find_cpu(Task(1, allowed=0b1100), 0xFFF, full).cpu == 2
    assert find_cpu(Task(1, allowed=1 << 11), 0xFFF, full).cpu == 11


def test_a_thief_takes_from_the_longest_queue_of_two_and_more() -> None:
    reads = {0: LoadRead(1, 20), 1: LoadRead(3, 40), 2: LoadRead(3, 40), 3: LoadRead(9, 100)}
    assert find_victim(0, 0b1111, reads) == 3
    assert find_victim(3, 0b1111, reads) == 1
    assert find_victim(0, 0b0011, reads) == 1
    assert find_victim(1, 0b0011, reads) is None


def test_load_saturates() -> None:
    assert [load_of(n) for n in (0, 1, 9, 10, 11, 2**32 - 1)] == [0, 10, 90, 100, 100, 100]
