"""Operations that take time: running, spinning, sleeping, timers."""

from __future__ import annotations

import pytest

from tests.workload_guest.conftest import RunTasks
from tests.workload_guest.seen import INTERRUPTIBLE, MS

TURN = 20_000
"""Nanoseconds that one look at the clock, an interrupt or a switch takes at most on one CPU."""

# A task at nice 19 has slices of 5 ticks, so two of them preempt each other all the time.
RIVAL = """
    tasks:
      rival:
        nice: 19
        start_cpu: 0
        program:
          - run: 60ms
      one:
        nice: 19
        start_cpu: 0
        program:
"""


@pytest.mark.parametrize("ns", [50_000, 1_000_000, 23_700_000])
def test_run_is_time_on_the_cpu_and_no_other(run_tasks: RunTasks, ns: int) -> None:
    seen = run_tasks(RIVAL + f"          - run: {ns}ns\n")
    assert ns <= seen.on_cpu("one") <= ns + 2 * TURN + len(list(seen.turns("one"))) * TURN
    if ns > 5 * MS:
        assert seen.life("one") > ns + 10 * MS


@pytest.mark.parametrize("ticks", [1, 7, 12])
def test_run_ticks_is_being_there_when_it_ticks(run_tasks: RunTasks, ticks: int) -> None:
    seen = run_tasks(RIVAL + f"          - run: {ticks} ticks\n")
    assert len(seen.of("account", "one")) == ticks


def test_spin_lasts_until_a_time_on_the_cpu_or_not(run_tasks: RunTasks) -> None:
    seen = run_tasks(RIVAL + "          - spin: 18ms\n")
    assert seen.on_cpu("one") < 15 * MS
    assert 18 * MS <= seen.life("one") < 24 * MS


@pytest.mark.parametrize("us", [1, 1000, 4300])
def test_sleep_ends_at_the_first_tick_that_is_not_too_early(run_tasks: RunTasks, us: int) -> None:
    seen = run_tasks(f"tasks: {{one: {{program: [sleep: {us}us]}}}}")
    (sleep, _) = seen.of("schedule", "one")
    (wake,) = seen.of("activate", "one")
    assert seen.sleeps("one") == [INTERRUPTIBLE]
    assert wake.number("irq") == 1
    assert us * 1000 - TURN <= wake.ns - sleep.ns <= us * 1000 + MS + TURN


def test_sleep_in_ticks_counts_ticks(run_tasks: RunTasks) -> None:
    seen = run_tasks("tasks: {one: {program: [sleep: 1 tick, sleep: 4 ticks]}}")
    sleeps = [
        event.number("jiffies")
        for event in seen.of("schedule", "one")
        if event.number("state") == 1
    ]
    wakes = seen.numbers("activate", "one", "jiffies")
    assert [wake - sleep for wake, sleep in zip(wakes, sleeps, strict=True)] == [1, 4]


def test_sleepers_wake_in_the_order_of_their_times(run_tasks: RunTasks) -> None:
    """Whatever order they went to sleep in; those with one time first come, first served."""
    seen = run_tasks("""
        tasks:
          d: {program: [sleep: 9 ticks]}
          a: {program: [sleep: 2 ticks]}
          c: {program: [sleep: 5 ticks]}
          b1: {program: [sleep: 3500us]}
          b2: {program: [sleep: 3500us]}
    """)
    order = [seen.names[event.number("task")] for event in seen.every("activate")]
    assert order == ["a", "b1", "b2", "c", "d"]


def test_delay_is_slept_before_the_program(run_tasks: RunTasks) -> None:
    seen = run_tasks("tasks: {one: {delay: 5ms, program: [nice: 1]}}")
    (mark,) = seen.of("set_nice", "one")
    assert 5 * MS <= mark.ns - seen.begin("one") <= 6 * MS + 2 * TURN


@pytest.mark.parametrize(
    ("mode", "sleeps", "last"),
    [
        # 10, 35 + 10, + 10: what was missed at 20 and 30 is given up
        ("relative", 3, 55),
        # 10, (20 and 30 have passed), 40
        ("absolute", 2, 40),
    ],
)
def test_timers_keep_their_period(run_tasks: RunTasks, mode: str, sleeps: int, last: int) -> None:
    seen = run_tasks(f"""
        tasks:
          one:
            program:
              - timer: &t {{period: 10ms, mode: {mode}}}
              - run: 25ms
              - timer: *t
              - timer: *t
              - timer: *t
              - nice: 1
    """)
    assert seen.sleeps("one") == [INTERRUPTIBLE] * sleeps
    (mark,) = seen.of("set_nice", "one")
    # The relative timer starts again after a sleep that ended up to a tick late; so did the last.
    assert last * MS <= mark.ns - seen.begin("one") <= (last + 3) * MS


def test_timers_of_one_task_are_independent(run_tasks: RunTasks) -> None:
    seen = run_tasks("""
        tasks:
          one:
            program:
              - timer: {period: 10ms, name: slow}
              - nice: 1
              - timer: {period: 14ms, name: other}
              - nice: 2
              - timer: {period: 10ms, name: slow}
              - nice: 3
    """)
    begin = seen.begin("one")
    at = [(event.ns - begin) // MS for event in seen.of("set_nice", "one")]
    # Each sleep ends up to a tick late.
    assert all(when - due in (0, 1) for when, due in zip(at, [10, 14, 20], strict=True))
