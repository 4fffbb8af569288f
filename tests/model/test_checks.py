"""Every structure rule bites: one damage to a sound machine, and the rule that names it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.model.bitmap import clear_bit, set_bit
from harness.model.checks import Violation, check_runqueue, check_system
from harness.model.constants import Policy, State
from harness.model.domain import flat
from harness.model.runqueue import Runqueue
from harness.model.task import Task
from tests.model.build import normal, put, realtime
from tests.model.sim import Sim


class Machine:
    """Two CPUs: on the first, `running` and `waiting`, `expired` in the other array, one asleep."""

    def __init__(self) -> None:
        sim = Sim(flat(2))
        self.running = sim.add(0)
        self.waiting = sim.add(0)
        self.expired = normal(50)
        self.asleep = normal(51)
        self.asleep.state = State.INTERRUPTIBLE
        self.rqs = sim.rqs
        self.rq, self.other = sim.rqs
        put(self.expired, self.rq, self.rq.expired)
        self.tasks = [*sim.tasks, self.expired, self.asleep]

    def violations(self) -> list[Violation]:
        return check_system(self.rqs, self.tasks)


def unlink(p: Task, rq: Runqueue) -> None:
    for array in rq.arrays:
        for tasks in array.queue:
            if p in tasks:
                tasks.remove(p)


def insert_again(m: Machine) -> None:
    m.rq.active.queue[m.waiting.prio].append(m.waiting)


def move_without_the_cpu(m: Machine) -> None:
    unlink(m.expired, m.rq)
    m.rq.expired.nr_active -= 1
    m.rq.nr_running -= 1
    clear_bit(m.rq.expired.bitmap, m.expired.prio)
    put(m.expired, m.other)
    m.expired.cpu = 0


Damage = Callable[[Machine], object]
DAMAGES: list[tuple[str, str, Damage]] = [
    ("S1", "bit left set", lambda m: set_bit(m.rq.active.bitmap, 77)),
    ("S1", "bit not set", lambda m: clear_bit(m.rq.active.bitmap, m.waiting.prio)),
    ("S2", "delimiter lost", lambda m: clear_bit(m.rq.expired.bitmap, 140)),
    ("S2", "bit after it", lambda m: set_bit(m.other.active.bitmap, 191)),
    ("S3", "nr_active", lambda m: setattr(m.rq.active, "nr_active", 1)),
    ("S3", "task fell out of its list", lambda m: unlink(m.waiting, m.rq)),
    ("S4", "nr_running", lambda m: setattr(m.rq, "nr_running", 2)),
    ("S5", "one array twice", lambda m: setattr(m.rq, "expired", m.rq.active)),
    ("S5", "another CPU's array", lambda m: setattr(m.rq, "expired", m.other.expired)),
    ("S6", "array forgotten", lambda m: setattr(m.waiting, "array", None)),
    ("S6", "prio changed in the list", lambda m: setattr(m.waiting, "prio", 122)),
    ("S6", "set_task_cpu forgotten", move_without_the_cpu),
    ("S6", "sleeping in the queue", lambda m: setattr(m.waiting, "state", State.UNINTERRUPTIBLE)),
    ("S7", "in a list twice", insert_again),
    ("S8", "in two lists", lambda m: put(m.waiting, m.other)),
    ("S8", "sleeper names an array", lambda m: setattr(m.asleep, "array", m.rq.active)),
    ("S9", "running, not queued", lambda m: setattr(m.running, "array", None)),
    ("S9", "current twice", lambda m: setattr(m.other, "curr", m.running)),
    ("S9", "idle queued", lambda m: setattr(m.rq.idle, "array", m.rq.active)),
    ("S9", "idle better than others", lambda m: setattr(m.rq.idle, "prio", 139)),
    ("S10", "slice not refilled", lambda m: setattr(m.expired, "time_slice", 0)),
    ("S10", "slice wrapped", lambda m: setattr(m.expired, "time_slice", 2**32 - 1)),
    ("S10", "sleep average too large", lambda m: setattr(m.waiting, "sleep_avg", 10**9 + 1)),
    ("S10", "sleep average negative", lambda m: setattr(m.waiting, "sleep_avg", -1)),
    ("S10", "static priority", lambda m: setattr(m.waiting, "static_prio", 99)),
    ("S10", "prio far from static", lambda m: setattr(m.waiting, "static_prio", 131)),
    ("S10", "policy and prio", lambda m: setattr(m.waiting, "policy", Policy.RR)),
    ("S10", "impossible prio", lambda m: setattr(m.waiting, "prio", 140)),
    ("S11", "idle remembers", lambda m: setattr(m.other, "expired_timestamp", 5)),
    ("C6", "sleeper not counted", lambda m: setattr(m.asleep, "state", State.UNINTERRUPTIBLE)),
    ("C6", "nobody counted", lambda m: setattr(m.other, "nr_uninterruptible", 1)),
    ("S11", "best expired", lambda m: setattr(m.rq, "best_expired_prio", 99)),
]


def test_a_sound_machine_breaks_no_rule() -> None:
    assert Machine().violations() == []


@pytest.mark.parametrize(
    ("rule", "damage"), [d[::2] for d in DAMAGES], ids=[f"{d[0]} {d[1]}" for d in DAMAGES]
)
def test_damage_is_named_by_its_rule(rule: str, damage: Damage) -> None:
    machine = Machine()
    damage(machine)
    assert rule in {violation.rule for violation in machine.violations()}


def test_every_rule_has_a_damage() -> None:
    assert {rule for rule, _, _ in DAMAGES} == {f"S{n}" for n in range(1, 12)} | {"C6"}


def test_who_sleeps_and_who_counts_may_be_on_different_cpus() -> None:
    m = Machine()
    m.asleep.state = State.UNINTERRUPTIBLE
    m.rq.nr_uninterruptible, m.other.nr_uninterruptible = 3, -2
    assert m.violations() == []


def test_a_list_longer_than_there_are_tasks() -> None:
    m = Machine()
    found = check_runqueue(m.rq, nr_tasks=1)
    assert "S7: cpu0 array 0: list 125 is longer than the 1 tasks" in map(str, found)


def test_words_say_what_and_where() -> None:
    m = Machine()
    m.rq.nr_running = 7
    assert [str(v) for v in m.violations()] == ["S4: cpu0: nr_running is 7, queued are 3"]


def test_a_running_task_may_have_set_its_sleep_state_and_be_preempted_there() -> None:
    m = Machine()
    m.running.state = State.INTERRUPTIBLE
    assert m.violations() == []
    m.running.preempt_active, m.rq.curr = True, m.waiting
    assert m.violations() == []
    m.running.preempt_active = False
    assert {v.rule for v in m.violations()} == {"S6"}


def test_fifo_needs_no_slice() -> None:
    m = Machine()
    p = realtime(60, 30)
    p.time_slice = 0
    put(p, m.rq)
    m.tasks.append(p)
    assert m.violations() == []
    p.policy = Policy.RR
    assert {v.rule for v in m.violations()} == {"S10"}
