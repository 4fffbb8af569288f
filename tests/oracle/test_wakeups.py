"""The rule that no wake-up is lost, broken in every way that counts."""

from __future__ import annotations

import pytest

from harness.oracle.rules import RULES
from harness.oracle.wakeups import no_wake_up_lost
from harness.trace.parser import parse_log
from harness.trace.trace import Trace
from tests.trace.logs import end, hello, line

AWAKE, ASLEEP = 0, 2
Step = tuple[str, dict[str, int | str]]


def wake(state: int, mask: int = 2) -> Step:
    fields = {
        "task": 9,
        "rq": 0,
        "mask": mask,
        "state": state,
        "queued": 1,
        "current": 1,
        "sync": 0,
    }
    return "wake", dict(fields)


def schedule(state: int, preempt: int = 0) -> Step:
    fields = {"task": 9, "now": 5, "jiffies": 1, "state": state, "preempt": preempt, "sleep_avg": 0}
    return "schedule", dict(fields)


def new(name: str) -> Step:
    fields: dict[str, int | str] = {"task": 9, "name": name, "cpu": 0, "policy": 0, "nice": 0}
    more = {"rt_priority": 0, "allowed": 3, "mm": 1, "parent": -1, "now": 0}
    return "task_new", fields | more


def found(*steps: Step) -> list[str]:
    lines = [line(name, seq, 0, **fields) for seq, (name, fields) in enumerate(steps, 1)]
    trace: Trace = parse_log(b"".join([hello(), *lines, end(len(lines) + 1)]))
    assert trace.sound, trace.damages
    return [words for _, words in no_wake_up_lost(trace)]


def test_a_wake_up_that_came_too_early_is_lost() -> None:
    words = found(new("task"), wake(AWAKE), schedule(ASLEEP))
    assert words == ["task 9 sleeps from then on, and nobody wakes it again"]
    assert found(wake(AWAKE), schedule(ASLEEP, preempt=1), schedule(ASLEEP))


@pytest.mark.parametrize(
    "steps",
    [
        (wake(ASLEEP), schedule(AWAKE), schedule(ASLEEP)),
        (wake(AWAKE), schedule(ASLEEP), wake(ASLEEP)),
        (wake(AWAKE), schedule(AWAKE), schedule(ASLEEP)),
        (wake(AWAKE), schedule(ASLEEP, preempt=1)),
        (wake(AWAKE, mask=1), schedule(ASLEEP)),
        (new("migration/0"), wake(AWAKE), schedule(ASLEEP)),
        (wake(AWAKE), schedule(ASLEEP), new("another")),
    ],
)
def test_all_else_is_not(steps: tuple[Step, ...]) -> None:
    assert found(*steps) == []


def test_runs_are_held_against_it() -> None:
    assert {rule.name.partition(" ")[0]: rule.check for rule in RULES}["C8"] is no_wake_up_lost
