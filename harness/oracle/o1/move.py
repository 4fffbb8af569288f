"""Replay of moving tasks between two CPUs, both run queues locked, for whatever reason."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model.balance import count_failure, finish_load_balance, request_push
from harness.model.constants import IdleType
from harness.model.fixes import Fix
from harness.model.migrate import Move, Pull, Skip, Verdict, move_steps
from harness.oracle.o1.attempt import Attempt
from harness.oracle.o1.laws import Law
from harness.oracle.o1.push import moved_by_push, push_to
from harness.oracle.o1.reads import check_idle, check_tick
from harness.oracle.o1.world import World
from harness.oracle.prediction import LawBrokenError, expect

_REASONS = {Verdict.RUNNING: 1, Verdict.AFFINITY: 2, Verdict.CACHE_HOT: 3}
"""How ``skip`` names why a task stays."""


def attempt_of(world: World, cpu: int) -> Attempt:
    """The attempt that a CPU is in the middle of."""
    attempt = world.contexts[cpu].balancing.attempt
    if attempt is None:
        raise LawBrokenError(Law.A15, f"CPU {cpu} is not balancing")
    return attempt


def predict_balanced(world: World, attempt: Attempt) -> None:
    """The domain as it is: nothing changes it any more in this attempt."""
    sd, moved = attempt.sd, len(attempt.move.pulls)
    world.predict("balanced", attempt.level, moved, sd.balance_interval, sd.nr_balance_failed)


def double_lock(world: World, cpu: int, rq: int, dropped: int) -> None:
    """Both run queues are locked; the CPU's own was let go only if the other comes first."""
    if dropped not in (0, 1) or (dropped and rq > cpu):
        raise LawBrokenError(Law.K1, f"CPU {cpu} lets its lock go to take that of CPU {rq}")
    balancing = world.contexts[cpu].balancing
    if balancing.push is not None:
        push_to(world, cpu, rq)
        return
    attempt = attempt_of(world, cpu)
    type, failed = int(attempt.idle), attempt.sd.nr_balance_failed
    fields = rq, cpu, attempt.level, attempt.imbalance, type, None, failed
    world.predict("move", *fields, None, None, None)


def move(
    world: World,
    cpu: int,
    src: int,
    dst: int,
    level: int,
    max: int,
    type: int,
    idle: int,
    failed: int,
    src_tick: int,
    dst_tick: int,
    jiffies: int,
) -> None:
    """The model moves what there is to move, and the log has to follow task by task."""
    world.read_jiffies(cpu, jiffies, anew=type == IdleType.NEWLY_IDLE)
    source, target = world.rqs[src], world.rqs[dst]
    balancing = world.contexts[cpu].balancing
    holder = attempt_of(world, cpu) if balancing.push is None else balancing.push
    assert holder.sd is not None, "the event was predicted where the domain is known"
    if idle not in (0, 1):
        raise LawBrokenError(Law.S10, f"CPU {dst} is seen idle={idle}")
    check_idle(world, cpu, dst, bool(idle))
    check_tick(world, cpu, src, src_tick)
    check_tick(world, cpu, dst, dst_tick)
    source.timestamp_last_tick, target.timestamp_last_tick = src_tick, dst_tick
    steps = move_steps(
        target, source, max, holder.sd, IdleType(type), cpu, jiffies, dst_idle=bool(idle)
    )
    holder.move = Move.of(_predicting(world, dst, steps))
    world.predict("moved", len(holder.move.pulls))


def _predicting(world: World, dst: int, steps: Iterator[Pull | Skip]) -> Iterator[Pull | Skip]:
    """Predict each step; the arrays have already predicted the leaving and the arriving of it."""
    for step in steps:
        if isinstance(step, Skip):
            world.predict("skip", step.task.pid, _REASONS[step.reason])
        else:
            enqueue, dequeue = world.predicted.pop(), world.predicted.pop()
            world.predict("pull", step.task.pid, int(step.expired))
            world.predicted.extend((dequeue, enqueue))
            world.predict_resched(step.resched, world.rqs[dst])
        yield step


def moved(world: World, cpu: int, nr: int) -> None:
    """All that could be moved was; what follows from how many that were."""
    if world.contexts[cpu].balancing.push is not None:
        moved_by_push(world, cpu)
    else:
        settle(world, cpu)


def settle(world: World, cpu: int) -> None:
    """What an attempt that had a CPU to take from means for the next one."""
    attempt = attempt_of(world, cpu)
    sd, busiest, move = attempt.sd, attempt.busiest, attempt.move
    assert busiest is not None, "there was one to take from"
    if attempt.idle == IdleType.NEWLY_IDLE:
        sd.stats.lb[attempt.idle].lb_failed += not move.pulls
    elif move.pulls or (move.all_pinned and Fix.L01 in world.k.fixes):
        finish_load_balance(sd, attempt.idle, move, busiest, cpu)
    elif count_failure(sd, attempt.idle):
        world.predict("push_request", busiest.cpu, None)
    predict_balanced(world, attempt)


def push_request(world: World, cpu: int, rq: int, was: int) -> None:
    """The busiest CPU's migration thread is to push: woken, unless it was asked before."""
    busiest = world.rqs[rq]
    expect(Law.A16, f"a push asked of CPU {rq}", was, int(busiest.active_balance))
    if request_push(busiest, cpu):
        attempt_of(world, cpu).wakes = busiest.migration_thread
