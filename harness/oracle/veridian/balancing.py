"""Replay of balancing and stealing."""

from __future__ import annotations

from harness.model.veridian import balance
from harness.model.veridian.pick import find_victim
from harness.oracle.prediction import LawBrokenError, expect
from harness.oracle.veridian.laws import Law
from harness.oracle.veridian.world import World

NOBODY = -1


def v_balance(world: World, jiffies: int, online: int) -> None:
    """An attempt; the loads it reads follow."""
    world.read_jiffies(jiffies)
    context = world.context
    if not context.balance_due:
        words = f"CPU {world.acting} balances at its tick {context.ticks}, when it is not to"
        raise LawBrokenError(Law.P12, words)
    context.balance_due = False
    _search(world, online)
    world.predict("v_balanced", None, None, None, None, None)


def _search(world: World, online: int) -> None:
    if not 0 < online < 1 << world.nr_cpus:
        raise LawBrokenError(Law.S10, f"there are no such CPUs as {online:#x}")
    world.context.searched_online = online
    world.context.reads = {}


def v_balanced(world: World, busiest: int, idlest: int, max: int, min: int, count: int) -> None:
    """What follows from the loads."""
    context = world.context
    due = balance.balance_load(context.searched_online, context.reads)
    seen = balance.Balance(busiest, idlest, max, min, count)
    expect(Law.P12, "the decision", seen, due)
    if count:
        world.predict("v_migrate", busiest, idlest, count)


def v_steal(world: World, online: int) -> None:
    """A CPU without work looks for some."""
    cpu = world.cpus[world.acting]
    # That nobody waits is a hint: others may have enqueued since it looked.
    if len(cpu.queue) > world.context.brought:
        raise LawBrokenError(Law.P11, f"CPU {cpu.number} steals and has {len(cpu.queue)} waiting")
    world.context.stole = True
    _search(world, online)
    world.predict("v_victim", None)


def v_victim(world: World, rq: int) -> None:
    """Whom it chose."""
    context = world.context
    victim = find_victim(world.acting, context.searched_online, context.reads)
    expect(Law.P12, "the CPU to steal from", rq, NOBODY if victim is None else victim)
    context.stealing = victim is not None
    if victim is not None:
        world.predict("v_migrate", victim, world.acting, 1)


def v_migrate(world: World, src: int, dst: int, count: int) -> None:
    """Both queues are locked: the model moves, the log has to follow."""
    context = world.context
    steals, context.stealing = context.stealing, False
    source, target = world.cpu(src), world.cpu(dst)
    world.check_moves(src)
    world.check_moves(dst)
    context.migrating = src, dst
    moved = balance.migrate_tasks(source, target, count)
    metrics = world.cpus[world.acting].metrics
    metrics.migrations += len(moved)
    if moved and not steals:
        metrics.balances += 1
        world.predict_arrival_kick(target)
    world.predict("v_migrated", len(moved))


def v_migrated(world: World, moved: int) -> None:
    """Both queues are released; how many tasks moved was predicted."""
    world.context.migrating = ()
