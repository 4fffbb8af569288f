"""Moving tasks between CPUs (fact sheet A14, A16): pulled by balancing, or pushed away.

"src" loses tasks, "dst" gets them; both run queues are locked. `this_cpu` is the CPU that executes,
which sends the interrupts: dst's when pulling, src's when its migration thread pushes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.model.array import PrioArray, dequeue_task, enqueue_task
from harness.model.bitmap import __ffs, cpus, find_next_bit, has_cpu, sched_find_first_bit
from harness.model.constants import MAX_PRIO, SCHED_LOAD_SCALE, IdleType, Now, SDFlag
from harness.model.domain import Domain, task_hot
from harness.model.fixes import Fix
from harness.model.load import ReadLoad
from harness.model.resched import Resched, preempt_curr
from harness.model.runqueue import (
    MigrationRequest,
    Runqueue,
    deactivate_task,
    translate_time,
)
from harness.model.task import ALL_CPUS, Task
from harness.model.wake import activate_task


class Verdict(enum.Enum):
    """Whether a task may be moved, or why not."""

    MIGRATE = "may be moved"
    RUNNING = "is running"
    AFFINITY = "may not run on the other CPU"
    CACHE_HOT = "is cache-hot"


def can_migrate_task(p: Task, src: Runqueue, dst_cpu: int, sd: Domain, dst_idle: bool) -> Verdict:
    """Whether balancing in `sd` may move a task (fact sheet A14).

    `dst_idle`: the other CPU, with its hardware threads, runs its idle task at this moment; then,
    or after too many failures, hotness does not count. A CPU about to go idle still runs its last
    task.
    """
    if src.curr is p:
        return Verdict.RUNNING
    if not has_cpu(p.cpus_allowed, dst_cpu):
        return Verdict.AFFINITY
    if dst_idle or sd.nr_balance_failed > sd.parameters.cache_nice_tries:
        return Verdict.MIGRATE
    hot = task_hot(p, src.timestamp_last_tick, sd)
    return Verdict.CACHE_HOT if hot else Verdict.MIGRATE


def pull_task(
    p: Task, src: Runqueue, src_array: PrioArray, dst: Runqueue, dst_array: PrioArray, jiffies: int
) -> None:
    """Move one task to the tail of its list on the other CPU (fact sheet A14).

    Slice, priorities, sleep average and last_ran go along unchanged. The other side's record of
    expiries does not learn of it (D1), unless L08 is corrected.
    """
    dequeue_task(p, src_array)
    src.nr_running -= 1
    p.cpu = dst.cpu
    dst.nr_running += 1
    if dst_array is dst.expired and Fix.L08 in dst.k.fixes:
        dst.expired_timestamp = dst.expired_timestamp or jiffies
        dst.best_expired_prio = min(dst.best_expired_prio, p.static_prio)
    enqueue_task(p, dst_array, jiffies)
    p.timestamp = translate_time(p.timestamp, src, dst)


@dataclass(frozen=True, slots=True)
class Pull:
    task: Task
    expired: bool
    """It went from expired to expired, not from active to active."""
    resched: Resched | None


@dataclass(frozen=True, slots=True)
class Skip:
    task: Task
    reason: Verdict


@dataclass(frozen=True, slots=True)
class Move:
    """What move_tasks did: tasks moved, in order, and those it passed over, with the reason."""

    pulls: tuple[Pull, ...] = ()
    skipped: tuple[Skip, ...] = ()

    @classmethod
    def of(cls, steps: Iterable[Pull | Skip]) -> Move:
        """Take all steps."""
        taken = list(steps)
        pulls = tuple(step for step in taken if isinstance(step, Pull))
        return cls(pulls, tuple(step for step in taken if isinstance(step, Skip)))

    @property
    def all_pinned(self) -> bool:
        """Whether affinity alone kept every task but the running one from moving."""
        reasons = {skip.reason for skip in self.skipped} - {Verdict.RUNNING}
        return not self.pulls and reasons == {Verdict.AFFINITY}


def move_tasks(
    dst: Runqueue,
    src: Runqueue,
    max_nr_move: int,
    sd: Domain,
    idle: IdleType,
    this_cpu: int,
    jiffies: int,
    *,
    dst_idle: bool,
) -> Move:
    """Move up to `max_nr_move` tasks in the prescribed order (fact sheet A14).

    Expired before active, best priority first, within a list from tail to head. The preemption
    check ignores into which array a task went (D1), unless L10 is corrected.
    """
    steps = move_steps(dst, src, max_nr_move, sd, idle, this_cpu, jiffies, dst_idle=dst_idle)
    return Move.of(steps)


def move_steps(
    dst: Runqueue,
    src: Runqueue,
    max_nr_move: int,
    sd: Domain,
    idle: IdleType,
    this_cpu: int,
    jiffies: int,
    *,
    dst_idle: bool,
) -> Iterator[Pull | Skip]:
    """move_tasks one task at a time: each step is done when it is given."""
    if max_nr_move == 0 or src.nr_running <= 1:
        return
    pulled = 0
    for p in migration_order(src):
        verdict = can_migrate_task(p, src, dst.cpu, sd, dst_idle)
        if verdict is not Verdict.MIGRATE:
            yield Skip(p, verdict)
            continue
        expired = p.array is src.expired
        src_array, dst_array = (src.expired, dst.expired) if expired else (src.active, dst.active)
        dst.stats.pt[idle].pt_gained += 1
        src.stats.pt[idle].pt_lost += 1
        pull_task(p, src, src_array, dst, dst_array, jiffies)
        quiet = expired and Fix.L10 in dst.k.fixes and not dst.is_idle
        yield Pull(p, expired, None if quiet else preempt_curr(p, dst, this_cpu))
        pulled += 1
        if pulled == max_nr_move:
            return


def migration_order(src: Runqueue) -> Iterator[Task]:
    """The tasks of a run queue as move_tasks meets them (fact sheet A14, P4).

    The list's tail comes first: it ran longest ago. A task may be unlinked once it has been
    yielded.
    """
    for array in (src.expired, src.active):
        index = sched_find_first_bit(array.bitmap)
        while index < MAX_PRIO:
            yield from array.queue[index][::-1]
            index = find_next_bit(array.bitmap, index + 1)


def cpu_and_siblings_are_idle(rqs: Sequence[Runqueue], cpu: int) -> bool:
    """Whether a CPU and the other hardware threads of its core run their idle tasks (A14)."""
    span = 1 << cpu
    for sd in rqs[cpu].domains[:1]:
        if sd.has(SDFlag.SHARE_CPUPOWER):
            span = sd.span
    return all(rqs[sibling].is_idle for sibling in cpus(span))


def push_targets(busiest: Runqueue) -> Iterator[tuple[Domain, int]]:
    """Other CPUs in the order active balancing visits them, each once (fact sheet A16).

    With L11 corrected, the one that asked for it.
    """
    visited = 1 << busiest.cpu
    if Fix.L11 in busiest.k.fixes:
        visited = ~(1 << busiest.push_cpu)
    for sd in busiest.domains:
        if not sd.has(SDFlag.LOAD_BALANCE):
            return
        for group in sd.groups:
            for cpu in cpus(group.cpumask & ~visited):
                visited |= 1 << cpu
                yield sd, cpu


def may_push(busiest: Runqueue) -> bool:
    """Whether active balancing goes on: the migration thread is one of those running (A16)."""
    return busiest.nr_running > (2 if Fix.L11 in busiest.k.fixes else 1)


def active_load_balance(
    busiest: Runqueue,
    rqs: Sequence[Runqueue],
    jiffies: int,
    is_idle: Callable[[int], bool] | None = None,
) -> list[tuple[int, Move]]:
    """Push tasks to idle CPUs, one to each, as the migration thread does (fact sheet A16).

    The migration thread counts as running, so the only ordinary task may be pushed; push_cpu is not
    consulted (D1); both are otherwise if L11 is corrected. Returns each target with what was moved.
    `is_idle` answers for a CPU and its hardware threads what was read without a lock; by default
    from the model.
    """
    idle_now = is_idle or (lambda cpu: cpu_and_siblings_are_idle(rqs, cpu))
    busiest.stats.alb_cnt += 1
    pushed = []
    for sd, cpu in push_targets(busiest):
        if not may_push(busiest):
            break
        if not idle_now(cpu):
            continue
        dst = rqs[cpu]
        move = move_tasks(
            dst, busiest, 1, sd, IdleType.SCHED_IDLE, busiest.cpu, jiffies, dst_idle=idle_now(cpu)
        )
        if move.pulls:
            busiest.stats.alb_lost += 1
            dst.stats.alb_gained += 1
        else:
            busiest.stats.alb_failed += 1
        pushed.append((cpu, move))
    return pushed


def migrate_task(p: Task, rq: Runqueue, dest_cpu: int) -> bool:
    """Send a task to another CPU, under its run queue's lock (fact sheet A16).

    A sleeping task is merely pointed there. For any other a request is left with `rq`'s migration
    thread, the newest first; True means that the caller wakes that thread and waits.
    """
    if p.array is None and rq.curr is not p:
        p.cpu = dest_cpu
        return False
    rq.migration_queue.insert(0, MigrationRequest(p, dest_cpu))
    return True


def set_cpus_allowed(p: Task, rq: Runqueue, mask: int, online: int) -> bool:
    """Restrict a task to some CPUs (fact sheet A16). True: wake the migration thread and wait.

    Raises ValueError when no online CPU is among them.
    """
    if not mask & online:
        raise ValueError(f"no CPU of {mask:#x} is online ({online:#x})")
    p.cpus_allowed = mask
    if has_cpu(mask, p.cpu):
        return False
    return migrate_task(p, rq, __ffs(mask & online))


class Migration(enum.Enum):
    """How a migration request ended."""

    MOVED = "moved"
    OFFLINE = "the destination is offline"
    GONE = "it had left this CPU already"
    NOT_ALLOWED = "its affinity changed again"


def __migrate_task(p: Task, src: Runqueue, dst: Runqueue, now: Now, online: int) -> Migration:
    """Carry out a request on the source CPU, both run queues locked (fact sheet A16).

    `now` is in the source's clock. A queued task counts as woken on the destination.
    """
    if not has_cpu(online, dst.cpu):
        return Migration.OFFLINE
    if p.cpu != src.cpu:
        return Migration.GONE
    if not has_cpu(p.cpus_allowed, dst.cpu):
        return Migration.NOT_ALLOWED
    p.cpu = dst.cpu
    if p.array is not None:
        p.timestamp = translate_time(p.timestamp, src, dst)
        deactivate_task(p, src)
        activate_task(p, dst, Now(translate_time(now.ns, src, dst), now.jiffies))
        preempt_curr(p, dst, src.cpu)
    return Migration.MOVED


def find_idlest_cpu(
    p: Task, this_cpu: int, sd: Domain, read: ReadLoad, online: int = ALL_CPUS
) -> int:
    """Where a task that starts a new program should run (fact sheet A16).

    The least loaded allowed CPU of the domain, the first one that is quite idle; this CPU unless
    that is clearly better.
    """
    idlest, least = None, 0
    for cpu in cpus(sd.span & p.cpus_allowed & online):
        load = read(cpu).target
        if idlest is None or load < least:
            idlest, least = cpu, load
            if load == 0:
                break
    if idlest is None:
        return this_cpu
    threshold = 100 + (sd.parameters.imbalance_pct - 100) // 2
    ours = read(this_cpu).source + SCHED_LOAD_SCALE
    return idlest if least * threshold < 100 * ours else this_cpu


def sched_exec(rq: Runqueue, read: ReadLoad) -> int:
    """The CPU on which the running task should start a new program (fact sheet A16).

    If that is another one, sched_migrate_task follows.
    """
    sd = exec_domain(rq, rq.nr_running)
    return rq.cpu if sd is None else exec_target(rq, sd, read)


def exec_domain(rq: Runqueue, nr_running: int) -> Domain | None:
    """The widest domain that takes part, if there is a reason to leave (fact sheet A16)."""
    rq.stats.sbe_cnt += 1
    willing = [sd for sd in rq.domains if sd.has(SDFlag.BALANCE_EXEC)]
    return willing[-1] if nr_running > 1 and willing else None


def exec_target(rq: Runqueue, sd: Domain, read: ReadLoad, online: int = ALL_CPUS) -> int:
    """The CPU of that domain to go on with, maybe the same (fact sheet A16)."""
    sd.stats.sbe_attempts += 1
    cpu = find_idlest_cpu(rq.curr, rq.cpu, sd, read, online)
    sd.stats.sbe_pushed += cpu != rq.cpu
    return cpu


def sched_migrate_task(p: Task, rq: Runqueue, dest_cpu: int, online: int) -> bool:
    """Ask for a move unless it is not allowed (fact sheet A16). True: wake the thread and wait."""
    if not has_cpu(p.cpus_allowed & online, dest_cpu):
        return False
    rq.stats.smt_cnt += 1
    return migrate_task(p, rq, dest_cpu)
