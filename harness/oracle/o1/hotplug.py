"""Replay of CPUs that are unplugged and plugged in: nothing is lost, nothing goes there."""

from __future__ import annotations

from harness.model.hotplug import (
    BOOT_CPU,
    come_online,
    evades,
    go_offline,
    leave,
    migrate_nr_uninterruptible,
    refuge,
    residents,
)
from harness.model.runqueue import Runqueue
from harness.model.task import Task
from harness.oracle.o1.laws import Law
from harness.oracle.o1.reads import check_tick
from harness.oracle.o1.world import World
from harness.oracle.prediction import LawBrokenError, expect


def cpu_down(world: World, cpu: int, rq: int, online: int) -> None:
    """The CPU's migration thread takes it offline. Its tasks follow one by one."""
    runqueue = _own(world, cpu, rq)
    try:
        world.online = go_offline(rq, world.online)
    except ValueError as error:
        raise LawBrokenError(Law.U2, str(error)) from None
    expect(Law.U2, "the mask of CPUs that are online", online, world.online)
    runqueue.migration_thread = runqueue.curr


def _own(world: World, cpu: int, rq: int) -> Runqueue:
    """The run queue of the calling CPU, on which its migration thread runs."""
    expect(Law.U2, "the CPU that comes or goes", rq, cpu)
    runqueue = world.rqs[cpu]
    thread = runqueue.curr
    if thread is runqueue.idle or thread.mm or thread.cpus_allowed != 1 << cpu:
        raise LawBrokenError(Law.U2, f"{thread!r} is not the migration thread of CPU {cpu}")
    return runqueue


def drain(
    world: World,
    cpu: int,
    task: int,
    src: int,
    dst: int,
    reset: int,
    queued: int,
    src_tick: int,
    dst_tick: int,
) -> None:
    """A task leaves an offline CPU: moved by that CPU's thread, or found there by a wake-up."""
    p = world.task(task)
    source, context = world.home(p, src), world.contexts[cpu]
    if not evades(p, source, world.online):
        raise LawBrokenError(Law.U2, f"task {task} has to leave CPU {src} for no reason")
    to = refuge(p, world.online)
    expect(Law.U3, f"where task {task} goes, allowed on {p.cpus_allowed:#x},", dst, to.cpu)
    expect(Law.U3, f"whether the affinity of task {task} is opened", bool(reset), to.reset)
    expect(Law.C2, f"task {task} queued", queued, int(p.array is not None))
    if source.curr is p:
        raise LawBrokenError(Law.P5, f"task {task} is moved away while it runs")
    target = world.rqs[dst]
    check_tick(world, cpu, src, src_tick)
    check_tick(world, cpu, dst, dst_tick)
    source.timestamp_last_tick, target.timestamp_last_tick = src_tick, dst_tick
    if context.evading is p:
        leave(p, source, target, reset=to.reset)
        context.evading = None
        world.predict("wake_moved", task, dst, None, None)
        return
    expect(Law.U2, f"the CPU that moves task {task} away", cpu, src)
    if leave(p, source, target, reset=to.reset):
        context.migrating = source
        world.predict("activate", task, dst, *[None] * 5)


def predict_evasion(world: World, cpu: int, p: Task) -> bool:
    """Whether a wake-up has to send a task elsewhere first: the CPU that it belongs to is offline.

    Under the lock of that CPU's run queue, and thus exact.
    """
    if not evades(p, world.rqs[p.cpu], world.online):
        return False
    world.contexts[cpu].evading = p
    world.predict("drain", p.pid, p.cpu, None, None, 0, None, None)
    return True


def cpu_dead(world: World, cpu: int, rq: int) -> None:
    """The CPU has been drained: no task is left there but its thread."""
    runqueue = _own(world, cpu, rq)
    if world.online >> rq & 1:
        raise LawBrokenError(Law.U2, f"CPU {rq} is online and said to be dead")
    on_their_way = {
        context.predicted[0].values[0]
        for context in world.contexts
        if context.predicted and context.predicted[0].name == "wake_moved"
    }
    for p in residents(world.tasks.values(), runqueue):
        if p.pid not in on_their_way:
            raise LawBrokenError(Law.C1, f"task {p.pid} is left behind on CPU {rq}")
    world.dead |= 1 << rq
    migrate_nr_uninterruptible(runqueue, world.rqs[BOOT_CPU])


def plug_refused(world: World, cpu: int, rq: int, up: int, online: int) -> None:
    """Only what is so already is refused."""
    _own(world, cpu, rq)
    expect(Law.U2, "the mask of CPUs that are online", online, world.online)
    expect(Law.U2, f"what CPU {rq} refuses (up)", up, online >> rq & 1)


def cpu_up(world: World, cpu: int, rq: int, online: int) -> None:
    """The CPU takes part again."""
    _own(world, cpu, rq)
    try:
        world.online = come_online(rq, world.online)
    except ValueError as error:
        raise LawBrokenError(Law.U2, str(error)) from None
    expect(Law.U2, "the mask of CPUs that are online", online, world.online)
    world.dead &= ~(1 << rq)
    world.came[rq] = world.hints.now
