"""What the replay must not ask for: it would call a right guest wrong."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.model.domain import flat
from harness.model.load import decayed_load
from harness.oracle.interrupts import CALL
from harness.oracle.o1.replay import Replay, replay
from harness.oracle.veridian.replay import replay as veridian_replay
from harness.trace.grammar import Event
from harness.trace.trace import Trace
from tests.oracle.machine import Machine
from tests.oracle.runs import unbalanced_run
from tests.trace.logs import event
from tests.veridian.kernel import Kernel

CPUS, HZ = 4, 100


def under_clock(clock: str, events: Sequence[Event]) -> Trace:
    """The events as a log of that clock, numbered anew."""
    hello, *others = events
    fields = {**hello.fields, "clock": clock}
    begun = hello._replace(values=tuple(fields.values()))
    return Trace(tuple(e._replace(seq=seq) for seq, e in enumerate([begun, *others])))


def ticks(count: int) -> list[Event]:
    """All of one number: no time passes that would make balancing due."""
    return [event("tick", 0, 0, 10**9 + n, n=0) for n in range(count)]


def asked_while_idle(events: Sequence[Event], name: str) -> list[Event]:
    """A run up to the moment at which idle CPU 0 is asked to reschedule."""
    asked = next(n for n, e in enumerate(events) if e.name == name and e.number("task") == 0)
    return list(events[: asked + 1])


@pytest.mark.parametrize(("clock", "allowed"), [("virtual", 2), ("real", 50)])
def test_an_idle_cpu_may_be_stopped_by_the_host_and_not_for_ever(clock: str, allowed: int) -> None:
    """Under the real clock ticks may come faster than its loop gets on between them. Under any, it
    may have a function to run before it reschedules.
    """
    end = event("end", 0, 0, 2 * 10**9, result="pass")
    machine = Machine(1)
    machine.create(0)
    machine.settle()
    begun = asked_while_idle(machine.events, "resched")
    assert replay(under_clock(clock, [*begun, *ticks(allowed), end])) is None
    found = replay(under_clock(clock, [*begun, *ticks(allowed + 1), end]))
    assert found is not None
    assert found.rule.startswith("P8")
    called = event("ipi_recv", 0, 0, 10**9, vector=CALL)
    assert replay(under_clock(clock, [*begun, called, *ticks(allowed + 1), end])) is None

    kernel = Kernel(1)
    kernel.create(0)
    begun = asked_while_idle(kernel.events, "v_kick")
    assert veridian_replay(under_clock(clock, [*begun, *ticks(allowed)])) is None
    late = veridian_replay(under_clock(clock, [*begun, *ticks(allowed + 1)]))
    assert late is not None
    assert late.rule.startswith("P8")
    assert veridian_replay(under_clock(clock, [*begun, called, *ticks(allowed + 1)])) is None


def replayed_to_an_outdated_load() -> tuple[Replay, Event, Event]:
    """A replay up to where a CPU reads another's load, and that other's next load instead."""
    run = Replay(flat(CPUS).levels(), CPUS, HZ)
    for e in unbalanced_run(flat(CPUS), jiffies=90, hz=HZ).finish().events:
        seen = e._replace(seq=10 * e.seq)
        if e.name == "load" and e.number("rq") != e.cpu:
            rq = run.world.rqs[e.number("rq")]
            load = decayed_load(rq.cpu_load, rq.nr_running)
            if e.number("cpu_load") not in (load, decayed_load(load, rq.nr_running)):
                at = seen.seq - 2, rq.cpu, e.ns
                return run, event("cpu_load", *at, nr=rq.nr_running, load=load), seen
        assert run.feed(seen) is None
    raise AssertionError("the run has no such read")


def replayed_to_a_read_of_a_busy_queue() -> tuple[Replay, Event]:
    """A replay up to where a CPU reads another's length, which is 2 at least."""
    run = Replay(flat(CPUS).levels(), CPUS, HZ)
    for e in unbalanced_run(flat(CPUS), jiffies=90, hz=HZ).finish().events:
        seen = e._replace(seq=10 * e.seq)
        if e.name == "load" and e.number("rq") != e.cpu and e.number("nr") > 1:
            return run, seen
        assert run.feed(seen) is None
    raise AssertionError("the run has no such read")


def test_a_lock_may_come_between_a_read_and_its_event() -> None:
    """What was read before the lock was taken may be outdated by then."""
    run, stored, read = replayed_to_an_outdated_load()
    assert run.feed(stored) is None
    assert run.feed(event("lock", read.seq - 1, read.cpu, read.ns, rq=read.cpu, how=0)) is None
    assert run.feed(read) is None


def test_a_task_whose_policy_changes_leaves_its_queue_for_a_moment() -> None:
    """Another CPU may see the queue without it; never without two."""
    for missing, allowed in ((1, True), (2, False)):
        run, read = replayed_to_a_read_of_a_busy_queue()
        rq = run.world.rqs[read.number("rq")]
        p, at = rq.curr, (read.seq - 1, rq.cpu, read.ns)
        standing = {"policy": int(p.policy), "rt_priority": p.rt_priority}
        jiffies = run.world.jiffies
        assert (
            run.feed(event("set_policy", *at, task=p.pid, rq=rq.cpu, jiffies=jiffies, **standing))
            is None
        )
        fields = {**read.fields, "nr": rq.nr_running - missing}
        found = run.feed(read._replace(values=tuple(fields.values())))
        assert (found is None) == allowed
        assert found is None or found.rule.startswith("A10")


def test_an_outdated_read_is_found_after_anything_else() -> None:
    run, stored, read = replayed_to_an_outdated_load()
    assert run.feed(stored) is None
    sent = event("ipi_send", read.seq - 1, read.cpu, read.ns, to=0, vector=0xFA)
    assert run.feed(sent) is None
    found = run.feed(read)
    assert found is not None
    assert found.rule.startswith("A10")
