"""Balancing is replayed whatever happens, and no wrong step of it passes."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.constants import WAKE_ANY
from harness.model.domain import Topology, flat
from harness.model.fixes import ALL_FIXES, NO_FIXES, Fixes
from harness.oracle.o1.replay import replay
from harness.oracle.o1.report import story
from harness.trace.events import balance
from harness.trace.grammar import Event, Value
from harness.trace.trace import Trace
from tests.oracle.machine import Machine
from tests.oracle.runs import unbalanced_run

CORES = Topology(sockets=2, cores=2)
THREADS = Topology(sockets=2, threads=2)
SHAPES = [flat(2), flat(4), CORES, THREADS]


def difference(trace: Trace) -> str | None:
    found = replay(trace, check_every=1)
    return None if found is None else story(trace, found)


@pytest.mark.parametrize("fixes", [NO_FIXES, ALL_FIXES], ids=["2.6.11", "corrected"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_right_balancing_is_replayed(shape: Topology, fixes: Fixes) -> None:
    assert difference(unbalanced_run(shape, fixes).finish()) is None


@cache
def events(shape: Topology = THREADS, fixes: Fixes = NO_FIXES) -> tuple[Event, ...]:
    return unbalanced_run(shape, fixes, jiffies=90, hz=100).finish().events


def test_the_run_has_all_that_balancing_can_be() -> None:
    seen = {event.name for event in events()}
    hotplug = {"cpu_down", "drain", "cpu_dead", "cpu_up", "plug_refused"}
    assert {kind.name for kind in balance.EVENTS} - hotplug - {"fixes"} <= seen
    assert {event.number("type") for event in events() if event.name == "balance"} == {0, 1, 2}
    assert {event.number("why") for event in events() if event.name == "skip"} == {1, 2, 3}
    assert {event.number("dropped") for event in events() if event.name == "double_lock"} == {0, 1}
    assert any(event.number("expired") for event in events() if event.name == "pull")


def with_field(old: Event, name: str, value: Value) -> Event:
    fields = zip(old.type.fields, old.values, strict=True)
    return old._replace(values=tuple(value if f.name == name else had for f, had in fields))


def rule_broken(changed: list[Event]) -> str | None:
    found = replay(Trace(tuple(e._replace(seq=seq) for seq, e in enumerate(changed))))
    return None if found is None else found.rule.split()[0]


NAMES = {
    "balance": {"level", "type", "interval", "failed", "last_balance"},
    "load": {"rq", "cpu_load", "nr"},
    "busiest_group": {"cpus", "imbalance"},
    "busiest_queue": {"rq", "nr"},
    "double_lock": {"rq", "dropped"},
    "move": {"src", "dst", "level", "max", "type", "idle", "failed"},
    "skip": {"task", "why"},
    "pull": {"task", "expired"},
    "moved": {"nr"},
    "push_request": {"rq", "was"},
    "balanced": {"level", "moved", "interval", "failed"},
    "push": {"rq"},
    "pushed": {"rq"},
    "exec": {"task", "rq", "nr", "level"},
    "exec_to": {"task", "to"},
    "schedstat_domain": {field.name for field in balance.EVENTS[-2].fields},
}
"""Fields of which one value alone is right. Not among them: times that nobody else has logged."""

PLACES = sorted(
    (event.seq, name)
    for event in events()
    for name in sorted(NAMES.get(event.name, set()) - {"dropped"})
)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from([1, -1, 3, 2**40]))
def test_no_other_value_passes(place: tuple[int, str], by: int) -> None:
    index, name = place
    changed = list(events())
    changed[index] = with_field(changed[index], name, changed[index].number(name) + by)
    assert rule_broken(changed) is not None


@pytest.mark.parametrize(
    ("event", "name"), [(e, n) for e, names in NAMES.items() for n in sorted(names)]
)
def test_every_field_is_held_against_the_model(event: str, name: str) -> None:
    """The first event of that name, with another value than it has."""
    changed = list(events())
    index = next(e.seq for e in changed if e.name == event)
    changed[index] = with_field(changed[index], name, changed[index].number(name) + 2)
    assert rule_broken(changed) is not None


STEPS = set(NAMES) - {"schedstat_domain", "exec", "push"}


def is_step(e: Event) -> bool:
    """Not the last of a decaying load: it may have been gone when it was read."""
    return e.name in STEPS and not (e.name == "load" and e.number("cpu_load") == 1)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([e.seq for e in events() if is_step(e)]), st.booleans())
def test_no_step_can_be_left_out_or_come_twice(index: int, twice: bool) -> None:
    changed = list(events())
    changed[index : index + 1] = [changed[index]] * 2 if twice else []
    assert rule_broken(changed) is not None


def first(name: str, **fields: int) -> int:
    wanted = fields.items()
    return next(e.seq for e in events() if e.name == name and wanted <= e.fields.items())


@pytest.mark.parametrize(
    ("rule", "name", "of", "changes"),
    [
        ("A10", "load", {}, {"nr": 99}),
        ("A10", "load", {}, {"cpu_load": 9}),
        ("A10", "move", {"idle": 0}, {"idle": 1}),
        ("A15", "balance", {"type": 1}, {"type": 0}),
        ("A15", "balance", {"type": 0}, {"interval": 7}),
        ("A15", "balance", {"type": 2}, {"level": 1}),
        ("A15", "balanced", {}, {"interval": 9}),
        ("A16", "push", {}, {"rq": 1}),
        ("A16", "exec", {"level": -1}, {"level": 1}),
        ("A16", "exec_to", {}, {"to": 77}),
        ("A16", "push_request", {"was": 0}, {"was": 1}),
        ("C3", "pull", {"expired": 1}, {"expired": 0}),
        ("C4", "move", {}, {"max": 9}),
        ("C4", "moved", {"nr": 1}, {"nr": 2}),
        ("K1", "double_lock", {"rq": 3, "dropped": 0}, {"dropped": 1}),
        ("P4", "pull", {}, {"task": 0}),
        ("P6", "balance", {"type": 0}, {"failed": 9}),
        ("P6", "skip", {"why": 3}, {"why": 2}),
        ("P12", "busiest_group", {}, {"imbalance": 9}),
        ("P12", "busiest_group", {}, {"cpus": 9}),
        ("P12", "busiest_queue", {}, {"rq": 9}),
        ("T0", "schedstat_domain", {"level": 1}, {"n_cnt": 0}),
        ("T0", "schedstat_moves", {}, {"n_gained": 99}),
    ],
)
def test_what_a_wrong_value_breaks(
    rule: str, name: str, of: dict[str, int], changes: dict[str, int]
) -> None:
    changed = list(events())
    index = first(name, **of)
    for field, value in changes.items():
        changed[index] = with_field(changed[index], field, value)
    assert rule_broken(changed) == rule


@pytest.mark.parametrize(("why", "rule"), [(1, "P5"), (2, "P3"), (3, "P6")])
def test_pulling_what_has_to_stay_is_found_by_the_reason(why: int, rule: str) -> None:
    changed = list(events())
    index = first("skip", why=why)
    pull = next(e for e in changed if e.name == "pull")
    changed[index] = with_field(pull, "task", changed[index].number("task"))._replace(
        cpu=changed[index].cpu, ns=changed[index].ns
    )
    assert rule_broken(changed) == rule


def test_going_idle_without_looking_elsewhere_is_found() -> None:
    changed = list(events())
    index = first("balance", type=2)
    while changed[index].name != "pick":
        del changed[index]
    assert rule_broken(changed) == "P11"


def test_a_domain_that_is_due_and_not_balanced_is_found_at_the_next_tick() -> None:
    """An attempt that found nothing is cut out: nothing else shows that it is missing."""
    changed = list(events())
    for index in (e.seq for e in changed if e.name == "balance" and e.number("type") == 0):
        end = next(e.seq for e in changed[index:] if e.name == "balanced")
        if end - index <= 4 and changed[end + 1].name in ("tick", "balance"):
            break
    assert rule_broken([*changed[:index], *changed[end + 1 :]]) == "A15"


def test_balancing_before_it_is_due_is_found() -> None:
    changed = list(events())
    index = max(e.seq for e in changed if e.name == "balance" and e.number("type") == 1)
    attempt = changed[index : next(e.seq for e in changed[index:] if e.name == "balanced") + 1]
    tick = max(e.seq for e in changed[:index] if e.name == "tick" and e.cpu == attempt[0].cpu)
    earlier = max(e.seq for e in changed[:tick] if e.name == "tick" and e.cpu == attempt[0].cpu)
    early = attempt[0]._replace(ns=changed[earlier].ns)
    jiffies = changed[earlier].number("n")
    changed.insert(earlier + 1, with_field(early, "jiffies", jiffies))
    assert rule_broken(changed) == "A15"


class TestLockLetGo:
    """The five things that may have happened when a CPU has both locks again."""

    def machine(self) -> Machine:
        """CPU 1 has one task, which is about to sleep; CPU 0 has four."""
        machine = Machine(2)
        for _ in range(4):
            machine.create(0, allowed=1)
        machine.settle()
        self.last = machine.create(1)
        machine.settle()
        for _ in range(3):
            machine.jiffy()
        assert machine.rqs[1].curr is self.last
        return machine

    def test_the_task_that_leaves_may_be_woken_again_and_goes_on(self) -> None:
        machine = self.machine()

        def again() -> None:
            machine.acting = 0
            machine.wake_now(self.last, WAKE_ANY)

        machine.when_dropped = again
        machine.sleep(1)
        trace = machine.finish()
        assert difference(trace) is None
        pick = max(e.seq for e in trace.of("pick") if e.cpu == 1)
        assert trace.events[pick].number("task") == self.last.pid
        assert trace.events[pick + 1].name != "switch"
        changed = list(trace.events)
        changed[pick] = with_field(with_field(changed[pick], "task", 1), "prio", 140)
        assert rule_broken(changed) == "P11", "nr_running has to be read again"

    def woken_meanwhile(self, nice: int) -> Trace:
        machine = self.machine()
        other = machine.create(1, nice=nice)
        machine.settle()
        while machine.rqs[1].curr is not other:
            machine.jiffy()
        machine.sleep(1)
        machine.jiffy()
        assert machine.rqs[1].curr is self.last

        def meanwhile() -> None:
            machine.acting = 0
            machine.wake_now(other, WAKE_ANY)

        machine.when_dropped = meanwhile
        machine.sleep(1)
        assert machine.rqs[1].curr is other
        return machine.finish()

    def test_another_task_may_have_come(self) -> None:
        trace = self.woken_meanwhile(0)
        assert difference(trace) is None
        changed = list(trace.events)
        index = next(e.seq for e in changed if e.name == "double_lock" and e.number("dropped"))
        pick = next(e.seq for e in changed[index:] if e.name == "pick" and e.cpu == 1)
        changed[pick] = with_field(changed[pick], "running", 0)
        assert rule_broken(changed) == "S4"

    def test_the_busiest_may_have_drained(self) -> None:
        """move_tasks looks again: nothing may be taken from a queue of one."""
        machine = Machine(2)
        tasks = [machine.create(0) for _ in range(2)]
        machine.settle()
        last = machine.create(1)
        machine.settle()
        for _ in range(3):
            machine.jiffy()

        def drained() -> None:
            machine.acting = 0
            running = machine.rqs[0].curr
            assert running in tasks
            machine.sleep(0)

        machine.when_dropped = drained
        assert machine.rqs[1].curr is last
        machine.sleep(1)
        trace = machine.finish()
        assert difference(trace) is None
        index = next(e.seq for e in trace.of("double_lock") if e.number("dropped"))
        move = next(e.seq for e in trace.events[index:] if e.name == "move")
        assert trace.events[move + 1].name == "moved"
        changed = list(trace.events)
        pull = next(e for e in events() if e.name == "pull")._replace(cpu=1, ns=changed[move].ns)
        changed.insert(move + 1, with_field(pull, "task", machine.rqs[0].curr.pid))
        assert rule_broken(changed) == "C4"

    def test_no_more_is_taken_than_was_asked_for(self) -> None:
        changed = list(events())
        index = first("moved", nr=1)
        pull = max(e.seq for e in changed[:index] if e.name == "pull")
        again = changed[pull]._replace(ns=changed[index].ns)
        changed.insert(index, again)
        assert rule_broken(changed) == "C4"

    def test_who_runs_there_cannot_have_changed(self) -> None:
        trace = self.woken_meanwhile(0)
        changed = list(trace.events)
        index = next(e.seq for e in changed if e.name == "double_lock" and e.number("dropped"))
        other = changed[index - 1]
        fake = next(e for e in changed if e.name == "switch" and e.cpu == 1)
        changed.insert(index, fake._replace(ns=other.ns))
        assert rule_broken(changed) in ("S9", "P14", "P12")

    def test_a_change_of_affinity_meanwhile_is_honoured(self) -> None:
        """The task is woken, runs on, and its CPU's thread sends it away at once."""
        machine = self.machine()

        def again() -> None:
            machine.acting = 0
            machine.wake_now(self.last, WAKE_ANY)
            machine.set_cpus_now(0, self.last, 1)

        machine.when_dropped = again
        machine.sleep(1)
        assert self.last.cpu == 0
        assert difference(machine.finish()) is None
