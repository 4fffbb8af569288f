"""Replay of schedule() and of what changes a task's standing."""

from __future__ import annotations

from dataclasses import replace

from harness.model.bitmap import has_cpu
from harness.model.constants import MAX_PRIO, MAX_RT_PRIO, IdleType, Now, Policy, SDFlag, State
from harness.model.core import (
    Departure,
    commit,
    decide,
    put_prev,
    sched_setscheduler,
    sched_yield,
    set_user_nice,
)
from harness.model.task import Task
from harness.oracle.o1.attempt import Pass
from harness.oracle.o1.laws import Law
from harness.oracle.o1.migrate import thread_runs, thread_sleeps
from harness.oracle.o1.world import World, state_of
from harness.oracle.prediction import LawBrokenError, expect

ENDED = (State.EXIT_ZOMBIE, State.EXIT_DEAD)


def schedule(
    world: World,
    cpu: int,
    task: int,
    now: int,
    jiffies: int,
    state: int,
    preempt: int,
    sleep_avg: int,
) -> None:
    """One pass of schedule(): the model decides, the log has to follow.

    With nothing left to run, the CPU looks for work elsewhere before that.
    """
    world.read_jiffies(cpu, jiffies)
    rq, prev = world.rqs[cpu], world.running(task, cpu)
    expect(Law.P10, f"the sleep average of task {task}", sleep_avg, prev.sleep_avg)
    prev.state = state_of(state)
    if prev is rq.idle and state:
        raise LawBrokenError(Law.S9, f"the idle task of CPU {cpu} is in state {state}")
    if prev is rq.migration_thread and prev.state:
        thread_sleeps(world, rq)
    departure = put_prev(rq, now, preempt=bool(preempt))
    if prev.state in ENDED:
        world.ended[prev.pid] = world.jiffies
    if rq.nr_running:
        _decide(world, cpu, departure, Now(now, jiffies))
        return
    domains = rq.domains if has_cpu(world.online, cpu) else ()
    willing = [(n, sd) for n, sd in enumerate(domains) if sd.has(SDFlag.BALANCE_NEWIDLE)]
    looking = Pass(departure, Now(now, jiffies), iter(willing))
    world.contexts[cpu].balancing.scheduling = looking
    go_on_with_schedule(world, cpu, found=False)


def go_on_with_schedule(world: World, cpu: int, *, found: bool) -> None:
    """Ask the next domain for work; with some, or with no domain left, decide.

    Its lock may have been let go meanwhile: what counts is what is queued now, which may be the
    very task that was about to leave.
    """
    balancing = world.contexts[cpu].balancing
    looking = balancing.scheduling
    assert looking is not None, "the caller is in the middle of schedule()"
    level = -1 if found else next((level for level, _ in looking.domains), -1)
    if level >= 0:
        kind = int(IdleType.NEWLY_IDLE)
        jiffies = world.contexts[cpu].jiffies
        world.predict("balance", level, kind, jiffies, None, None, None)
        return
    balancing.scheduling = None
    expect(Law.S9, f"the task on CPU {cpu}", looking.departure.prev, world.rqs[cpu].curr)
    # A task may have come along that was queued after schedule() had read the jiffies.
    now = replace(looking.now, jiffies=world.contexts[cpu].jiffies)
    _decide(world, cpu, looking.departure, now)


def _decide(world: World, cpu: int, departure: Departure, now: Now) -> None:
    rq = world.rqs[cpu]
    world.contexts[cpu].reschedule.done()
    decision = decide(rq, now.ns)
    next, prio = decision.next, decision.next.prio
    if next is not rq.idle:
        world.check_affinity(next, cpu)
        if decision.swap:
            world.predict("swap", cpu)
    changed = commit(rq, departure, decision, now)
    world.predict("pick", next.pid, MAX_PRIO if next is rq.idle else prio, rq.nr_running)
    if next is rq.migration_thread:
        thread_runs(world, rq)
    if changed:
        world.predict("switch", departure.prev.pid, next.pid, int(departure.voluntary))


def resched(world: World, cpu: int, task: int, rq: int, was: int, polling: int, ipi: int) -> None:
    """That it came, and for whom, was predicted; here is what became of it."""
    if polling and (polling != 1 or task >= world.nr_cpus):
        raise LawBrokenError(Law.P7, f"task {task} polls, and is not an idle task")
    due = int(not was and not polling and rq != cpu)
    expect(Law.P7, f"the interrupt to CPU {rq}", ipi, due)
    world.ask(rq)


def yield_(world: World, cpu: int, task: int, jiffies: int) -> None:
    """sched_yield, up to the schedule() that it ends in."""
    world.read_jiffies(cpu, jiffies, anew=True)
    p = world.running(world.task(task).pid, cpu)
    if p.array is None:
        raise LawBrokenError(Law.S9, f"task {task} runs and is not queued")
    sched_yield(world.rqs[cpu], jiffies)


def set_nice(world: World, cpu: int, task: int, rq: int, nice: int, jiffies: int) -> None:
    """set_user_nice with a level that is a change."""
    world.read_jiffies(cpu, jiffies, anew=True)
    p = world.task(task)
    runqueue = world.home(p, rq)
    check_nice(p, nice)
    result = set_user_nice(p, runqueue, nice, cpu, jiffies)
    world.predict_resched(result, runqueue)


def set_policy(
    world: World, cpu: int, task: int, rq: int, policy: int, rt_priority: int, jiffies: int
) -> None:
    """sched_setscheduler."""
    world.read_jiffies(cpu, jiffies)
    p = world.task(task)
    runqueue = world.home(p, rq)
    kind = check_policy(p, policy, rt_priority)
    if p.array is not None:
        world.hints.shortened(cpu, rq)
    result = sched_setscheduler(p, runqueue, kind, rt_priority, cpu, jiffies)
    world.predict_resched(result, runqueue)


def check_nice(p: Task, nice: int) -> None:
    if not -20 <= nice <= 19:
        raise LawBrokenError(Law.S10, f"task {p.pid} gets nice {nice}")


def check_policy(p: Task, policy: int, rt_priority: int) -> Policy:
    """The policy, if the real-time priority goes with it."""
    words = f"task {p.pid} gets policy {policy} with real-time priority {rt_priority}"
    if policy not in set(Policy) or not 0 <= rt_priority < MAX_RT_PRIO:
        raise LawBrokenError(Law.S10, words)
    if policy == Policy.NORMAL and rt_priority:
        raise LawBrokenError(Law.S10, words)
    return Policy(policy)
