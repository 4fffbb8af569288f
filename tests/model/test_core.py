"""schedule(), and the calls that change a task's standing."""

from __future__ import annotations

import pytest

from harness.model.checks import check_runqueue
from harness.model.constants import Now, Policy, State
from harness.model.core import (
    Decision,
    commit,
    decide,
    put_prev,
    sched_setscheduler,
    sched_yield,
    schedule,
    set_user_nice,
)
from harness.model.resched import Resched, resched_task
from harness.model.runqueue import Runqueue
from harness.model.task import Task
from tests.model.build import MS, K, normal, one_cpu, pids, put, realtime, with_bonus

NOW = Now(50 * MS, 50)


def test_next_is_the_head_of_the_best_list() -> None:
    rq = one_cpu(normal(1), realtime(2, 64), realtime(3, 63), realtime(4, 63))
    assert decide(rq, 0).next.pid == 3


def test_an_empty_queue_decides_for_idle() -> None:
    rq = one_cpu()
    assert decide(rq, 0) == Decision(rq.idle, swap=False, credit=None)


def test_decide_changes_nothing() -> None:
    rq = one_cpu(normal(1))
    put(normal(2), rq, rq.expired)
    rq.curr.activated = 1
    before = (rq.active, rq.curr.prio, rq.stats.sched_cnt, rq.curr.activated)
    decide(rq, 9)
    assert before == (rq.active, rq.curr.prio, rq.stats.sched_cnt, rq.curr.activated)


def test_arrays_are_swapped_only_when_active_is_empty() -> None:
    rq = one_cpu(normal(1, 19))
    put(normal(2, -20), rq, rq.expired)
    rq.expired_timestamp, rq.best_expired_prio = 5, 100
    assert schedule(rq, NOW).next.pid == 1
    assert (rq.expired_timestamp, rq.best_expired_prio) == (5, 100)
    sched_yield(rq, 50)
    decision = schedule(rq, NOW)
    assert (decision.next.pid, decision.swap) == (2, True)
    assert (rq.expired_timestamp, rq.best_expired_prio) == (0, 140)
    assert (rq.stats.sched_switch, rq.stats.sched_noswitch) == (1, 1)


def test_going_idle_forgets_the_expiry_but_not_the_best_expired() -> None:
    rq = one_cpu(normal(1))
    rq.curr.state = State.INTERRUPTIBLE
    rq.expired_timestamp, rq.best_expired_prio = 5, 110
    assert schedule(rq, NOW).next is rq.idle
    assert (rq.expired_timestamp, rq.best_expired_prio) == (0, 110)
    assert rq.stats.sched_goidle == 1
    assert check_runqueue(rq) == []


def test_a_task_that_sleeps_leaves_the_queue_and_one_that_is_preempted_does_not() -> None:
    sleeper, other = normal(1), normal(2)
    rq = one_cpu(sleeper, other)
    sleeper.state = State.UNINTERRUPTIBLE
    assert not put_prev(rq, 0, preempt=True).dequeued
    assert sleeper.preempt_active
    departure = put_prev(rq, 0)
    assert departure.dequeued and departure.voluntary
    assert (rq.nr_running, rq.nr_uninterruptible, sleeper.array) == (1, 1, None)


def test_a_pending_signal_calls_an_interruptible_sleep_off() -> None:
    p = normal(1)
    rq = one_cpu(p)
    p.state = State.INTERRUPTIBLE
    departure = put_prev(rq, 0, signal_pending=True)
    assert departure.voluntary and not departure.dequeued
    assert p.state == State.RUNNING
    p.state = State.UNINTERRUPTIBLE
    assert put_prev(rq, 0, signal_pending=True).dequeued


def test_switches_are_counted_by_kind_and_not_at_all_when_nothing_changes() -> None:
    a, b = normal(1), normal(2)
    rq = one_cpu(a, b)
    assert schedule(rq, NOW).next is a
    assert (rq.nr_switches, a.nvcsw, a.nivcsw) == (0, 0, 0)
    sched_yield(rq, 0)
    schedule(rq, NOW)
    b.state = State.INTERRUPTIBLE
    schedule(rq, NOW)
    assert (rq.nr_switches, a.nivcsw, b.nvcsw) == (2, 1, 1)


@pytest.mark.parametrize(("bonus", "charged"), [(0, 40), (1, 40), (2, 20), (5, 8), (10, 4)])
def test_run_time_is_divided_by_the_bonus(bonus: int, charged: int) -> None:
    p = normal(1, bonus=bonus)
    rq = one_cpu(p)
    p.timestamp = 10 * MS
    assert put_prev(rq, 50 * MS).run_time == charged * MS


