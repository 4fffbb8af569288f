"""Replay of policy `veridian` on logs of a kernel made of the model: right ones, and broken ones.

Each rule is broken alone, by changing, dropping or adding what a right guest logged, and has to be
found under its name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings

from harness.model.constants import Policy
from harness.model.veridian.pick import Algorithm
from harness.oracle.prediction import LawBrokenError
from harness.oracle.verdict import judge
from harness.oracle.veridian.balancing import v_steal
from harness.oracle.veridian.replay import Replay, replay
from harness.trace.grammar import Event, Value
from harness.trace.trace import Trace
from tests.trace.logs import event
from tests.veridian.actions import Step, play, runs
from tests.veridian.kernel import Kernel

Events = list[Event]


@settings(max_examples=60, deadline=None)
@given(runs)
def test_a_right_guest_breaks_no_rule(run: tuple[int, Algorithm, list[Step]]) -> None:
    trace = play(*run).finish()
    found = replay(trace)
    assert found is None, found


@cache
def events() -> tuple[Event, ...]:
    """A run in which everything happens."""
    kernel = Kernel(3)
    hogs = [kernel.create(0) for _ in range(7)]
    pinned = kernel.create(0, allowed=1)
    kernel.create(1, policy=Policy.FIFO, rt_priority=50)
    kernel.jiffy(25)
    kernel.fork(0)
    kernel.sleep(1)
    kernel.jiffy(3)
    for p in list(kernel.tasks.values()):
        kernel.wake(2, p)
    kernel.nice(0, pinned, -5)
    kernel.yield_(0)
    kernel.set_cpus(0, hogs[5], 4)
    kernel.set_cpus(2, hogs[0], 2)
    kernel.cpu_down(1)
    kernel.plug_refused(0, 1, up=False)
    kernel.jiffy(12)
    kernel.cpu_up(1)
    kernel.plug_refused(2, 1, up=True)
    kernel.end(0)
    kernel.end(2)
    kernel.jiffy(110)
    for _ in range(12):
        for cpu in range(3):
            kernel.sleep(cpu)
    for cpu in (0, 1):
        kernel.wake(cpu, hogs[3])
        kernel.sleep(hogs[3].cpu)
    return kernel.finish().events


def renumbered(changed: Events) -> Trace:
    return Trace(tuple(e._replace(seq=seq) for seq, e in enumerate(changed)))


def rule_broken(changed: Events) -> str | None:
    found = replay(renumbered(changed))
    return None if found is None else found.rule.split()[0]


def with_fields(old: Event, **fields: Value) -> Event:
    values = tuple(fields.get(name, value) for name, value in old.fields.items())
    return old._replace(values=values)


def first(name: str, of: Callable[[Event], bool] = lambda e: True) -> int:
    """The position of the first event of that name for which ``of`` holds."""
    return next(e.seq for e in events() if e.name == name and of(e))


def test_the_unchanged_run_breaks_no_rule() -> None:
    assert replay(renumbered(list(events()))) is None


def more(value: int) -> int:
    return value + 1


def flip(value: int) -> int:
    return 1 - value


def has(**wanted: Value) -> Callable[[Event], bool]:
    return lambda event: wanted.items() <= event.fields.items()


def forked(event: Event) -> bool:
    return event.number("parent") >= 0


def for_a_place(event: Event) -> bool:
    """Whether it is the load by which a task was placed on an otherwise empty machine."""
    before = events()[event.seq - 1]
    place = next(e for e in events()[event.seq :] if e.name != "v_load")
    return before.name == "v_find" and place.number("rq") == event.number("rq")


CHANGES = [
    ("V2", "v_enqueue", "nr", more, has()),
    ("V2", "v_enqueue", "load", lambda load: load + 10, has()),
    ("V2", "v_dequeue", "nr", more, has()),
    ("V2", "v_pick", "load", lambda load: load + 10, has()),
    ("V2", "v_load", "load", lambda load: 110, has()),
    ("S6", "v_enqueue", "ring", more, has()),
    ("S6", "v_wake", "rq", more, has()),
    ("P1", "v_dequeue", "task", more, has()),
    ("P1", "switch", "next", more, has()),
    ("P3", "v_place", "reset", flip, has()),
    ("P4", "v_compare", "next_prio", more, has()),
    ("P4", "v_compare", "task_prio", more, has()),
    ("P4", "v_compare", "preempt", flip, has()),
    ("P8", "v_kick", "was", flip, has()),
    ("P8", "v_kick", "ipi", flip, has(ipi=1)),
    ("V6", "ipi_send", "vector", lambda vector: 0, has()),
    ("V6", "ipi_send", "to", more, has()),
    ("P12", "v_balanced", "busiest", more, has()),
    ("P12", "v_balanced", "count", more, has()),
    ("P12", "v_balanced", "min", more, has()),
    ("P12", "v_migrate", "count", more, has()),
    ("P12", "v_migrated", "moved", more, has()),
    ("B5", "v_place", "rq", lambda rq: (rq + 1) % 3, has()),
    ("B5", "v_load", "load", lambda load: 100, for_a_place),
    ("V7", "v_place", "migrated", flip, has()),
    ("V7", "v_task", "migrations", more, has()),
    ("V7", "v_task", "last_cpu", more, has()),
    ("P14", "switch", "voluntary", flip, has()),
    ("P14", "v_cpu", "voluntary", more, has()),
    ("P14", "task_summary", "nivcsw", more, has()),
    ("T0", "v_cpu", "migrations", more, has()),
    ("T0", "v_cpu", "ipis", more, has()),
    ("T0", "task_summary", "run_delay", more, has()),
    ("P16", "v_schedule", "jiffies", lambda jiffies: jiffies + 200, has()),
    ("P17", "v_tick", "slice", more, has()),
    ("P17", "v_schedule", "slice", lambda left: 10, has(slice=0)),
    ("S9", "v_schedule", "task", more, has()),
    ("S9", "v_tick", "task", more, has()),
    ("S9", "v_wake", "current", flip, has()),
    ("C2", "v_wake", "queued", flip, has()),
    ("C2", "v_wake", "state", more, has(state=1, current=0, queued=0)),
    ("S9", "v_fork", "parent", more, has()),
    ("B7", "v_cpu_down", "rq", lambda rq: 0, has()),
    ("B7", "v_cpu_down", "online", lambda online: 7, has()),
    ("B7", "plug_refused", "up", flip, has(up=0)),
    ("B7", "plug_refused", "up", flip, has(up=1)),
    ("B7", "plug_refused", "online", lambda online: online ^ 2, has()),
    ("S10", "v_schedule", "state", lambda state: 3, has()),
    ("S10", "set_nice", "nice", lambda nice: 20, has()),
    ("S10", "v_pick", "algorithm", lambda algorithm: 7, has()),
    ("S10", "task_new", "nice", more, forked),
    ("S10", "v_load", "rq", lambda rq: 9, has()),
]


@pytest.mark.parametrize(
    ("rule", "name", "field", "change", "of"),
    CHANGES,
    ids=[f"{c[0]}-{c[1]}-{c[2]}" for c in CHANGES],
)
def test_another_value_breaks_the_rule(
    rule: str, name: str, field: str, change: Callable[[int], int], of: Callable[[Event], bool]
) -> None:
    changed = list(events())
    index = first(name, of)
    changed[index] = with_fields(changed[index], **{field: change(changed[index].number(field))})
    assert rule_broken(changed) == rule


DROPPED = [
    ("V3", "v_enqueue", has()),
    ("V3", "v_dequeue", has()),
    ("V3", "v_place", has()),
    ("P4", "v_compare", has()),
    ("P1", "v_pick", has()),
    ("S9", "switch", has()),
    ("V5", "v_kick", has()),
    ("P8", "ipi_send", has()),
    ("P12", "v_balance", has()),
    ("P12", "v_balanced", has()),
    ("P12", "v_migrated", has()),
    ("P17", "v_tick", has()),
    ("C7", "task_free", has()),
    ("C1", "task_new", has()),
    ("B5", "v_find", has()),
]


@pytest.mark.parametrize(("rule", "name", "of"), DROPPED, ids=[f"{d[0]}-{d[1]}" for d in DROPPED])
def test_what_is_missing_breaks_the_rule(rule: str, name: str, of: Callable[[Event], bool]) -> None:
    changed = list(events())
    del changed[first(name, of)]
    assert rule_broken(changed) == rule


def inserted(after: int, *more: Event) -> Events:
    changed = list(events())
    changed[after + 1 : after + 1] = [e._replace(cpu=changed[after].cpu) for e in more]
    return changed


def test_a_dequeued_task_that_is_not_run_is_lost() -> None:
    """V3: what the original does when the running task is not preempted."""
    index = first("v_compare", has(preempt=0))
    lost = events()[index].number("next")
    assert rule_broken(inserted(index, event("v_dequeue", 0, task=lost))) == "V3"


def test_a_kick_of_a_busy_cpu_is_one_too_many() -> None:
    index = first("v_enqueue", lambda e: events()[e.seq + 1].name not in ("v_kick", "v_dequeue"))
    assert rule_broken(inserted(index, event("v_kick", 0, rq=0))) == "V5"


def test_going_idle_with_a_task_waiting_is_named() -> None:
    changed = list(events())
    index = first("v_pick", lambda e: e.cpu == 0 and e.number("task") > 3)
    changed[index] = with_fields(changed[index], task=0)
    assert rule_broken(changed) == "P11"


def test_freeing_twice_is_found() -> None:
    index = first("task_free")
    assert rule_broken(inserted(index, events()[index])) == "C1"


def test_freeing_early_is_found() -> None:
    """C7: a jiffy too early, and one that never ended."""
    index = first("tick", lambda e: e.cpu == 0 and e.seq > first("task_free"))
    free = events()[first("task_free")]
    changed = [e for e in events() if e is not free]
    early = with_fields(free, jiffies=free.number("jiffies") - 1)
    ticks = [e for e in events() if e.name == "tick" and e.cpu == 0 and e.seq < free.seq]
    changed.insert(changed.index(ticks[-1]), early)
    assert rule_broken(changed) == "C7"
    alive = [e.number("task") for e in events() if e.name == "v_task"][-1]
    freed = event("task_free", 0, task=alive, jiffies=free.number("jiffies"))
    assert rule_broken(inserted(index, freed)) == "C7"


def test_a_burial_by_a_cpu_that_then_stands_still_is_over_when_the_task_is_freed() -> None:
    """Under the real clock the host may stop a CPU until the task is free again."""
    kernel = Kernel(2)
    kernel.create(1)
    kernel.end(1)
    kernel.cpus.pop()
    kernel.jiffy(110)
    last = kernel.ticks[1]
    kernel.acting = 1
    kernel.emit("tick", n=last + 1)
    kernel.acting = 0
    kernel.emit("tick", n=kernel.jiffies + 1)
    run = Replay(2)
    found = [run.feed(e) for e in kernel.events if e.name not in ("v_balance", "v_balanced")]
    assert [str(f) for f in found if f is not None and f.rule.startswith("C7")] == []
    assert run.world.ended.queued == {}


def test_an_event_out_of_nothing_is_found() -> None:
    assert rule_broken(inserted(first("tick"), event("v_migrated", 0, moved=1))) == "P12"


def test_waking_with_interrupts_lost_is_seen_by_the_ticks() -> None:
    """P8: a CPU that was asked to reschedule, and goes on ticking."""
    kernel = Kernel(2)
    kernel.create(0)
    kernel.jiffy(10)
    while kernel.events[-1].name != "v_tick" or kernel.events[-1].cpu != 0:
        kernel.events.pop()
    run = Replay(2)
    for past in kernel.events:
        assert run.feed(past) is None
    broken = []
    for n in range(11, 15):
        left = event("v_tick", 0, 0, 0, task=2, slice=0)
        for late in (event("tick", 0, 0, 0, n=n), left):
            broken.append(run.feed(late))
    rules = [found.rule.split()[0] for found in broken if found is not None]
    assert rules[0] == "P8"


def test_a_switch_without_the_lock_is_found() -> None:
    """K6, for logs that have the locks."""
    changed: list[Event] = []
    for e in events():
        if e.name == "v_schedule":
            changed.append(event("lock", 0, e.cpu, e.ns, rq=e.cpu, how=0))
        changed.append(e)
        if e.name == "v_pick":
            changed.append(event("unlock", 0, e.cpu, e.ns, rq=e.cpu))
    assert rule_broken(changed) == "K6"


def test_a_queue_that_changes_during_its_switch_is_found() -> None:
    """P5: another CPU takes a task that is being switched out."""
    index = first("v_compare", lambda e: e.cpu == 0 and e.number("preempt") == 1)
    task, rq = events()[index].number("task"), events()[index].cpu
    where = {"task": task, "rq": rq, "allowed": 4, "queued": 1, "current": 0}
    changed = list(events())
    changed.insert(index + 2, event("v_set_cpus", 0, 2, 0, **where))
    assert changed[index + 1].name == "v_enqueue"
    assert rule_broken(changed) == "P5"


def test_a_thief_looks_before_it_idles() -> None:
    """P11, for the round-robin algorithm."""
    kernel = Kernel(2, Algorithm.ROUND_ROBIN)
    kernel.create(0)
    kernel.sleep(0)
    names = [e.name for e in kernel.events]
    begin = len(names) - names[::-1].index("v_steal") - 1
    end = names.index("v_victim", begin)
    changed = [e for i, e in enumerate(kernel.events) if not begin <= i <= end]
    assert rule_broken(changed) == "P11"


def test_a_thief_steals_only_where_nobody_waits_but_whom_others_have_just_brought() -> None:
    """P11: it looks without a lock, so what comes between the look and the log is not held against
    it; what was there at its last event is."""
    model = Replay(3)
    for e in events():
        assert model.feed(e) is None
        cpu = next((each for each in model.world.cpus if len(each.queue)), None)
        if cpu is not None:
            break
    assert cpu is not None
    world = model.world
    world.acting, world.context.brought = cpu.number, 0
    with pytest.raises(LawBrokenError, match="steals and has 1 waiting"):
        v_steal(world, 1)
    other = (cpu.number + 1) % 3
    world.note_brought(event("v_enqueue", 0, other, 0, rq=cpu.number))
    v_steal(world, 1)
    world.note_brought(event("tick", 0, cpu.number))
    with pytest.raises(LawBrokenError, match="steals and has 1 waiting"):
        v_steal(world, 1)


def test_the_verdict_tells_the_rule_and_the_story() -> None:
    changed = list(events())
    index = first("v_enqueue")
    changed[index] = with_fields(changed[index], ring=0)
    verdict = judge(renumbered(changed))
    assert verdict.outcome == "violation"
    assert verdict.reason.startswith("S6 ")
    (story,) = verdict.stories
    assert "due:    v_enqueue" in story
    assert "CPU 0: task" in story


def test_logs_of_other_policies_are_left_alone() -> None:
    assert replay(Trace((event("hello", 0, policy="o1"),))) is None


def test_too_many_cpus_are_refused() -> None:
    found = replay(Trace((event("hello", 0, policy="veridian", cpus=65),)))
    assert found is not None
    assert found.rule.startswith("S10 ")
