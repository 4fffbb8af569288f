"""Replay of where tasks go: birth, wake-up, change of affinity, CPUs that leave."""

from __future__ import annotations

from harness.model.constants import Policy, State
from harness.model.veridian import attributes, hotplug, wait
from harness.model.veridian.attributes import AffinityStep
from harness.model.veridian.load import LoadRead
from harness.model.veridian.task import Task
from harness.model.veridian.wait import Claim, WakeStep
from harness.oracle.prediction import LawBrokenError, expect
from harness.oracle.veridian.laws import Law
from harness.oracle.veridian.world import World, state_of

NOBODY = -1
MAX_NICE, MIN_NICE, MAX_RT = 19, -20, 99


def task_new(
    world: World,
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
    """A task exists; it is not runnable yet. What is forked has its parent's standing."""
    if task in world.tasks:
        raise LawBrokenError(Law.C1, f"task {task} is created and exists already")
    kind = check_standing(task, policy, rt_priority, nice)
    world.cpu(on)
    p = Task(task, name, on, kind, nice, rt_priority, allowed=allowed)
    if parent != NOBODY:
        forker = world.running(parent)
        for field in ("policy", "nice", "rt_priority", "allowed"):
            due = getattr(forker, field)
            expect(Law.S10, f"{field} of task {task}", getattr(p, field), due)
        world.parents[task] = parent
    world.tasks[task] = p
    world.new.add(task)


def _begin(world: World, task: int) -> Task:
    p = world.task(task)
    if task not in world.new:
        raise LawBrokenError(Law.C2, f"task {task} is made runnable and was before")
    world.new.discard(task)
    return p


def start(world: World, task: int, rq: int, jiffies: int) -> None:
    """A task that nobody forked is queued where it was told to."""
    world.read_jiffies(jiffies)
    p = _begin(world, task)
    cpu = world.home(p, rq)
    world.check_serves(p, cpu)
    p.since = jiffies
    cpu.enqueue(p)
    world.predict_arrival_kick(cpu)


def v_fork(world: World, task: int, parent: int, rq: int) -> None:
    """A forked task is to be placed, from the CPU of its parent."""
    p = _begin(world, task)
    world.running(parent)
    expect(Law.C1, f"the parent of task {task}", parent, world.parents.get(task, NOBODY))
    expect(Law.S6, f"the CPU that task {task} is forked on", rq, world.acting)
    world.home(p, rq)
    world.context.claim = Claim(p, rq)


def v_wake(
    world: World, task: int, rq: int, mask: int, state: int, queued: int, current: int
) -> None:
    """A wake-up looks at a task. Only the task itself changes its state while it has a CPU."""
    p = world.task(task)
    home = world.home(p, rq)
    expect(Law.C2, f"whether task {task} waits", queued, int(p.ring is not None))
    expect(Law.S9, f"whether task {task} runs", current, int(home.curr is p))
    if queued or current:
        p.state = state_of(state)
    expect(Law.C2, f"the state of task {task}", state, int(p.state))
    if wait.begin_wakeup(p, home, State(mask)) is WakeStep.PLACE:
        world.cpus[world.acting].metrics.wakeups += 1
        world.context.claim = Claim(p, rq, woken=True)


def v_set_cpus(world: World, task: int, rq: int, allowed: int, queued: int, current: int) -> None:
    """A task's affinity changes, and the task goes where it may be."""
    p = world.task(task)
    home = world.home(p, rq)
    expect(Law.C2, f"whether task {task} waits", queued, int(p.ring is not None))
    expect(Law.S9, f"whether task {task} runs", current, int(home.curr is p))
    match attributes.set_cpus(p, home, allowed):
        case AffinityStep.PLACE:
            world.context.claim = Claim(p, rq, migrates=True)
        case AffinityStep.LEAVE:
            world.predict_kick(home)
        case AffinityStep.STAYS:
            pass


def v_cpu_down(world: World, rq: int, online: int) -> None:
    """A CPU takes no more tasks."""
    cpu = world.cpu(rq)
    try:
        leaves = hotplug.cpu_down(cpu)
    except ValueError as error:
        raise LawBrokenError(Law.B7, str(error)) from None
    expect(Law.B7, f"whether CPU {rq} is online", online >> rq & 1, 0)
    world.contexts[rq].balance_due = False
    if leaves:
        world.predict_kick(cpu)


def v_drain(world: World, task: int, rq: int) -> None:
    """The next task of an offline CPU is taken out, to be placed elsewhere."""
    p = world.task(task)
    cpu = world.home(p, rq)
    if cpu.online:
        raise LawBrokenError(Law.B7, f"CPU {rq} is drained, and online")
    first = hotplug.drain(cpu)
    expect(Law.P1, f"the first task of CPU {rq}", task, None if first is None else first.pid)
    world.context.claim = Claim(p, rq, migrates=True)


def ask_to_join(world: World, rq: int) -> None:
    """A kick out of nothing is the request to an offline CPU to schedule again."""
    cpu = world.cpu(rq)
    if not cpu.online:
        world.context.operation = "v_kick"
        world.predict_kick(cpu)


def v_cpu_up(world: World, rq: int, online: int) -> None:
    """A CPU schedules again, says so itself, and nothing was left on it."""
    cpu = world.cpu(rq)
    expect(Law.B7, f"the CPU that says that CPU {rq} schedules", world.acting, rq)
    if len(cpu.queue):
        raise LawBrokenError(Law.C1, f"{len(cpu.queue)} tasks were left on offline CPU {rq}")
    try:
        hotplug.cpu_up(cpu)
    except ValueError as error:
        raise LawBrokenError(Law.B7, str(error)) from None
    expect(Law.B7, f"whether CPU {rq} is online", online >> rq & 1, 1)


def plug_refused(world: World, rq: int, up: int, online: int) -> None:
    """Only what is so already is refused; under the CPU's lock, like its coming and going."""
    cpu = world.cpu(rq)
    expect(Law.B7, f"whether CPU {rq} is online", online >> rq & 1, int(cpu.online))
    expect(Law.B7, f"what CPU {rq} refuses (up)", up, int(cpu.online))


def v_find(world: World, task: int, rq: int, online: int) -> None:
    """A CPU is looked for: not for who may stay, and again only where the last one is lost."""
    claim = _claim(world, task)
    p = claim.task
    world.context.settle()
    expect(Law.S6, f"the CPU of task {task}", rq, p.cpu)
    searched = world.context.searched is not None
    if (claim.woken or searched) and world.cpu(rq).serves(p):
        raise LawBrokenError(Law.B5, f"task {task} may stay on CPU {rq}, and is sent elsewhere")
    if not 0 < online < 1 << world.nr_cpus:
        raise LawBrokenError(Law.S10, f"there are no such CPUs as {online:#x}")
    world.context.searched = online
    world.context.settled = False
    world.context.reads = {}


def v_load(world: World, rq: int, nr: int, load: int) -> None:
    """A load read without a lock: a hint, but for its range."""
    world.cpu(rq)
    if load > 100 or load % 10:
        raise LawBrokenError(Law.V2, f"CPU {rq} shows a load of {load}")
    world.context.reads[rq] = LoadRead(nr, load)


def v_place(world: World, task: int, rq: int, reset: int, migrated: int, jiffies: int) -> None:
    """Under the lock of the CPU that was chosen."""
    world.read_jiffies(jiffies)
    claim = _claim(world, task)
    p = claim.task
    if world.context.searched is None and not claim.woken:
        raise LawBrokenError(Law.B5, f"task {task} is placed without a look at the loads")
    world.context.settle()
    expect(Law.B5, f"the CPU that task {task} goes to", rq, p.cpu)
    expect(Law.P3, f"whether task {task} gives up its affinity", reset, int(claim.reset))
    cpu = world.cpu(rq)
    world.check_serves(p, cpu)
    context = world.context
    # A pass of schedule() that handed the task over has given up its own queue's lock for this one.
    context.operation = "v_place"
    context.claim = context.searched = None
    was = wait.arrive(claim, cpu, jiffies)
    world.cpus[world.acting].metrics.migrations += was
    expect(Law.V7, f"whether task {task} migrates", migrated, int(was))
    world.predict_arrival_kick(cpu)


def _claim(world: World, task: int) -> Claim:
    claim = world.context.claim
    if claim is None or claim.task.pid != task:
        raise LawBrokenError(Law.V3, f"CPU {world.acting} places task {task}, which is not its own")
    return claim


def set_nice(world: World, task: int, rq: int, nice: int, jiffies: int) -> None:
    p = world.task(task)
    _set_standing(world, p, rq, int(p.policy), p.rt_priority, nice, jiffies)


def set_policy(
    world: World, task: int, rq: int, policy: int, rt_priority: int, jiffies: int
) -> None:
    p = world.task(task)
    _set_standing(world, p, rq, policy, rt_priority, p.nice, jiffies)


def _set_standing(
    world: World, p: Task, rq: int, policy: int, rt_priority: int, nice: int, jiffies: int
) -> None:
    world.read_jiffies(jiffies)
    home = world.home(p, rq)
    kind = check_standing(p.pid, policy, rt_priority, nice)
    attributes.set_priority(p, home, kind, rt_priority, nice)


def check_standing(task: int, policy: int, rt_priority: int, nice: int) -> Policy:
    """The policy, if nice and real-time priority are in their ranges."""
    known = policy in set(Policy) and MIN_NICE <= nice <= MAX_NICE and 0 <= rt_priority <= MAX_RT
    if not known or (policy == Policy.NORMAL and rt_priority):
        words = f"policy {policy}, real-time priority {rt_priority}, nice {nice}"
        raise LawBrokenError(Law.S10, f"task {task} gets {words}")
    return Policy(policy)
