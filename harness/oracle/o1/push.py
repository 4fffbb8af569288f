"""Replay of tasks that leave a CPU because of its load: pushed, or to start a new program."""

from __future__ import annotations

from harness.model.bitmap import has_cpu
from harness.model.constants import IdleType
from harness.model.migrate import (
    exec_domain,
    exec_target,
    may_push,
    push_targets,
    sched_migrate_task,
)
from harness.oracle.o1.attempt import Push
from harness.oracle.o1.laws import Law
from harness.oracle.o1.migrate import ask_thread
from harness.oracle.o1.reads import all_used, check_idle
from harness.oracle.o1.world import World
from harness.oracle.prediction import LawBrokenError, expect

NOWHERE = -1
"""How ``exec`` names no domain."""


def push(world: World, cpu: int, rq: int) -> None:
    """Active balancing begins: the migration thread was asked for it."""
    expect(Law.A16, "the CPU whose migration thread pushes", rq, cpu)
    busiest = world.rqs[cpu]
    if busiest.curr is not busiest.migration_thread:
        raise LawBrokenError(Law.A16, f"task {busiest.curr.pid} pushes, no migration thread")
    if not busiest.active_balance:
        raise LawBrokenError(Law.A16, f"nobody has asked CPU {cpu} to push")
    busiest.stats.alb_cnt += 1
    world.contexts[cpu].balancing.push = Push(push_targets(busiest))
    _next_target(world, cpu)


def _next_target(world: World, cpu: int) -> None:
    """Another CPU is pushed to, or it is over; which of both depends on what is seen idle."""
    if may_push(world.rqs[cpu]):
        world.predict_either(("double_lock", None, None), ("pushed", cpu))
    else:
        world.predict("pushed", cpu)


def push_to(world: World, cpu: int, rq: int) -> None:
    """The next CPU seen idle; those passed over were not, nor was the one chosen busy."""
    pushing = _pushing(world, cpu)
    for sd, target in pushing.targets:
        _check_chosen(world, cpu, target, target == rq)
        if target == rq and not has_cpu(world.online, target):
            _next_target(world, cpu)  # seen under its lock: it was unplugged meanwhile
            return
        if target == rq:
            pushing.sd, pushing.target = sd, target
            level = world.rqs[cpu].domains.index(sd)
            fields = cpu, rq, level, 1, int(IdleType.SCHED_IDLE), None, sd.nr_balance_failed
            world.predict("move", *fields, None, None, None)
            return
    raise LawBrokenError(Law.A16, f"CPU {cpu} pushes to CPU {rq}, whose turn it is not")


def _check_chosen(world: World, cpu: int, target: int, chosen: bool) -> None:
    """Whether a CPU is pushed to shows whether it was seen idle, unless it comes or goes."""
    if chosen or (has_cpu(world.online, target) and not world.came_since_heard(target, cpu)):
        check_idle(world, cpu, target, chosen)


def _pushing(world: World, cpu: int) -> Push:
    pushing = world.contexts[cpu].balancing.push
    if pushing is None:
        raise LawBrokenError(Law.A16, f"CPU {cpu} is not pushing")
    return pushing


def moved_by_push(world: World, cpu: int) -> None:
    """Count one CPU that was pushed to, and go on."""
    pushing, busiest = _pushing(world, cpu), world.rqs[cpu]
    if pushing.move.pulls:
        busiest.stats.alb_lost += 1
        world.rqs[pushing.target].stats.alb_gained += 1
        world.hints.counted(cpu, pushing.target)
    else:
        busiest.stats.alb_failed += 1
    _next_target(world, cpu)


def pushed(world: World, cpu: int, rq: int) -> None:
    """It is over: no CPU that is left is idle, or there is nothing left to give."""
    pushing, busiest = _pushing(world, cpu), world.rqs[cpu]
    if may_push(busiest):
        for _, target in pushing.targets:
            _check_chosen(world, cpu, target, False)
    busiest.active_balance = False
    world.contexts[cpu].balancing.push = None


def exec_(world: World, cpu: int, task: int, rq: int, nr: int, level: int) -> None:
    """sched_exec: the widest domain is searched if the CPU has more than the running task."""
    p = world.running(world.task(task).pid, cpu)
    runqueue = world.home(p, rq)
    expect(Law.S4, f"the length of CPU {cpu}", nr, runqueue.nr_running)
    sd = exec_domain(runqueue, nr)
    due = NOWHERE if sd is None else runqueue.domains.index(sd)
    expect(Law.A16, "the domain searched by sched_exec", level, due)
    balancing = world.contexts[cpu].balancing
    balancing.exec_in = sd
    balancing.reads.begin(world.hints.now)
    if sd is not None:
        world.predict("exec_to", task, None)


def exec_to(world: World, cpu: int, task: int, to: int) -> None:
    """The least loaded CPU, if it is worth it: the migration thread brings the task there."""
    p, runqueue = world.running(task, cpu), world.rqs[cpu]
    balancing = world.contexts[cpu].balancing
    sd, balancing.exec_in = balancing.exec_in, None
    assert sd is not None, "the event was predicted where a domain is searched"
    due = exec_target(runqueue, sd, balancing.reads, world.online)
    all_used(world, cpu)
    expect(Law.A16, f"the CPU to go on with task {task}", to, due)
    if to == cpu:
        return
    if not sched_migrate_task(p, runqueue, to, world.online):
        raise LawBrokenError(Law.P3, f"task {task} is sent to CPU {to}, where it may not run")
    ask_thread(world, cpu, runqueue)
