"""Domains that are not those of the machine, and idle threads that are not the right ones."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.constants import Policy
from harness.model.domain import Topology, flat
from harness.oracle.o1.laws import Law
from harness.oracle.o1.replay import replay
from harness.trace.grammar import Event, Value
from harness.trace.trace import Trace
from tests.oracle.machine import Machine
from tests.trace.logs import event

SHAPES = [
    flat(1),
    flat(3),
    Topology(sockets=2, cores=2),
    Topology(sockets=2, threads=2),
    Topology(nodes=2, sockets=2, cores=3, threads=2),
]


@cache
def events(shape: Topology) -> tuple[Event, ...]:
    return Machine(shape.nr_cpus, topology=shape).finish().events


def rule_broken(changed: list[Event], shape: Topology | None) -> str | None:
    trace = Trace(tuple(e._replace(seq=seq) for seq, e in enumerate(changed)))
    found = replay(trace, shape)
    return None if found is None else found.rule.split()[0]


def with_field(old: Event, name: str, value: Value) -> Event:
    fields = {**old.fields, name: value}
    return old._replace(values=tuple(fields.values()))


def about_domains(shape: Topology) -> list[int]:
    return [e.seq for e in events(shape) if e.name in ("domain", "group", "attach")]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("known", [True, False])
def test_the_domains_of_the_shape_break_no_rule(shape: Topology, known: bool) -> None:
    assert rule_broken(list(events(shape)), shape if known else None) is None


@pytest.mark.parametrize("shape", [*SHAPES[1:], Topology(sockets=12)], ids=str)
def test_the_domains_of_another_shape_are_found(shape: Topology) -> None:
    for other in SHAPES:
        if other.nr_cpus == shape.nr_cpus and other != shape:
            assert rule_broken(list(events(other)), shape) == Law.A12.name
    cores = Topology(cores=shape.nr_cpus)
    assert (rule_broken(list(events(cores)), shape) is None) == (shape in (flat(3), flat(12)))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SHAPES), st.booleans(), st.sampled_from([1, -1, 2, 2**40]), st.data())
def test_no_other_value_passes(shape: Topology, known: bool, by: int, data: st.DataObject) -> None:
    index = data.draw(st.sampled_from(about_domains(shape)))
    changed = list(events(shape))
    old = changed[index]
    name = data.draw(st.sampled_from([field.name for field in old.type.fields]))
    value = "OTHER" if name == "name" else old.number(name) + by
    changed[index] = with_field(old, name, value)
    due = {Law.A12.name}
    if name == "last_balance":  # where there is but one domain, the first attempt tells
        due |= {Law.P16.name, Law.A15.name}
    assert rule_broken(changed, shape if known else None) in due


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SHAPES), st.booleans(), st.integers(0, 2), st.data())
def test_nothing_is_missing_or_told_twice(
    shape: Topology, known: bool, times: int, data: st.DataObject
) -> None:
    index = data.draw(st.sampled_from(about_domains(shape)))
    changed = list(events(shape))
    changed[index : index + 1] = [changed[index]] * times
    broken = None if times == 1 else Law.A12.name
    assert rule_broken(changed, shape if known else None) == broken


@pytest.mark.parametrize("known", [True, False])
def test_a_log_without_domains_is_found(known: bool) -> None:
    shape = SHAPES[2]
    changed = [e for e in events(shape) if e.name not in ("domain", "group")]
    assert rule_broken(changed, shape if known else None) == "A12"


def test_domains_after_the_last_are_found() -> None:
    shape = SHAPES[2]
    changed = list(events(shape))
    changed.insert(-1, event("group", 0, 0, changed[-1].ns, cpus=1, power=128))
    assert rule_broken(changed, shape) == "A12"


def test_a_shape_that_cannot_be_is_found_without_knowing_the_machine() -> None:
    """Packages that do not consist of whole cores: every line agrees with it, the rules do not."""
    shape = Topology(sockets=2, threads=2)
    spans = {3: 5, 12: 10}
    changed = [
        with_field(e, "span", spans.get(e.number("span"), e.number("span")))
        if e.name == "domain"
        else e
        for e in events(shape)
    ]
    assert rule_broken(changed, None) == "A12"


@cache
def woken() -> tuple[Event, ...]:
    """CPU 0 wakes a task of its busy sibling while CPUs 2 and 3 idle."""
    machine = Machine(4, topology=Topology(sockets=2, threads=2))
    sleeper = machine.create(1)
    machine.settle()
    machine.sleep(1)
    machine.create(1, policy=Policy.FIFO, rt_priority=5)
    machine.create(0, policy=Policy.FIFO, rt_priority=5)
    machine.settle()
    machine.wake(0, sleeper)
    return machine.finish().events


def the_search() -> Event:
    (found,) = [e for e in woken() if e.name == "wake_idle" and e.number("to") == 2]
    return found


def test_the_first_idle_cpu_is_taken() -> None:
    assert the_search().number("found") == 0b1100
    assert rule_broken(list(woken()), None) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("to", 3), ("to", 1), ("to", 77), ("from", 3), ("found", 0b1000), ("found", 1 << 9)],
)
def test_another_choice_is_found(field: str, value: int) -> None:
    changed = list(woken())
    changed[the_search().seq] = with_field(the_search(), field, value)
    assert rule_broken(changed, None) == Law.A8.name


def test_an_idle_cpu_that_nobody_looked_for_is_found() -> None:
    changed = list(woken())
    del changed[the_search().seq]
    assert rule_broken(changed, None) == Law.A8.name
    plain = list(events(flat(3)))
    plain.insert(-1, event("wake_idle", 0, 0, plain[-1].ns))
    assert rule_broken(plain, None) == Law.A8.name
