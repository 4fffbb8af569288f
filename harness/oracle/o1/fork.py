"""Replay of the birth and the end of tasks."""

from __future__ import annotations

from harness.model.constants import MAX_RT_PRIO, Now, Policy, State, nice_to_prio, prio_to_nice
from harness.model.exit import sched_exit
from harness.model.fork import sched_fork, wake_up_new_task
from harness.model.prio import task_timeslice
from harness.model.resched import preempt_curr
from harness.model.runqueue import __activate_task as queue_active_task
from harness.model.task import Task
from harness.oracle.o1.balance import tick_within_fork
from harness.oracle.o1.laws import Law
from harness.oracle.o1.schedule import ENDED, check_nice, check_policy
from harness.oracle.o1.wake import translate
from harness.oracle.o1.world import World
from harness.oracle.prediction import LawBrokenError, expect

NOBODY = -1

MIGRATION_THREAD = "migration/"
"""Such a name, with the number of its CPU, only a migration thread has."""

FREED_AFTER = 100
"""Jiffies that an ended task's slot stays taken."""
_LATE = 10
"""Jiffies between a task's last event and its burial, at most, and until somebody looks."""


def task_new(
    world: World,
    cpu: int,
    task: int,
    name: str,
    on: int,
    policy: int,
    nice: int,
    rt_priority: int,
    allowed: int,
    mm: int,
    parent: int,
    now: int,
) -> None:
    """A task exists; it is not queued yet. What is forked starts out as a copy of its parent."""
    world.domains.require_all()
    if task in world.tasks:
        raise LawBrokenError(Law.C1, f"task {task} is created and exists already")
    world.rq(on)
    child = Task(task, name, on, cpus_allowed=allowed, mm=bool(mm), timestamp=now)
    child.static_prio = nice_to_prio(nice)
    check_nice(child, nice)
    child.policy = check_policy(child, policy, rt_priority)
    child.rt_priority = rt_priority
    child.prio = child.static_prio
    if child.policy != Policy.NORMAL:
        child.prio = MAX_RT_PRIO - 1 - rt_priority
    child.time_slice = task_timeslice(child, world.k)
    if parent != NOBODY:
        _inherit(child, world.running(parent, cpu))
        world.parents[task] = parent
    world.tasks[task] = child
    if name == f"{MIGRATION_THREAD}{on}":
        world.rqs[on].migration_thread = child


def _inherit(child: Task, parent: Task) -> None:
    whose = f"of task {child.pid}, forked by task {parent.pid},"
    due = prio_to_nice(parent.static_prio)
    expect(Law.S10, f"nice {whose}", prio_to_nice(child.static_prio), due)
    expect(Law.S10, f"policy {whose}", int(child.policy), int(parent.policy))
    expect(Law.S10, f"rt_priority {whose}", child.rt_priority, parent.rt_priority)
    expect(Law.P3, f"affinity {whose}", child.cpus_allowed, parent.cpus_allowed)
    child.prio = parent.prio
    child.last_ran = parent.last_ran


def start(world: World, cpu: int, task: int, rq: int, jiffies: int) -> None:
    """A task that nobody forked is queued, with a full slice."""
    world.read_jiffies(cpu, jiffies)
    p = world.task(task)
    runqueue = world.home(p, rq)
    _not_yet_queued(p)
    queue_active_task(p, runqueue, jiffies)
    world.predict_resched(preempt_curr(p, runqueue, cpu), runqueue)


def _not_yet_queued(p: Task) -> None:
    if p.array is not None or p.state != State.RUNNING:
        raise LawBrokenError(Law.C2, f"task {p.pid} is started and was before")


def fork(world: World, cpu: int, task: int, child: int, now: int) -> None:
    """The slice is split; a parent with a single jiffy loses it at once."""
    parent, new = world.running(task, cpu), world.task(child)
    expect(Law.C1, f"the parent of task {child}", task, world.parents.get(child, NOBODY))
    _not_yet_queued(new)
    if sched_fork(new, parent, now):
        tick_within_fork(world, cpu)
        world.predict("account", task, None, None, 1)


def wake_new(
    world: World,
    cpu: int,
    task: int,
    parent: int,
    rq: int,
    jiffies: int,
    clone_vm: int,
    this_tick: int,
    rq_tick: int,
) -> None:
    """A forked task is queued: before its parent, behind it, or on another CPU."""
    world.read_jiffies(cpu, jiffies)
    p, forker = world.task(task), world.running(parent, cpu)
    runqueue = world.home(p, rq)
    expect(Law.C1, f"the parent of task {task}", parent, world.parents.get(task, NOBODY))
    _not_yet_queued(p)
    translate(world, cpu, rq, 0, this_tick, rq_tick)
    now = Now(p.timestamp, jiffies)
    this_rq = world.rqs[cpu]
    result = wake_up_new_task(p, forker, runqueue, this_rq, now, clone_vm=bool(clone_vm))
    world.hints.counted(cpu, rq)
    if forker.need_resched:
        world.ask(cpu)
    world.predict_resched(result, runqueue)


def exit_(world: World, cpu: int, task: int, parent: int, rq: int) -> None:
    """The running task ends: what is left of a first slice goes back to its parent."""
    p = world.running(world.task(task).pid, cpu)
    if parent == NOBODY:
        return
    expect(Law.C1, f"the parent of task {task}", parent, world.parents.get(task, NOBODY))
    forker = world.task(parent)
    world.home(forker, rq)
    sched_exit(p, forker, world.k)


def check_freed(world: World) -> None:
    """Slots of ended tasks do not stay taken. On a busy host a CPU may be late to say so."""
    first = next(iter(world.ended), None)
    if first is None or world.real:
        return
    waited = world.jiffies - world.ended[first]
    if waited > FREED_AFTER + _LATE:
        words = f"task {first} is not freed {waited} jiffies after its end"
        raise LawBrokenError(Law.C7, f"{words}, {FREED_AFTER} are due")


def task_free(world: World, cpu: int, task: int, jiffies: int) -> None:
    """The slot and the stack of an ended task may be used again."""
    world.read_jiffies(cpu, jiffies)
    p = world.task(task)
    ended = world.ended.get(task)
    if p.state not in ENDED or ended is None:
        raise LawBrokenError(Law.C7, f"task {task} is freed in state {int(p.state)}")
    if p.array is not None or any(rq.curr is p for rq in world.rqs):
        raise LawBrokenError(Law.C7, f"task {task} is freed and still runs or is queued")
    if jiffies - ended < FREED_AFTER:
        words = f"task {task} is freed {jiffies - ended} jiffies after its end"
        raise LawBrokenError(Law.C7, f"{words}, {FREED_AFTER} are due")
    del world.tasks[task], world.ended[task]
    world.parents.pop(task, None)
