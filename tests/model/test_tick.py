"""The tick: slices, where a task goes when one ends, and the two kinds of round robin."""

from __future__ import annotations

import pytest

from harness.model.constants import IdleType, Now, Policy
from harness.model.core import schedule
from harness.model.runqueue import Runqueue
from harness.model.task import Task
from harness.model.tick import Tick, TickAction, scheduler_tick
from tests.model.build import MS, normal, one_cpu, pids, put, realtime


def tick(rq: Runqueue, jiffies: int = 1) -> TickAction:
    return scheduler_tick(rq, Now(jiffies * MS, jiffies), online_cpus=1).action


def last_jiffy(p: Task) -> Task:
    p.time_slice = 1
    return p


def test_idle_only_notes_the_time() -> None:
    rq = one_cpu()
    rq.idle.need_resched = False
    assert scheduler_tick(rq, Now(5, 1), 1) == Tick(TickAction.IDLE, IdleType.SCHED_IDLE)
    assert rq.timestamp_last_tick == 5
    assert not rq.idle.need_resched


def test_a_slice_shrinks_by_one() -> None:
    rq = one_cpu(normal(1))
    assert scheduler_tick(rq, Now(5, 1), 1) == Tick(TickAction.RUNS, IdleType.NOT_IDLE)
    assert rq.curr.time_slice == 99
    assert not rq.curr.need_resched


@pytest.mark.parametrize("nice", [-20, -1, 0, 19])
def test_ticks_between_refills_are_the_slice(nice: int) -> None:
    p = normal(1, nice, bonus=0)
    rq = one_cpu(p)
    full = p.time_slice
    actions = [tick(rq) for _ in range(full)]
    assert actions == [TickAction.RUNS] * (full - 1) + [TickAction.TO_EXPIRED]
    assert p.time_slice == full


def test_slice_end_of_a_hog() -> None:
    p = last_jiffy(normal(1, 5, bonus=0))
    p.prio, p.first_time_slice = 99 + 20, True
    rq = one_cpu(p, normal(2))
    assert tick(rq, jiffies=77) is TickAction.TO_EXPIRED
    assert rq.expired.queue[130] == [p], "its priority is worked out again"
    assert (p.time_slice, p.first_time_slice, p.need_resched) == (75, False, True)
    assert (rq.expired_timestamp, rq.best_expired_prio, rq.nr_running) == (77, 125, 2)


def test_slice_end_of_an_interactive_task_also_starts_the_clock() -> None:
    p = last_jiffy(normal(1, bonus=9))
    rq = one_cpu(p, normal(2, bonus=9))
    assert tick(rq, jiffies=77) is TickAction.TO_ACTIVE
    assert pids(rq.active.queue[116]) == [2, 1]
    assert (rq.expired_timestamp, rq.best_expired_prio) == (77, 140)


def test_an_interactive_task_expires_when_others_starve() -> None:
    p = last_jiffy(normal(1, bonus=9))
    rq = one_cpu(p)
    rq.expired_timestamp = 1
    assert tick(rq, jiffies=1002) is TickAction.TO_EXPIRED
    assert rq.expired_timestamp == 1


def test_an_interactive_task_expires_behind_a_better_one() -> None:
    rq = one_cpu(last_jiffy(normal(1, bonus=9)))
    put(normal(2, -1), rq, rq.expired)
    rq.best_expired_prio = 119
    assert tick(rq) is TickAction.TO_EXPIRED


def test_an_expired_task_not_yet_switched_out_is_not_charged() -> None:
    p = last_jiffy(normal(1, bonus=0))
    rq = one_cpu(p)
    tick(rq)
    p.need_resched = False
    assert tick(rq) is TickAction.STALE
    assert p.time_slice == 100
    assert p.need_resched


def test_fifo_has_no_slice_and_rr_rotates_within_its_priority() -> None:
    fifo = one_cpu(realtime(1, 50), realtime(2, 50))
    assert {tick(fifo) for _ in range(1000)} == {TickAction.RUNS}
    rr = one_cpu(last_jiffy(realtime(1, 50, Policy.RR)), realtime(2, 50, Policy.RR))
    assert tick(rr) is TickAction.RR_TAIL
    assert pids(rr.active.queue[50]) == [2, 1]
    assert rr.active.tasks()[1].time_slice == 100
    assert rr.expired_timestamp == 0


def test_interactive_equals_take_turns_every_granule() -> None:
    rq = one_cpu(normal(1, bonus=10), normal(2, bonus=10))
    actions = [tick(rq) for _ in range(10)]
    assert actions == [TickAction.RUNS] * 9 + [TickAction.GRANULE_TAIL]
    assert pids(rq.active.queue[115]) == [2, 1]
    assert rq.curr.need_resched


def test_three_equal_hogs_rotate_slice_by_slice() -> None:
    """
    jiffies   0      100     200     300
    runs      1111111222222233333331111111...    one array swap at each third slice
    """
    rq = one_cpu(*(normal(pid, bonus=0) for pid in (1, 2, 3)))
    ran = []
    for jiffies in range(1, 901):
        ran.append(rq.curr.pid)
        tick(rq, jiffies)
        if rq.curr.need_resched:
            schedule(rq, Now(jiffies * MS, jiffies), preempt=True)
    assert ran == [pid for _ in range(3) for pid in (1, 2, 3) for _ in range(100)]
    assert rq.stats.sched_switch == 3
    assert rq.stats.sched_cnt == rq.stats.sched_switch + rq.stats.sched_noswitch == 9
