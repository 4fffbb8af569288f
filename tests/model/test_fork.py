"""Fork and exit: slices are shared and returned, the child runs first."""

from __future__ import annotations

from copy import copy

import pytest

from harness.model.checks import check_runqueue
from harness.model.constants import Now, State
from harness.model.core import schedule
from harness.model.domain import flat
from harness.model.exit import sched_exit
from harness.model.fork import sched_fork, wake_up_new_task
from harness.model.resched import Resched
from harness.model.stats import SchedInfo
from harness.model.task import Task
from harness.model.tick import TickAction, scheduler_tick
from tests.model.build import MS, K, normal, one_cpu, pids, put, runqueues, with_bonus

NOW = Now(50 * MS, 50)


def child_of(parent: Task, pid: int = 9) -> Task:
    child = normal(pid)
    for name in ("cpu", "policy", "static_prio", "prio", "sleep_avg"):
        setattr(child, name, getattr(parent, name))
    return child


@pytest.mark.parametrize(("left", "child_gets", "parent_keeps"), [(100, 50, 50), (7, 4, 3)])
def test_fork_splits_the_slice(left: int, child_gets: int, parent_keeps: int) -> None:
    parent = normal(1)
    parent.time_slice = left
    child = child_of(parent)
    assert not sched_fork(child, parent, NOW.ns)
    assert (child.time_slice, parent.time_slice) == (child_gets, parent_keeps)
    assert child.first_time_slice
    assert child.timestamp == NOW.ns


def test_a_child_has_the_sleep_average_of_this_moment() -> None:
    """Another child of its parent may have ended since the copy was made."""
    parent = normal(1)
    child = child_of(parent)
    parent.sleep_avg //= 2
    sched_fork(child, parent, NOW.ns)
    assert child.sleep_avg == parent.sleep_avg > 0


def test_a_child_starts_off_the_queue_with_statistics_of_its_own() -> None:
    parent = normal(1)
    one_cpu(parent)
    parent.sched_info.run_delay = 77
    child = copy(parent)
    child.state = State.INTERRUPTIBLE
    sched_fork(child, parent, NOW.ns)
    assert (child.state, child.array, child.sched_info) == (State.RUNNING, None, SchedInfo())
    assert parent.sched_info.run_delay == 77


def test_fork_with_the_last_jiffy_ends_the_slice() -> None:
    parent = normal(1, bonus=0)
    rq = one_cpu(parent)
    parent.time_slice = 1
    child = child_of(parent)
    assert sched_fork(child, parent, NOW.ns)
    assert (child.time_slice, parent.time_slice) == (1, 1)
    assert scheduler_tick(rq, NOW, 1).action is TickAction.TO_EXPIRED


def test_the_child_runs_before_its_parent() -> None:
    first, parent, last = normal(1), normal(2), normal(3)
    rq = one_cpu(first, parent, last)
    rq.curr = parent
    child = child_of(parent)
    sched_fork(child, parent, NOW.ns)
    assert wake_up_new_task(child, parent, rq, rq, NOW) is None
    assert pids(rq.active.queue[120]) == [1, 9, 2, 3]
    assert parent.need_resched
    assert (rq.stats.wunt_cnt, rq.stats.wunt_moved) == (1, 0)
    assert check_runqueue(rq) == []


def test_the_child_takes_the_parents_priority_and_array() -> None:
    parent = normal(1, bonus=10)
    rq = one_cpu()
    put(parent, rq, rq.expired)
    rq.curr = parent
    child = child_of(parent)
    wake_up_new_task(child, parent, rq, rq, NOW)
    assert child.array is rq.expired
    assert child.prio == parent.prio == 115
    assert child.sleep_avg == with_bonus(9), "95 % of bonus 10"
    assert child.sched_info.last_queued == 0, "not queued the usual way"


def test_a_thread_sharing_memory_runs_last() -> None:
    parent = normal(1)
    rq = one_cpu(parent, normal(2))
    child = child_of(parent)
    wake_up_new_task(child, parent, rq, rq, NOW, clone_vm=True)
    assert child.prio == 121, "bonus 5 is cut to 4"
    assert pids(rq.active.tasks()) == [1, 2, 9]
    assert not parent.need_resched


def test_a_child_on_another_cpu_preempts_by_priority() -> None:
    this_rq, rq = runqueues(flat(2))
    parent = normal(1)
    put(parent, this_rq)
    this_rq.curr = parent
    this_rq.timestamp_last_tick, rq.timestamp_last_tick = 40 * MS, 42 * MS
    rq.idle.need_resched = False
    child = child_of(parent)
    sched_fork(child, parent, NOW.ns)
    child.cpu = 1
    assert wake_up_new_task(child, parent, rq, this_rq, NOW) is Resched.IPI
    assert child.timestamp == 52 * MS
    assert rq.stats.wunt_moved == 1
    assert schedule(rq, NOW).next is child


def test_the_parents_sleep_average_is_cut_to_whole_bonus_steps() -> None:
    parent = normal(1)
    parent.sleep_avg = with_bonus(5) + 99 * MS
    rq = one_cpu(parent)
    wake_up_new_task(child_of(parent), parent, rq, rq, NOW)
    assert parent.sleep_avg == with_bonus(5)


def test_exit_returns_a_first_slice_and_no_more() -> None:
    parent, child = normal(1), normal(2)
    parent.time_slice, child.time_slice, child.first_time_slice = 30, 20, True
    sched_exit(child, parent, K)
    assert parent.time_slice == 50
    parent.time_slice = 90
    sched_exit(child, parent, K)
    assert parent.time_slice == 100
    child.first_time_slice = False
    parent.time_slice = 30
    sched_exit(child, parent, K)
    assert parent.time_slice == 30


def test_a_hog_weighs_on_its_parent_and_a_sleeper_does_not() -> None:
    parent, child = normal(1, bonus=8), normal(2, bonus=0)
    sched_exit(child, parent, K)
    assert parent.sleep_avg == 600 * MS
    child.sleep_avg = 800 * MS
    sched_exit(child, parent, K)
    assert parent.sleep_avg == 600 * MS


def test_fork_and_exit_conserve_the_slices() -> None:
    parent = normal(1)
    for left in range(2, 101):
        parent.time_slice = left
        child = child_of(parent)
        sched_fork(child, parent, 0)
        sched_exit(child, parent, K)
        assert parent.time_slice == left
