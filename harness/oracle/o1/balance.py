"""Replay of a balancing attempt: when, where to take from, how many, and when again.

A tick's attempt stands by itself, one of a CPU that is about to idle belongs to its schedule(). The
loads that the guest read without locks come as ``load``; the rest is the model's.
"""

from __future__ import annotations

from dataclasses import replace

from harness.model.balance import (
    Found,
    Search,
    back_off,
    balance_due,
    balance_interval,
    begin_load_balance,
    find_busiest_group,
    find_busiest_queue,
)
from harness.model.bitmap import has_cpu
from harness.model.constants import IdleType, SDFlag
from harness.model.domain import Domain
from harness.model.fixes import Fix, fixes_of_mask
from harness.oracle.o1.attempt import Attempt, TickDue
from harness.oracle.o1.laws import Law
from harness.oracle.o1.move import attempt_of, predict_balanced, settle
from harness.oracle.o1.reads import all_used, check_length
from harness.oracle.o1.schedule import go_on_with_schedule
from harness.oracle.o1.world import World
from harness.oracle.prediction import LawBrokenError, expect

NONE = -1
"""How ``busiest_queue`` names no CPU, and a number of tasks that was not read."""


def fixes(world: World, cpu: int, mask: int) -> None:
    """The corrections in force: from here on the model has them, too."""
    try:
        world.k = replace(world.k, fixes=fixes_of_mask(mask))
    except ValueError as error:
        raise LawBrokenError(Law.S10, f"corrections {mask:#x}: {error}") from None
    for rq in world.rqs:
        rq.k = world.k


def balance(
    world: World,
    cpu: int,
    level: int,
    type: int,
    jiffies: int,
    interval: int,
    failed: int,
    last_balance: int,
) -> None:
    """An attempt begins; one of a tick must be due."""
    world.read_jiffies(cpu, jiffies)
    balancing, domains = world.contexts[cpu].balancing, world.rqs[cpu].domains
    if not has_cpu(world.online, cpu):
        raise LawBrokenError(Law.U1, f"CPU {cpu} looks for work and is unplugged")
    if level >= len(domains):
        raise LawBrokenError(Law.A15, f"CPU {cpu} has no domain of level {level}")
    sd = domains[level]
    where = f"of domain {level} of CPU {cpu}"
    expect(Law.A15, f"the interval {where}", interval, sd.balance_interval)
    expect(Law.P6, f"the count of failures {where}", failed, sd.nr_balance_failed)
    expect(Law.A15, f"the time of the last attempt {where}", last_balance, sd.last_balance)
    if balancing.scheduling is None:
        expect(Law.A15, f"the type of the attempt of CPU {cpu}", type, balancing.due.idle)
        _due_at_this_tick(world, cpu, level, sd, jiffies)
    balancing.attempt = Attempt(sd, level, IdleType(type))
    balancing.reads.begin(world.hints.now)
    world.predict("busiest_group", None, None)


def _due_at_this_tick(world: World, cpu: int, level: int, sd: Domain, jiffies: int) -> None:
    due = world.contexts[cpu].balancing.due
    if level < due.first:
        raise LawBrokenError(Law.A15, f"CPU {cpu} balances domain {level} again, or too late")
    for other in due.levels:
        if other < level:
            raise LawBrokenError(Law.A15, f"CPU {cpu} passes over domain {other}, which is due")
    last = sd.last_balance
    balances = sd.has(SDFlag.LOAD_BALANCE)
    if not balances or not balance_due(sd, due.idle, jiffies, cpu, world.nr_cpus, world.k):
        words = f"balances domain {level} at jiffies {jiffies}, last balanced at {last}"
        raise LawBrokenError(Law.A15, f"CPU {cpu} {words}: that is not due")
    due.first = level + 1
    due.levels.discard(level)


def tick_begins(world: World, cpu: int) -> None:
    """What was due at the CPU's last tick has been done; note what is due at this one."""
    due, rq = world.contexts[cpu].balancing.due, world.rqs[cpu]
    for level in due.levels:
        words = f"has not balanced domain {level}, which was due at its last tick"
        raise LawBrokenError(Law.A15, f"CPU {cpu} {words}")
    due.first = 0
    due.idle = IdleType.SCHED_IDLE if rq.is_idle else IdleType.NOT_IDLE
    due.levels = {n for n in range(len(rq.domains)) if _certainly_due(world, cpu, n)}


