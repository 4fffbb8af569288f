"""Slices, bonus and priorities: the table of fact sheet A5, all vectors, and the corners."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.arith import c_div
from harness.model.constants import Constants, nice_to_prio
from harness.model.prio import (
    current_bonus,
    delta,
    effective_prio,
    expired_starving,
    interactive_sleep_jiffies,
    recalc_task_prio,
    round_robin_due,
    task_interactive,
    task_timeslice,
    timeslice_granularity,
)
from harness.model.task import Task
from tests.model.build import MS, VECTORS, K, normal, one_cpu, realtime, with_bonus

NS_MAX = 1_000_000_000


@pytest.mark.parametrize("vector", VECTORS["nice"], ids=lambda vector: f"nice{vector['nice']}")
def test_nice_vectors(vector: dict[str, Any]) -> None:
    p = normal(1, vector["nice"])
    assert p.static_prio == vector["static_prio"]
    assert task_timeslice(p, K) == vector["timeslice"]
    assert delta(p) == vector["delta"]
    assert interactive_sleep_jiffies(p, K) == vector["interactive_sleep_jiffies"]
    by_bonus = [normal(1, vector["nice"], bonus=bonus) for bonus in range(11)]
    assert [p.prio for p in by_bonus] == vector["eff_prio_by_bonus_0_to_10"]
    assert [int(task_interactive(p)) for p in by_bonus] == vector["interactive_by_bonus_0_to_10"]


def test_granularity_vectors() -> None:
    expected = VECTORS["granularity_by_bonus_0_to_10_per_cpu"]
    for cpus in (1, 2, 4, 255):
        found = [timeslice_granularity(normal(1, bonus=b), K, cpus) for b in range(11)]
        assert found == [jiffies * cpus for jiffies in expected]


@pytest.mark.parametrize(
    ("nice", "jiffies"),
    [(-20, 800), (-10, 600), (-1, 420), (0, 100), (1, 95), (10, 50), (19, 5)],
)
def test_slices_of_the_table(nice: int, jiffies: int) -> None:
    assert task_timeslice(normal(1, nice), K) == jiffies
    assert task_timeslice(normal(1, nice), Constants(hz=100)) == max(jiffies // 10, 1)


@pytest.mark.parametrize(
    ("nice", "expected"),
    [(-20, -3), (-9, 0), (-8, 0), (-7, 1), (-4, 1), (-3, 2), (-1, 2), (0, 2), (3, 2), (19, 6)],
)
def test_delta_truncates_toward_zero(nice: int, expected: int) -> None:
    assert delta(normal(1, nice)) == expected


@given(st.integers(-(10**9), 10**9), st.integers(-1000, 1000).filter(bool))
def test_c_division_cuts_toward_zero(a: int, b: int) -> None:
    quotient = c_div(a, b)
    assert abs(quotient) == abs(a) // abs(b)
    assert quotient * b == 0 or (quotient > 0) == ((a > 0) == (b > 0))


def test_constants_of_two_frequencies() -> None:
    slow = Constants(hz=100)
    assert (K.min_timeslice, K.def_timeslice, K.max_sleep_avg, K.granularity) == (5, 100, 1000, 10)
    assert (slow.min_timeslice, slow.def_timeslice, slow.max_sleep_avg) == (1, 10, 100)
    assert slow.granularity == 1
    assert K.ns_max_sleep_avg == slow.ns_max_sleep_avg == NS_MAX
    assert [slow.msecs_to_jiffies(ms) for ms in (0, 1, 10, 11)] == [0, 1, 1, 2]
    with pytest.raises(ValueError, match="hz=9"):
        Constants(hz=9)


@pytest.mark.parametrize("prio", [0, 50, 99])
def test_real_time_keeps_its_priority(prio: int) -> None:
    assert effective_prio(realtime(1, prio), K) == prio


def test_nice_0_is_interactive_from_bonus_7_and_nice_19_never() -> None:
    assert [b for b in range(11) if task_interactive(normal(1, 0, bonus=b))] == [7, 8, 9, 10]
    assert not any(task_interactive(normal(1, 19, bonus=b)) for b in range(11))
    assert task_interactive(normal(1, -20, bonus=2))
    assert not task_interactive(normal(1, -20, bonus=1))


def slept(ms: int, **fields: Any) -> Task:
    p = normal(1, bonus=0)
    for name, value in fields.items():
        setattr(p, name, value)
    recalc_task_prio(p, p.timestamp + ms * MS, K)
    return p


def test_sleep_counts_tenfold_without_bonus_and_once_with_all() -> None:
    assert slept(10).sleep_avg == 100 * MS
    assert slept(10, sleep_avg=with_bonus(7)).sleep_avg == with_bonus(7) + 30 * MS
    assert slept(10, sleep_avg=with_bonus(9)).sleep_avg == with_bonus(9) + 10 * MS
    assert slept(10, sleep_avg=with_bonus(10) - 1).sleep_avg == NS_MAX
    assert slept(0).sleep_avg == 0


def test_a_long_sleep_makes_an_idler_just_interactive() -> None:
    assert slept(800).sleep_avg == 900 * MS
    assert slept(800, sleep_avg=NS_MAX).sleep_avg == 900 * MS
    assert slept(799).sleep_avg == NS_MAX
    assert slept(800, mm=False).sleep_avg == NS_MAX


def test_uninterruptible_sleep_rises_no_further_than_the_threshold() -> None:
    threshold = 799 * MS
    assert slept(50, activated=-1).sleep_avg == 500 * MS
    assert slept(80, activated=-1).sleep_avg == threshold
    assert slept(5000, activated=-1).sleep_avg == threshold
    assert slept(50, activated=-1, sleep_avg=threshold + 1).sleep_avg == threshold + 1
    assert slept(5000, activated=-1, mm=False).sleep_avg == NS_MAX


def test_a_clock_that_went_back_counts_as_the_longest_sleep() -> None:
    p = normal(1, bonus=0)
    p.timestamp = 1000
    recalc_task_prio(p, 999, K)
    assert p.sleep_avg == 900 * MS


@given(st.integers(0, NS_MAX), st.integers(0, 2 * NS_MAX), st.booleans(), st.integers(-1, 2))
def test_sleep_never_lowers_bonus_of_a_short_sleeper(
    sleep_avg: int, ns: int, mm: bool, activated: int
) -> None:
    p = normal(1)
    p.sleep_avg, p.mm, p.activated = sleep_avg, mm, activated
    before = current_bonus(p, K)
    recalc_task_prio(p, ns, K)
    assert 0 <= p.sleep_avg <= NS_MAX
    assert 115 <= p.prio <= 125
    assert current_bonus(p, K) >= min(before, 9)


def test_expired_tasks_starve_after_a_second_for_each_running_task() -> None:
    rq = one_cpu(normal(1), normal(2))
    assert not expired_starving(rq, 10**6)
    rq.expired_timestamp = 10
    assert not expired_starving(rq, 10 + 2000)
    assert expired_starving(rq, 10 + 2001)


def test_a_better_expired_task_counts_as_starving() -> None:
    rq = one_cpu(normal(1))
    rq.best_expired_prio = 120
    assert not expired_starving(rq, 0)
    rq.best_expired_prio = 119
    assert expired_starving(rq, 0)


def test_interactive_round_robin_every_granule_but_not_the_last() -> None:
    p = normal(1, bonus=10)
    due = []
    for left in range(100, 0, -1):
        p.time_slice = left
        if round_robin_due(p, K, online_cpus=2):
            due.append(left)
    assert due == [100, 80, 60, 40, 20]


def test_time_used_wraps_when_the_slice_left_exceeds_a_full_one() -> None:
    p = normal(1, -20, bonus=9)
    p.time_slice = 700
    p.static_prio = nice_to_prio(-10)
    p.prio = effective_prio(p, K)
    used = 2**32 - 100
    due = [cpus for cpus in (1, 3, 7) if round_robin_due(p, K, cpus)]
    assert due == [cpus for cpus in (1, 3, 7) if used % (20 * cpus) == 0]
    assert due != [cpus for cpus in (1, 3, 7) if -100 % (20 * cpus) == 0]
