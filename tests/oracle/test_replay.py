"""A log that a right guest writes is what the replay expects, whatever the guest does."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.model.domain import Topology, flat
from harness.model.fixes import ALL_FIXES
from harness.oracle.o1.replay import CONSEQUENCES, OPERATIONS, replay
from harness.oracle.o1.report import story
from harness.trace.events import veridian
from harness.trace.grammar import format_event
from harness.trace.parser import parse_log
from harness.trace.trace import Trace
from harness.trace.vocabulary import VOCABULARY
from tests.oracle.machine import Machine
from tests.oracle.runs import Action, actions, busy_run, drive, unbalanced_run
from tests.trace.logs import short_log


def difference(trace: Trace) -> str | None:
    found = replay(trace, check_every=1)
    return None if found is None else story(trace, found)


SHAPES = [flat(1), flat(2), flat(4), Topology(sockets=2, threads=2)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SHAPES), st.sampled_from([100, 1000]), actions)
def test_any_right_run_is_replayed(shape: Topology, hz: int, todo: list[Action]) -> None:
    assert difference(drive(Machine(shape.nr_cpus, hz, shape), todo)) is None


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_a_long_run_is_replayed_from_its_lines(cpus: int) -> None:
    machine = busy_run(cpus)
    lines = b"".join(format_event(event) + b"\n" for event in machine.finish().events)
    trace = parse_log(lines)
    assert trace.sound
    assert difference(trace) is None


def test_the_runs_contain_every_event_that_the_replay_knows() -> None:
    todo = [("create", n, 20) for n in range(4)]
    todo += [(name, 1, 5) for name in ("policy", "nice", "about", "wake", "sleep", "wake", "yield")]
    todo += [("cpus", 1, n) for n in range(8)] + [("create", 1, 21), ("policy", 1, 8)]
    seen = {event.name for event in drive(Machine(2), todo).events}
    seen |= {event.name for event in busy_run(2).finish().events}
    threads = Machine(4, topology=Topology(sockets=2, threads=2))
    seen |= {event.name for event in drive(threads, todo).events}
    shape = Topology(sockets=2, threads=2)
    seen |= {event.name for event in unbalanced_run(shape, ALL_FIXES, 9).finish().events}
    seen |= {event.name for event in unbalanced_run(shape, jiffies=90, hz=100).finish().events}
    # CPUs that come and go are tried on the guest: tests/workloads/test_hotplug.py.
    hotplug = {"cpu_down", "drain", "cpu_dead", "cpu_up", "plug_refused"}
    assert {*CONSEQUENCES, *OPERATIONS} - seen == hotplug


def test_every_event_of_the_scheduler_is_replayed_or_left_out_on_purpose() -> None:
    without_decision = {
        *("hello", "cpus_found", "timer", "cpu_online", "cpu_summary", "end", "mark"),
        *("ipi_send", "ipi_recv", "ipi_latency", "lock", "unlock"),
        *("tick", "task_free", "schedstat", "task_summary", "domain", "group", "attach"),
        *("load", "schedstat_domain", "schedstat_moves", "uninterruptible", "quiet"),
    }
    names = {kind.name for kind in VOCABULARY} - {kind.name for kind in veridian.EVENTS}
    assert names == without_decision | {*CONSEQUENCES, *OPERATIONS}


def test_other_policies_are_not_replayed() -> None:
    assert replay(parse_log(short_log())) is None


def test_a_log_without_hello_is_not_replayed() -> None:
    assert replay(Trace(busy_run(1, 5).finish().events[1:])) is None
