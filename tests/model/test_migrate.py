"""Moving tasks: all vectors, what is passed over, pushing, affinity, and the order of locks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.model.array import PrioArray
from harness.model.checks import check_system
from harness.model.constants import IdleType, Now, SDFlag, State
from harness.model.domain import CPU, Domain, Topology, flat
from harness.model.load import LoadRead, read_live
from harness.model.migrate import (
    Migration,
    Move,
    Skip,
    Verdict,
    __migrate_task,
    active_load_balance,
    can_migrate_task,
    cpu_and_siblings_are_idle,
    find_idlest_cpu,
    move_tasks,
    pull_task,
    push_targets,
    sched_exec,
    sched_migrate_task,
    set_cpus_allowed,
)
from harness.model.resched import Resched
from harness.model.runqueue import LockOp, Runqueue, double_lock_balance, double_rq_lock
from harness.model.task import Task
from tests.model.build import MS, VECTORS, normal, put, realtime, runqueues

carry_out = __migrate_task
NOW = Now(50 * MS, 50)
LAST_TICK = 10**12


def words(array: PrioArray) -> str:
    return " ".join(str(p.pid) for p in array.tasks())


@pytest.mark.parametrize("vector", VECTORS["move_tasks"])
def test_move_tasks_vectors(vector: dict[str, Any]) -> None:
    src, dst = runqueues(flat(2))
    src.timestamp_last_tick = LAST_TICK
    for pid, described in enumerate(vector["tasks_in_enqueue_order"]):
        p = Task(pid, prio=described["prio"], last_ran=LAST_TICK - described["ns_since_last_ran"])
        p.cpus_allowed = 0b11 if described["allowed_on_dst"] else 0b01
        put(p, src, src.active if described["array"] == "active" else src.expired)
        if described["is_curr"]:
            src.curr = p
    if not vector["dst_curr_is_idle"]:
        dst.curr = Task(99, cpu=1)
    dst.curr.prio, dst.curr.need_resched = vector["dst_curr_prio"], False
    (sd,) = dst.domains
    sd.nr_balance_failed = vector["nr_balance_failed"]
    sd.parameters = replace(
        CPU,
        cache_nice_tries=vector["cache_nice_tries"],
        cache_hot_time=vector["cache_hot_time_ns"],
    )
    move = move_tasks(
        dst, src, vector["max_nr_move"], sd, IdleType.NOT_IDLE, 1, 0, dst_idle=dst.is_idle
    )
    assert [pull.task.pid for pull in move.pulls] == vector["pulled_in_order"]
    assert dst.curr.need_resched == vector["resched_dst"]
    assert (words(dst.active), words(dst.expired)) == (vector["dst_active"], vector["dst_expired"])
    assert (words(src.active), words(src.expired)) == (vector["src_active"], vector["src_expired"])


def two_cpus(*tasks: Task) -> tuple[Runqueue, Runqueue, Domain]:
    """A source with cold tasks, the first running; an idle destination, and its domain."""
    src, dst = runqueues(flat(2))
    src.timestamp_last_tick = LAST_TICK
    dst.idle.need_resched = src.idle.need_resched = False
    for p in tasks:
        put(p, src)
    src.curr = tasks[0]
    return src, dst, dst.domains[0]


def move(src: Runqueue, dst: Runqueue, sd: Domain, count: int) -> Move:
    return move_tasks(dst, src, count, sd, IdleType.NEWLY_IDLE, dst.cpu, 7, dst_idle=dst.is_idle)


def test_verdicts() -> None:
    running, bound, hot = normal(1), normal(2), normal(3)
    bound.cpus_allowed = 0b01
    hot.last_ran = LAST_TICK - CPU.cache_hot_time + 1
    src, _, sd = two_cpus(running, bound, hot)
    verdicts = [can_migrate_task(p, src, 1, sd, dst_idle=False) for p in (running, bound, hot)]
    assert verdicts == [Verdict.RUNNING, Verdict.AFFINITY, Verdict.CACHE_HOT]
    assert can_migrate_task(hot, src, 1, sd, dst_idle=True) is Verdict.MIGRATE
    sd.nr_balance_failed = 1
    assert can_migrate_task(hot, src, 1, sd, dst_idle=False) is Verdict.CACHE_HOT
    sd.nr_balance_failed = 2
    assert can_migrate_task(hot, src, 1, sd, dst_idle=False) is Verdict.MIGRATE
    sd.nr_balance_failed = 0
    hot.last_ran -= 1
    assert can_migrate_task(hot, src, 1, sd, dst_idle=False) is Verdict.MIGRATE


def test_tasks_passed_over_are_reported_in_order() -> None:
    running, bound, free = normal(1), normal(2), normal(3)
    bound.cpus_allowed = 0b01
    src, dst, sd = two_cpus(running, bound, free)
    result = move(src, dst, sd, 5)
    assert [pull.task for pull in result.pulls] == [free]
    assert result.skipped == (Skip(bound, Verdict.AFFINITY), Skip(running, Verdict.RUNNING))
    assert (src.stats.pt[2].pt_lost, dst.stats.pt[2].pt_gained) == (1, 1)


def test_nothing_moves_from_a_queue_of_one() -> None:
    src, dst, sd = two_cpus(normal(1))
    src.curr = src.idle
    assert move(src, dst, sd, 5) == Move()


def test_a_pull_takes_the_time_along_and_nothing_else_changes() -> None:
    p = normal(2, 3)
    src, dst, _ = two_cpus(normal(1), p)
    p.timestamp, p.last_ran, p.time_slice, p.activated = LAST_TICK - 5, 77, 33, 2
    dst.timestamp_last_tick = LAST_TICK + 1000
    before = (p.prio, p.static_prio, p.sleep_avg, p.last_ran, p.time_slice, p.activated)
    pull_task(p, src, src.active, dst, dst.expired, 7)
    assert p.timestamp == LAST_TICK + 995
    assert before == (p.prio, p.static_prio, p.sleep_avg, p.last_ran, p.time_slice, p.activated)
    assert (src.nr_running, dst.nr_running, p.cpu, p.array) == (1, 1, 1, dst.expired)
    assert (dst.expired_timestamp, dst.best_expired_prio) == (0, 140)


def test_a_time_after_the_sources_tick_wraps_on_a_clock_that_is_behind() -> None:
    p = normal(2)
    src, dst, _ = two_cpus(normal(1), p)
    p.timestamp = LAST_TICK - 5
    pull_task(p, src, src.active, dst, dst.active, 7)
    assert p.timestamp == 2**64 - 5


def test_preemption_is_checked_even_for_the_expired_array() -> None:
    p = normal(2)
    src, dst, sd = two_cpus(normal(1))
    put(p, src, src.expired)
    (pulled,) = move(src, dst, sd, 1).pulls
    assert pulled.expired
    assert pulled.resched is Resched.LOCAL


def test_whole_cores_are_idle_or_not() -> None:
    rqs = runqueues(Topology(sockets=2, threads=2))
    put(normal(1), rqs[1])
    assert cpu_and_siblings_are_idle(rqs, 0), "idle is what runs, not what is queued"
    rqs[1].curr = rqs[1].active.tasks()[0]
    assert [cpu_and_siblings_are_idle(rqs, cpu) for cpu in range(4)] == [False, False, True, True]
    flat_rqs = runqueues(flat(2))
    flat_rqs[1].curr = normal(1)
    assert cpu_and_siblings_are_idle(flat_rqs, 0)


def test_push_visits_every_other_cpu_once_from_near_to_far() -> None:
    rqs = runqueues(Topology(sockets=2, cores=2))
    visits = [(sd.parameters.name, cpu) for sd, cpu in push_targets(rqs[2])]
    assert visits == [("CORE", 3), ("CPU", 0), ("CPU", 1)]
    rqs[2].domains[0].parameters = replace(CPU, flags=SDFlag(0))
    assert list(push_targets(rqs[2])) == []


def test_active_balancing_pushes_one_task_to_each_idle_cpu() -> None:
    rqs = runqueues(flat(4))
    for rq in rqs:
        rq.idle.need_resched = False
    thread = realtime(1, 0)
    tasks = [normal(pid) for pid in range(2, 6)]
    for p in (thread, *tasks):
        put(p, rqs[1])
    rqs[1].curr = thread
    rqs[2].curr = normal(9)
    pushed = active_load_balance(rqs[1], rqs, 0)
    assert [cpu for cpu, _ in pushed] == [3, 0]
    assert [rq.nr_running for rq in rqs] == [1, 3, 0, 1]
    assert rqs[3].idle.need_resched
    stats = rqs[1].stats
    assert (stats.alb_cnt, stats.alb_lost, stats.alb_failed) == (1, 2, 0)
    assert rqs[3].stats.alb_gained == rqs[3].stats.pt[0].pt_gained == 1


def test_active_balancing_pushes_even_the_only_real_task_but_not_a_bound_one() -> None:
    rqs = runqueues(flat(2))
    thread, only = realtime(1, 0), normal(2)
    put(thread, rqs[0])
    put(only, rqs[0])
    rqs[0].curr = thread
    only.cpus_allowed = 0b01
    active_load_balance(rqs[0], rqs, 0)
    assert (only.cpu, rqs[0].stats.alb_failed) == (0, 1)
    only.cpus_allowed = 0b11
    active_load_balance(rqs[0], rqs, 0)
    assert only.cpu == 1
    assert active_load_balance(rqs[0], rqs, 0) == [], "nothing left but the thread"
    assert rqs[0].stats.alb_failed == 1


def test_affinity_of_a_sleeper_a_satisfied_and_a_queued_task() -> None:
    running, queued, asleep = normal(1), normal(2), normal(3)
    src, _, _ = two_cpus(running, queued)
    assert not set_cpus_allowed(queued, src, 0b11, online=0b11)
    assert not set_cpus_allowed(asleep, src, 0b10, online=0b11)
    assert asleep.cpu == 1
    assert set_cpus_allowed(queued, src, 0b110, online=0b011)
    assert set_cpus_allowed(running, src, 0b10, online=0b11)
    requests = [(request.task, request.dest_cpu) for request in src.migration_queue]
    assert requests == [(running, 1), (queued, 1)], "the newest first"
    with pytest.raises(ValueError, match="no CPU of 0x4 is online"):
        set_cpus_allowed(queued, src, 0b100, online=0b011)
    assert queued.cpus_allowed == 0b110


def test_a_task_on_its_way_out_still_needs_the_migration_thread() -> None:
    p = normal(1)
    (rq, _) = runqueues(flat(2))
    rq.curr = p
    assert set_cpus_allowed(p, rq, 0b10, online=0b11)
    assert p.cpu == 0


def test_carrying_out_a_request() -> None:
    p = normal(2)
    src, dst, _ = two_cpus(normal(1), p)
    dst.timestamp_last_tick = LAST_TICK + 3
    now = Now(LAST_TICK + 10, 50)
    p.timestamp, before = now.ns, p.sleep_avg
    assert carry_out(p, src, dst, now, online=0b01) is Migration.OFFLINE
    p.cpus_allowed = 0b01
    assert carry_out(p, src, dst, now, online=0b11) is Migration.NOT_ALLOWED
    p.cpus_allowed = 0b10
    assert carry_out(p, src, dst, now, online=0b11) is Migration.MOVED
    assert (p.cpu, p.array, p.timestamp) == (1, dst.active, LAST_TICK + 13)
    assert p.sleep_avg == before, "no time passed on either clock"
    assert dst.idle.need_resched
    assert carry_out(p, src, dst, now, online=0b11) is Migration.GONE
    assert check_system([src, dst], [p, *src.active.tasks()]) == []


def test_carrying_out_a_request_for_a_task_that_fell_asleep() -> None:
    p = normal(2)
    src, dst, _ = two_cpus(normal(1))
    p.state = State.INTERRUPTIBLE
    assert carry_out(p, src, dst, NOW, online=0b11) is Migration.MOVED
    assert (p.cpu, p.array, dst.nr_running) == (1, None, 0)


def test_idlest_cpu_for_a_new_program() -> None:
    rqs = runqueues(flat(4))
    (sd,) = rqs[0].domains
    loads = [LoadRead(256, 2), LoadRead(128, 1), LoadRead(100, 0), LoadRead(100, 0)]
    p = normal(1)
    assert find_idlest_cpu(p, 0, sd, loads.__getitem__) == 2
    p.cpus_allowed = 0b0011
    assert find_idlest_cpu(p, 0, sd, loads.__getitem__) == 1
    p.cpus_allowed = 0
    assert find_idlest_cpu(p, 0, sd, loads.__getitem__) == 0


@pytest.mark.parametrize(
    ("ours", "theirs", "cpu"), [(256, 342, 1), (256, 343, 0), (96, 200, 0), (97, 200, 1)]
)
def test_a_new_program_moves_for_half_the_imbalance(ours: int, theirs: int, cpu: int) -> None:
    """Counting the program itself: theirs * 112 < (ours + 128) * 100."""
    (sd,) = runqueues(flat(2))[0].domains
    p = normal(1)
    p.cpus_allowed = 0b10
    loads = [LoadRead(ours, 9), LoadRead(theirs, 0)]
    assert find_idlest_cpu(p, 0, sd, loads.__getitem__) == cpu


def test_the_first_quite_idle_cpu_ends_the_search() -> None:
    looked: list[int] = []

    def read(cpu: int) -> LoadRead:
        looked.append(cpu)
        return LoadRead(0, 0) if cpu in (1, 2) else LoadRead(256, 2)

    (sd,) = runqueues(flat(4))[0].domains
    assert find_idlest_cpu(normal(1), 0, sd, read) == 1
    assert looked == [0, 1, 0]


def test_exec_uses_the_widest_domain_and_counts() -> None:
    rqs = runqueues(Topology(sockets=2, cores=2))
    for pid in range(3):
        put(normal(pid), rqs[0])
    rqs[0].curr = rqs[0].active.tasks()[0]
    rqs[0].cpu_load = 384
    rqs[1].cpu_load = 128
    read = read_live(rqs)
    assert sched_exec(rqs[0], read) == 2
    _, widest = rqs[0].domains
    assert (widest.stats.sbe_attempts, widest.stats.sbe_pushed) == (1, 1)
    assert sched_migrate_task(rqs[0].curr, rqs[0], 2, online=0b1111)
    assert not sched_migrate_task(rqs[0].curr, rqs[0], 2, online=0b0011)
    assert (rqs[0].stats.sbe_cnt, rqs[0].stats.smt_cnt) == (1, 1)
    rqs[0].nr_running = 2
    assert sched_exec(rqs[0], read) == 2
    rqs[0].nr_running = 1
    assert sched_exec(rqs[0], read) == 0
    assert widest.stats.sbe_attempts == 2


def test_two_locks_are_taken_in_ascending_order() -> None:
    both = [(LockOp.LOCK, 1), (LockOp.LOCK, 3)]
    assert double_rq_lock(1, 3) == double_rq_lock(3, 1) == both
    assert double_rq_lock(2, 2) == [(LockOp.LOCK, 2)]


def test_the_held_lock_is_dropped_only_for_a_taken_lower_one() -> None:
    assert double_lock_balance(3, 1, trylock_ok=True) == [(LockOp.TRYLOCK, 1)]
    assert double_lock_balance(1, 3, trylock_ok=False) == [(LockOp.TRYLOCK, 3), (LockOp.LOCK, 3)]
    assert double_lock_balance(3, 1, trylock_ok=False) == [
        (LockOp.TRYLOCK, 1),
        (LockOp.UNLOCK, 3),
        (LockOp.LOCK, 1),
        (LockOp.LOCK, 3),
    ]
