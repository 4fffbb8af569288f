"""Mutexes, conditions and barriers, on one CPU where the order of events is known."""

from __future__ import annotations

from tests.workload_guest.conftest import RunTasks
from tests.workload_guest.seen import INTERRUPTIBLE, UNINTERRUPTIBLE


def test_a_mutex_goes_to_who_has_waited_longest(run_tasks: RunTasks) -> None:
    """Even if a better task comes later; waiting for it is uninterruptible."""
    seen = run_tasks("""
        mutexes: [m, free]
        tasks:
          holder: {program: [lock: m, nice: 1, sleep: 9 ticks, nice: 2, unlock: m, nice: 3]}
          first: {nice: 10, delay: 1ms, program: [lock: m, nice: 1, unlock: m]}
          second: {nice: 0, delay: 3ms, program: [lock: m, nice: 1, unlock: m]}
          third: {nice: -10, delay: 5ms, program: [lock: m, nice: 1, unlock: m]}
          other: {delay: 7ms, program: [lock: free, nice: 1, unlock: free]}
    """)
    marks = seen.marks("holder", "first", "second", "third", "other")
    assert marks.index(("other", 1)) < marks.index(("holder", 2))
    entered = [name for name, nice in marks if nice == 1 and name != "other"]
    assert entered == ["holder", "first", "second", "third"]
    for name in ("first", "second", "third"):
        assert seen.sleeps(name) == [INTERRUPTIBLE, UNINTERRUPTIBLE]  # the delay, the mutex
    assert seen.sleeps("other") == [INTERRUPTIBLE]


def test_a_released_mutex_is_not_taken_back_before_its_heir_has_had_it(run_tasks: RunTasks) -> None:
    """Handing over: the holder that locks again at once waits behind the one it released it to."""
    seen = run_tasks("""
        mutexes: [m]
        tasks:
          greedy:
            nice: -20
            program:
              - loop: 4
                do:
                  - lock: m
                  - nice: -19
                  - sleep: 2 ticks
                  - nice: -20
                  - unlock: m
          patient:
            nice: 19
            program:
              - lock: m
              - nice: 18
              - unlock: m
    """)
    assert [nice for _, nice in seen.marks("greedy", "patient")][:4] == [-19, -20, 18, -19]


def test_a_barrier_opens_when_all_have_come_and_closes_again(run_tasks: RunTasks) -> None:
    seen = run_tasks("""
        barriers: {b: 3}
        tasks:
          one: {program: [nice: 1, barrier: b, nice: 2, barrier: b, nice: 3]}
          two: {program: [sleep: 2 ticks, nice: 1, barrier: b, nice: 2, barrier: b, nice: 3]}
          late:
            delay: 5ms
            program: [nice: 1, barrier: b, nice: 2, sleep: 4 ticks, barrier: b, nice: 3]
    """)
    marks = seen.marks("one", "two", "late")
    assert [nice for _, nice in marks] == [1] * 3 + [2] * 3 + [3] * 3
    assert [name for name, nice in marks if nice == 1] == ["one", "two", "late"]
    assert seen.sleeps("one") == [INTERRUPTIBLE] * 2
    assert seen.sleeps("late") == [INTERRUPTIBLE] * 2  # its own two, none for the barrier


def test_signals_wake_one_and_broadcasts_all_in_order(run_tasks: RunTasks) -> None:
    """A signal that finds nobody is lost; a broadcast wakes nobody who comes later."""
    seen = run_tasks("""
        duration: 60ms
        conditions: [c]
        tasks:
          w: {count: 4, delay: 1ms, program: [wait: c, nice: 1, wait: c, nice: 2]}
          boss:
            program:
              - signal: c
              - sleep: 3 ticks
              - signal: c
              - sleep: 3 ticks
              - broadcast: c
              - sleep: 3 ticks
              - nice: 9
              - signal: c
    """)
    marks = seen.marks("w", "boss")
    assert marks[0] == ("w/0", 1)
    # w/0 waits again, behind the others, when the broadcast comes.
    assert marks[1:5] == [("w/1", 1), ("w/2", 1), ("w/3", 1), ("w/0", 2)]
    assert marks[5:] == [("boss", 9), ("w/1", 2)]
    assert seen.sleeps("w")[:4] == [INTERRUPTIBLE] * 4


def test_wait_gives_its_mutex_up_and_takes_it_back(run_tasks: RunTasks) -> None:
    seen = run_tasks("""
        mutexes: [m]
        conditions: [c]
        tasks:
          waiter:
            program:
              - lock: m
              - nice: 1
              - wait: {on: c, mutex: m}
              - nice: 2
              - unlock: m
          signaller:
            program:
              - sleep: 3 ticks
              - lock: m
              - nice: 1
              - signal: c
              - sleep: 3 ticks
              - nice: 2
              - unlock: m
    """)
    assert seen.marks("waiter", "signaller") == [
        ("waiter", 1),
        ("signaller", 1),
        ("signaller", 2),
        ("waiter", 2),
    ]
    assert seen.sleeps("waiter") == [INTERRUPTIBLE, UNINTERRUPTIBLE]
