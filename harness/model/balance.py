"""Load balancing (fact sheet A13, A15): who is busiest, and what follows from finding it.

A balancing attempt is taken apart where locks change hands:

    search               find group and queue from loads read without locks: changes nothing
    begin_load_balance   count what the search found
    migrate.move_tasks   with both run queues locked, which may have changed by then
    finish_load_balance  draw the consequences for the interval and the failure count

`load_balance` and `load_balance_newidle` do it all at once.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.model.arith import u64
from harness.model.bitmap import cpus, has_cpu
from harness.model.constants import SCHED_LOAD_SCALE, Constants, IdleType, SDFlag
from harness.model.domain import Domain, Group
from harness.model.fixes import NO_FIXES, Fix, Fixes
from harness.model.load import ReadLoad, decayed_load, read_live
from harness.model.migrate import Move, cpu_and_siblings_are_idle, move_tasks
from harness.model.runqueue import Runqueue

MAX_PINNED_INTERVAL = 512
"""Milliseconds: how long a domain waits at most that holds nothing but pinned tasks (D1, L01)."""


@dataclass(frozen=True, slots=True)
class GroupLoad:
    """A group and the summed load of its CPUs, as read."""

    group: Group
    total: int

    @property
    def power(self) -> int:
        return self.group.cpu_power

    @property
    def average(self) -> int:
        """Load relative to what the group can do."""
        return self.total * SCHED_LOAD_SCALE // self.power


def find_busiest_group(
    sd: Domain, this_cpu: int, idle: IdleType, read: ReadLoad, fixes: Fixes = NO_FIXES
) -> tuple[Group | None, int]:
    """The group to take tasks from, and how many (fact sheet A13); (None, 0) when balanced.

    Loads are read in the order of groups, and within a group in ascending order. Our own group
    counts with high guesses, the others with low ones. Among equals the first group after ours
    wins. A CPU without work takes one task from the busiest even when the domain is balanced.
    """
    local, others = _group_loads(sd, this_cpu, read)
    busiest = max(others, key=lambda load: load.average, default=None)
    if busiest is None or busiest.average == 0:
        return None, 0
    imbalance = _imbalance(sd, busiest, local, others, fixes)
    if imbalance:
        return busiest.group, imbalance
    overloaded = busiest.average > SCHED_LOAD_SCALE
    if idle == IdleType.NEWLY_IDLE or (idle == IdleType.SCHED_IDLE and overloaded):
        return busiest.group, 1
    return None, 0


def _group_loads(sd: Domain, this_cpu: int, read: ReadLoad) -> tuple[GroupLoad, list[GroupLoad]]:
    own, *rest = sd.groups
    if not has_cpu(own.cpumask, this_cpu):
        raise ValueError(f"the domain's first group does not contain cpu{this_cpu}")
    local = GroupLoad(own, sum(read(cpu).target for cpu in cpus(own.cpumask)))
    others = [GroupLoad(group, sum(read(c).source for c in cpus(group.cpumask))) for group in rest]
    return local, others


def _imbalance(
    sd: Domain, busiest: GroupLoad, local: GroupLoad, others: Sequence[GroupLoad], fixes: Fixes
) -> int:
    """Tasks to move so that neither side crosses the average (fact sheet A13, steps 2 to 6)."""
    max_load, this_load = busiest.average, local.average
    if this_load >= max_load:
        return 0
    groups = [local, *others]
    average = SCHED_LOAD_SCALE * sum(g.total for g in groups) // sum(g.power for g in groups)
    if this_load >= average or 100 * max_load <= sd.parameters.imbalance_pct * this_load:
        return 0
    above, below = max_load - average, average - this_load
    if Fix.L07 in fixes:
        load = min(above * busiest.power, below * local.power) // SCHED_LOAD_SCALE
    else:
        # The two minima are taken apart, as 2.6.11 does (D1).
        load = min(above, below) * min(busiest.power, local.power) // SCHED_LOAD_SCALE
    if load >= SCHED_LOAD_SCALE - 1:
        return (load + 1) // SCHED_LOAD_SCALE
    far_apart = max_load - this_load >= 2 * SCHED_LOAD_SCALE
    return 1 if far_apart or _gains_power(busiest, local, fixes) else 0


def _gains_power(busiest: GroupLoad, local: GroupLoad, fixes: Fixes) -> bool:
    """Whether moving one task uses an eighth of a CPU more (fact sheet A13, step 5)."""
    scale = SCHED_LOAD_SCALE
    max_load, this_load = busiest.average, local.average
    power_now = busiest.power * min(scale, max_load) + local.power * min(scale, this_load)
    removed = scale * scale // busiest.power
    if Fix.L07 in fixes:
        added = min(scale * scale, max_load * busiest.power) // local.power
    else:
        # The load added ignores the power of the group it comes from (D1).
        added = min(scale * scale // local.power, max_load)
    power_moved = busiest.power * min(scale, max(max_load - removed, 0))
    power_moved += local.power * min(scale, this_load + added)
    return power_moved // scale >= power_now // scale + scale // 8


def find_busiest_queue(group: Group, read: ReadLoad) -> int | None:
    """CPU of a group with the largest low guess (fact sheet A13), the first of equals.

    None when all are 0: the loads are read again here, and may have gone.
    """
    busiest, max_load = None, 0
    for cpu in cpus(group.cpumask):
        load = read(cpu).source
        if load > max_load:
            busiest, max_load = cpu, load
    return busiest


class Found(enum.Enum):
    NO_GROUP = "balanced"
    NO_QUEUE = "no loaded CPU in the busiest group"
    SELF = "the busiest is this CPU"
    BUSIEST = "a CPU to take tasks from"


@dataclass(frozen=True, slots=True)
class Search:
    found: Found
    imbalance: int = 0
    """Tasks to move at most."""
    busiest_cpu: int = -1


def search(
    sd: Domain, this_cpu: int, idle: IdleType, read: ReadLoad, fixes: Fixes = NO_FIXES
) -> Search:
    """Look for a CPU to relieve, from hints alone (fact sheet A15)."""
    group, imbalance = find_busiest_group(sd, this_cpu, idle, read, fixes)
    if group is None:
        return Search(Found.NO_GROUP)
    cpu = find_busiest_queue(group, read)
    if cpu is None:
        return Search(Found.NO_QUEUE, imbalance)
    return Search(Found.SELF if cpu == this_cpu else Found.BUSIEST, imbalance, cpu)


def begin_load_balance(sd: Domain, idle: IdleType, result: Search, fixes: Fixes = NO_FIXES) -> None:
    """Count an attempt and what its search found (fact sheet A15).

    load_balance counts a search that found its own CPU nowhere (D1), unless L16 is corrected;
    newly-idle balancing counts it as a missing queue.
    """
    stats = sd.stats.lb[idle]
    stats.lb_cnt += 1
    if result.found is Found.NO_GROUP:
        stats.lb_nobusyg += 1
    elif result.found is Found.NO_QUEUE:
        stats.lb_nobusyq += 1
    elif result.found is Found.SELF:
        stats.lb_nobusyq += idle == IdleType.NEWLY_IDLE or Fix.L16 in fixes
    else:
        stats.lb_imbalance += result.imbalance


def back_off(sd: Domain, fixes: Fixes = NO_FIXES) -> None:
    """Nothing to do in this domain: look again later (fact sheet A15, BAL).

    Not clamped, so the interval may exceed its maximum, and the failure count stays (D1), unless
    L03 and L02 are corrected.
    """
    if Fix.L02 in fixes:
        sd.nr_balance_failed = 0
    _double_interval(sd, sd.parameters.max_interval, fixes)


def _double_interval(sd: Domain, limit: int, fixes: Fixes) -> None:
    if sd.balance_interval < limit:
        sd.balance_interval *= 2
        if Fix.L03 in fixes:
            sd.balance_interval = min(sd.balance_interval, limit)


def finish_load_balance(
    sd: Domain, idle: IdleType, move: Move, busiest: Runqueue, this_cpu: int
) -> bool:
    """Consequences of an attempt that had a busiest CPU (fact sheet A15).

    True: active balancing was requested, and the caller wakes `busiest`'s migration thread. A CPU
    whose tasks are all pinned is like any other (D1), unless L01 is corrected.
    """
    if move.pulls:
        sd.nr_balance_failed = 0
        sd.balance_interval = sd.parameters.min_interval
        return False
    if move.all_pinned and Fix.L01 in busiest.k.fixes:
        _double_interval(sd, MAX_PINNED_INTERVAL, busiest.k.fixes)
        return False
    return count_failure(sd, idle) and request_push(busiest, this_cpu)


def count_failure(sd: Domain, idle: IdleType) -> bool:
    """An attempt moved nothing (fact sheet A15). True: too often, the caller asks for a push."""
    sd.stats.lb[idle].lb_failed += 1
    sd.nr_balance_failed += 1
    too_often = sd.nr_balance_failed > sd.parameters.cache_nice_tries + 2
    if too_often:
        sd.nr_balance_failed = sd.parameters.cache_nice_tries
    if sd.balance_interval < sd.parameters.max_interval:
        sd.balance_interval += 1
    return too_often


def request_push(busiest: Runqueue, this_cpu: int) -> bool:
    """Under the busiest's lock: have its migration thread push, unless it was asked (A15).

    True: nobody had asked before, and the caller wakes that thread.
    """
    if busiest.active_balance:
        return False
    busiest.active_balance = True
    busiest.push_cpu = this_cpu
    return True


@dataclass(frozen=True, slots=True)
class Balance:
    """One balancing attempt in one domain."""

    sd: Domain
    search: Search
    move: Move = field(default_factory=Move)
    kick: bool = False
    """The busiest CPU's migration thread is to be woken."""


