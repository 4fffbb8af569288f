"""Finding the busiest: all vectors and worked laws; then the balancing drivers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.model.balance import (
    Found,
    balance_due,
    find_busiest_group,
    find_busiest_queue,
    idle_balance,
    load_balance,
    load_balance_newidle,
    rebalance_tick,
    search,
)
from harness.model.checks import check_system
from harness.model.constants import IdleType
from harness.model.domain import CPU, Domain, Group, Topology, build_domains, flat
from harness.model.load import LoadRead, ReadLoad
from harness.model.runqueue import Runqueue
from tests.model.build import VECTORS, K, normal, put, runqueues

NOT_IDLE, SCHED_IDLE, NEWLY_IDLE = IdleType.NOT_IDLE, IdleType.SCHED_IDLE, IdleType.NEWLY_IDLE


def converged(*tasks: int) -> ReadLoad:
    """Reads of CPUs that have had this many tasks for a while."""
    return lambda cpu: LoadRead(tasks[cpu] * 128, tasks[cpu])


@pytest.mark.parametrize("vector", VECTORS["find_busiest"])
def test_find_busiest_vectors(vector: dict[str, Any]) -> None:
    reads: list[LoadRead] = []
    groups: list[Group] = []
    for group in vector["groups"]:
        mask = sum(1 << len(reads) + n for n in range(len(group["cpus"])))
        groups.append(Group(mask, group["cpu_power"]))
        reads += [LoadRead(cpu["cpu_load"], cpu["nr_running"]) for cpu in group["cpus"]]
    this = vector["this_group"]
    parameters = replace(CPU, imbalance_pct=vector["imbalance_pct"])
    sd = Domain(parameters, (1 << len(reads)) - 1, tuple(groups[this:] + groups[:this]))
    this_cpu = groups[this].cpumask.bit_length() - 1
    read = reads.__getitem__

    busiest, imbalance = find_busiest_group(sd, this_cpu, IdleType[vector["idle"]], read)
    number = None if busiest is None else groups.index(busiest)
    cpu = None if busiest is None else find_busiest_queue(busiest, read)
    found = (number, imbalance, cpu)
    assert found == (vector["busiest_group"], vector["imbalance"], vector["busiest_cpu"])


def test_two_cpu_pull_law() -> None:
    """Pull iff a-b >= 2 and a > 1.25 b, then half the difference, for all 0 <= a, b < 80."""
    (sd,) = build_domains(flat(2).levels(), 0)
    for a in range(80):
        for b in range(80):
            group, imbalance = find_busiest_group(sd, 0, NOT_IDLE, converged(b, a))
            expected = (a - b) // 2 if a - b >= 2 and 100 * a > 125 * b else 0
            assert imbalance == expected, f"{a} tasks there, {b} here"
            assert (group is None) == (expected == 0)


def imbalance_step_by_step(theirs: int, ours: int, bp: int, tp: int) -> int:
    """Fact sheet A13 steps 2 to 6 by the letter, for two CPUs of these loads and powers."""
    max_load, this_load = 128 * theirs // bp, 128 * ours // tp
    if max_load == 0 or this_load >= max_load:
        return 0
    avg = 128 * (theirs + ours) // (bp + tp)
    if this_load >= avg or 100 * max_load <= 125 * this_load:
        return 0
    imb = min(max_load - avg, avg - this_load) * min(bp, tp) // 128
    if imb >= 127:
        return (imb + 1) // 128
    if max_load - this_load >= 256:
        return 1
    now = (bp * min(128, max_load) + tp * min(128, this_load)) // 128
    t = 16384 // bp
    mv = bp * min(128, max_load - t) if max_load > t else 0
    t = min(16384 // tp, max_load)
    mv = (mv + tp * min(128, this_load + t)) // 128
    return 0 if mv < now + 16 else 1


@pytest.mark.parametrize("bp", [64, 128, 140, 280, 512])
@pytest.mark.parametrize("tp", [64, 128, 140, 280, 512])
def test_small_imbalances_and_unequal_powers(bp: int, tp: int) -> None:
    """The golden vectors hardly ever end in step 5; here every second case does."""
    sd = Domain(CPU, 0b11, (Group(0b01, tp), Group(0b10, bp)))
    for theirs in range(0, 4 * bp, 3):
        for ours in (0, 1, 127, 250):
            reads = [LoadRead(ours, 0), LoadRead(theirs, 99)]
            _, imbalance = find_busiest_group(sd, 0, NOT_IDLE, reads.__getitem__)
            expected = imbalance_step_by_step(theirs, ours, bp, tp)
            assert imbalance == expected, f"load {theirs} there, {ours} here"


@pytest.mark.parametrize(("theirs", "tasks"), [(143, 0), (144, 1), (255, 1), (382, 1), (510, 2)])
def test_an_idle_cpu_takes_a_task_for_an_eighth_of_a_cpu(theirs: int, tasks: int) -> None:
    (sd,) = build_domains(flat(2).levels(), 0)
    reads = [LoadRead(0, 0), LoadRead(theirs, 99)]
    assert find_busiest_group(sd, 0, NOT_IDLE, reads.__getitem__)[1] == tasks


def test_the_smallest_load_is_enough_to_be_the_busiest_queue() -> None:
    assert find_busiest_queue(Group(0b11, 256), [LoadRead(0, 1), LoadRead(1, 1)].__getitem__) == 1
    assert (
        find_busiest_queue(Group(0b11, 256), [LoadRead(9, 0), LoadRead(0, 1)].__getitem__) is None
    )


ALL_TYPES = (SCHED_IDLE, NOT_IDLE, NEWLY_IDLE)


@pytest.mark.parametrize(
    ("tasks", "this_cpu", "types", "expected"),
    [
        *[((4, 0, 0, 0), cpu, ALL_TYPES, (0, 1)) for cpu in (1, 2, 3)],
        ((8, 0, 0, 0), 2, ALL_TYPES, (0, 2)),
        ((16, 0, 0, 0), 3, ALL_TYPES, (0, 4)),
        ((3, 1, 1, 1), 1, ALL_TYPES, (0, 1)),
        ((2, 2, 1, 1), 2, [NOT_IDLE], (None, 0)),
        ((2, 2, 1, 1), 2, [SCHED_IDLE, NEWLY_IDLE], (0, 1)),
        ((1, 1, 1, 0), 3, [SCHED_IDLE, NOT_IDLE], (None, 0)),
        ((1, 1, 1, 0), 3, [NEWLY_IDLE], (0, 1)),
    ],
)
def test_four_cpu_examples(
    tasks: tuple[int, ...],
    this_cpu: int,
    types: list[IdleType],
    expected: tuple[int | None, int],
) -> None:
    (sd,) = build_domains(flat(4).levels(), this_cpu)
    for idle in types:
        group, imbalance = find_busiest_group(sd, this_cpu, idle, converged(*tasks))
        cpu = None if group is None else group.cpumask.bit_length() - 1
        assert (cpu, imbalance) == expected, idle.name


@pytest.mark.parametrize(("this_cpu", "busiest"), [(0, 1), (1, 2), (2, 3), (3, 1)])
def test_ties_go_to_the_first_group_after_our_own(this_cpu: int, busiest: int) -> None:
    (sd,) = build_domains(flat(4).levels(), this_cpu)
    tasks = [5, 5, 5, 5]
    tasks[this_cpu] = 0
    if this_cpu == 3:
        tasks[0] = 4
    group, _ = find_busiest_group(sd, this_cpu, NOT_IDLE, converged(*tasks))
    assert group == Group(1 << busiest, 128)


def test_loads_are_read_in_group_order_and_the_queue_is_read_again() -> None:
    order: list[int] = []

    def read(cpu: int) -> LoadRead:
        order.append(cpu)
        return LoadRead(512, 4) if cpu == 1 and len(order) <= 4 else LoadRead(0, 0)

    (sd,) = build_domains(flat(4).levels(), 2)
    assert search(sd, 2, NOT_IDLE, read).found is Found.NO_QUEUE
    assert order == [2, 3, 0, 1, 1]


def test_a_domain_that_does_not_start_with_us_is_refused() -> None:
    (sd,) = build_domains(flat(2).levels(), 0)
    with pytest.raises(ValueError, match="cpu1"):
        find_busiest_group(sd, 1, NOT_IDLE, converged(0, 0))


def loaded(*tasks: int, topology: Topology | None = None) -> list[Runqueue]:
    """Run queues with that many cache-cold tasks, the first of each running, loads converged."""
    rqs = runqueues(topology or flat(len(tasks)))
    for rq, count in zip(rqs, tasks, strict=True):
        rq.idle.need_resched = False
        rq.timestamp_last_tick = 10**10
        for n in range(count):
            put(normal(100 * rq.cpu + n), rq)
        rq.curr = rq.active.tasks()[0] if count else rq.idle
        rq.cpu_load = count * 128
    return rqs


def lengths(rqs: list[Runqueue]) -> list[int]:
    return [rq.nr_running for rq in rqs]


def pull(rqs: list[Runqueue], cpu: int, idle: IdleType = NOT_IDLE) -> int:
    (sd,) = rqs[cpu].domains
    return len(load_balance(rqs[cpu], rqs, sd, idle, 0).move.pulls)


def test_load_balance_moves_and_resets() -> None:
    rqs = loaded(2, 6)
    (sd,) = rqs[0].domains
    sd.nr_balance_failed, sd.balance_interval = 2, 4
    attempt = load_balance(rqs[0], rqs, sd, NOT_IDLE, 0)
    assert len(attempt.move.pulls) == 2 and not attempt.kick
    assert lengths(rqs) == [4, 4]
    assert (sd.nr_balance_failed, sd.balance_interval) == (0, 1)
    stats = sd.stats.lb[NOT_IDLE]
    assert (stats.lb_cnt, stats.lb_imbalance, stats.lb_failed) == (1, 2, 0)
    assert rqs[0].stats.pt[NOT_IDLE].pt_gained == rqs[1].stats.pt[NOT_IDLE].pt_lost == 2
    assert check_system(rqs, [p for rq in rqs for p in rq.active.tasks()]) == []


def test_balanced_backs_off_beyond_the_maximum_and_keeps_failures() -> None:
    rqs = loaded(1, 1)
    (sd,) = rqs[0].domains
    sd.nr_balance_failed, sd.balance_interval = 2, 3
    assert pull(rqs, 0) == 0
    assert (sd.balance_interval, sd.nr_balance_failed) == (6, 2)
    assert pull(rqs, 0) == 0
    assert sd.balance_interval == 6
    sd.balance_interval = 4
    assert pull(rqs, 0) == 0
    assert sd.balance_interval == 4
    assert sd.stats.lb[NOT_IDLE].lb_nobusyg == 3


def test_the_own_queue_as_busiest_is_counted_only_by_newidle() -> None:
    rqs = loaded(0, 0, 0, 0, topology=Topology(sockets=2, cores=2))
    _, sd = rqs[0].domains
    sd.groups = (sd.groups[0], Group(0b0001, 256))
    read = converged(0, 0, 0, 0)
    assert load_balance(rqs[0], rqs, sd, NOT_IDLE, 0, read).search.found is Found.NO_GROUP

    reads = iter([LoadRead(0, 0), LoadRead(0, 0), *[LoadRead(999, 9)] * 2] * 2)
    attempt = load_balance(rqs[0], rqs, sd, NOT_IDLE, 0, lambda _: next(reads))
    assert attempt.search.found is Found.SELF
    stats = sd.stats.lb[NOT_IDLE]
    assert (stats.lb_cnt, stats.lb_nobusyg, stats.lb_nobusyq, stats.lb_failed) == (2, 1, 0, 0)
    newidle = load_balance_newidle(rqs[0], rqs, sd, 0, lambda _: next(reads))
    assert newidle.search.found is Found.SELF
    assert sd.stats.lb[NEWLY_IDLE].lb_nobusyq == 1


def test_a_load_that_is_gone_when_read_again_counts_as_no_queue() -> None:
    rqs = loaded(0, 0)
    (sd,) = rqs[0].domains
    reads = iter([LoadRead(0, 0), LoadRead(512, 4), LoadRead(0, 0)])
    attempt = load_balance(rqs[0], rqs, sd, NOT_IDLE, 0, lambda _: next(reads))
    assert attempt.search.found is Found.NO_QUEUE
    stats = sd.stats.lb[NOT_IDLE]
    assert (stats.lb_cnt, stats.lb_nobusyq, stats.lb_nobusyg, stats.lb_failed) == (1, 1, 0, 0)


def test_failing_too_often_asks_for_active_balancing_once() -> None:
    rqs = loaded(4, 1)
    for p in rqs[0].active.tasks():
        p.cpus_allowed = 0b01
    (sd,) = rqs[1].domains
    kicks = []
    for _ in range(8):
        kicks.append(load_balance(rqs[1], rqs, sd, NOT_IDLE, 0).kick)
    assert kicks == [False, False, False, True, False, False, False, False]
    assert rqs[0].active_balance and rqs[0].push_cpu == 1
    assert sd.nr_balance_failed == 2, "reset to 1 at the fourth and the seventh failure"
    assert sd.balance_interval == 4
    assert sd.stats.lb[NOT_IDLE].lb_failed == 8


def test_a_single_running_task_counts_as_failure_without_a_second_lock() -> None:
    rqs = loaded(0, 1)
    read = converged(0, 2)
    (sd,) = rqs[0].domains
    attempt = load_balance(rqs[0], rqs, sd, SCHED_IDLE, 0, read)
    assert attempt.search.found is Found.BUSIEST and not attempt.move.pulls
    assert sd.nr_balance_failed == 1


def test_newidle_leaves_interval_and_failures_alone() -> None:
    rqs = loaded(0, 1)
    (sd,) = rqs[0].domains
    load_balance_newidle(rqs[0], rqs, sd, 0)
    assert (sd.nr_balance_failed, sd.balance_interval) == (0, 1)
    stats = sd.stats.lb[NEWLY_IDLE]
    assert (stats.lb_cnt, stats.lb_failed, stats.lb_imbalance) == (1, 1, 1)


def test_idle_balance_stops_at_the_first_domain_that_moved() -> None:
    rqs = loaded(0, 3, 8, 8, topology=Topology(sockets=2, cores=2))
    attempts = idle_balance(rqs[0], rqs, 0)
    assert [attempt.sd.parameters.name for attempt in attempts] == ["CORE"]
    assert lengths(rqs) == [1, 2, 8, 8]
    rqs = loaded(0, 0, 8, 8, topology=Topology(sockets=2, cores=2))
    attempts = idle_balance(rqs[0], rqs, 0)
    assert [attempt.sd.parameters.name for attempt in attempts] == ["CORE", "CPU"]
    assert sum(lengths(rqs)) == 16 and rqs[0].nr_running > 0


def due_at(sd: Domain, idle: IdleType, cpu: int, until: int) -> list[int]:
    return [j for j in range(1, until) if balance_due(sd, idle, j, cpu, nr_cpus=4, k=K)]


def test_intervals_busy_and_idle() -> None:
    (sd,) = build_domains(flat(4).levels(), 0)
    assert due_at(sd, NOT_IDLE, 0, 200) == [64, 128, 192]
    sd.last_balance, sd.balance_interval = 0, 4
    assert due_at(sd, SCHED_IDLE, 0, 20) == [4, 8, 12, 16]
    sd.last_balance, sd.balance_interval = 0, 1
    assert due_at(sd, SCHED_IDLE, 0, 6) == [1, 2, 3, 4, 5]


def test_the_offset_of_a_cpu_is_caught_up_tick_by_tick() -> None:
    (sd,) = build_domains(flat(4).levels(), 1)
    assert due_at(sd, NOT_IDLE, 1, 12) == [1, 2, 3, 6], "250 jiffies late from the start"


def test_slow_clocks_round_the_interval_up() -> None:
    (sd,) = build_domains(flat(1).levels(), 0)
    k = replace(K, hz=100)
    due = [j for j in range(1, 20) if balance_due(sd, NOT_IDLE, j, 0, 1, k)]
    assert due == [7, 14]


def test_tick_updates_the_load_and_goes_on_as_busy_once_it_has_work() -> None:
    rqs = loaded(0, 8, 8, 8, topology=Topology(sockets=2, cores=2))
    attempts = rebalance_tick(rqs[0], rqs, SCHED_IDLE, jiffies=10, nr_cpus=4)
    assert [attempt.sd.parameters.name for attempt in attempts] == ["CORE"]
    assert attempts[0].move.pulls
    assert rqs[1].cpu_load == 1024
    rqs[0].timestamp_last_tick = 0
    rebalance_tick(rqs[0], rqs, NOT_IDLE, jiffies=11, nr_cpus=4)
    assert rqs[0].cpu_load == (0 + 1 + 4 * 128) // 2


def test_two_cpus_converge_and_stay() -> None:
    for total in range(1, 41):
        rqs = loaded(0, total)
        history = []
        for jiffies in range(1, 1200):
            for rq in rqs:
                if rq.is_idle and rq.nr_running:
                    rq.curr = rq.active.tasks()[0]
                idle = SCHED_IDLE if rq.is_idle else NOT_IDLE
                rebalance_tick(rq, rqs, idle, jiffies, nr_cpus=2)
            history.append(tuple(lengths(rqs)))
        b, a = sorted(history[-1])
        assert a - b <= 1 or 100 * a <= 125 * b
        assert len(set(history[-500:])) == 1, "no ping-pong"
