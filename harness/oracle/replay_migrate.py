"""Replay of affinity changes and of the migration threads that carry them out."""

from __future__ import annotations

from harness.model.bitmap import has_cpu
from harness.model.constants import Now
from harness.model.core import preempt_curr
from harness.model.migrate import set_cpus_allowed
from harness.model.runqueue import Runqueue, deactivate_task, translate_time
from harness.model.task import Task
from harness.model.wake import activate_task
from harness.oracle.replay_laws import Law
from harness.oracle.replay_reads import check_tick
from harness.oracle.replay_world import LawBrokenError, World, expect

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
    if asked and (thread := runqueue.migration_thread):
        world.predict("wake", thread.pid, rq, *[None] * 5)


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
    _take_request(source, p, dst)
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


def _take_request(source: Runqueue, p: Task, dst: int) -> None:
    for request in source.migration_queue:
        if request.task is p and request.dest_cpu == dst:
            source.migration_queue.remove(request)
            return
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