def test_a_switch_stamps_both_tasks() -> None:
    a, b = normal(1), normal(2)
    rq = one_cpu(a, b)
    departure = put_prev(rq, NOW.ns)
    assert not commit(rq, departure, decide(rq, NOW.ns), NOW)
    assert (a.timestamp, a.last_ran, b.timestamp) == (NOW.ns, NOW.ns, 0)
    sched_yield(rq, 0)
    later = Now(60 * MS, 60)
    assert commit(rq, put_prev(rq, later.ns), decide(rq, later.ns), later)
    assert (a.timestamp, a.last_ran, b.timestamp, b.last_ran) == (60 * MS, 60 * MS, 60 * MS, 0)


def test_sleep_average_is_spent_down_to_nothing() -> None:
    p = normal(1, bonus=1)
    rq = one_cpu(p)
    schedule(rq, Now(40 * MS, 40))
    assert p.sleep_avg == with_bonus(1) - 40 * MS
    schedule(rq, Now(900 * MS, 900))
    assert p.sleep_avg == 0


def test_a_clock_that_went_back_costs_the_whole_sleep_average() -> None:
    p = normal(1, bonus=1)
    rq = one_cpu(p)
    p.timestamp = 51 * MS
    assert put_prev(rq, 50 * MS).run_time == K.ns_max_sleep_avg


@pytest.mark.parametrize(("activated", "credit"), [(0, None), (-1, None), (1, 38), (2, 128)])
def test_waiting_is_credited_by_kind_of_wakeup(activated: int, credit: int | None) -> None:
    woken = normal(2, bonus=0)
    woken.activated, woken.timestamp = activated, 1000
    rq = one_cpu(woken, normal(1, 19))
    decision = decide(rq, 1000 + 128 * MS)
    assert decision.credit == (None if credit is None else credit * MS)
    schedule(rq, Now(1000 + 128 * MS, 128))
    assert woken.activated == 0


def test_real_time_is_never_credited() -> None:
    p = realtime(1, 50)
    p.activated = 2
    assert decide(one_cpu(p), 10**9).credit is None


def test_a_credited_task_runs_though_it_moves_behind_others() -> None:
    woken, other = normal(1, bonus=0), normal(2)
    woken.activated = 1
    woken.prio = 119
    rq = one_cpu(woken, other)
    rq.curr = rq.idle
    schedule(rq, Now(128 * MS, 128))
    assert rq.curr is woken
    assert woken.sleep_avg == 380 * MS, "38 of the 128 ms it waited, tenfold"
    assert pids(rq.active.tasks()) == [2, 1]
    assert check_runqueue(rq) == []


def test_an_interrupt_is_sent_only_where_nobody_would_look() -> None:
    p = normal(1)
    p.cpu = 1
    assert resched_task(p, this_cpu=0) is Resched.IPI
    assert resched_task(p, this_cpu=0) is Resched.PENDING
    p.need_resched, p.polling = False, True
    assert resched_task(p, this_cpu=0) is Resched.POLLING
    p.need_resched = False
    assert resched_task(p, this_cpu=1) is Resched.LOCAL


def test_previous_task_woken_while_the_queue_looked_for_work_runs_on() -> None:
    p = normal(1)
    rq = one_cpu(p)
    p.state = State.INTERRUPTIBLE

    def woken_meanwhile() -> None:
        assert p.array is None
        put(p, rq)
        p.state = State.RUNNING

    assert schedule(rq, NOW, idle_balance=woken_meanwhile).next is p
    assert (rq.nr_switches, p.nvcsw) == (0, 0)
    assert (rq.stats.sched_cnt, rq.stats.sched_goidle, rq.stats.sched_noswitch) == (1, 0, 1)
    assert check_runqueue(rq) == []


def test_yield_goes_to_expired_without_touching_its_record() -> None:
    p = normal(1)
    rq = one_cpu(p, normal(2))
    assert sched_yield(rq, 50) is rq.expired
    assert (rq.expired_timestamp, rq.best_expired_prio) == (0, 140)
    assert p.time_slice == 100


def test_yield_of_real_time_goes_to_the_tail_of_its_list() -> None:
    rq = one_cpu(realtime(1, 50), realtime(2, 50), realtime(3, 40))
    assert sched_yield(rq, 50) is rq.active
    assert pids(rq.active.tasks()) == [3, 2, 1]


@pytest.mark.parametrize(
    ("active", "expired", "counters"),
    [(1, 0, (1, 1, 0)), (1, 1, (0, 1, 0)), (2, 0, (0, 0, 1)), (2, 1, (0, 0, 0))],
)
def test_yield_counters(active: int, expired: int, counters: tuple[int, int, int]) -> None:
    rq = one_cpu(*(normal(pid) for pid in range(active)))
    for pid in range(expired):
        put(normal(10 + pid), rq, rq.expired)
    sched_yield(rq, 0)
    stats = rq.stats
    assert (stats.yld_both_empty, stats.yld_act_empty, stats.yld_exp_empty) == counters
    assert stats.yld_cnt == 1


