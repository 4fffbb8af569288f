"""CPUs come and go under a workload: nothing is lost, everything leaves, affinity is honoured.

Each run is replayed besides; here stands what the log itself has to show.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from harness.boot import Run, boot
from harness.oracle.o1.replay import replay
from harness.trace.grammar import Event, Value
from harness.trace.trace import Trace
from harness.workload import Workload, fold_cpus, load
from harness.workload.document import parse
from tests.oracle.test_replay_bites import renumbered, with_fields
from tests.trace.logs import event
from tests.workloads.schedule import ids, only

ALL = 2**64 - 1
SMALL = """
name: small-hotplug
duration: 40 ticks
cpus: 2
tasks:
  plugger:
    cpus: 0
    nice: -10
    program:
      - forever:
          - sleep: 6 ticks
          - cpu_down: 1
          - sleep: 6 ticks
          - cpu_up: 1
  hog: {count: 2, program: [forever: [run: 1 tick]]}
  bound: {cpus: 1, nice: -9, program: [forever: [run: 1 tick, sleep: 2 ticks, cpus: 1]]}
  napper: {cpus: 1, nice: -10, program: [forever: [sleep: 4 ticks, run: 100us]]}
"""
"""Small enough to be replayed many times."""


def booted(workload: Workload, cpus: int, clock: str) -> Run:
    run = boot(workload=workload, cpus=cpus, clock=clock, timeout=300, quiet=60)
    assert run.outcome == "pass", run.verdict
    return run


class Plugged:
    """A log, read from its first event to its last: which CPUs are online, who may run where."""

    def __init__(self, trace: Trace, cpus: int) -> None:
        self.trace = trace
        self.online = (1 << cpus) - 1
        self.dead = 0
        self.allowed: dict[int, int] = {}
        self.threads: dict[int, int] = {}
        self.left: dict[int, int] = dict.fromkeys(range(cpus), 0)
        self.resets = 0

    def walk(self) -> Iterator[Event]:
        """Every event, before it changes what this says."""
        for e in self.trace.events:
            yield e
            match e.name:
                case "task_new":
                    self.allowed[e.number("task")] = e.number("allowed")
                    if e.word("name").startswith("migration/"):
                        self.threads[e.number("cpu")] = e.number("task")
                case "set_cpus":
                    self.allowed[e.number("task")] = e.number("allowed")
                case "cpu_down" | "cpu_up":
                    self.online = e.number("online")
                    self.dead &= self.online ^ ALL
                case "cpu_dead":
                    self.dead |= 1 << e.number("rq")
                    self.left[e.number("rq")] += 1
                case "drain" if e.number("reset"):
                    self.allowed[e.number("task")] = ALL
                    self.resets += 1


def check_drains(log: Plugged) -> int:
    """Affinity is opened where it names no CPU that is online, and only there."""
    drains = 0
    for e in log.walk():
        if e.name == "drain":
            drains += 1
            possible = log.allowed[e.number("task")] & log.online
            assert e.number("reset") == (not possible)
            assert (possible or log.online) >> e.number("dst") & 1
            assert not log.online >> e.number("src") & 1
    return drains


def check_quiet(log: Plugged) -> None:
    """A CPU that is gone runs and queues nothing but its own thread, and looks for no work."""
    for e in log.walk():
        if e.name == "enqueue" and log.dead >> e.number("rq") & 1:
            assert e.number("task") == log.threads[e.number("rq")], e
        elif log.dead >> e.cpu & 1:
            assert e.name not in ("balance", "account") or e.cpu == 0, e
            if e.name == "switch":
                assert e.number("next") in (e.cpu, log.threads[e.cpu]), e


def check_nothing_lost(trace: Trace) -> None:
    """Every task was there at the end, or had ended."""
    made = {e.number("task") for e in trace.of("task_new")}
    assert made == {e.number("task") for e in trace.of("task_summary")}


def runs_again(trace: Trace, cpu: int) -> bool:
    """Whether a CPU that was plugged in gave time to an ordinary task."""
    back = next(e.seq for e in trace.of("cpu_up") if e.number("rq") == cpu)
    return any(e.seq > back for e in trace.of("account") if e.cpu == cpu)


@pytest.mark.parametrize("clock", ["virtual", "real"])
@pytest.mark.parametrize("cpus", [2, 4])
def test_cpus_come_and_go_under_a_workload(cpus: int, clock: str) -> None:
    trace = booted(fold_cpus(load("hotplug"), cpus), cpus, clock).trace
    log = Plugged(trace, cpus)
    assert check_drains(log) > 10
    assert log.resets > 1
    assert log.left.pop(0) == 0
    assert all(times > 1 for times in log.left.values())
    check_quiet(Plugged(trace, cpus))
    check_nothing_lost(trace)
    assert all(runs_again(trace, cpu) for cpu in range(1, cpus))


@pytest.mark.parametrize("policy", ["o1", "veridian"])
def test_no_cpu_goes_while_tasks_are_started(policy: str) -> None:
    """Where CPUs overtake each other, one is asked to unplug another before all tasks are there."""
    races: dict[str, Any] = {"race": "yield", "race_one_in": 4}
    run = boot(workload=load("hotplug"), cpus=4, policy=policy, checked=True, timeout=300, **races)
    assert run.outcome == "pass", run.verdict
    gone = [e.seq for name in ("cpu_down", "v_cpu_down") for e in run.trace.of(name)]
    assert min(gone) > max(e.seq for e in run.trace.of("start"))


@cache
def small() -> tuple[Event, ...]:
    """The events of a short run on two CPUs."""
    return booted(parse(SMALL), 2, "virtual").trace.events


def at(name: str, **fields: Value) -> int:
    """The first event of that name with those fields."""
    return next(e.seq for e in small() if e.name == name and fields.items() <= e.fields.items())


def broken(changed: list[Event]) -> str | None:
    found = replay(renumbered(changed))
    return None if found is None else found.rule.split()[0]


def test_the_short_run_has_all_of_it() -> None:
    assert broken(list(small())) is None
    names = {e.name for e in small()}
    assert {"cpu_down", "drain", "cpu_dead", "cpu_up"} <= names
    kinds = {(e.number("queued"), e.number("reset")) for e in small() if e.name == "drain"}
    assert kinds >= {(0, 1), (1, 0)}


@pytest.mark.parametrize(
    ("rule", "name", "field", "value"),
    [
        ("U2", "cpu_down", "online", 3),
        ("U2", "cpu_down", "rq", 0),
        ("U2", "cpu_dead", "rq", 0),
        ("U2", "cpu_up", "online", 1),
        ("U2", "cpu_up", "rq", 0),
        ("U3", "drain", "dst", 1),
        ("U3", "drain", "reset", 2),
        ("S6", "drain", "src", 0),
        ("C2", "drain", "queued", 2),
        ("C1", "drain", "task", 999),
        ("S9", "drain", "task", 0),
    ],
)
def test_a_changed_value_is_found(rule: str, name: str, field: str, value: int) -> None:
    changed = list(small())
    index = at(name)
    changed[index] = with_fields(changed[index], **{field: value})
    assert broken(changed) == rule


@pytest.mark.parametrize("field", ["dst", "reset"])
def test_an_affinity_that_is_ignored_is_found(field: str) -> None:
    """A task that may run elsewhere has its affinity opened, or one that may not has not."""
    for reset in (0, 1):
        changed = list(small())
        index = at("drain", reset=reset)
        changed[index] = with_fields(changed[index], **{field: 1 - changed[index].number(field)})
        assert broken(changed) == "U3"


def test_a_task_that_is_left_behind_is_found() -> None:
    changed = list(small())
    del changed[at("drain", queued=0)]
    assert broken(changed) == "C1"


def test_a_task_that_leaves_a_cpu_for_no_reason_is_found() -> None:
    changed = list(small())
    drain = changed[at("drain", queued=0)]
    down = at("cpu_down")
    changed.insert(down, drain._replace(ns=changed[down].ns))
    assert broken(changed) == "U2"


def test_a_cpu_that_is_said_to_be_gone_while_it_is_online_is_found() -> None:
    changed = list(small())
    down = at("cpu_down")
    dead = event("cpu_dead", 0, changed[down].cpu, changed[down].ns, rq=1)
    changed.insert(down, dead)
    assert broken(changed) == "U2"


def test_a_cpu_unplugged_by_another_task_than_its_thread_is_found() -> None:
    changed = list(small())
    (hog, *_) = ids(Trace(small()), "hog")
    runs = next(
        e.seq for e in small() if e.name == "switch" and e.cpu == 1 and e.number("next") == hog
    )
    down = changed[at("cpu_down")]
    changed.insert(runs + 1, down._replace(ns=changed[runs].ns))
    assert broken(changed) == "U2"


@pytest.mark.parametrize("again", ["cpu_down", "cpu_up"])
def test_a_cpu_that_comes_or_goes_twice_is_found(again: str) -> None:
    changed = list(small())
    changed.insert(at(again), changed[at(again)])
    assert broken(changed) == "U2"


def test_a_task_woken_onto_a_cpu_that_is_gone_is_found() -> None:
    """The CPU's tick wakes a sleeper and keeps it, as it would if the CPU were online."""
    changed = list(small())
    woken = at("place", task=only(Trace(small()), "napper"), to=0)
    assert (changed[woken].cpu, at("cpu_dead") < woken < at("cpu_up")) == (1, True)
    changed[woken] = with_fields(changed[woken], to=1)
    assert broken(changed) == "A8"


