"""schedule(), the switch and the tick (fact sheet B4)."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.constants import State
from harness.model.veridian.cpu import Cpu
from harness.model.veridian.pick import pick_next
from harness.model.veridian.priority import effective_priority, should_preempt
from harness.model.veridian.task import TIME_SLICE, Task


@dataclass(frozen=True, slots=True)
class Comparison:
    """The running task against the next one, by effective priorities."""

    next: Task
    current_prio: int
    next_prio: int
    preempts: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What schedule() is going to do."""

    next: Task
    comparison: Comparison | None
    """None where one of the two was missing."""
    requeue: bool
    """The running task goes back to its ring."""
    hand_over: bool
    """It stays runnable and may not run here: whoever runs next sends it elsewhere."""
    voluntary: bool
    """It goes to sleep, or has ended."""


def decide(cpu: Cpu, jiffies: int, *, preempt: bool) -> Decision:
    """The pick. A task preempted before it could act on its new state is still runnable."""
    prev = cpu.curr
    voluntary = prev.state != State.RUNNING and not preempt
    next = pick_next(cpu)
    if prev is cpu.idle or voluntary or not cpu.serves(prev):
        hand_over = prev is not cpu.idle and not voluntary
        return Decision(next or cpu.idle, None, False, hand_over, voluntary)
    if next is None:
        return Decision(prev, None, False, False, False)
    comparison = compare(prev, next, jiffies)
    goes = comparison.preempts
    return Decision(next if goes else prev, comparison, goes, False, False)


def compare(prev: Task, next: Task, jiffies: int) -> Comparison:
    """The running task has no boost: it does not wait."""
    mine = effective_priority(prev, 0)
    theirs = effective_priority(next, jiffies - next.since)
    preempts = should_preempt(prev.sched_class, mine, prev.slice, next.sched_class, theirs)
    return Comparison(next, mine, theirs, preempts)


def commit(cpu: Cpu, decision: Decision, jiffies: int) -> bool:
    """Do it; gives whether the CPU changes to another task."""
    prev, next = cpu.curr, decision.next
    prev.need_resched = False
    cpu.metrics.calls += 1
    cpu.metrics.idle += next is cpu.idle
    cpu.metrics.blocks += decision.voluntary
    if prev.slice == 0:
        prev.slice = TIME_SLICE
    if next is prev:
        cpu.update_load()
        return False
    if decision.requeue:
        cpu.enqueue(prev)
    if next is not cpu.idle:
        cpu.dequeue(next)
    cpu.curr = next
    cpu.update_load()
    _account(cpu, prev, next, decision, jiffies)
    return True


def _account(cpu: Cpu, prev: Task, next: Task, decision: Decision, jiffies: int) -> None:
    """Switches count for the task that leaves (D2, V28)."""
    cpu.metrics.switches += 1
    cpu.metrics.voluntary += decision.voluntary
    prev.voluntary += decision.voluntary
    prev.involuntary += not decision.voluntary
    if prev is not cpu.idle:
        prev.cpu_time += jiffies - prev.arrival
        prev.since = jiffies
    if next is not cpu.idle:
        next.run_delay += jiffies - next.since
        next.pcnt += 1
        next.arrival = jiffies


def tick(cpu: Cpu) -> bool:
    """A tick of the running task; gives whether its slice is over, and it is to reschedule.

    The slice stays at 0 until schedule() has looked at it (D2, V02).
    """
    p = cpu.curr
    if p.slice > 0:
        p.slice -= 1
    if p.slice == 0:
        p.need_resched = True
    return p.slice == 0


def sched_yield(cpu: Cpu) -> None:
    """The running task gives up the rest of its slice; schedule() follows."""
    cpu.curr.slice = 0
