"""The model of policy `veridian`: schedule(), wake-ups, hotplug, deferred cleanup."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from harness.model.constants import WAKE_ANY, Policy, State
from harness.model.veridian import core, hotplug
from harness.model.veridian.cpu import Cpu, Kick, kick, kick_if_idle
from harness.model.veridian.exit import CLEANUP_DELAY, CleanupQueue
from harness.model.veridian.pick import Algorithm
from harness.model.veridian.queue import check_queue
from harness.model.veridian.task import TIME_SLICE, Task, idle_task
from harness.model.veridian.wait import WakeStep, begin_wakeup
from tests.veridian.actions import Step, places, play, runs
from tests.veridian.kernel import Kernel


def machine(*tasks: Task) -> Cpu:
    """A CPU on which the first task runs and the others wait."""
    cpu = Cpu(0, idle_task(0))
    for p in tasks:
        cpu.enqueue(p)
    if tasks:
        core.commit(cpu, core.decide(cpu, 0, preempt=False), 0)
    return cpu


def schedule(cpu: Cpu, jiffies: int = 0, *, preempt: bool = False) -> core.Decision:
    decision = core.decide(cpu, jiffies, preempt=preempt)
    core.commit(cpu, decision, jiffies)
    return decision


def test_equals_take_turns_of_ten_ticks() -> None:
    """D2, V02: the slice is over until schedule() has seen it."""
    kernel = Kernel(1)
    tasks = [kernel.create(0) for _ in range(3)]
    kernel.jiffy(300)
    turns = [e.number("next") for e in kernel.events if e.name == "switch"]
    assert turns[:6] == [p.pid for p in tasks] * 2
    assert {p.cpu_time for p in tasks} <= {90, 100, 110}


def test_a_task_that_does_not_preempt_stays_where_it_is() -> None:
    """D2, V01."""
    running, other = Task(1), Task(2)
    cpu = machine(running, other)
    decision = schedule(cpu)
    assert decision.next is running
    assert decision.comparison is not None
    assert not decision.comparison.preempts
    assert list(cpu.queue.tasks()) == [other]
    assert (cpu.nr_running, cpu.load) == (1, 20)


def test_better_classes_and_priorities_preempt() -> None:
    low, high, rt = Task(1), Task(2, nice=-20), Task(3, policy=Policy.FIFO, rt_priority=1)
    cpu = machine(low)
    cpu.enqueue(high)
    assert schedule(cpu).next is high
    cpu.enqueue(rt)
    assert schedule(cpu).next is rt
    assert list(cpu.queue.tasks()) == [high, low]
    assert schedule(cpu).next is rt


def test_a_long_wait_outweighs_a_better_priority() -> None:
    """UserLow waits 1,000 jiffies for what UserNormal has."""
    normal, low = Task(1), Task(2, nice=19)
    cpu = machine(normal, low)
    normal.slice = 0
    assert schedule(cpu, 999).next is normal
    normal.slice = 0
    assert schedule(cpu, 1000).next is low
    assert low.run_delay == 1000


def test_yielding_gives_up_the_slice() -> None:
    first, second = Task(1), Task(2)
    cpu = machine(first, second)
    core.sched_yield(cpu)
    assert schedule(cpu).next is second
    assert first.slice == TIME_SLICE
    alone = machine(Task(3))
    core.sched_yield(alone)
    assert schedule(alone).next is alone.curr
    assert alone.curr.slice == TIME_SLICE


def test_a_sleeper_leaves_and_one_preempted_on_its_way_waits() -> None:
    sleeper = Task(1)
    cpu = machine(sleeper)
    sleeper.state = State.INTERRUPTIBLE
    better = Task(2, nice=-20)
    cpu.enqueue(better)
    decision = schedule(cpu, preempt=True)
    assert (decision.next, decision.voluntary, sleeper.ring) == (better, False, 33)
    assert begin_wakeup(sleeper, cpu, WAKE_ANY) is WakeStep.RUNNABLE
    better.state = State.UNINTERRUPTIBLE
    decision = schedule(cpu)
    assert (decision.next, decision.voluntary) == (sleeper, True)
    assert (better.voluntary, better.involuntary) == (1, 0)
    assert begin_wakeup(better, cpu, State.INTERRUPTIBLE) is WakeStep.NOTHING
    assert begin_wakeup(better, cpu, WAKE_ANY) is WakeStep.PLACE
    assert begin_wakeup(better, cpu, WAKE_ANY) is WakeStep.NOTHING


def test_an_idle_cpu_is_kicked_once_and_a_busy_one_never() -> None:
    idle, busy = Cpu(1, idle_task(1)), machine(Task(5))
    assert kick_if_idle(busy, 1) is None
    assert [kick_if_idle(idle, 0), kick_if_idle(idle, 0)] == [Kick.IPI, Kick.PENDING]
    assert kick(busy, 0) is Kick.LOCAL


def test_a_running_task_that_may_not_stay_is_handed_over() -> None:
    kernel = Kernel(2)
    p = kernel.create(0)
    kernel.set_cpus(1, p, 2)
    assert kernel.cpus[0].is_idle
    assert kernel.cpus[1].curr is p
    assert (p.cpu, p.last_cpu, p.migrations) == (1, 0, 1)


def test_a_woken_task_returns_to_its_cpu() -> None:
    kernel = Kernel(2)
    p = kernel.create(1)
    kernel.sleep(1)
    for _ in range(3):
        kernel.create(1)
    kernel.wake(0, p)
    assert (p.cpu, p.migrations) == (1, 0)
    kernel = Kernel(2)
    p = kernel.create(1)
    kernel.sleep(1)
    kernel.set_cpus(0, p, 1)
    kernel.wake(0, p)
    assert p.cpu == 0


@pytest.mark.parametrize("algorithm", Algorithm)
def test_only_round_robin_steals(algorithm: Algorithm) -> None:
    kernel = Kernel(2, algorithm)
    kernel.create(1)
    for _ in range(3):
        kernel.create(0)
    kernel.sleep(1)
    stolen = any(e.name == "v_migrated" for e in kernel.events)
    assert stolen is (algorithm is Algorithm.ROUND_ROBIN)


def test_unplugging_keeps_every_task() -> None:
    kernel = Kernel(3)
    tasks = [kernel.create(1) for _ in range(6)]
    pinned = kernel.create(1, allowed=2)
    kernel.cpu_down(1)
    assert len(kernel.cpus[1].queue) == 0
    assert kernel.cpus[1].is_idle
    assert all(len(places(kernel, p)) == 1 for p in (*tasks, pinned))
    assert {p.cpu for p in tasks} == {0, 2}
    # Its affinity named no other CPU.
    assert pinned.may_use(0)
    kernel.cpu_up(1)
    assert kernel.cpus[1].online


def test_cpus_come_and_go_in_turn() -> None:
    boot, other = Cpu(0, idle_task(0)), Cpu(1, idle_task(1))
    with pytest.raises(ValueError, match="CPU 0"):
        hotplug.cpu_down(boot)
    with pytest.raises(ValueError, match="online"):
        hotplug.cpu_up(other)
    assert not hotplug.cpu_down(other)
    with pytest.raises(ValueError, match="CPU 1"):
        hotplug.cpu_down(other)


def test_cleanup_is_never_early_never_twice_never_of_a_current_task() -> None:
    cpu, p = Cpu(0, idle_task(0)), Task(7)
    queue = CleanupQueue()
    assert "not ended" in str(queue.refusal(p, 10**6, [cpu]))
    queue.add(p, 1000)
    early = queue.refusal(p, 1000 + CLEANUP_DELAY - 1, [cpu])
    assert early == "that is 99 jiffies after its end, 100 are due"
    cpu.curr = p
    assert queue.refusal(p, 1100, [cpu]) == "it still runs or waits"
    cpu.curr = cpu.idle
    assert queue.refusal(p, 1100, [cpu]) is None
    queue.free(p)
    assert "not ended" in str(queue.refusal(p, 1200, [cpu]))


def test_who_is_not_freed_in_time_is_named() -> None:
    queue = CleanupQueue()
    queue.add(Task(7), 49)
    assert queue.overdue(10**6, grace=2) is None
    queue.note_queued(7, 50)
    assert queue.overdue(152, grace=2) is None
    assert queue.overdue(153, grace=2) == 7


@settings(max_examples=80, deadline=None)
@given(runs)
def test_every_task_is_always_in_one_place(run: tuple[int, Algorithm, list[Step]]) -> None:
    """Conservation, under everything that can happen, hot-unplug included."""
    kernel = play(*run)
    for p in kernel.tasks.values():
        assert len(places(kernel, p)) == 1, places(kernel, p)
    for cpu in kernel.cpus:
        assert not list(check_queue(cpu.queue))
        assert cpu.nr_running == len(cpu.queue)
        assert cpu.load == min(10 * (cpu.nr_running + (not cpu.is_idle)), 100)
        for p in (cpu.curr, *cpu.queue.tasks()):
            assert p.idle or cpu.serves(p)
        # Nobody idles over tasks of its own, and nobody waits for a CPU that is gone.
        assert not (cpu.is_idle and len(cpu.queue))


@settings(max_examples=40, deadline=None)
@given(runs)
def test_times_add_up(run: tuple[int, Algorithm, list[Step]]) -> None:
    kernel = play(*run)
    for p in kernel.tasks.values():
        assert 0 <= p.cpu_time + p.run_delay <= kernel.jiffies
        assert p.pcnt >= p.voluntary + p.involuntary - 1
        assert 0 <= p.slice <= TIME_SLICE
    total = sum(cpu.metrics.migrations for cpu in kernel.cpus)
    assert total >= sum(p.migrations for p in kernel.tasks.values())
