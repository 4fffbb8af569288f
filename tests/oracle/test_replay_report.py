"""The story of a difference, whole."""

from __future__ import annotations

from harness.oracle.o1.replay import replay
from harness.oracle.o1.report import story
from harness.trace.trace import Trace
from tests.oracle.machine import Machine

WRONG_PICK = """\
P1 next is the head of the best non-empty active list
  pick task=3 prio=120 running=2 is due
  during: schedule
  due:    pick task=3 prio=120 running=2, then switch prev=2 next=3 voluntary=0
  seen:   [SCHED] 32 0 6600 pick task=2 prio=120 running=2 *40

run queue of CPU 0  model, after the operation  log, so far
running             3                           2
active, prio 120    3                           3
expired, prio 120   2                           2
nr_running 2, cpu_load 0, expired_timestamp 0, best_expired_prio 140

in the model:
  task 2 task: CPU 0, state 0, NORMAL, prio 120 (static 120), slice 100, sleep_avg 0 ns, \
timestamp 6200, activated 0, need_resched 0
  task 3 task: CPU 0, state 0, NORMAL, prio 120 (static 120), slice 100, sleep_avg 0 ns, \
timestamp 6200, activated 0, need_resched 0

the 20 events before it on CPU 0:
"""


def a_wrong_pick() -> Trace:
    machine = Machine(1)
    for _ in range(2):
        machine.create(0)
        machine.settle()
    machine.yield_(0)
    events = list(machine.finish().events)
    index = next(e.seq for e in events if e.name == "yield") + 4
    assert events[index].name == "pick"
    events[index] = events[index]._replace(values=(2, 120, 2))
    return Trace(tuple(events))


def test_the_story_of_a_wrong_pick() -> None:
    trace = a_wrong_pick()
    found = replay(trace)
    assert found is not None
    text = story(trace, found)
    assert text.startswith(WRONG_PICK)
    history = text.removeprefix(WRONG_PICK).splitlines()
    assert len(history) == 20
    assert history[-1].split()[4] == "schedule"


def test_a_list_that_differs_is_pointed_out() -> None:
    machine = Machine(1)
    machine.create(0)
    events = list(machine.finish().events)
    index = max(e.seq for e in events if e.name == "enqueue")
    events[index] = events[index]._replace(values=(2, 0, 121, 0, 0))
    trace = Trace(tuple(events))
    found = replay(trace)
    assert found is not None
    lines = story(trace, found).splitlines()
    assert "active, prio 120    2                           -   <- differs" in lines
    assert "active, prio 121    -                           2   <- differs" in lines


def test_what_was_missing_at_the_end_is_told_too() -> None:
    trace = a_wrong_pick()
    cut = next(e.seq for e in trace.events if e.name == "yield")
    end = trace.events[-1]._replace(seq=cut + 1)
    trace = Trace((*trace.events[: cut + 1], end))
    found = replay(trace)
    assert found is not None
    assert "dequeue task=2" in story(trace, found)
    assert found.rule.startswith("C2 ")
