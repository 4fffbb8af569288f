"""A CPU that becomes idle lets go of its run queue to get at the busiest one's.

The guest's self-test lock_drop makes other things happen at that very moment; here the log shows
that they did, and what came of them. What a right decision is, is the replay's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from harness.boot import Run, boot
from harness.oracle.o1.replay import replay
from harness.trace.grammar import Event
from tests.boot import PATIENT
from tests.boot.variant import Change, Variants

TAKER = 1
NEWLY_IDLE = 2


@cache
def played(cpus: int, clock: str) -> Run:
    run = boot(cpus=cpus, clock=clock, policy="o1", selftest="lock_drop", **PATIENT)
    assert run.outcome == "pass", run.verdict
    assert run.ktap.passed == 1
    return run


@dataclass
class Drop:
    """A newly idle CPU's attempt in which it let go of its run queue."""

    leaving: int
    """The task for whose sleep the CPU becomes idle."""
    before: Event
    """What it logged last before that: whom it wants to take from."""
    after: list[Event]
    """What it logged from then on, up to its choice of the next task."""
    meanwhile: list[Event]
    """What others logged in between."""

    @property
    def next(self) -> Event:
        return self.after[-1]

    def moved(self) -> int:
        (moved,) = (e for e in self.after if e.name == "moved")
        return moved.number("nr")

    def imbalance(self) -> int:
        (move,) = (e for e in self.after if e.name == "move")
        return move.number("max")

    def woken(self) -> list[int]:
        """Tasks that others have queued on the taker's CPU meanwhile."""
        queued = [e for e in self.meanwhile if e.name == "enqueue" and e.number("rq") == TAKER]
        return [e.number("task") for e in queued]


def drops(run: Run) -> Iterator[Drop]:
    """Those of CPU 1, in order."""
    own = [e for e in run.trace.events if e.cpu == TAKER]
    for index, e in enumerate(own):
        if e.name != "double_lock" or not e.number("dropped"):
            continue
        attempt = next(x for x in reversed(own[:index]) if x.name == "balance")
        if attempt.number("type") != NEWLY_IDLE:
            continue
        before = own[index - 1]
        leaving = next(x for x in reversed(own[:index]) if x.name == "schedule").number("task")
        end = next(i for i in range(index, len(own)) if own[i].name == "pick")
        others = [x for x in run.trace.events[before.seq : e.seq] if x.cpu != TAKER]
        yield Drop(leaving, before, own[index : end + 2], others)


def pick_of(drop: Drop) -> Event:
    (pick,) = (e for e in drop.after if e.name == "pick")
    return pick


def switches(drop: Drop) -> bool:
    return drop.next.name == "switch"


RUNS = [(2, "virtual"), (3, "virtual"), (2, "real")]


@pytest.mark.parametrize(("cpus", "clock"), RUNS)
def test_a_task_woken_meanwhile_runs_though_nothing_was_taken(cpus: int, clock: str) -> None:
    """Hazards 1 and 5: nr_running is read again; the CPU has not changed tasks."""
    found = [d for d in drops(played(cpus, clock)) if d.woken() and not d.moved()]
    assert found
    for drop in found:
        assert pick_of(drop).number("task") != TAKER
        assert pick_of(drop).number("running") >= 1


@pytest.mark.parametrize(("cpus", "clock"), RUNS)
def test_an_imbalance_out_of_date_is_still_a_limit(cpus: int, clock: str) -> None:
    """Hazard 2: two tasks have come meanwhile; tasks are taken nevertheless, within the limit."""
    found = [d for d in drops(played(cpus, clock)) if len(d.woken()) == 2 and d.moved()]
    assert found
    assert all(1 <= drop.moved() <= drop.imbalance() for drop in found)


@pytest.mark.parametrize(("cpus", "clock"), RUNS)
def test_nothing_is_taken_from_a_cpu_that_has_drained(cpus: int, clock: str) -> None:
    """Hazard 3: the task that held the lock slept meanwhile; the one task left there runs."""
    found = [d for d in drops(played(cpus, clock)) if any(map(drained, d.meanwhile))]
    assert found
    for drop in found:
        assert drop.before.name == "busiest_queue"
        assert drop.before.number("rq") == 0
        assert drop.moved() == 0
        assert not any(e.name in ("skip", "pull") for e in drop.after)
        assert pick_of(drop).number("task") == TAKER


def drained(e: Event) -> bool:
    """CPU 0 has one task left."""
    return e.name == "pick" and e.cpu == 0 and e.number("running") == 1


@pytest.mark.parametrize(("cpus", "clock"), RUNS)
def test_a_task_woken_on_its_way_out_goes_on(cpus: int, clock: str) -> None:
    """Hazard 4: next is prev, and there is no switch."""
    dropped = drops(played(cpus, clock))
    found = [d for d in dropped if d.woken() == [d.leaving] and not d.moved()]
    assert found
    for drop in found:
        assert pick_of(drop).number("task") == drop.leaving
        assert not switches(drop)


def test_a_request_to_move_the_task_on_its_way_out_is_honoured() -> None:
    """Hazard 6: it came while the CPU waited; the task sleeps when it is carried out."""
    run = played(3, "virtual")
    found = [d for d in drops(run) if any(e.name == "set_cpus" for e in d.meanwhile)]
    assert found
    asked = next(e for e in found[-1].meanwhile if e.name == "set_cpus").number("task")
    (move,) = (e for e in run.trace.of("migrate") if e.number("task") == asked)
    assert (move.number("src"), move.number("dst"), move.number("result")) == (TAKER, 2, 0)
    assert move.number("queued") == 0
    assert move.seq > found[-1].next.seq - 1


BELIEVING = Change(
    "sched/core.s",
    ["cmp qword ptr [rbx + runqueue.nr_running], 0", "je .idle"],
    ["jmp .idle"],
)
"""schedule() goes by the nr_running that it read before."""

PLACING = Change(
    "sched/wake.s",
    ["cmp qword ptr [r12 + runqueue.curr], rbx", "je .activate"],
    ["nop"],
)
"""A wake-up places a task that has not left its CPU yet like any other."""


def test_a_cpu_that_does_not_look_again_is_found(variants: Variants) -> None:
    """By the guest itself, and by the replay."""
    image = variants.build("believing", [BELIEVING])
    run = boot(image, cpus=2, policy="o1", selftest="lock_drop", **PATIENT)
    assert "not ok 1 lock_drop # a task that was woken meanwhile does not run" in run.text
    assert replayed(run) in ("P11", "C2")


def test_a_wakeup_that_does_not_see_who_runs_is_found(variants: Variants) -> None:
    image = variants.build("placing", [PLACING])
    run = boot(image, cpus=2, policy="o1", selftest="lock_drop", **PATIENT)
    assert replayed(run) == "P5"


def replayed(run: Run) -> str:
    """The rule that the log breaks."""
    found = replay(run.trace)
    assert found is not None
    return found.rule.split()[0]


def test_it_refuses_what_it_is_not_about() -> None:
    run = boot(cpus=2, selftest="lock_drop", **PATIENT)
    assert run.outcome == "fail"
    assert "it is about policy o1 on two CPUs or more" in run.text
