"""Replay of schedule(), the tick, and what makes a CPU reschedule."""

from __future__ import annotations

from harness.model.veridian import balance, core
from harness.model.veridian.exit import ENDED
from harness.model.veridian.pick import Algorithm
from harness.model.veridian.wait import Claim
from harness.oracle.interrupts import CALL, RESCHEDULE
from harness.oracle.prediction import LawBrokenError, expect
from harness.oracle.veridian.laws import Law
from harness.oracle.veridian.world import World, state_of

CLEANUP_GRACE = 2
"""Jiffies by which the boot CPU may be late in freeing a task."""


def v_schedule(world: World, task: int, state: int, preempt: int, slice: int, jiffies: int) -> None:
    """One pass of schedule(): the model decides, the log has to follow."""
    world.read_jiffies(jiffies)
    world.check_moves(world.acting)
    cpu, prev, context = world.cpus[world.acting], world.running(task), world.context
    if context.tick_due:
        raise LawBrokenError(Law.P17, f"a tick of task {task} was not accounted")
    expect(Law.P17, f"the slice left to task {task}", slice, prev.slice)
    prev.state = state_of(state)
    if prev is cpu.idle and state:
        raise LawBrokenError(Law.S9, f"the idle task of CPU {cpu.number} is in state {state}")
    context.reschedule.done()
    decision = core.decide(cpu, jiffies, preempt=bool(preempt))
    if found := decision.comparison:
        prios = found.current_prio, found.next_prio
        world.predict("v_compare", prev.pid, found.next.pid, *prios, int(found.preempts))
    if not decision.next.idle:
        world.check_serves(decision.next, cpu)
    changed = core.commit(cpu, decision, jiffies)
    world.predict("v_pick", decision.next.pid, None, cpu.nr_running, cpu.load)
    if changed:
        world.predict("switch", prev.pid, decision.next.pid, int(decision.voluntary))
    if decision.hand_over:
        context.claim = Claim(prev, cpu.number, migrates=True)
    if prev.state in ENDED and decision.voluntary:
        world.ended.add(prev, jiffies)


def v_pick(world: World, task: int, algorithm: int, nr: int, load: int) -> None:
    """Who runs was predicted; with stealing a CPU goes idle only after it has tried that."""
    kind = world.check_algorithm(algorithm)
    cpu, context = world.cpus[world.acting], world.context
    stole, context.stole = context.stole, False
    others = any(other.online for other in world.cpus if other is not cpu)
    idles = cpu.is_idle and kind is Algorithm.ROUND_ROBIN and context.claim is None
    if idles and cpu.online and others and not stole:
        raise LawBrokenError(Law.P11, f"CPU {cpu.number} goes idle and has not tried to steal")


def v_tick(world: World, task: int, slice: int) -> None:
    """A tick of the running task."""
    p, cpu = world.running(task), world.cpus[world.acting]
    if not world.context.tick_due:
        raise LawBrokenError(Law.P17, f"task {task} pays for a tick that did not come")
    world.context.tick_due = False
    expect(Law.P17, f"the slice left to task {task}", slice, p.slice)
    if core.tick(cpu):
        world.ask(cpu.number)


def yield_(world: World, task: int, jiffies: int) -> None:
    """The running task gives up its slice."""
    world.read_jiffies(jiffies)
    world.running(task)
    core.sched_yield(world.cpus[world.acting])


def tick(world: World, n: int) -> None:
    """Any local tick: time has passed for a CPU that is to do something."""
    context, cpu = world.context, world.cpus[world.acting]
    if cpu.number == 0:
        world.ticks = n
        world.jiffies = max(world.jiffies, n)
        late = world.ended.overdue(n, CLEANUP_GRACE)
        if late is not None:
            raise LawBrokenError(Law.C7, f"task {late} should have been freed by now")
    if context.tick_due:
        raise LawBrokenError(Law.P17, f"the last tick of task {cpu.curr.pid} was not accounted")
    if context.balance_due:
        raise LawBrokenError(Law.P12, f"CPU {cpu.number} did not balance at its last tick")
    context.ticks = n
    context.tick_due = not cpu.is_idle
    context.balance_due = _balances(world, n)
    if context.reschedule.overdue(patient=world.real and cpu.is_idle):
        words = f"CPU {cpu.number} has ticked {context.reschedule.ticks} times since it was asked"
        raise LawBrokenError(Law.P8, words)


def ipi_recv(world: World, vector: int) -> None:
    """A CPU that is called by another serves that one before it reschedules."""
    if vector == CALL:
        world.context.reschedule.call()


def _balances(world: World, ticks: int) -> bool:
    cpu = world.cpus[world.acting]
    return world.nr_cpus > 1 and cpu.online and balance.due(ticks, idle=cpu.is_idle)


def v_kick(world: World, task: int, rq: int, was: int, ipi: int) -> None:
    """That it came was predicted; here is what has to become of it."""
    world.ask(rq)
    world.context.interrupts = rq if ipi else None


def cpu_online(world: World, apic: int) -> None:
    """A CPU that comes up looks at its queue first."""
    world.cpus[world.acting].idle.need_resched = True


def ipi_send(world: World, to: int, vector: int) -> None:
    """The interrupt that a kick has announced; others are not the scheduler's."""
    context = world.context
    if context.interrupts is None:
        return
    expect(Law.V6, "the interrupted CPU", to, context.interrupts)
    if vector != RESCHEDULE:
        raise LawBrokenError(
            Law.V6, f"the wake-up interrupt has vector {vector:#x}, not {RESCHEDULE:#x}"
        )
    context.interrupts = None


def switch(world: World, prev: int, next: int, voluntary: int) -> None:
    """That it came was predicted. Where the log has locks, exactly one is held now."""
    held = world.context.locks
    if world.locks_logged and held != {world.acting}:
        words = ", ".join(map(str, sorted(held))) or "none"
        raise LawBrokenError(Law.K6, f"CPU {world.acting} switches with these locks: {words}")


def lock(world: World, rq: int, how: int) -> None:
    world.locks_logged = True
    world.context.locks.add(rq)


def unlock(world: World, rq: int) -> None:
    world.context.locks.discard(rq)


def task_free(world: World, task: int, jiffies: int) -> None:
    """The slot and the stack of an ended task may be used again."""
    world.read_jiffies(jiffies)
    p = world.task(task)
    refusal = world.ended.refusal(p, jiffies, world.cpus)
    if refusal is not None:
        raise LawBrokenError(Law.C7, f"task {task} is freed, but {refusal}")
    world.ended.free(p)
    for context in world.contexts:
        if context.buries == task:
            context.buries = None
    del world.tasks[task]
    world.parents.pop(task, None)
