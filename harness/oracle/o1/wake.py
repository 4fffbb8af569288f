"""Replay of a wake-up: look at the task, choose its CPU, queue it there."""

from __future__ import annotations

from dataclasses import astuple

from harness.model.bitmap import has_cpu
from harness.model.constants import Now, SDFlag, State
from harness.model.load import LoadRead
from harness.model.runqueue import Runqueue, translate_time
from harness.model.task import Task
from harness.model.wake import (
    Placement,
    PlaceReason,
    WakeStep,
    begin_wakeup,
    commit_placement,
    finish_wakeup,
    recheck_wakeup,
)
from harness.model.wake import place as choose
from harness.model.wake import wake_idle as choose_idle
from harness.oracle.o1.hotplug import predict_evasion
from harness.oracle.o1.laws import Law
from harness.oracle.o1.migrate import arrive
from harness.oracle.o1.reads import check_length, check_load, check_tick
from harness.oracle.o1.world import World, state_of
from harness.oracle.prediction import LawBrokenError, expect


def wake(
    world: World,
    cpu: int,
    task: int,
    rq: int,
    mask: int,
    state: int,
    queued: int,
    current: int,
    sync: int,
) -> None:
    """Under the lock of the task's run queue: is there anything to do?"""
    p = world.task(task)
    runqueue = world.home(p, rq)
    owed = world.contexts[cpu].owed
    if p in owed:
        owed.remove(p)
    expect(Law.S9, f"task {task} running", current, int(runqueue.curr is p))
    _look(p, runqueue, state, queued)
    states = State(mask & ~State.RUNNING)
    world.contexts[cpu].wakeup = (states, bool(sync))
    step = begin_wakeup(p, runqueue, states)
    world.hints.counted(cpu, rq)
    if step is WakeStep.PLACE and predict_evasion(world, cpu, p):
        return
    if step is WakeStep.PLACE:
        world.predict("place", task, *[None] * 6)
    elif step is WakeStep.SWITCHING_OUT:
        _predict_activate(world, p)


def _look(p: Task, rq: Runqueue, state: int, queued: int) -> None:
    """Hold what the waker saw against the model, which does not know when a task sets its state."""
    expect(Law.C2, f"task {p.pid} queued", queued, int(p.array is not None))
    if rq.curr is p:
        p.state = state_of(state)
    else:
        expect(Law.C2, f"the state of task {p.pid}", state, int(p.state))


def _predict_activate(world: World, p: Task) -> None:
    world.predict("activate", p.pid, p.cpu, *[None] * 5)


def place(
    world: World,
    cpu: int,
    task: int,
    to: int,
    load: int,
    nr: int,
    this_load: int,
    this_nr: int,
    last_tick: int,
) -> None:
    """Choose a CPU from what was read without locks; then the task belongs there."""
    p = world.task(task)
    context = world.contexts[cpu]
    _, sync = context.wakeup
    theirs, ours = LoadRead(load, nr), LoadRead(this_load, this_nr)
    domains = world.rqs[cpu].domains
    placement = choose(p, cpu, domains, last_tick, theirs, ours, sync=sync, online=world.online)
    check_tick(world, cpu, p.cpu, last_tick)
    _check_reads(world, cpu, p, placement, theirs, ours)
    if to != p.cpu and (to not in range(len(world.rqs)) or not has_cpu(p.cpus_allowed, to)):
        raise LawBrokenError(Law.P3, f"task {task} of CPU {p.cpu} is woken to CPU {to}")
    if placement.cpu != to:
        due = f"CPU {placement.cpu} in the model: {placement.reason.value}"
        raise LawBrokenError(Law.A8, f"task {task} is woken to CPU {to} in the log, {due}")
    if any(sd.has(SDFlag.SHARE_CPUPOWER) for sd in world.rqs[to].domains):
        context.placement = placement
        world.predict("wake_idle", task, to, None, None)
    else:
        _send(world, cpu, p, placement, to)


def _check_reads(
    world: World, cpu: int, p: Task, placement: Placement, theirs: LoadRead, ours: LoadRead
) -> None:
    """Loads are read only where they decide; then they are what was there."""
    if placement.reason in (PlaceReason.LOCAL, PlaceReason.NOT_ALLOWED):
        if any((*astuple(theirs), *astuple(ours))):
            words = f"CPU {cpu} logs loads, which do not matter: {placement.reason.value}"
            raise LawBrokenError(Law.A8, f"task {p.pid}: {words}")
        return
    for rq, read in ((p.cpu, theirs), (cpu, ours)):
        check_length(world, cpu, rq, read.nr_running)
        check_load(world, cpu, rq, read.cpu_load)


def wake_idle(world: World, cpu: int, task: int, chosen: int, to: int, found: int) -> None:
    """Prefer an idle thread near the chosen CPU, by what was read of all CPUs without locks."""
    p = world.task(task)
    placement = world.contexts[cpu].placement
    assert placement is not None, "the event was predicted by place, which leaves it"
    if found >> world.nr_cpus:
        raise LawBrokenError(Law.A8, f"of {world.nr_cpus} CPUs {found:#x} are seen idle")
    due = choose_idle(chosen, p, world.rqs[chosen].domains, found)
    expect(Law.A8, f"the idle CPU for task {task}", to, due)
    _send(world, cpu, p, placement, to)


def _send(world: World, cpu: int, p: Task, placement: Placement, to: int) -> None:
    """The task belongs to that CPU now, and is queued there after another look at it."""
    home = p.cpu
    moved = commit_placement(p, world.rqs[home], placement, to)
    world.hints.counted(cpu, home)
    if moved:
        world.predict("wake_moved", p.pid, to, None, None)
    else:
        _predict_activate(world, p)


def wake_moved(world: World, cpu: int, task: int, rq: int, state: int, queued: int) -> None:
    """The same question again, on the other run queue: somebody may have been faster."""
    p = world.task(task)
    runqueue = world.home(p, rq)
    _look(p, runqueue, state, queued)
    states, _ = world.contexts[cpu].wakeup
    step = recheck_wakeup(p, runqueue, states)
    if step is WakeStep.PLACE and predict_evasion(world, cpu, p):
        return
    if step in (WakeStep.PLACE, WakeStep.SWITCHING_OUT):
        _predict_activate(world, p)


def activate(
    world: World,
    cpu: int,
    task: int,
    rq: int,
    now: int,
    jiffies: int,
    irq: int,
    this_tick: int,
    rq_tick: int,
) -> None:
    """Queue it, its sleep credited, and preempt what is worse; also where it was migrated."""
    world.read_jiffies(cpu, jiffies, anew=True)
    p = world.task(task)
    runqueue = world.home(p, rq)
    context = world.contexts[cpu]
    there = Now(translate(world, cpu, rq, now, this_tick, rq_tick), jiffies)
    if context.migrating is not None:
        source, context.migrating = context.migrating, None
        arrive(world, p, source, there, bool(irq))
        return
    _, sync = context.wakeup
    result = finish_wakeup(p, runqueue, cpu, there, sync=sync, in_interrupt=bool(irq))
    world.predict_resched(result, runqueue)


def translate(world: World, cpu: int, rq: int, now: int, this_tick: int, rq_tick: int) -> int:
    """A time of this CPU's clock in that of another run queue, by the last ticks as read."""
    check_tick(world, cpu, cpu, this_tick)
    check_tick(world, cpu, rq, rq_tick)
    world.rqs[cpu].timestamp_last_tick = this_tick
    world.rqs[rq].timestamp_last_tick = rq_tick
    return translate_time(now, world.rqs[cpu], world.rqs[rq])