def load_balance(
    this_rq: Runqueue,
    rqs: Sequence[Runqueue],
    sd: Domain,
    idle: IdleType,
    jiffies: int,
    read: ReadLoad | None = None,
) -> Balance:
    """The whole of load_balance, nobody interfering (fact sheet A15)."""
    fixes = this_rq.k.fixes
    result = search(sd, this_rq.cpu, idle, read or read_live(rqs), fixes)
    begin_load_balance(sd, idle, result, fixes)
    if result.found is not Found.BUSIEST:
        back_off(sd, fixes)
        return Balance(sd, result)
    busiest = rqs[result.busiest_cpu]
    move = Move()
    if busiest.nr_running > 1:
        move = _pull(this_rq, busiest, rqs, result, sd, idle, jiffies)
    kick = finish_load_balance(sd, idle, move, busiest, this_rq.cpu)
    return Balance(sd, result, move, kick)


def load_balance_newidle(
    this_rq: Runqueue,
    rqs: Sequence[Runqueue],
    sd: Domain,
    jiffies: int,
    read: ReadLoad | None = None,
) -> Balance:
    """Balancing by a CPU that is about to run out of work (fact sheet A15).

    Takes the other lock without asking whether there is more than one task (D1), unless L05 is
    corrected, and leaves interval and failure count alone.
    """
    idle = IdleType.NEWLY_IDLE
    fixes = this_rq.k.fixes
    result = search(sd, this_rq.cpu, idle, read or read_live(rqs), fixes)
    begin_load_balance(sd, idle, result, fixes)
    if result.found is not Found.BUSIEST:
        return Balance(sd, result)
    busiest = rqs[result.busiest_cpu]
    move = Move()
    if busiest.nr_running > 1 or Fix.L05 not in fixes:
        move = _pull(this_rq, busiest, rqs, result, sd, idle, jiffies)
    sd.stats.lb[idle].lb_failed += not move.pulls
    return Balance(sd, result, move)