def tick_within_fork(world: World, cpu: int) -> None:
    """A fork that ends the parent's slice runs the tick's code, balancing included."""
    world.contexts[cpu].balancing.due = TickDue(IdleType.NOT_IDLE)


def _certainly_due(world: World, cpu: int, level: int) -> bool:
    """Whether a domain is due even if jiffies are still what somebody has read before."""
    sd, idle = world.rqs[cpu].domains[level], world.contexts[cpu].balancing.due.idle
    # Domains are told of before run queues have them; they have when there are tasks.
    if not has_cpu(world.online, cpu) or len(world.tasks) == world.nr_cpus:
        return False
    waited = world.jiffies + world.k.hz * cpu // world.nr_cpus - sd.last_balance
    return sd.has(SDFlag.LOAD_BALANCE) and waited >= balance_interval(sd, idle, world.k)


def busiest_group(world: World, cpu: int, cpus: int, imbalance: int) -> None:
    """The group to take from, by the loads read."""
    attempt, reads = attempt_of(world, cpu), world.contexts[cpu].balancing.reads
    group, amount = find_busiest_group(attempt.sd, cpu, attempt.idle, reads, world.k.fixes)
    all_used(world, cpu)
    expect(Law.P12, "the busiest group", f"{cpus:#x}", f"{group.cpumask if group else 0:#x}")
    expect(Law.P12, "the imbalance", imbalance, amount)
    attempt.group, attempt.imbalance = group, amount
    if group is None:
        _nothing_found(world, cpu, Search(Found.NO_GROUP))
    else:
        world.predict("busiest_queue", None, None)


def busiest_queue(world: World, cpu: int, rq: int, nr: int) -> None:
    """The CPU to take from, by loads read again."""
    attempt, reads = attempt_of(world, cpu), world.contexts[cpu].balancing.reads
    assert attempt.group is not None, "the event was predicted for an attempt that has a group"
    busiest = find_busiest_queue(attempt.group, reads)
    all_used(world, cpu)
    expect(Law.P12, "the busiest CPU", rq, NONE if busiest is None else busiest)
    if busiest is None or busiest == cpu:
        expect(Law.P12, f"the length of CPU {rq}", nr, NONE)
        found = Found.NO_QUEUE if busiest is None else Found.SELF
        _nothing_found(world, cpu, Search(found, attempt.imbalance))
        return
    attempt.busiest = world.rqs[busiest]
    result = Search(Found.BUSIEST, attempt.imbalance, busiest)
    begin_load_balance(attempt.sd, attempt.idle, result, world.k.fixes)
    _lock_or_leave(world, cpu, busiest, nr)


def _lock_or_leave(world: World, cpu: int, busiest: int, nr: int) -> None:
    """A tick locks no CPU with a single task. One about to idle does (D1), or L05 is corrected."""
    if attempt_of(world, cpu).idle == IdleType.NEWLY_IDLE and Fix.L05 not in world.k.fixes:
        expect(Law.P12, f"the length of CPU {busiest}", nr, NONE)
    else:
        check_length(world, cpu, busiest, nr)
        if nr <= 1:
            settle(world, cpu)
            return
    world.predict("double_lock", busiest, None)


def _nothing_found(world: World, cpu: int, result: Search) -> None:
    attempt = attempt_of(world, cpu)
    begin_load_balance(attempt.sd, attempt.idle, result, world.k.fixes)
    if attempt.idle != IdleType.NEWLY_IDLE:
        back_off(attempt.sd, world.k.fixes)
    predict_balanced(world, attempt)


def balanced(world: World, cpu: int, level: int, moved: int, interval: int, failed: int) -> None:
    """The attempt is over: schedule() asks the next domain or decides, a tick goes on."""
    attempt, balancing = attempt_of(world, cpu), world.contexts[cpu].balancing
    balancing.attempt = None
    if balancing.scheduling is not None:
        go_on_with_schedule(world, cpu, found=moved > 0)
        return
    if moved:
        # The CPU has work now, and looks for more less often.
        due = balancing.due
        due.idle = IdleType.NOT_IDLE
        due.levels = {level for level in due.levels if _certainly_due(world, cpu, level)}
    if attempt.wakes is not None:
        world.predict("wake", attempt.wakes.pid, attempt.wakes.cpu, *[None] * 5)
