"""The identities of the counters: each is broken alone, and seen by name."""

from __future__ import annotations

from functools import cache

import pytest

from harness.model.domain import Topology
from harness.model.fixes import ALL_FIXES, NO_FIXES, Fixes
from harness.oracle import statistics
from harness.oracle.rules import RULES
from harness.trace.grammar import Event
from harness.trace.schedstat import format_schedstat, schedstat_of
from harness.trace.trace import Line, Trace
from tests.oracle.runs import busy_run, unbalanced_run
from tests.trace.logs import event as make

SHAPE = Topology(sockets=2, threads=2)


@cache
def run(fixes: Fixes = NO_FIXES) -> Trace:
    return unbalanced_run(SHAPE, fixes, jiffies=60, hz=100).finish()


def broken(trace: Trace) -> set[str]:
    """Names of the rules about totals that a log breaks."""
    rules = [rule for rule in RULES if rule.check.__module__ == statistics.__name__]
    return {rule.name.split()[0] for rule in rules for _ in rule.violations(trace)}


@pytest.mark.parametrize("fixes", [NO_FIXES, ALL_FIXES], ids=["2.6.11", "corrected"])
def test_a_right_log_keeps_all_identities(fixes: Fixes) -> None:
    assert broken(run(fixes)) == set()


def test_a_right_log_without_balancing_keeps_all_identities() -> None:
    assert broken(busy_run(1).finish()) == set()


def changed(trace: Trace, name: str, **by: int) -> Trace:
    """The last event of that name with other numbers."""
    events = list(trace.events)
    index = max(event.seq for event in trace.of(name))
    events[index] = added(events[index], by)
    return Trace(tuple(events), text=trace.text)


def added(event: Event, by: dict[str, int]) -> Event:
    values = [
        value + by.get(field.name, 0) if isinstance(value, int) else value
        for field, value in zip(event.type.fields, event.values, strict=True)
    ]
    return event._replace(values=tuple(values))


@pytest.mark.parametrize(
    ("rule", "name", "by"),
    [
        ("C5", "schedstat_moves", {"b_lost": 1}),
        ("C5", "schedstat_moves", {"n_lost": 1}),
        ("T1", "schedstat", {"sched_cnt": 1}),
        ("T1", "schedstat", {"sched_goidle": 1}),
        ("T2", "schedstat_domain", {"n_cnt": 1}),
        ("T2", "schedstat_domain", {"i_failed": 1}),
        ("T2", "schedstat_domain", {"b_nobusyg": 1}),
        ("T3", "schedstat", {"yld_both_empty": 10**6}),
        ("T3", "schedstat", {"yld_exp_empty": 10**6}),
        ("T4", "schedstat", {"ttwu_moved": 10**6}),
        ("T4", "schedstat", {"ttwu_cnt": -(10**6)}),
        ("T5", "cpu_summary", {"ticks": 1}),
        ("T7", "schedstat_domain", {"i_cnt": 10**6, "i_nobusyg": 10**6}),
        ("T7", "schedstat_domain", {"b_cnt": 10**6, "b_nobusyg": 10**6}),
    ],
)
def test_an_identity_broken_alone_is_seen_by_name(rule: str, name: str, by: dict[str, int]) -> None:
    assert broken(changed(run(), name, **by)) == {rule}


@pytest.mark.parametrize(
    "name", ["schedstat", "schedstat_domain", "schedstat_moves", "cpu_summary", "task_summary"]
)
def test_totals_that_are_missing_are_seen(name: str) -> None:
    index = max(event.seq for event in run().of(name))
    assert "T0" in broken(Trace(run().events[:index] + run().events[index + 1 :]))


def test_more_gained_than_asked_for_is_seen() -> None:
    """A move that the log has twice is conserved, and yet nobody asked for it."""
    trace = changed(run(), "schedstat_moves", i_gained=10**6, i_lost=10**6)
    assert "T6" in broken(trace)
    assert "T6" not in broken(changed(trace, "schedstat_domain", i_imbalance=10**6))


def test_a_tick_that_is_accounted_to_nobody_is_seen() -> None:
    trace = run()
    index = next(e.seq for e in trace.of("account") if trace.events[e.seq - 1].name == "tick")
    assert broken(Trace(trace.events[:index] + trace.events[index + 1 :])) == {"T5"}


def printed(trace: Trace, old: str = "", new: str = "") -> Trace:
    """The log of a guest that was asked for the text."""
    text = format_schedstat(schedstat_of(trace), nr_cpus=4)
    assert old in text
    lines = ["schedstat begin", *text.replace(old, new, 1).splitlines(), "schedstat end"]
    return Trace(trace.events, text=tuple(Line(n, line) for n, line in enumerate(lines, 1)))


def test_the_text_has_the_numbers_of_the_events() -> None:
    assert broken(printed(run())) == set()


def test_a_text_that_comes_twice_is_seen() -> None:
    once = printed(run())
    assert broken(Trace(once.events, text=once.text * 2)) == {"T0"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cpu0 ", "cpu0 1"),
        ("cpu1", "cpu7"),
        ("domain0 3 ", "domain0 1 "),
        ("domain1 f ", "domain1 f 1"),
        ("version 10", "version 11"),
        ("domain1", "domain2"),
    ],
)
def test_a_text_with_other_numbers_is_seen(old: str, new: str) -> None:
    assert broken(printed(run(), old, new)) == {"T0"}


def test_a_log_of_totals_alone_is_held_to_what_totals_show() -> None:
    totals = ("schedstat", "schedstat_domain", "schedstat_moves", "cpu_summary")
    kept = ("hello", "domain", "group", *totals, "end")
    events = [event for event in run().events if event.name in kept]
    trace = Trace((events[0], make("quiet", 1, 0, 0), *events[1:]))
    assert broken(trace) == set()
    assert broken(changed(renumbered(trace), "schedstat", sched_cnt=1)) == {"T1"}


def renumbered(trace: Trace) -> Trace:
    return Trace(tuple(event._replace(seq=seq) for seq, event in enumerate(trace.events)))


@pytest.mark.parametrize(
    ("passed", "most"), [(31, 1), (32, 2), (95, 2), (96, 3), (896, 8), (1151, 8), (1152, 9)]
)
def test_intervals_begin_with_less_than_the_least(passed: int, most: int) -> None:
    """Of 1, 2, ... 7 and then always 8 ms, each 32 times."""
    domain = make("domain", 0, min_interval=8, busy_factor=32)
    assert statistics.busy_attempts(domain, passed, 1000) == most
