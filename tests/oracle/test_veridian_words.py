"""Rule B11: what policy veridian says in words is what its events say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.oracle.rules import RULES
from harness.oracle.veridian.words import START
from harness.trace.damage import DamageKind
from harness.trace.grammar import Event
from harness.trace.trace import Line, Trace
from tests.trace.logs import event

RULE = next(rule for rule in RULES if rule.name.startswith("B11 "))
DISPATCH = "DISPATCH_FIRST pid=0x2a"
WARNING = "Warning: Task 42 has no valid CPU affinity!"
BALANCING, MIGRATED = "Load balancing: migrating tasks", "Successfully migrated tasks"
CLEANED = "Cleaned up dead task"
METRICS = (
    "Scheduler Metrics:",
    "  Context switches: 7, 5 of them voluntary, 2 not",
    "  Switch latency ns: 1500 on average, 100 to 2000",
    "  Scheduler overhead: 40 percent",
    "  Schedule calls: 9, 44 percent of them to the idle task",
    "  Load balances: 1, task migrations: 3",
    "  IPC blocks: 6, wakeups: 4",
)
NOTES = (*START, DISPATCH, WARNING, BALANCING, MIGRATED, CLEANED, *METRICS)


def log(notes: Sequence[str] = NOTES, *more: Event, policy: str = "veridian") -> Trace:
    """A run of two CPUs that says these words."""
    events = (
        event("hello", 0, policy=policy, cpus=2),
        event("switch", 1, 1, next=43),
        event("switch", 2, 0, next=42),
        event("v_place", 3, task=42, rq=0, reset=1),
        event("task_free", 4, task=43),
        event("v_cpu", 5, 1, calls=5, idle=4, switches=3, voluntary=2, migrations=1, blocks=6),
        event("v_cpu", 6, 0, calls=4, switches=4, voluntary=3, balances=1, migrations=2, wakeups=4),
        *more,
        event("end", 7 + len(more)),
    )
    return Trace(events, tuple(Line(n, text) for n, text in enumerate(notes)))


def found(trace: Trace) -> list[str]:
    return [violation.detail for violation in RULE.violations(trace)]


def test_words_that_agree() -> None:
    assert found(log()) == []


def test_either_cpu_may_have_been_the_first() -> None:
    assert found(log([*START, "DISPATCH_FIRST pid=0x2b", *NOTES[len(START) + 1 :]])) == []


def test_other_logs_are_left_alone() -> None:
    assert found(log(["other words"], policy="o1")) == []
    assert found(log([])) == []


def test_a_log_without_decisions_keeps_its_metrics() -> None:
    quiet = event("quiet", 7)
    notes = [text for text in NOTES if text not in (DISPATCH, WARNING, CLEANED)]
    assert found(log(notes, quiet)) == []
    assert found(log(notes[:-1], quiet))


@pytest.mark.parametrize("left_out", range(len(NOTES)), ids=lambda n: NOTES[n][:20])
def test_each_line_is_missed(left_out: int) -> None:
    assert found(log([*NOTES[:left_out], *NOTES[left_out + 1 :]]))


@pytest.mark.parametrize("text", [DISPATCH, BALANCING, MIGRATED, CLEANED, METRICS[0]])
def test_none_may_come_twice(text: str) -> None:
    assert found(log([*START, text, *NOTES[len(START) :]]))


def test_a_warning_may_be_ahead_of_the_place_but_once() -> None:
    assert found(log([*START, WARNING, *NOTES[len(START) :]])) == []
    assert found(log([*START, WARNING, WARNING, *NOTES[len(START) :]]))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("pid=0x2a", "pid=0x2c"),
        ("Task 42", "Task 41"),
        ("switches: 7", "switches: 8"),
        ("5 of", "4 of"),
        ("2 not", "5 not"),
        ("44 percent", "45 percent"),
        ("calls: 9", "calls: 8"),
        ("balances: 1", "balances: 0"),
        ("migrations: 3", "migrations: 2"),
        ("blocks: 6", "blocks: 4"),
        ("wakeups: 4", "wakeups: 6"),
        ("1500 on", "99 on"),
        ("to 2000", "to 1499"),
        ("100 to 2000", "0 to 0"),
        ("40 percent", "101 percent"),
        ("40 percent", "no percent"),
    ],
)
def test_each_figure_is_read(old: str, new: str) -> None:
    changed = [text.replace(old, new) for text in NOTES]
    assert changed != list(NOTES)
    assert found(log(changed))


def test_nothing_is_said_against_a_damaged_log() -> None:
    damaged = replace(log(["other"]), damage_counts={next(iter(DamageKind)): 1})
    assert found(damaged) == []
