"""Every kind of wrong decision is found, under the name of the rule that it breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.constants import Policy
from harness.oracle.o1.laws import Law, law_of
from harness.oracle.o1.replay import CONSEQUENCES, FOLLOWING, OPERATIONS, REMARKS, replay
from harness.oracle.prediction import Prediction
from harness.trace.grammar import Event, Value, event_type
from harness.trace.trace import Trace
from tests.oracle.machine import Machine
from tests.oracle.runs import busy_run
from tests.trace.logs import VALUES, event

Events = list[Event]


@cache
def events() -> tuple[Event, ...]:
    """A run in which everything happens, migrations included."""
    machine = busy_run(2)
    p = machine.create(0)
    machine.settle()
    for mask in (2, 1, 2, 3):
        machine.jiffy()
        machine.nice(1, p, mask)
        machine.set_cpus(1, p, mask)
    machine.set_policy(1, p, Policy.FIFO, 5)
    return machine.finish().events


def renumbered(changed: Events) -> Trace:
    return Trace(tuple(e._replace(seq=seq) for seq, e in enumerate(changed)))


def with_fields(old: Event, **fields: Value) -> Event:
    values = tuple(fields.get(name, value) for name, value in old.fields.items())
    return old._replace(values=values)


def rule_broken(changed: Events) -> str | None:
    found = replay(renumbered(changed))
    return None if found is None else found.rule.split()[0]


def where(name: str, **fields: Value) -> int:
    """The first event of that name with those fields, by its position."""
    wanted = fields.items()
    return next(e.seq for e in events() if e.name == name and wanted <= e.fields.items())


def test_the_unchanged_run_breaks_no_rule() -> None:
    assert rule_broken(list(events())) is None


@dataclass(frozen=True)
class Change:
    """One event with other values: the first of that name for which ``of`` holds."""

    name: str
    field: str
    change: Callable[[int], int]
    of: Callable[[Event], bool] = lambda event: True

    def apply(self) -> Events:
        changed = list(events())
        index = next(e.seq for e in changed if e.name == self.name and self.of(e))
        old = changed[index]
        changed[index] = with_fields(old, **{self.field: self.change(old.number(self.field))})
        return changed


def flip(value: int) -> int:
    return 1 - value


def more(value: int) -> int:
    return value + 1


def queues_two(event: Event) -> bool:
    return event.number("running") > 1


def by_interrupt(event: Event) -> bool:
    return event.number("ipi") == 1


def reads_loads(event: Event) -> bool:
    return event.number("nr") + event.number("this_nr") > 0


CHANGES = [
    ("P1", Change("pick", "task", more, queues_two)),
    ("P1", Change("pick", "prio", more)),
    ("P1", Change("switch", "next", more)),
    ("P1", Change("enqueue", "at", flip)),
    ("P7", Change("resched", "ipi", flip, by_interrupt)),
    ("P7", Change("resched", "was", flip)),
    ("P7", Change("resched", "task", more)),
    ("P10", Change("account", "slice", more)),
    ("P10", Change("enqueue", "prio", more)),
    ("P10", Change("enqueue", "array", flip)),
    ("P10", Change("expire", "to", flip)),
    ("P10", Change("expire", "prio", more)),
    ("P10", Change("expire", "slice", more)),
    ("P10", Change("expire", "interactive", flip)),
    ("P10", Change("expire", "starving", flip)),
    ("P10", Change("expire", "since", more)),
    ("P10", Change("expire", "best", more)),
    ("P10", Change("schedule", "sleep_avg", more)),
    ("P11", Change("pick", "task", lambda _: 0, lambda e: e.cpu == 0 and queues_two(e))),
    ("P14", Change("switch", "voluntary", flip)),
    ("P14", Change("task_summary", "nivcsw", more)),
    ("P16", Change("account", "now", lambda now: now + 10**6)),
    ("P16", Change("schedule", "now", lambda now: now - 10**7, lambda e: e.ns > 10**8)),
    ("P16", Change("account", "jiffies", lambda jiffies: jiffies + 2)),
    ("A8", Change("place", "to", flip)),
    ("A8", Change("place", "nr", more, lambda e: not reads_loads(e))),
    ("A10", Change("place", "nr", lambda nr: nr + 50, reads_loads)),
    ("A10", Change("place", "this_load", lambda load: load + 9, reads_loads)),
    ("P16", Change("place", "last_tick", lambda at: at - 10**8, lambda e: e.ns > 2 * 10**8)),
    ("P16", Change("activate", "rq_tick", lambda at: at - 10**8, lambda e: e.ns > 2 * 10**8)),
    ("A11", Change("cpu_load", "load", more)),
    ("C1", Change("task_new", "task", lambda _: 0)),
    ("C1", Change("wake", "task", lambda _: 999)),
    ("C2", Change("wake", "queued", flip)),
    ("C2", Change("wake", "state", lambda _: 0, lambda e: e.number("state") != 0)),
    ("C2", Change("wake_moved", "queued", flip)),
    ("C6", Change("uninterruptible", "nr", more)),
    ("C7", Change("task_free", "task", lambda _: 5)),
    ("P3", Change("task_new", "allowed", lambda _: 2, lambda e: e.number("cpu") == 0)),
    ("P3", Change("migrate", "result", more)),
    ("P3", Change("migrate", "task", lambda task: task - 1)),
    ("S4", Change("pick", "running", more)),
    ("S6", Change("wake", "rq", flip)),
    ("S6", Change("enqueue", "rq", flip)),
    ("S6", Change("dequeue", "array", flip)),
    ("S9", Change("account", "task", lambda _: 2, lambda e: e.number("task") != 2)),
    ("S9", Change("schedule", "task", more)),
    ("S9", Change("switch", "prev", more)),
    ("S9", Change("wake", "current", flip)),
    ("S10", Change("set_nice", "nice", lambda _: 20)),
    ("S10", Change("set_policy", "policy", lambda _: 3)),
    ("S10", Change("schedule", "state", lambda _: 3)),
    ("T0", Change("schedstat", "sched_switch", more)),
    ("T0", Change("schedstat", "ttwu_cnt", lambda number: number - 9, lambda e: e.cpu == 0)),
    ("T0", Change("schedstat", "ttwu_attempts", lambda _: 0, lambda e: e.cpu == 0)),
    ("T0", Change("task_summary", "run_delay", more)),
]


def _id(item: object) -> str:
    return str(getattr(item, "name", item))


@pytest.mark.parametrize(("rule", "change"), CHANGES, ids=_id)
def test_a_changed_value_is_found(rule: str, change: Change) -> None:
    assert rule_broken(change.apply()) == rule


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("swap", "P2"),
        ("pick", "P1"),
        ("switch", "P14"),
        ("resched", "P7"),
        ("expire", "P10"),
        ("requeue", "P1"),
        ("place", "C2"),
        ("wake_moved", "C2"),
        ("activate", "C2"),
    ],
)
def test_a_missing_consequence_is_found(name: str, rule: str) -> None:
    changed = list(events())
    del changed[where(name)]
    assert rule_broken(changed) == rule


@pytest.mark.parametrize(
    ("extra", "rule"),
    [
        (event("swap", 0), "P2"),
        (event("requeue", 0, task=5, prio=120), "P1"),
        (event("enqueue", 0, task=5, prio=120), "C2"),
        (event("dequeue", 0, task=5, prio=120), "C2"),
        (event("resched", 0, task=5), "P7"),
        (event("expire", 0, task=5), "P10"),
        (event("switch", 0, prev=5, next=6), "P14"),
    ],
    ids=_id,
)
def test_a_consequence_of_nothing_is_found(extra: Event, rule: str) -> None:
    changed = list(events())
    index = where("tick", n=100)
    changed.insert(index + 1, extra._replace(cpu=changed[index].cpu, ns=changed[index].ns))
    assert rule_broken(changed) == rule


def test_a_lost_wakeup_is_found() -> None:
    """Somebody looks at a sleeping task and leaves it at that."""
    changed = list(events())
    start = where("place")
    while changed[start].name in FOLLOWING:
        del changed[start]
    assert rule_broken(changed) == "C2"


def test_a_swap_with_tasks_left_in_the_active_array_is_found() -> None:
    changed = list(events())
    pick = next(e.seq for e in changed if e.name == "pick" and queues_two(e))
    assert changed[pick - 1].name == "schedule"
    cpu, ns = changed[pick].cpu, changed[pick].ns
    changed.insert(pick, event("swap", 0, cpu, ns, rq=cpu))
    assert rule_broken(changed) == "P2"


def test_placing_a_task_that_still_switches_out_is_found() -> None:
    """Its CPU has not left its stack: it must be queued there and nowhere else."""
    due = Prediction(event_type("activate"), (7, 0, *[None] * 5))
    assert law_of("wake", due, event("place", 0, task=7)) is Law.P5


def test_moving_a_task_that_runs_is_found() -> None:
    changed = list(events())
    for move in (e for e in events() if e.name == "migrate" and e.number("queued")):
        earlier = [e for e in changed[: move.seq] if e.name == "schedule" and e.cpu == move.cpu]
        if earlier[-1].number("task") == move.number("task"):
            break
    switch = earlier[-1].seq
    while changed[switch].name in ("schedule", "dequeue", "pick", "switch"):
        del changed[switch]
    assert rule_broken(changed) == "P5"


def test_a_cpu_that_does_not_reschedule_is_found() -> None:
    machine = Machine(1)
    p = machine.create(0)
    machine.settle()
    machine.nice(0, p, 5)
    asked = [e for e in machine.events if e.name == "resched"][-1].seq
    ticks = [event("tick", 0, 0, 10**6 * n, n=n) for n in (1, 2, 3)]
    assert rule_broken([*machine.events[: asked + 1], *ticks[:2], _end()]) is None
    assert rule_broken([*machine.events[: asked + 1], *ticks, _end()]) == "P8"


def _end() -> Event:
    return event("end", 0, 0, 10**9, result="pass")


def test_jiffies_from_before_the_readers_last_event_are_found() -> None:
    """An idle CPU has ticked, and has not read them since its last attempt at balancing."""
    machine = Machine(2)
    p = machine.create(0, allowed=1)
    machine.settle()
    machine.sleep(0)
    for _ in range(10):
        machine.jiffy()
    machine.wake(0, p, irq=True)
    changed = list(machine.finish().events)
    index = max(e.seq for e in changed if e.name == "activate")
    read = max(e.seq for e in changed[:index] if e.cpu == 0 and e.name == "balance")
    last, now = changed[read].number("jiffies"), changed[index].number("jiffies")
    assert last < now - 1
    for jiffies in range(last, now + 1):
        changed[index] = with_fields(changed[index], jiffies=jiffies)
        assert rule_broken(changed) == (None if jiffies == now else "P16"), jiffies


def test_a_task_freed_early_is_found() -> None:
    changed = list(events())
    index = where("task_free")
    jiffies = changed[index].number("jiffies")
    free = changed.pop(index)
    earlier = next(e.seq for e in changed if e.name == "tick" and e.number("n") == jiffies - 1)
    changed.insert(earlier + 1, with_fields(free, jiffies=jiffies - 1))
    assert rule_broken(changed) == "C7"


def test_a_task_that_is_not_freed_is_found() -> None:
    before = events()[: where("task_free")]
    jiffies = max(e.number("n") for e in before if e.name == "tick")
    late = [event("tick", 0, 0, before[-1].ns + n, n=jiffies + n) for n in range(1, 20)]
    assert rule_broken([*before, *late[:3]]) is None
    assert rule_broken([*before, *late]) == "C7"


def test_what_is_missing_at_the_end_is_found() -> None:
    changed = list(events())
    last_pick = max(e.seq for e in changed if e.name == "pick")
    assert rule_broken([*changed[:last_pick], _end()]) == "P1"


POLLING = ("resched", "polling")


def _fields_of(names: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    for e in events():
        if e.name in names:
            for field in e.type.fields:
                yield e.seq, field.name


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(_fields_of(CONSEQUENCES))), st.sampled_from([1, -1, 2, 7, 2**40]))
def test_no_other_value_of_a_consequence_passes(place: tuple[int, str], by: int) -> None:
    index, field = place
    changed = list(events())
    old = changed[index]
    changed[index] = with_fields(old, **{field: old.number(field) + by})
    silent = old.number("ipi") == 0 and old.number("task") < 2 if old.name == "resched" else False
    assert rule_broken(changed) is not None or ((old.name, field) == POLLING and silent)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([e.seq for e in events() if e.name in FOLLOWING]), st.booleans())
def test_no_consequence_can_be_left_out_or_come_twice(index: int, twice: bool) -> None:
    changed = list(events())
    changed[index : index + 1] = [changed[index]] * 2 if twice else []
    assert rule_broken(changed) is not None


KNOWN = {
    "account": ("task",),
    "schedule": ("task", "sleep_avg"),
    "wake": ("rq", "queued", "current"),
    "place": ("task", "to"),
    "wake_moved": ("task", "rq", "queued"),
    "activate": ("task", "rq"),
    "start": ("rq",),
    "fork": ("task", "child"),
    "wake_new": ("parent", "rq"),
    "yield": ("task",),
    "set_nice": ("rq",),
    "set_policy": ("rq",),
    "set_cpus": ("rq",),
    "migrate": ("task", "src", "dst", "result", "queued"),
}
"""Inputs that the model has to agree with whatever the situation."""


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(_fields_of(tuple(KNOWN)))), st.sampled_from([1, -1, 3, 2**40]))
def test_no_other_value_passes_where_the_model_knows_it(place: tuple[int, str], by: int) -> None:
    index, field = place
    old = events()[index]
    if field not in KNOWN[old.name]:
        return
    changed = list(events())
    changed[index] = with_fields(old, **{field: old.number(field) + by})
    assert rule_broken(changed) is not None


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_value_whatever_upsets_the_replay(data: st.DataObject) -> None:
    names = {*OPERATIONS, *REMARKS, *CONSEQUENCES}
    index = data.draw(st.sampled_from([e.seq for e in events() if e.name in names]))
    changed = list(events())
    old = changed[index]
    field = data.draw(st.sampled_from(old.type.fields))
    value = data.draw(VALUES[field.kind])
    if isinstance(value, int):
        value = data.draw(st.just(value) | st.integers(0, 12))
    changed[index] = with_fields(old, **{field.name: value})
    rule_broken(changed)
