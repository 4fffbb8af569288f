"""A kernel made of the model, and the log that a right guest would write.

Everything is logged as it happens: run queues tell of every change when it is made, the rest is
logged where the guest's code has its EVENT. What tasks do is in tests.oracle.machine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from harness.model.array import Change, PrioArray
from harness.model.constants import Constants, IdleType, Now, Policy, State, nice_to_prio
from harness.model.core import commit, decide, put_prev
from harness.model.domain import Topology, build_domains, flat
from harness.model.fixes import NO_FIXES, Fixes
from harness.model.load import decayed_load
from harness.model.prio import expired_starving, task_interactive, task_timeslice
from harness.model.resched import Resched, preempt_curr
from harness.model.runqueue import Runqueue, deactivate_task, translate_time
from harness.model.runqueue import __activate_task as queue_active_task
from harness.model.stats import numbers
from harness.model.task import Task, idle_task
from harness.model.tick import scheduler_tick
from harness.model.wake import activate_task
from harness.trace.grammar import Event, Value, event_type
from harness.trace.trace import Trace
from tests.oracle.domains import log_domains
from tests.trace.logs import BUILD, event

STEP_NS = 200
FREED_AFTER = 100
RESCHEDULE = 0xFC
THREAD_WAKE = State.INTERRUPTIBLE | State.UNINTERRUPTIBLE

SCHEDSTAT = [field.name for field in event_type("schedstat").fields]

_AT = {Change.ENQUEUE_TAIL: 0, Change.ENQUEUE_HEAD: 1, Change.ENQUEUE_BEFORE: 2}


class Kernel(ABC):
    """Some CPUs, each with a migration thread, and the log so far in ``events``."""

    def __init__(
        self,
        cpus: int,
        hz: int = 1000,
        topology: Topology | None = None,
        fixes: Fixes = NO_FIXES,
    ) -> None:
        self.k = Constants(hz, fixes)
        self.events: list[Event] = []
        self.ns = self.jiffies = 0
        self.ticks = [0] * cpus
        self.acting = 0
        self.in_tick = False
        levels = (topology or flat(cpus)).levels()
        self.rqs = [
            Runqueue(cpu, self.k, idle_task(cpu, cpu), build_domains(levels, cpu))
            for cpu in range(cpus)
        ]
        self.tasks: dict[int, Task] = {}
        self.ended: dict[int, int] = {}
        self.next_id = cpus
        self.emit("hello", proto=1, build=BUILD, policy="o1", cpus=cpus, hz=hz, clock="virtual")
        if fixes:
            self.emit("fixes", mask=sum(1 << fix for fix in fixes))
        log_domains(self.emit, self.rqs)
        for rq in self.rqs:
            for array in rq.arrays:
                array.observer = self._observer(rq)
        for cpu in range(cpus):
            rt = self.create(
                cpu,
                policy=Policy.FIFO,
                rt_priority=99,
                allowed=1 << cpu,
                mm=False,
                name=f"migration/{cpu}",
            )
            self.rqs[cpu].migration_thread = rt
            self.settle()

    def emit(self, name: str, /, **fields: Value) -> None:
        self.ns += STEP_NS
        seq = len(self.events)
        self.events.append(event(name, seq, self.acting, self.ns, **fields))

    def now(self) -> Now:
        return Now(self.ns, self.jiffies)

    def _observer(self, rq: Runqueue) -> Callable[[Change, Task, PrioArray], None]:
        def observe(change: Change, p: Task, array: PrioArray) -> None:
            where = {"task": p.pid, "rq": rq.cpu, "prio": p.prio, "array": int(array is rq.expired)}
            if change is Change.DEQUEUE:
                self.emit("dequeue", **where)
            elif change is Change.REQUEUE:
                self.emit("requeue", **where)
            else:
                if self.in_tick:
                    self._log_expire(rq, p, array)
                self.emit("enqueue", **where, at=_AT[change])

        return observe

    def _log_expire(self, rq: Runqueue, p: Task, array: PrioArray) -> None:
        self.emit(
            "expire",
            task=p.pid,
            to=int(array is rq.expired),
            prio=p.prio,
            slice=p.time_slice,
            interactive=int(task_interactive(p)),
            starving=int(expired_starving(rq, self.jiffies)),
            since=rq.expired_timestamp,
            best=rq.best_expired_prio,
        )

    def log_resched(self, result: Resched | None, rq: Runqueue) -> None:
        if result is None:
            return
        was, ipi = int(result is Resched.PENDING), int(result is Resched.IPI)
        self.emit("resched", task=rq.curr.pid, rq=rq.cpu, was=was, polling=0, ipi=ipi)
        if ipi:
            self.emit("ipi_send", to=rq.cpu, vector=RESCHEDULE)

    def create(
        self,
        cpu: int,
        *,
        nice: int = 0,
        policy: Policy = Policy.NORMAL,
        rt_priority: int = 0,
        allowed: int = 2**64 - 1,
        mm: bool = True,
        name: str = "task",
    ) -> Task:
        """A task that nobody forks, created by the acting CPU."""
        p = Task(self.next_id, name, cpu, policy=policy, rt_priority=rt_priority, mm=mm)
        self.next_id += 1
        p.cpus_allowed, p.static_prio = allowed, nice_to_prio(nice)
        p.prio = p.static_prio if policy == Policy.NORMAL else 99 - rt_priority
        p.time_slice, p.timestamp = task_timeslice(p, self.k), self.ns
        self.log_new(p, -1)
        rq = self.rqs[cpu]
        self.emit("start", task=p.pid, rq=cpu, jiffies=self.jiffies)
        queue_active_task(p, rq, self.jiffies)
        self.log_resched(preempt_curr(p, rq, self.acting), rq)
        return p

    def log_new(self, p: Task, parent: int) -> None:
        self.tasks[p.pid] = p
        self.emit(
            "task_new",
            task=p.pid,
            name=p.name,
            cpu=p.cpu,
            policy=int(p.policy),
            nice=p.static_prio - 120,
            rt_priority=p.rt_priority,
            allowed=p.cpus_allowed,
            mm=int(p.mm),
            parent=parent,
            now=p.timestamp,
        )

    def tick(self, cpu: int) -> None:
        """A timer interrupt, and what a CPU does on its way out of it."""
        self.acting = cpu
        rq = self.rqs[cpu]
        self.ticks[cpu] += 1
        self.jiffies += cpu == 0
        self.emit("tick", n=self.ticks[cpu])
        self.account(rq)
        self.settle()

    def account(self, rq: Runqueue) -> None:
        now, p = self.now(), rq.curr
        if p is not rq.idle:
            left = p.time_slice
            self.emit("account", task=p.pid, now=now.ns, jiffies=now.jiffies, slice=left)
        self.in_tick = True
        tick = scheduler_tick(rq, now, len(self.rqs))
        self.in_tick = False
        load = decayed_load(rq.cpu_load, rq.nr_running)
        if load != rq.cpu_load:
            rq.cpu_load = load
            self.emit("cpu_load", nr=rq.nr_running, load=load)
        self.rebalance(rq, tick.idle)

    @abstractmethod
    def rebalance(self, rq: Runqueue, idle: IdleType) -> None:
        """What a tick does about load."""

    @abstractmethod
    def look_for_work(self, rq: Runqueue) -> None:
        """What a CPU does that has nothing left to run."""

    @abstractmethod
    def wake_now(self, p: Task, mask: State) -> None:
        """The acting CPU wakes a task."""

    @abstractmethod
    def push(self, busiest: Runqueue) -> None:
        """What a migration thread does that was asked to push."""

    def jiffy(self) -> None:
        """A tick on every CPU."""
        self.ns += self.k.ns_per_jiffy
        for rq in self.rqs:
            self.tick(rq.cpu)
        due = [task for task, end in self.ended.items() if self.jiffies - end >= FREED_AFTER]
        for task in due:
            del self.ended[task]
            self.emit("task_free", task=task, jiffies=self.jiffies)

    def schedule(self, cpu: int, *, preempt: bool) -> None:
        self.acting = cpu
        rq = self.rqs[cpu]
        prev, now = rq.curr, self.now()
        self.emit(
            "schedule",
            task=prev.pid,
            now=now.ns,
            jiffies=now.jiffies,
            state=int(prev.state),
            preempt=int(preempt),
            sleep_avg=prev.sleep_avg,
        )
        departure = put_prev(rq, now.ns, preempt=preempt)
        if not rq.nr_running:
            self.look_for_work(rq)
        decision = decide(rq, now.ns)
        if decision.swap:
            self.emit("swap", rq=cpu)
        next, prio = decision.next, decision.next.prio
        changed = commit(rq, departure, decision, now)
        self.emit("pick", task=next.pid, prio=prio, running=rq.nr_running)
        if changed:
            self.emit("switch", prev=prev.pid, next=next.pid, voluntary=int(departure.voluntary))

    def settle(self) -> None:
        """Every CPU does what it was asked to, until no migration thread has work."""
        asked = [rq for rq in self.rqs if rq.curr.need_resched or self.thread_runs(rq)]
        while asked:
            for rq in asked:
                if self.thread_runs(rq):
                    self._run_thread(rq)
                else:
                    self.schedule(rq.cpu, preempt=rq.curr is not rq.idle)
            asked = [rq for rq in self.rqs if rq.curr.need_resched or self.thread_runs(rq)]

    def thread_runs(self, rq: Runqueue) -> bool:
        return rq.curr.policy == Policy.FIFO and rq.curr.rt_priority == 99

    def _run_thread(self, rq: Runqueue) -> None:
        self.acting = rq.cpu
        if rq.active_balance:
            self.push(rq)
        if not rq.migration_queue:
            rq.curr.state = State.INTERRUPTIBLE
            self.schedule(rq.cpu, preempt=False)
            return
        request = rq.migration_queue.pop(0)
        self._migrate(rq, request.task, self.rqs[request.dest_cpu])
        if request.asker:
            self.wake_now(request.asker, State.UNINTERRUPTIBLE)

    def _migrate(self, src: Runqueue, p: Task, dst: Runqueue) -> None:
        queued = p.array is not None
        gone = p.cpu != src.cpu
        fields = {"src": src.cpu, "dst": dst.cpu, "result": int(gone), "queued": int(queued)}
        fields |= {"src_tick": src.timestamp_last_tick, "dst_tick": dst.timestamp_last_tick}
        self.emit("migrate", task=p.pid, **fields)
        if gone:
            return
        if queued:
            deactivate_task(p, src)
        p.cpu = dst.cpu
        if queued:
            now = self.log_activate(p, dst, irq=False)
            p.timestamp = translate_time(p.timestamp, src, dst)
            activate_task(p, dst, Now(translate_time(now.ns, src, dst), now.jiffies))
            self.log_resched(preempt_curr(p, dst, src.cpu), dst)

    def log_activate(self, p: Task, rq: Runqueue, irq: bool) -> Now:
        now = self.now()
        self.emit(
            "activate",
            task=p.pid,
            rq=rq.cpu,
            now=now.ns,
            jiffies=now.jiffies,
            irq=int(irq),
            this_tick=self.rqs[self.acting].timestamp_last_tick,
            rq_tick=rq.timestamp_last_tick,
        )
        return now

    def _log_balancing(self, rq: Runqueue) -> None:
        for level, sd in enumerate(rq.domains):
            names = [field.name for field in event_type("schedstat_domain").fields][1:]
            counters = dict(zip(names, numbers(sd.stats), strict=True))
            self.emit("schedstat_domain", level=level, **counters)
        names = [field.name for field in event_type("schedstat_moves").fields]
        moves = [n for pull in rq.stats.pt for n in (pull.pt_gained, pull.pt_lost)]
        self.emit("schedstat_moves", **dict(zip(names, moves, strict=True)))

    def finish(self) -> Trace:
        """Stop and log the totals."""
        for rq in self.rqs:
            self.acting = rq.cpu
            stats = {name: getattr(rq.stats, name) for name in SCHEDSTAT}
            self.emit("schedstat", **stats)
            self._log_balancing(rq)
            self.emit("uninterruptible", rq=rq.cpu, nr=rq.nr_uninterruptible)
            switches = sum(e.name == "switch" and e.cpu == rq.cpu for e in self.events)
            self.emit("cpu_summary", ticks=self.ticks[rq.cpu], switches=switches)
        self.acting = 0
        for p in self.tasks.values():
            self.log_totals(p)
        self.emit("end", events=len(self.events) + 1, dropped=0, result="pass")
        return Trace(tuple(self.events))

    def log_totals(self, p: Task) -> None:
        """What a task comes to, when it is over."""
        info = p.sched_info
        totals = {"cpu_time": info.cpu_time, "run_delay": info.run_delay, "pcnt": info.pcnt}
        self.emit("task_summary", task=p.pid, nvcsw=p.nvcsw, nivcsw=p.nivcsw, **totals)
