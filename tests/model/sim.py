"""A machine that runs on the model alone: every CPU ticks, tasks do what they are told.

Each CPU has a migration thread, as the kernel has. After every action the whole machine is checked:
the structure rules, and that no task was lost or doubled.
"""

from __future__ import annotations

from harness.model.balance import Balance, idle_balance, rebalance_tick
from harness.model.bitmap import cpus
from harness.model.checks import check_system
from harness.model.constants import Constants, Now, Policy, State
from harness.model.core import sched_setscheduler, sched_yield, schedule, set_user_nice
from harness.model.domain import Topology
from harness.model.exit import sched_exit
from harness.model.fork import sched_fork, wake_up_new_task
from harness.model.migrate import __migrate_task, active_load_balance, set_cpus_allowed
from harness.model.runqueue import Runqueue
from harness.model.task import Task
from harness.model.tick import scheduler_tick
from harness.model.wake import Wakeup, try_to_wake_up
from tests.model.build import K, normal, put, realtime, runqueues

carry_out = __migrate_task


class Sim:
    def __init__(self, topology: Topology) -> None:
        self.k: Constants = K
        self.rqs: list[Runqueue] = runqueues(topology)
        self.online = (1 << topology.nr_cpus) - 1
        self.ns = self.jiffies = 0
        self.tasks: list[Task] = []
        self.parents: dict[int, Task] = {}
        self.pulled = 0
        for rq in self.rqs:
            thread = self._new(realtime(len(self.tasks) + 1, 0, cpu=rq.cpu))
            thread.state, thread.mm, thread.cpus_allowed = State.INTERRUPTIBLE, False, 1 << rq.cpu
            rq.migration_thread = thread
            rq.idle.need_resched = False

    @property
    def now(self) -> Now:
        return Now(self.ns, self.jiffies)

    def running(self, cpu: int) -> Task | None:
        """The ordinary task on a CPU."""
        rq = self.rqs[cpu]
        return None if rq.is_idle or rq.curr is rq.migration_thread else rq.curr

    def add(self, cpu: int, nice: int = 0, *, bonus: int = 0) -> Task:
        """A task out of nowhere, as at start-up."""
        p = self._new(normal(len(self.tasks) + 1, nice, bonus=bonus, cpu=cpu))
        put(p, self.rqs[cpu])
        self.rqs[cpu].curr.need_resched = True
        self.settle()
        return p

    def _new(self, p: Task) -> Task:
        self.tasks.append(p)
        return p

    def tick(self) -> None:
        """One jiffy: each CPU takes its tick, then reschedules where asked."""
        self.jiffies += 1
        for rq in self.rqs:
            self.ns += self.k.ns_per_jiffy // len(self.rqs)
            self._balanced(self._tick_of(rq))
            self.settle()

    def _tick_of(self, rq: Runqueue) -> list[Balance]:
        tick = scheduler_tick(rq, self.now, len(self.rqs))
        return rebalance_tick(rq, self.rqs, tick.idle, self.jiffies, len(self.rqs))

    def _balanced(self, attempts: list[Balance]) -> None:
        for attempt in attempts:
            self.pulled += len(attempt.move.pulls)
            if attempt.kick:
                self._wake_thread(self.rqs[attempt.search.busiest_cpu])

    def _wake_thread(self, rq: Runqueue) -> None:
        assert rq.migration_thread is not None
        try_to_wake_up(rq.migration_thread, self.rqs, rq.cpu, self.now)

    def schedule(self, cpu: int, *, preempt: bool = False) -> None:
        rq = self.rqs[cpu]
        schedule(
            rq,
            self.now,
            preempt=preempt,
            idle_balance=lambda: self._balanced(idle_balance(rq, self.rqs, self.jiffies)),
        )

    def settle(self) -> None:
        """Reschedule until nobody asks for it and no migration thread runs; then check."""
        while busy := [rq for rq in self.rqs if rq.curr.need_resched or self._thread_runs(rq)]:
            for rq in busy:
                if self._thread_runs(rq):
                    self._run_thread(rq)
                else:
                    self.schedule(rq.cpu, preempt=True)
        self.check()

    def _thread_runs(self, rq: Runqueue) -> bool:
        return rq.curr is rq.migration_thread

    def _run_thread(self, rq: Runqueue) -> None:
        if rq.active_balance:
            pushed = active_load_balance(rq, self.rqs, self.jiffies)
            self.pulled += sum(len(move.pulls) for _, move in pushed)
            rq.active_balance = False
        while rq.migration_queue:
            request = rq.migration_queue.pop(0)
            carry_out(request.task, rq, self.rqs[request.dest_cpu], self.now, self.online)
        rq.curr.state = State.INTERRUPTIBLE
        self.schedule(rq.cpu)

    def block(self, cpu: int, state: State = State.INTERRUPTIBLE) -> None:
        if p := self.running(cpu):
            p.state = state
            self.schedule(cpu)
            self.settle()

    def wake(self, p: Task, this_cpu: int, *, sync: bool = False) -> Wakeup:
        result = try_to_wake_up(p, self.rqs, this_cpu, self.now, sync=sync)
        if sync:
            self.schedule(this_cpu)
        self.settle()
        return result

    def wake_while_switching_out(self, cpu: int, waker: int) -> None:
        """The lock of a CPU that runs dry is dropped, and its last task woken meanwhile."""
        rq = self.rqs[cpu]
        p = self.running(cpu)
        if p is None or rq.nr_running > 1:
            return
        p.state = State.INTERRUPTIBLE
        schedule(rq, self.now, idle_balance=lambda: self._wake(p, waker))
        assert rq.curr is p
        self.settle()

    def _wake(self, p: Task, waker: int) -> None:
        try_to_wake_up(p, self.rqs, waker, self.now)

    def sleep_called_off(self, cpu: int) -> None:
        """Preempted after setting its state: it stays queued, and a wakeup only resets that."""
        if p := self.running(cpu):
            p.state = State.UNINTERRUPTIBLE
            self.schedule(cpu, preempt=True)
            self.check()
            assert not self.wake(p, cpu).woken

    def yield_(self, cpu: int) -> None:
        if self.running(cpu):
            sched_yield(self.rqs[cpu], self.jiffies)
            self.schedule(cpu)
            self.settle()

    def nice(self, p: Task, nice: int, this_cpu: int) -> None:
        set_user_nice(p, self.rqs[p.cpu], nice, this_cpu, self.jiffies)
        self.settle()

    def setscheduler(self, p: Task, policy: Policy, rt_priority: int, this_cpu: int) -> None:
        sched_setscheduler(p, self.rqs[p.cpu], policy, rt_priority, this_cpu, self.jiffies)
        self.settle()

    def set_affinity(self, p: Task, mask: int) -> None:
        rq = self.rqs[p.cpu]
        if set_cpus_allowed(p, rq, mask, self.online):
            self._wake_thread(rq)
        self.settle()
        assert p.cpu in cpus(mask)

    def fork(self, cpu: int, *, on: int | None = None, clone_vm: bool = False) -> Task | None:
        parent = self.running(cpu)
        target = cpu if on is None else on
        if parent is None or not parent.cpus_allowed >> target & 1:
            return None
        child = self._new(normal(len(self.tasks) + 1, cpu=target))
        for name in ("policy", "static_prio", "prio", "rt_priority", "sleep_avg", "cpus_allowed"):
            setattr(child, name, getattr(parent, name))
        self.parents[child.pid] = parent
        if sched_fork(child, parent, self.ns):
            self._balanced(self._tick_of(self.rqs[cpu]))
        wake_up_new_task(
            child, parent, self.rqs[target], self.rqs[cpu], self.now, clone_vm=clone_vm
        )
        self.settle()
        return child

    def exit(self, cpu: int) -> None:
        if p := self.running(cpu):
            if parent := self.parents.get(p.pid):
                sched_exit(p, parent, self.k)
            p.state = State.EXIT_DEAD
            self.schedule(cpu)
            self.tasks.remove(p)
            self.settle()

    def check(self) -> None:
        assert check_system(self.rqs, self.tasks) == []
        runnable = [p for p in self.tasks if p.state == State.RUNNING]
        queued = [p for p in self.tasks if p.array is not None]
        assert sum(rq.nr_running for rq in self.rqs) == len(queued)
        assert set(runnable) <= set(queued)
        for rq in self.rqs:
            gone = {rq.curr} - {rq.idle} - set(self.tasks)
            assert not gone, f"cpu{rq.cpu} runs {gone}, which has exited"