def test_a_task_queued_on_a_cpu_that_is_gone_is_found() -> None:
    """The tick of the CPU that is gone starts a task there that nobody forked."""
    changed = list(small())
    dead, thread = at("cpu_dead"), at("task_new", cpu=1, rt_priority=99)
    created = with_fields(
        changed[thread], task=99, name="late", allowed=ALL, rt_priority=0, policy=0
    )
    jiffies = max(e.number("jiffies") for e in changed[:dead] if "jiffies" in e.fields)
    started = event("start", 0, 1, changed[dead].ns, task=99, rq=1, jiffies=jiffies)
    changed[dead + 1 : dead + 1] = [created._replace(cpu=1, ns=changed[dead].ns), started]
    assert broken(changed) == "U1"


def test_balancing_on_a_cpu_that_is_gone_is_found() -> None:
    changed = list(small())
    dead = at("cpu_dead")
    tick = next(e for e in small() if e.seq > dead and e.name == "tick" and e.cpu == 1)
    model = next(e for e in small() if e.name == "balance" and e.cpu == 1)
    jiffies = next(e.number("n") for e in small() if e.name == "tick" and e.seq > tick.seq - 9)
    extra = with_fields(model, jiffies=jiffies)._replace(ns=tick.ns)
    changed.insert(tick.seq + 1, extra)
    assert broken(changed) == "U1"


def test_a_refusal_without_reason_is_found() -> None:
    changed = list(small())
    index = at("cpu_up")
    old = changed[index]
    asked = {"rq": old.number("rq"), "up": 1, "online": old.number("online") & ~(1 << old.cpu)}
    changed[index] = event("plug_refused", 0, old.cpu, old.ns, **asked)
    assert broken(changed) == "U2"


@pytest.mark.parametrize("after", [0, 1])
def test_a_request_that_is_left_unserved_or_its_task_untold_is_found(after: int) -> None:
    """The migration thread goes to sleep instead."""
    changed = list(small())
    index = at("migrate", queued=0)
    cpu = changed[index].cpu
    rest = [n for n in range(index + after, len(changed)) if changed[n].cpu == cpu]
    for number in reversed(rest[: [changed[n].name for n in rest].index("schedule")]):
        del changed[number]
    assert broken(changed) == "P3"
