"""Wakeups: which are refused, where the task goes, and the one that must not be moved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.model.checks import check_system
from harness.model.constants import Now, SDFlag, State
from harness.model.core import put_prev, schedule
from harness.model.domain import CPU, Topology, build_domains, flat
from harness.model.load import LoadRead
from harness.model.resched import Resched
from harness.model.runqueue import Runqueue
from harness.model.task import Task
from harness.model.wake import (
    Placement,
    PlaceReason,
    WakeStep,
    activate_task,
    begin_wakeup,
    commit_placement,
    finish_wakeup,
    place,
    recheck_wakeup,
    try_to_wake_up,
    wake_idle,
)
from tests.model.build import MS, normal, put, realtime, runqueues

NOW = Now(50 * MS, 50)
IDLE = LoadRead(cpu_load=0, nr_running=0)
ONE = LoadRead(cpu_load=128, nr_running=1)
TWO = LoadRead(cpu_load=256, nr_running=2)


def sleeper(pid: int = 1, *, cpu: int = 0, state: State = State.INTERRUPTIBLE) -> Task:
    p = normal(pid, cpu=cpu)
    p.state = state
    return p


def two_cpus() -> list[Runqueue]:
    rqs = runqueues(flat(2))
    for rq in rqs:
        rq.idle.need_resched = False
    return rqs


def test_a_task_in_another_state_is_not_woken() -> None:
    rqs = two_cpus()
    stopped = sleeper(state=State.STOPPED)
    result = try_to_wake_up(stopped, rqs, 0, NOW, mask=State.INTERRUPTIBLE)
    assert result.step is WakeStep.NOT_ASLEEP and not result.woken
    assert stopped.state == State.STOPPED
    assert rqs[0].stats.ttwu_cnt == 1


def test_a_task_that_is_still_queued_is_only_made_runnable() -> None:
    rqs = two_cpus()
    p = sleeper()
    put(p, rqs[0])
    rqs[0].curr = p
    result = try_to_wake_up(p, rqs, 1, NOW)
    assert result.step is WakeStep.STILL_QUEUED and not result.woken
    assert p.state == State.RUNNING
    assert (rqs[0].nr_running, rqs[0].stats.ttwu_attempts) == (1, 0)


def test_a_task_that_is_switching_out_is_queued_where_it_is() -> None:
    """Woken between dequeue and switch: another CPU must not get it, its stack is in use."""
    rqs = two_cpus()
    p = sleeper()
    put(p, rqs[0])
    rqs[0].curr = p
    departure = put_prev(rqs[0], NOW.ns)
    assert departure.dequeued
    result = try_to_wake_up(p, rqs, 1, NOW)
    assert result.step is WakeStep.SWITCHING_OUT and result.woken
    assert result.placement is None
    assert (p.cpu, p.array) == (0, rqs[0].active)
    assert rqs[0].stats.ttwu_attempts == 0
    assert check_system(rqs, [p]) == []


def test_a_wakeup_queues_credits_and_preempts() -> None:
    rqs = two_cpus()
    p = sleeper()
    p.sleep_avg = 0
    result = try_to_wake_up(p, rqs, 0, NOW)
    assert result.woken and result.resched is Resched.LOCAL
    assert (p.state, p.array, p.activated) == (State.RUNNING, rqs[0].active, 1)
    assert (p.sleep_avg, p.timestamp) == (500 * MS, 50 * MS)


def test_waking_an_equal_does_not_preempt_and_a_better_one_does() -> None:
    rqs = two_cpus()
    running = normal(1)
    put(running, rqs[0])
    rqs[0].curr = running
    equal, better = sleeper(2), sleeper(3)
    equal.timestamp = better.timestamp = NOW.ns
    better.static_prio = 119
    assert try_to_wake_up(equal, rqs, 0, NOW).resched is None
    assert try_to_wake_up(better, rqs, 0, NOW).resched is Resched.LOCAL


def test_a_synchronous_waker_is_not_preempted_on_its_own_cpu() -> None:
    rqs = two_cpus()
    assert try_to_wake_up(sleeper(1), rqs, 0, NOW, sync=True).resched is None
    remote = sleeper(2, cpu=1)
    remote.last_ran = NOW.ns
    remote.cpus_allowed = 0b10
    assert try_to_wake_up(remote, rqs, 0, NOW, sync=True).resched is Resched.IPI


def test_waking_from_disk_sleep() -> None:
    rqs = two_cpus()
    rqs[0].nr_uninterruptible = 1
    p = sleeper(state=State.UNINTERRUPTIBLE)
    try_to_wake_up(p, rqs, 0, NOW, in_interrupt=True)
    assert (p.activated, rqs[0].nr_uninterruptible) == (-1, 0)
    q = sleeper(2)
    try_to_wake_up(q, rqs, 0, NOW, in_interrupt=True)
    assert q.activated == 2


def test_a_remote_clock_is_translated() -> None:
    rqs = two_cpus()
    rqs[0].timestamp_last_tick, rqs[1].timestamp_last_tick = 40 * MS, 44 * MS
    p = sleeper(cpu=1)
    p.cpus_allowed = 0b10
    try_to_wake_up(p, rqs, 0, NOW)
    assert p.timestamp == 54 * MS


def placed(
    theirs: LoadRead,
    ours: LoadRead,
    *,
    hot: bool = True,
    flags: SDFlag | None = None,
    **extra: bool,
) -> Placement:
    """Placement by CPU 0 of a task that ran on CPU 1, by default cache-hot there."""
    rq = runqueues(flat(2))[0]
    (sd,) = rq.domains
    if flags is not None:
        sd.parameters = replace(CPU, flags=flags)
    p = sleeper(cpu=1)
    p.last_ran = 0 if hot else -CPU.cache_hot_time
    return place(p, 0, rq.domains, 0, theirs, ours, **extra)


def test_a_local_or_bound_task_stays() -> None:
    domains = runqueues(flat(2))[0].domains
    local, bound = sleeper(cpu=0), sleeper(cpu=1)
    bound.cpus_allowed = 0b10
    assert place(local, 0, domains, 0, ONE, ONE) == Placement(0, PlaceReason.LOCAL)
    assert place(bound, 0, domains, 0, ONE, ONE) == Placement(1, PlaceReason.NOT_ALLOWED)


def test_an_idle_cpu_keeps_its_task_from_a_busy_one() -> None:
    assert placed(IDLE, ONE, hot=False).reason is PlaceReason.WOULD_LOAD_US
    assert placed(LoadRead(63, 1), LoadRead(65, 0), hot=False).cpu == 1
    assert placed(LoadRead(64, 1), LoadRead(65, 0), hot=False).cpu == 0
    assert placed(LoadRead(63, 1), LoadRead(64, 0), hot=False).cpu == 0


def test_a_cold_task_comes_to_the_waker() -> None:
    result = placed(ONE, ONE, hot=False)
    assert (result.cpu, result.reason) == (0, PlaceReason.AFFINE)


@pytest.mark.parametrize(
    ("theirs", "ours", "cpu"),
    [(137, 100, 0), (136, 100, 1), (274, 200, 0), (273, 200, 1)],
)
def test_a_hot_task_comes_for_an_imbalance_of_137_percent(theirs: int, ours: int, cpu: int) -> None:
    result = placed(LoadRead(theirs, 9), LoadRead(ours, 0))
    assert result.cpu == cpu
    reason = PlaceReason.BALANCE if cpu == 0 else PlaceReason.NO_DOMAIN
    assert result.reason is reason


def test_a_package_of_cores_takes_it_for_115_percent() -> None:
    domains = build_domains(Topology(sockets=2, cores=2).levels(), 0)
    p = sleeper(cpu=1)
    results = [place(p, 0, domains, 0, LoadRead(n, 9), LoadRead(100, 0)) for n in (114, 115)]
    assert [result.reason for result in results] == [PlaceReason.NO_DOMAIN, PlaceReason.BALANCE]


def test_a_domain_without_flags_moves_nothing() -> None:
    assert placed(TWO, IDLE, hot=False, flags=SDFlag.LOAD_BALANCE).cpu == 1
    affine = SDFlag.WAKE_AFFINE
    assert placed(TWO, IDLE, hot=True, flags=affine).reason is PlaceReason.NO_DOMAIN


def test_sync_takes_the_waker_out_of_account() -> None:
    assert placed(TWO, TWO).cpu == 1
    assert placed(TWO, TWO, sync=True).reason is PlaceReason.BALANCE
    assert placed(LoadRead(63, 1), ONE, hot=False, sync=True).reason is PlaceReason.AFFINE
    wraps = placed(LoadRead(63, 1), LoadRead(127, 0), hot=False, sync=True)
    assert wraps.reason is PlaceReason.WOULD_LOAD_US


def test_the_first_domain_that_spans_the_other_cpu_decides() -> None:
    topology = Topology(sockets=2, cores=2)
    domains = build_domains(topology.levels(), 0)
    near, far = sleeper(cpu=1), sleeper(cpu=2)
    near.last_ran = far.last_ran = -(10**9)
    assert place(near, 0, domains, 0, ONE, ONE).domain is domains[0]
    assert place(far, 0, domains, 0, ONE, ONE).domain is domains[1]


def test_moving_counts_and_points_the_task_elsewhere() -> None:
    rqs = two_cpus()
    p = sleeper(cpu=1)
    p.timestamp = p.last_ran = -(10**9) % 2**64
    result = try_to_wake_up(p, rqs, 0, NOW)
    assert result.placement and result.placement.reason is PlaceReason.AFFINE
    assert (p.cpu, p.array) == (0, rqs[0].active)
    assert (rqs[1].stats.ttwu_attempts, rqs[1].stats.ttwu_moved) == (1, 1)
    assert rqs[0].domains[0].stats.ttwu_wake_affine == 1
    assert check_system(rqs, [p]) == []


def test_the_domain_that_accepted_counts() -> None:
    rq = two_cpus()[0]
    (sd,) = rq.domains
    p = sleeper(cpu=0)
    assert not commit_placement(p, rq, Placement(0, PlaceReason.BALANCE, sd), 0)
    assert not commit_placement(p, rq, Placement(0, PlaceReason.LOCAL), 0)
    assert (sd.stats.ttwu_wake_affine, sd.stats.ttwu_wake_balance) == (0, 1)
    assert (rq.stats.ttwu_attempts, rq.stats.ttwu_moved) == (2, 0)


def test_everything_is_asked_again_after_the_lock_was_dropped() -> None:
    rqs = two_cpus()
    p = sleeper(cpu=1)
    assert begin_wakeup(p, rqs[1]) is WakeStep.PLACE
    assert commit_placement(p, rqs[1], Placement(0, PlaceReason.AFFINE, rqs[0].domains[0]), 0)
    finish_wakeup(p, rqs[0], 0, NOW)
    assert recheck_wakeup(p, rqs[0]) is WakeStep.NOT_ASLEEP
    p.state = State.INTERRUPTIBLE
    assert recheck_wakeup(p, rqs[0]) is WakeStep.STILL_QUEUED
    assert p.state == State.RUNNING
    assert rqs[0].stats.ttwu_cnt == 0


def test_wake_idle_looks_near_first_and_stops_where_a_domain_does_not_take_part() -> None:
    topology = Topology(sockets=2, threads=2)
    p = sleeper()
    domains = build_domains(topology.levels(), 0)
    assert wake_idle(0, p, domains, idle=0b1111) == 0
    assert wake_idle(0, p, domains, idle=0b1110) == 1
    assert wake_idle(0, p, domains, idle=0b1100) == 2
    assert wake_idle(0, p, domains, idle=0) == 0
    p.cpus_allowed = 0b1001
    assert wake_idle(0, p, domains, idle=0b1110) == 3
    domains[0].parameters = replace(CPU, flags=SDFlag(0))
    assert wake_idle(0, p, domains, idle=0b1110) == 0


def test_with_smt_a_wakeup_moves_to_an_idle_sibling() -> None:
    rqs = runqueues(Topology(threads=2))
    running = realtime(1, 10)
    put(running, rqs[0])
    rqs[0].curr = running
    p = sleeper(2)
    try_to_wake_up(p, rqs, 0, NOW, idle=0b10)
    assert p.cpu == 1
    assert schedule(rqs[1], NOW).next is p


def test_activation_sets_what_the_pick_needs() -> None:
    rqs = two_cpus()
    p = sleeper()
    p.activated = -1
    activate_task(p, rqs[0], NOW)
    assert p.activated == -1
    assert p.sched_info.last_queued == NOW.jiffies
    by_task, by_interrupt = sleeper(2), sleeper(3)
    assert finish_wakeup(by_task, rqs[0], 0, NOW) is Resched.LOCAL
    activate_task(by_interrupt, rqs[0], NOW, in_interrupt=True)
    assert (by_task.activated, by_interrupt.activated) == (1, 2)
    activate_task(other := sleeper(4), rqs[0], NOW)
    assert other.activated == 1
