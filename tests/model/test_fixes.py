"""Each documented defect of 2.6.11, as it is and corrected."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.model.balance import (
    Found,
    back_off,
    balance_due,
    find_busiest_group,
    load_balance,
    load_balance_newidle,
)
from harness.model.constants import Constants, IdleType, Now
from harness.model.core import decide, put_prev, schedule
from harness.model.domain import CPU, Domain, Group, Topology, build_domains, flat
from harness.model.fixes import ALL_FIXES, NO_FIXES, Fix, Fixes, fixes_of_mask
from harness.model.load import LoadRead
from harness.model.migrate import active_load_balance, can_migrate_task, move_tasks
from harness.model.prio import recalc_task_prio
from harness.model.runqueue import Runqueue
from tests.model.build import MS, K, normal, put, runqueues

NOT_IDLE, SCHED_IDLE, NEWLY_IDLE = IdleType.NOT_IDLE, IdleType.SCHED_IDLE, IdleType.NEWLY_IDLE


def test_a_mask_names_the_corrections() -> None:
    assert fixes_of_mask(0) == NO_FIXES
    assert fixes_of_mask(1 << 1 | 1 << 16) == {Fix.L01, Fix.L16}
    assert fixes_of_mask(sum(1 << fix for fix in Fix)) == ALL_FIXES
    for unknown in (1, 1 << 12, 1 << 17, 1 << 3 | 1 << 63):
        with pytest.raises(ValueError, match="no correction has bit"):
            fixes_of_mask(unknown)


def corrected(*fixes: Fix) -> Constants:
    return replace(K, fixes=frozenset(fixes))


def loaded(
    *tasks: int, fixes: Fixes = NO_FIXES, topology: Topology | None = None
) -> list[Runqueue]:
    """Run queues with that many tasks, the first of each running, loads converged."""
    rqs = runqueues(topology or flat(len(tasks)))
    for rq, count in zip(rqs, tasks, strict=True):
        rq.k = replace(K, fixes=fixes)
        rq.timestamp_last_tick = 10**10
        rq.idle.need_resched = False
        for n in range(count):
            put(normal(100 * rq.cpu + n), rq)
        rq.curr = rq.active.tasks()[0] if count else rq.idle
        rq.cpu_load = count * 128
    return rqs


BOTH = pytest.mark.parametrize("fixed", [False, True], ids=["2.6.11", "corrected"])


def only(fix: Fix, fixed: bool) -> Fixes:
    return frozenset({fix}) if fixed else NO_FIXES


@BOTH
def test_l01_pinned_tasks_are_no_failure(fixed: bool) -> None:
    rqs = loaded(4, 1, fixes=only(Fix.L01, fixed))
    for p in rqs[0].active.tasks():
        p.cpus_allowed = 0b01
    (sd,) = rqs[1].domains
    kicks = [load_balance(rqs[1], rqs, sd, NOT_IDLE, 0).kick for _ in range(12)]
    failed = sd.stats.lb[NOT_IDLE].lb_failed
    if fixed:
        assert (kicks.count(True), failed, sd.nr_balance_failed) == (0, 0, 0)
        assert sd.balance_interval == 512
    else:
        assert (kicks.count(True), failed) == (1, 12)
        assert sd.balance_interval == 4


def test_l01_other_reasons_to_stay_are_failures() -> None:
    rqs = loaded(4, 1, fixes=frozenset({Fix.L01}))
    pinned, hot = rqs[0].active.tasks()[2:]
    rqs[0].active.tasks()[1].cpus_allowed = pinned.cpus_allowed = 0b01
    hot.last_ran = rqs[0].timestamp_last_tick
    (sd,) = rqs[1].domains
    load_balance(rqs[1], rqs, sd, NOT_IDLE, 0)
    assert sd.stats.lb[NOT_IDLE].lb_failed == 1


@BOTH
def test_l02_a_balanced_domain_forgets_failures(fixed: bool) -> None:
    rqs = loaded(1, 1, fixes=only(Fix.L02, fixed))
    (sd,) = rqs[0].domains
    sd.nr_balance_failed = 2
    assert load_balance(rqs[0], rqs, sd, NOT_IDLE, 0).search.found is Found.NO_GROUP
    assert sd.nr_balance_failed == (0 if fixed else 2)


@BOTH
def test_l03_intervals_stay_within_their_maximum(fixed: bool) -> None:
    (sd,) = build_domains(flat(1).levels(), 0)
    sd.balance_interval = 3
    back_off(sd, only(Fix.L03, fixed))
    assert sd.balance_interval == (4 if fixed else 6)


@BOTH
def test_l04_a_late_cpu_does_not_catch_up(fixed: bool) -> None:
    (sd,) = build_domains(flat(4).levels(), 1)
    k = replace(K, fixes=only(Fix.L04, fixed))
    due = [j for j in range(1, 70) if balance_due(sd, NOT_IDLE, j, 1, nr_cpus=4, k=k)]
    assert due == ([1, 65] if fixed else [1, 2, 3, 6])


@BOTH
def test_l05_newidle_asks_before_it_locks(fixed: bool) -> None:
    rqs = loaded(0, 1, fixes=only(Fix.L05, fixed))
    (sd,) = rqs[0].domains
    rqs[1].nr_running = 2  # as if a second task had come after the length was read
    read = {0: LoadRead(0, 0), 1: LoadRead(128, 1)}
    attempt = load_balance_newidle(rqs[0], rqs, sd, 0, read.__getitem__)
    assert bool(attempt.move.skipped) is True, "there were two when it asked"
    rqs[1].nr_running = 1
    attempt = load_balance_newidle(rqs[0], rqs, sd, 0, read.__getitem__)
    assert not attempt.move.skipped and not attempt.move.pulls
    stats = sd.stats.lb[NEWLY_IDLE]
    assert (stats.lb_cnt, stats.lb_failed, stats.lb_imbalance) == (2, 2, 2)


@BOTH
def test_l06_negative_times_are_none(fixed: bool) -> None:
    k = corrected(Fix.L06) if fixed else K
    (rq,) = loaded(2, fixes=k.fixes)
    current, next_ = rq.active.tasks()
    current.timestamp = next_.timestamp = 5 * MS
    run_time = put_prev(rq, 4 * MS).run_time
    assert run_time == (0 if fixed else k.ns_max_sleep_avg // 5)
    rq.active.queue[120].reverse()
    next_.activated = 2
    credit = decide(rq, 4 * MS).credit
    assert credit == (0 if fixed else 2**64 - MS)
    next_.sleep_avg = 0
    recalc_task_prio(next_, 4 * MS, k)
    assert (next_.sleep_avg == 0) == fixed


@BOTH
def test_l07_groups_of_unequal_power(fixed: bool) -> None:
    sd = Domain(CPU, 0b11, (Group(0b01, 128), Group(0b10, 384)))
    reads = [LoadRead(0, 0), LoadRead(1920, 15)]
    _, imbalance = find_busiest_group(sd, 0, NOT_IDLE, reads.__getitem__, only(Fix.L07, fixed))
    # Loads 640 and 0, average 480: 160 * 128, or the lesser of 160 * 384 and 480 * 128.
    assert imbalance == (3 if fixed else 1)


@BOTH
def test_l08_the_record_of_expiries_learns_of_a_pull(fixed: bool) -> None:
    rqs = loaded(1, 2, fixes=only(Fix.L08, fixed))
    p = normal(999, -3)
    put(p, rqs[1], rqs[1].expired)
    (sd,) = rqs[0].domains
    move = move_tasks(rqs[0], rqs[1], 1, sd, NOT_IDLE, 0, 77, dst_idle=False)
    assert [pull.task for pull in move.pulls] == [p]
    record = rqs[0].expired_timestamp, rqs[0].best_expired_prio
    assert record == ((77, 117) if fixed else (0, 140))
    other = normal(998, 5)
    put(other, rqs[1], rqs[1].expired)
    move_tasks(rqs[0], rqs[1], 1, sd, NOT_IDLE, 0, 99, dst_idle=False)
    assert rqs[0].expired_timestamp == (77 if fixed else 0)
    assert rqs[0].best_expired_prio == (117 if fixed else 140)


@BOTH
def test_l09_going_idle_forgets_the_best_expired_priority(fixed: bool) -> None:
    (rq,) = loaded(0, fixes=only(Fix.L09, fixed))
    rq.best_expired_prio, rq.expired_timestamp = 110, 5
    assert schedule(rq, Now(0, 9)).next is rq.idle
    assert (rq.expired_timestamp, rq.best_expired_prio) == (0, 140 if fixed else 110)


@BOTH
def test_l10_expired_tasks_preempt_nobody(fixed: bool) -> None:
    rqs = loaded(1, 2, fixes=only(Fix.L10, fixed))
    put(normal(999, -5), rqs[1], rqs[1].expired)
    (sd,) = rqs[0].domains
    move_tasks(rqs[0], rqs[1], 1, sd, NOT_IDLE, 0, 7, dst_idle=False)
    assert rqs[0].curr.need_resched is not fixed
    put(normal(998, -5), rqs[1])
    (pull,) = move_tasks(rqs[0], rqs[1], 1, sd, NOT_IDLE, 0, 7, dst_idle=False).pulls
    assert not pull.expired and rqs[0].curr.need_resched, "active ones do"


def test_l10_an_idle_cpu_is_told_all_the_same() -> None:
    rqs = loaded(0, 2, fixes=frozenset({Fix.L10}))
    put(normal(999), rqs[1], rqs[1].expired)
    (sd,) = rqs[0].domains
    move_tasks(rqs[0], rqs[1], 1, sd, SCHED_IDLE, 0, 7, dst_idle=True)
    assert rqs[0].idle.need_resched


@BOTH
def test_l11_a_push_goes_to_who_asked_and_leaves_a_task(fixed: bool) -> None:
    rqs = loaded(4, 0, 0, fixes=only(Fix.L11, fixed))
    rqs[0].push_cpu = 2
    pushed = active_load_balance(rqs[0], rqs, 0)
    assert [cpu for cpu, _ in pushed] == ([2] if fixed else [1, 2])
    rqs = loaded(2, 0, fixes=only(Fix.L11, fixed))
    rqs[0].push_cpu = 1
    assert len(active_load_balance(rqs[0], rqs, 0)) == (0 if fixed else 1)


@BOTH
def test_l16_an_attempt_that_finds_itself_is_counted(fixed: bool) -> None:
    rqs = loaded(0, 0, 0, 0, fixes=only(Fix.L16, fixed), topology=Topology(sockets=2, cores=2))
    _, sd = rqs[0].domains
    sd.groups = (sd.groups[0], Group(0b0001, 256))
    reads = iter([LoadRead(0, 0), LoadRead(0, 0), LoadRead(999, 9), LoadRead(999, 9)])
    attempt = load_balance(rqs[0], rqs, sd, NOT_IDLE, 0, lambda _: next(reads))
    assert attempt.search.found is Found.SELF
    assert sd.stats.lb[NOT_IDLE].lb_nobusyq == int(fixed)


def test_corrections_leave_the_rule_of_hot_caches_alone() -> None:
    rqs = loaded(1, 2, fixes=ALL_FIXES)
    (sd,) = rqs[0].domains
    _, p = rqs[1].active.tasks()
    p.last_ran = rqs[1].timestamp_last_tick - CPU.cache_hot_time
    assert can_migrate_task(p, rqs[1], 0, sd, dst_idle=False).name == "MIGRATE"
    p.last_ran += 1
    assert can_migrate_task(p, rqs[1], 0, sd, dst_idle=False).name == "CACHE_HOT"
