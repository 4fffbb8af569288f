"""The algorithms that choose who runs, apart from any guest."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from harness.explore.schedules import NEVER, Pct, Preempt, Schedule, Walk, number_of, numbered

CPUS = 3
EVERYBODY = range(CPUS)
seeds = st.integers(0, 1 << 40)


def course(schedule: Schedule, steps: int) -> list[int]:
    """Who does each step where everybody always can."""
    cpu, done = schedule.first(EVERYBODY), []
    for step in range(1, steps + 1):
        while schedule.next_stop <= step:
            cpu = schedule.at_step(cpu, EVERYBODY)
        done.append(cpu)
    return done


@given(seeds, st.integers(1, 6), st.integers(1, 300))
def test_pct_changes_at_most_depth_minus_one_times(seed: int, depth: int, length: int) -> None:
    schedule = Pct(depth, length, seed, CPUS)
    assert sorted(schedule.priorities) == [0, 1, 2]
    assert min(schedule.priorities.values()) >= depth > len(schedule.changes) - 1
    assert all(1 <= step <= length for step in schedule.changes)
    done = course(schedule, length)
    switches = sum(a != b for a, b in pairwise(done))
    assert switches <= depth - 1
    assert done == course(Pct(depth, length, seed, CPUS), length), "the seed is all that counts"


def test_pct_spreads_first_cpus_and_change_points_evenly() -> None:
    tried = [Pct(2, 10, seed, CPUS) for seed in range(3000)]
    firsts = Counter(schedule.first(EVERYBODY) for schedule in tried)
    points = Counter(schedule.changes[0] for schedule in tried)
    assert sorted(firsts) == [0, 1, 2] and min(firsts.values()) > 900
    assert sorted(points) == list(range(1, 11)) and min(points.values()) > 230


def test_pct_finds_a_bug_of_depth_two_as_often_as_promised() -> None:
    """The bug: CPU 1 comes in between steps 4 and 5 of CPU 0. The promise: 1 in 2 * 10."""
    runs = 4000
    found = 0
    for seed in range(runs):
        schedule, cpu, done = Pct(2, 10, seed, 2), 0, []
        cpu = schedule.first(range(2))
        for step in range(1, 11):
            while schedule.next_stop <= step:
                cpu = schedule.at_step(cpu, range(2))
            done.append(cpu)
        found += done[:5] == [0, 0, 0, 0, 1]
    assert 0.8 * runs / 20 < found < 1.2 * runs / 20


def test_who_waits_for_a_lock_lets_the_others_go_first() -> None:
    schedule = Pct(1, 10, 7, CPUS)
    order = [schedule.first(EVERYBODY)]
    for _ in range(2):
        order.append(schedule.when_stuck(order[-1], EVERYBODY))
    assert sorted(order) == [0, 1, 2]
    assert schedule.when_stuck(order[-1], EVERYBODY) == order[0]


@given(seeds, st.integers(1, 50))
def test_a_walk_repeats_and_gives_everybody_a_turn(seed: int, one_in: int) -> None:
    done = course(Walk(one_in, seed), 100 * one_in)
    assert done == course(Walk(one_in, seed), 100 * one_in)
    assert set(done) == {0, 1, 2}


@given(
    st.integers(0, CPUS - 1),
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, CPUS - 1)), max_size=3),
)
def test_preemptive_schedules_have_numbers(first: int, switches: list[tuple[int, int]]) -> None:
    switches.sort()
    number = number_of(first, switches, 40, CPUS)
    again = numbered(number, len(switches), 40, CPUS)
    assert course(again, 50) == course(Preempt(CPUS, first, switches), 50)


def test_a_preemption_takes_place_where_it_is_asked_for() -> None:
    assert course(Preempt(CPUS, 1, [(3, 1), (5, 2)]), 6) == [1, 1, 2, 2, 1, 1]
    assert Preempt(CPUS, 0).next_stop == NEVER
