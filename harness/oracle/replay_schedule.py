"""Replay of schedule() and of what changes a task's standing."""

from __future__ import annotations

from harness.model.constants import MAX_PRIO, MAX_RT_PRIO, Now, Policy, State
from harness.model.core import (
    commit,
    decide,
    put_prev,
    sched_setscheduler,
    sched_yield,
    set_user_nice,
)
from harness.model.task import Task
from harness.oracle.replay_laws import Law
from harness.oracle.replay_world import LawBrokenError, World, expect, state_of

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
    """One pass of schedule(): the model decides, the log has to follow."""
    world.read_jiffies(cpu, jiffies)
    rq, prev = world.rqs[cpu], world.running(task, cpu)
    expect(Law.P10, f"the sleep average of task {task}", sleep_avg, prev.sleep_avg)
    prev.state = state_of(state)
    if prev is rq.idle and state:
        raise LawBrokenError(Law.S9, f"the idle task of CPU {cpu} is in state {state}")
    world.contexts[cpu].asked = False
    departure = put_prev(rq, now, preempt=bool(preempt))
    decision = decide(rq, now)
    next = decision.next
    prio = next.prio
    if next is not rq.idle:
        world.check_affinity(next, cpu)
        if decision.swap:
            world.predict("swap", cpu)
    if prev.state in ENDED:
        world.ended[prev.pid] = world.jiffies
    changed = commit(rq, departure, decision, Now(now, jiffies))
    world.predict("pick", next.pid, MAX_PRIO if next is rq.idle else prio, rq.nr_running)
    if changed:
        world.predict("switch", prev.pid, next.pid, int(departure.voluntary))


def resched(world: World, cpu: int, task: int, rq: int, was: int, polling: int, ipi: int) -> None:
    """That it came, and for whom, was predicted; here is what became of it."""
    if polling and (polling != 1 or task >= world.nr_cpus):
        raise LawBrokenError(Law.P7, f"task {task} polls, and is not an idle task")
    due = int(not was and not polling and rq != cpu)
    expect(Law.P7, f"the interrupt to CPU {rq}", ipi, due)
    world.ask(rq)


def yield_(world: World, cpu: int, task: int, jiffies: int) -> None:
    """sched_yield, up to the schedule() that it ends in."""
    world.read_jiffies(cpu, jiffies)
    p = world.running(world.task(task).pid, cpu)
    if p.array is None:
        raise LawBrokenError(Law.S9, f"task {task} runs and is not queued")
    sched_yield(world.rqs[cpu], jiffies)


def set_nice(world: World, cpu: int, task: int, rq: int, nice: int, jiffies: int) -> None:
    """set_user_nice with a level that is a change."""
    world.read_jiffies(cpu, jiffies)
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
