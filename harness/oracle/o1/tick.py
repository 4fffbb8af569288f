"""Replay of the tick: slices, expiry, load."""

from __future__ import annotations

from harness.model.constants import Now
from harness.model.load import decayed_load
from harness.model.prio import expired_starving, task_interactive
from harness.model.tick import TickAction, scheduler_tick
from harness.oracle.interrupts import CALL
from harness.oracle.o1.balance import tick_begins
from harness.oracle.o1.fork import check_freed
from harness.oracle.o1.laws import Law
from harness.oracle.o1.reads import check_length
from harness.oracle.o1.world import ACTIVE, EXPIRED, World
from harness.oracle.prediction import LawBrokenError, expect

_SLICE_ENDS = (TickAction.TO_ACTIVE, TickAction.TO_EXPIRED)


def account(world: World, cpu: int, task: int, now: int, jiffies: int, slice: int) -> None:
    """scheduler_tick for a task that is not the idle one."""
    world.read_jiffies(cpu, jiffies)
    p, rq = world.running(world.task(task).pid, cpu), world.rqs[cpu]
    expect(Law.P10, f"the slice left to task {task}", slice, p.time_slice)
    asked, best = p.need_resched, rq.best_expired_prio
    tick = scheduler_tick(rq, Now(now, jiffies), world.nr_cpus)
    if p.need_resched and not asked:
        world.ask(cpu)
    if tick.action in _SLICE_ENDS:
        _predict_expire(world, cpu, tick.action, jiffies, best)


def _predict_expire(world: World, cpu: int, action: TickAction, jiffies: int, best: int) -> None:
    # The model has gone on to the enqueue. Its record of the best expired priority now includes
    # this task's own, which cannot be better than itself: the question has the same answer still.
    rq = world.rqs[cpu]
    p = rq.curr
    array = ACTIVE if action is TickAction.TO_ACTIVE else EXPIRED
    reasons = int(task_interactive(p)), int(expired_starving(rq, jiffies))
    record = rq.expired_timestamp, best
    enqueue = world.predicted.pop()
    world.predict("expire", p.pid, array, p.prio, p.time_slice, *reasons, *record)
    world.predicted.append(enqueue)


def tick(world: World, cpu: int, n: int) -> None:
    """Any local tick: time has passed for a CPU that is to reschedule."""
    if cpu == 0:
        world.ticks = n
        world.jiffies = max(world.jiffies, n)
        check_freed(world)
    context = world.contexts[cpu]
    world.hints.ticked(cpu, context.ns)
    if context.reschedule.overdue(patient=world.real and world.rqs[cpu].is_idle):
        words = f"CPU {cpu} has ticked {context.reschedule.ticks} times since"
        raise LawBrokenError(Law.P8, words)
    tick_begins(world, cpu)


def ipi_recv(world: World, cpu: int, vector: int) -> None:
    """A CPU that is called by another serves that one before it reschedules."""
    if vector == CALL:
        world.contexts[cpu].reschedule.call()


def cpu_load(world: World, cpu: int, nr: int, load: int) -> None:
    """The decayed load of the calling CPU changed; ``nr`` was read without a lock."""
    rq = world.rqs[cpu]
    check_length(world, cpu, cpu, nr)
    expect(Law.A11, f"the load of CPU {cpu}", load, decayed_load(rq.cpu_load, nr))
    rq.cpu_load = load
    world.hints.load_stored(cpu)