def test_yield_of_an_expired_task_stays_in_expired() -> None:
    p = normal(1)
    rq = one_cpu()
    put(p, rq, rq.expired)
    put(normal(2), rq, rq.expired)
    rq.curr = p
    assert sched_yield(rq, 0) is rq.expired
    assert pids(rq.expired.tasks()) == [2, 1]


def test_idle_cannot_yield() -> None:
    with pytest.raises(ValueError, match="not queued"):
        sched_yield(one_cpu(), 0)


def renice(p: Task, rq: Runqueue, nice: int) -> Resched | None:
    rq.curr.need_resched = False
    return set_user_nice(p, rq, nice, this_cpu=rq.cpu, jiffies=0)


def test_nice_drops_the_bonus_and_keeps_the_slice() -> None:
    p = normal(1, bonus=10)
    rq = one_cpu(p, normal(2))
    assert renice(p, rq, 5) is Resched.LOCAL
    assert (p.static_prio, p.prio, p.time_slice) == (125, 125, 100)
    assert rq.active.queue[125] == [p]


def test_nice_compares_with_the_old_dynamic_priority() -> None:
    p = normal(2, bonus=10)
    rq = one_cpu(normal(1), p)
    assert renice(p, rq, -5) is None, "115 before and after"
    rq.curr = p
    p.sleep_avg = with_bonus(10)
    p.static_prio += 5
    assert renice(p, rq, -5) is None, "115 again, and running"
    rq.curr = rq.active.tasks()[-1]
    assert renice(p, rq, -6) is Resched.LOCAL
    assert renice(p, rq, 0) is None, "worse, but not running"
    assert renice(p, rq, 0) is None, "unchanged"


def test_nice_of_others() -> None:
    rt, asleep = realtime(1, 50), normal(2)
    rq = one_cpu(rt)
    assert renice(rt, rq, 10) is None
    assert (rt.static_prio, rt.prio) == (130, 50)
    for nice, static_prio in [(-20, 100), (19, 139), (20, 139), (-21, 139), (0, 120)]:
        assert renice(asleep, rq, nice) is None
        assert (asleep.static_prio, asleep.prio, asleep.array) == (static_prio, static_prio, None)


def setscheduler(p: Task, rq: Runqueue, policy: Policy, rt_priority: int) -> Resched | None:
    rq.curr.need_resched = False
    return sched_setscheduler(p, rq, policy, rt_priority, this_cpu=0, jiffies=0)


def test_setscheduler_priorities_and_preemption() -> None:
    running, waiting = normal(1), normal(2)
    rq = one_cpu(running, waiting)
    assert setscheduler(waiting, rq, Policy.FIFO, 1) is Resched.LOCAL
    assert waiting.prio == 98
    assert setscheduler(running, rq, Policy.RR, 99) is None
    assert running.prio == 0
    assert setscheduler(waiting, rq, Policy.FIFO, 50) is None
    assert setscheduler(running, rq, Policy.NORMAL, 0) is Resched.LOCAL
    assert running.prio == running.static_prio == 120
    assert setscheduler(running, rq, Policy.NORMAL, 0) is None, "no worse than before"


def test_setscheduler_brings_an_expired_task_back_to_active() -> None:
    p = normal(2)
    rq = one_cpu(normal(1))
    put(p, rq, rq.expired)
    setscheduler(p, rq, Policy.RR, 10)
    assert p.array is rq.active
    assert rq.nr_running == 2


def test_setscheduler_of_a_sleeper_and_of_nonsense() -> None:
    p = normal(2)
    rq = one_cpu(normal(1))
    assert setscheduler(p, rq, Policy.FIFO, 99) is None
    assert (p.prio, p.array, rq.nr_running) == (0, None, 1)
    setscheduler(p, rq, Policy.RR, 0)
    assert p.prio == 99
    for policy, rt_priority in [(Policy.NORMAL, 1), (Policy.FIFO, -1), (Policy.RR, 100)]:
        with pytest.raises(ValueError, match="does not go with"):
            setscheduler(p, rq, policy, rt_priority)


def test_the_parts_of_schedule_equal_the_whole() -> None:
    whole, parts = (one_cpu(normal(1), normal(2, -5)) for _ in range(2))
    schedule(whole, NOW)
    departure = put_prev(parts, NOW.ns)
    assert commit(parts, departure, decide(parts, NOW.ns), NOW)
    assert whole.curr.pid == parts.curr.pid == 2
    assert whole.stats == parts.stats
