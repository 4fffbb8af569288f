"""Replay of affinity changes and of the migration threads that carry them out."""

from __future__ import annotations

from dataclasses import replace

from harness.model.bitmap import has_cpu
from harness.model.constants import Now, State
from harness.model.migrate import set_cpus_allowed
from harness.model.resched import preempt_curr
from harness.model.runqueue import MigrationRequest, Runqueue, deactivate_task, translate_time
from harness.model.task import Task
from harness.model.wake import activate_task
from harness.oracle.o1.laws import Law
from harness.oracle.o1.reads import check_tick
from harness.oracle.o1.world import World
from harness.oracle.prediction import LawBrokenError, expect

MOVED, GONE, NOT_ALLOWED, OFFLINE = 0, 1, 2, 3
"""How the event ``migrate`` names what became of a request."""


def set_cpus(world: World, cpu: int, task: int, rq: int, allowed: int) -> None:
    """set_cpus_allowed: a sleeping task is pointed elsewhere, any other needs the thread."""
    p = world.task(task)
    runqueue = world.home(p, rq)
    if not allowed & world.online:
        raise LawBrokenError(Law.P3, f"task {task} is allowed on {allowed:#x}: no CPU there")
    world.stranded.discard(p)
    asked = set_cpus_allowed(p, runqueue, allowed, world.online)
    if asked:
        ask_thread(world, cpu, runqueue)


def ask_thread(world: World, cpu: int, rq: Runqueue) -> None:
    """The running task has just left a request, wakes the migration thread, and waits."""
    rq.migration_queue[0] = replace(rq.migration_queue[0], asker=world.rqs[cpu].curr)
    if thread := rq.migration_thread:
        world.predict("wake", thread.pid, rq.cpu, *[None] * 5)


def thread_runs(world: World, rq: Runqueue) -> None:
    """The migration thread is switched to: it serves what it finds."""
    world.contexts[rq.cpu].requests = list(rq.migration_queue)


def thread_sleeps(world: World, rq: Runqueue) -> None:
    """Nobody may be left waiting who asked before."""
    context = world.contexts[rq.cpu]
    for request in rq.migration_queue:
        if any(request is found for found in context.requests):
            task = request.task.pid
            words = f"the request to move task {task} to CPU {request.dest_cpu} is left unserved"
            raise LawBrokenError(Law.P3, f"{words} on CPU {rq.cpu}")
    for asker in context.owed:
        raise LawBrokenError(Law.P3, f"task {asker.pid} is not told that its request was served")


def migrate(
    world: World,
    cpu: int,
    task: int,
    src: int,
    dst: int,
    result: int,
    queued: int,
    src_tick: int,
    dst_tick: int,
) -> None:
    """__migrate_task, both run queues locked. A queued task counts as woken there."""
    expect(Law.S9, "the CPU whose migration thread runs", cpu, src)
    p, source, target = world.task(task), world.rq(src), world.rq(dst)
    asker = _take_request(source, p, dst).asker
    if asker and _sleeps(world, asker):
        world.contexts[cpu].owed.append(asker)
    due = _result(p, source, dst) if has_cpu(world.online, dst) else OFFLINE
    expect(Law.P3, f"the result of moving task {task}", result, due)
    expect(Law.C2, f"task {task} queued", queued, int(p.array is not None))
    if result == OFFLINE:
        world.stranded.add(p)
    if result != MOVED:
        return
    if source.curr is p:
        raise LawBrokenError(Law.P5, f"task {task} is moved away while it runs")
    if p.array is not None:
        check_tick(world, cpu, src, src_tick)
        check_tick(world, cpu, dst, dst_tick)
        source.timestamp_last_tick, target.timestamp_last_tick = src_tick, dst_tick
        p.timestamp = translate_time(p.timestamp, source, target)
        deactivate_task(p, source)
        world.predict("activate", task, target.cpu, *[None] * 5)
        world.contexts[cpu].migrating = source
    p.cpu = dst


def _sleeps(world: World, p: Task) -> bool:
    """Who has asked sleeps for nothing else until that is done."""
    asleep = p.array is None and world.rqs[p.cpu].curr is not p
    return asleep and p.state == State.UNINTERRUPTIBLE


def _take_request(source: Runqueue, p: Task, dst: int) -> MigrationRequest:
    for number, request in enumerate(source.migration_queue):
        if request.task is p and request.dest_cpu == dst:
            return source.migration_queue.pop(number)
    raise LawBrokenError(Law.P3, f"nobody asked CPU {source.cpu} to move task {p.pid} to {dst}")


def _result(p: Task, source: Runqueue, dst: int) -> int:
    if p.cpu != source.cpu:
        return GONE
    return MOVED if has_cpu(p.cpus_allowed, dst) else NOT_ALLOWED


def arrive(world: World, p: Task, source: Runqueue, there: Now, irq: bool) -> None:
    """The second half: queue it on its new CPU. ``there`` is in the clock of that."""
    target = world.rqs[p.cpu]
    activate_task(p, target, there, in_interrupt=irq)
    world.predict_resched(preempt_curr(p, target, source.cpu), target)
