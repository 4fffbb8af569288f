"""No CPU idles for long beside work: the rule holds for a helpful log and is broken by another."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from harness.model.domain import Topology, flat
from harness.oracle.idling import nobody_idles_beside_work
from harness.oracle.rules import RULES
from harness.trace.grammar import Event
from harness.trace.trace import Trace
from tests.oracle.machine import Machine
from tests.oracle.runs import unbalanced_run
from tests.trace.logs import event

Events = list[Event]

PATIENCE = 16 + 2 * 4 + (1 + 3) * 1
"""Loads settle, the longest interval passes, hot caches are respected; see `domains`."""


def test_the_rule_is_part_of_every_verdict() -> None:
    checks = {rule.name.split()[0]: rule.check for rule in RULES}
    assert checks["P11"] is nobody_idles_beside_work


def trace(events: Iterable[Event], **hello: str | int) -> Trace:
    head = {"policy": "o1", "clock": "virtual", "hz": 1000, "cpus": 4, **hello}
    return Trace((event("hello", 0, **head), *renumbered(events)))


def renumbered(events: Iterable[Event]) -> Events:
    return [e._replace(seq=seq) for seq, e in enumerate(events, 1)]


def domains(*groups: int, cpus: int = 4, flags: int = 0x3F) -> Events:
    """A domain over all CPUs for each of them."""
    kind = {"min_interval": 1, "max_interval": 4, "cache_nice_tries": 1, "flags": flags}
    return [
        e
        for cpu in range(cpus)
        for e in (
            event("domain", 0, 0, of=cpu, level=0, span=sum(groups), **kind),
            *(event("group", 0, 0, cpus=group) for group in groups),
        )
    ]


FLAT = domains(1, 2, 4, 8)
HALVES = domains(3, 12)


def task(number: int, cpu: int, *, allowed: int = 15) -> Events:
    return [
        event("task_new", 0, cpu, task=number, cpu=cpu, allowed=allowed),
        event("enqueue", 0, cpu, task=number, rq=cpu),
    ]


def runs(number: int, cpu: int) -> Event:
    return event("switch", 0, cpu, prev=cpu, next=number)


def ticks(cpu: int, number: int) -> Events:
    return [event("tick", 0, cpu, n=n) for n in range(1, number + 1)]


TWO_ON_0 = [*task(10, 0), runs(10, 0), *task(11, 0)]
BUSY_1_AND_3 = [*task(12, 1), runs(12, 1), *task(13, 3), runs(13, 3)]


def found(*events: Event, **hello: str | int) -> list[tuple[Event, str]]:
    return list(nobody_idles_beside_work(trace(events, **hello)))


def test_a_cpu_may_idle_until_it_must_have_got_something() -> None:
    assert not found(*FLAT, *TWO_ON_0, *ticks(2, PATIENCE))


def test_longer_than_that_is_too_long() -> None:
    ((idles, words),) = found(*FLAT, *TWO_ON_0, *ticks(2, PATIENCE + 1))
    assert (idles.cpu, idles.number("n")) == (2, PATIENCE + 1)
    assert words == "CPU 2 idles for 29 ticks while CPU 0 has 2 tasks, one of them for it"


def test_slower_ticks_are_fewer() -> None:
    patience = 16 + 2 * 1 + 4 * 1
    assert not found(*FLAT, *TWO_ON_0, *ticks(2, patience), hz=100)
    assert len(found(*FLAT, *TWO_ON_0, *ticks(2, patience + 1), hz=100)) == 1


LONG = PATIENCE - 3
"""Ticks, twice that many of which are too many."""

BREAKS = {
    "it runs something": [runs(14, 2), event("switch", 0, 2, prev=14, next=2)],
    "the other sleeps": [event("schedule", 0, 0, task=11, state=1), *task(11, 0)],
    "it goes": [event("cpu_down", 0, 2, rq=2, online=11), *ticks(2, 1),
                event("cpu_up", 0, 2, rq=2, online=15)],
    "bound": [event("set_cpus", 0, 0, task=11, allowed=1), *ticks(2, 1),
              event("set_cpus", 0, 0, task=11, allowed=15)],
}  # fmt: skip


@pytest.mark.parametrize("between", BREAKS.values(), ids=BREAKS)
def test_what_breaks_the_wait_begins_it_anew(between: Events) -> None:
    assert not found(*FLAT, *TWO_ON_0, *ticks(2, LONG), *between, *ticks(2, LONG))
    assert len(found(*FLAT, *TWO_ON_0, *ticks(2, LONG), *ticks(2, LONG))) == 1


def test_a_pass_of_schedule_that_takes_nobody_off_changes_nothing() -> None:
    stays = event("schedule", 0, 0, task=10, state=1, preempt=1)
    assert len(found(*FLAT, *TWO_ON_0, *ticks(2, LONG), stays, *ticks(2, LONG))) == 1


NOTHING_FOR_IT = {
    "one task": [*task(10, 0), runs(10, 0)],
    "two that may not come": [*task(10, 0), runs(10, 0), *task(11, 0, allowed=3)],
    "only the running one may": [*task(10, 0), runs(10, 0), *task(11, 0, allowed=1)],
    "another may be chosen": [*TWO_ON_0, *task(12, 1), runs(12, 1), *task(13, 1, allowed=2)],
    "they went": [*TWO_ON_0, event("enqueue", 0, 1, task=11, rq=1)],
}


@pytest.mark.parametrize("log", NOTHING_FOR_IT.values(), ids=NOTHING_FOR_IT)
def test_what_cannot_be_given_is_not_missed(log: Events) -> None:
    assert not found(*FLAT, *log, *ticks(2, 3 * PATIENCE))


def test_a_task_of_an_unplugged_cpu_may_go_anywhere() -> None:
    log = [*task(10, 0), runs(10, 0), *task(11, 0, allowed=1)]
    reset = event("drain", 0, 0, task=11, src=0, dst=0, reset=1)
    assert len(found(*FLAT, *log, reset, *ticks(2, PATIENCE + 1))) == 1


def test_half_a_machine_that_idles_gets_something_from_the_other_half() -> None:
    assert len(found(*HALVES, *TWO_ON_0, *ticks(2, PATIENCE + 1))) == 1
    assert not found(*HALVES, *TWO_ON_0, *BUSY_1_AND_3, *ticks(2, 3 * PATIENCE))


def test_other_groups_are_not_decided() -> None:
    assert not found(*domains(1, 14), *TWO_ON_0, *ticks(2, 3 * PATIENCE))
    assert not found(*domains(3, 4, 8), *TWO_ON_0, *ticks(2, 3 * PATIENCE))


def test_who_does_not_balance_may_idle() -> None:
    assert not found(*domains(1, 2, 4, 8, flags=0x3E), *TWO_ON_0, *ticks(2, 3 * PATIENCE))
    assert not found(*TWO_ON_0, *ticks(2, 3 * PATIENCE))


def test_the_rule_is_about_policy_o1_and_the_virtual_clock() -> None:
    log = [*FLAT, *TWO_ON_0, *ticks(2, 3 * PATIENCE)]
    assert found(*log)
    assert not found(*log, clock="real")
    assert not found(*log, policy="veridian")


@pytest.mark.parametrize("topology", [flat(2), flat(4), Topology(sockets=2, cores=2)], ids=str)
def test_the_model_lets_nobody_idle(topology: Topology) -> None:
    machine = unbalanced_run(topology)
    assert isinstance(machine, Machine)
    assert not list(nobody_idles_beside_work(machine.finish()))