def _pull(
    this_rq: Runqueue,
    busiest: Runqueue,
    rqs: Sequence[Runqueue],
    result: Search,
    sd: Domain,
    idle: IdleType,
    jiffies: int,
) -> Move:
    dst_idle = cpu_and_siblings_are_idle(rqs, this_rq.cpu)
    cpu = this_rq.cpu
    return move_tasks(this_rq, busiest, result.imbalance, sd, idle, cpu, jiffies, dst_idle=dst_idle)


def idle_balance(
    this_rq: Runqueue, rqs: Sequence[Runqueue], jiffies: int, read: ReadLoad | None = None
) -> list[Balance]:
    """Look for work in ever wider domains until some is found (fact sheet A15)."""
    attempts = []
    for sd in this_rq.domains:
        if sd.has(SDFlag.BALANCE_NEWIDLE):
            attempts.append(load_balance_newidle(this_rq, rqs, sd, jiffies, read))
            if attempts[-1].move.pulls:
                break
    return attempts


def balance_due(
    sd: Domain, idle: IdleType, jiffies: int, cpu: int, nr_cpus: int, k: Constants
) -> bool:
    """Whether a tick balances in a domain; if so, the next time is set (fact sheet A15).

    CPUs take turns by an offset of hz * cpu / nr_cpus jiffies. The next time is counted from when
    this one was due, so a CPU that is late catches up tick after tick (D1), unless L04 is
    corrected. rebalance_tick sets it after the attempt, which makes no difference: nothing else
    reads it.
    """
    interval = balance_interval(sd, idle, k)
    now = u64(jiffies + k.hz * cpu // nr_cpus)
    if u64(now - sd.last_balance) < interval:
        return False
    sd.last_balance = now if Fix.L04 in k.fixes else u64(sd.last_balance + interval)
    return True


def balance_interval(sd: Domain, idle: IdleType, k: Constants) -> int:
    """Jiffies between two attempts in a domain: more where there is other work (A15)."""
    interval = sd.balance_interval
    if idle != IdleType.SCHED_IDLE:
        interval *= sd.parameters.busy_factor
    return max(k.msecs_to_jiffies(interval), 1)


def rebalance_tick(
    rq: Runqueue,
    rqs: Sequence[Runqueue],
    idle: IdleType,
    jiffies: int,
    nr_cpus: int,
    read: ReadLoad | None = None,
) -> list[Balance]:
    """The tick's last step: update the load and balance where it is time (fact sheet A15).

    `nr_cpus` is the number of CPUs the kernel was built for. Runs without a lock.
    """
    rq.cpu_load = decayed_load(rq.cpu_load, rq.nr_running)
    attempts = []
    for sd in rq.domains:
        if not sd.has(SDFlag.LOAD_BALANCE):
            continue
        if balance_due(sd, idle, jiffies, rq.cpu, nr_cpus, rq.k):
            attempts.append(load_balance(rq, rqs, sd, idle, jiffies, read))
            if attempts[-1].move.pulls:
                idle = IdleType.NOT_IDLE
    return attempts
