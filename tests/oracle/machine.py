"""What tasks do on the machine that is made of the model."""

from __future__ import annotations

from harness.model.constants import WAKE_ANY, Now, Policy, SDFlag, State, nice_to_prio
from harness.model.core import sched_setscheduler, sched_yield, set_user_nice
from harness.model.domain import Topology
from harness.model.fork import sched_exit, sched_fork, wake_up_new_task
from harness.model.load import LoadRead
from harness.model.migrate import set_cpus_allowed
from harness.model.runqueue import Runqueue, translate_time
from harness.model.task import Task
from harness.model.wake import (
    WakeStep,
    begin_wakeup,
    commit_placement,
    finish_wakeup,
    place,
    recheck_wakeup,
    wake_idle,
)
from tests.oracle.kernel import Kernel


class Machine(Kernel):
    """Actions of the task that runs on a CPU; nothing happens where none does."""

    def __init__(self, cpus: int, hz: int = 1000, topology: Topology | None = None) -> None:
        super().__init__(cpus, hz, topology)
        self.parents: dict[int, Task] = {}

    def running(self, cpu: int) -> Task | None:
        """The ordinary task on a CPU, which acts from now on."""
        self.acting = cpu
        rq = self.rqs[cpu]
        return None if rq.curr is rq.idle or self.thread_runs(rq) else rq.curr

    def sleep(self, cpu: int, state: State = State.INTERRUPTIBLE) -> None:
        if p := self.running(cpu):
            p.state = state
            self.schedule(cpu, preempt=False)
            self.settle()

    def about_to_sleep(self, cpu: int) -> None:
        """A task sets its state and is preempted before it can call schedule()."""
        if p := self.running(cpu):
            p.state = State.INTERRUPTIBLE
            self.schedule(cpu, preempt=True)
            self.settle()

    def wake(self, cpu: int, p: Task, *, sync: bool = False, irq: bool = False) -> None:
        self.acting = cpu
        self._wake(p, WAKE_ANY, sync=sync, irq=irq)
        if sync and self.running(cpu):
            self.schedule(cpu, preempt=False)
        self.settle()

    def _wake(self, p: Task, mask: State, *, sync: bool = False, irq: bool = False) -> None:
        rq = self.rqs[p.cpu]
        self.emit(
            "wake",
            task=p.pid,
            rq=p.cpu,
            mask=int(mask),
            state=int(p.state),
            queued=int(p.array is not None),
            current=int(rq.curr is p),
            sync=int(sync),
        )
        step = begin_wakeup(p, rq, mask)
        if step is WakeStep.PLACE and self._place(p, rq, sync):
            rq = self.rqs[p.cpu]
            queued = int(p.array is not None)
            self.emit("wake_moved", task=p.pid, rq=p.cpu, state=int(p.state), queued=queued)
            step = recheck_wakeup(p, rq, mask)
        if step in (WakeStep.PLACE, WakeStep.SWITCHING_OUT):
            now = self.log_activate(p, rq, irq)
            there = Now(translate_time(now.ns, self.rqs[self.acting], rq), now.jiffies)
            result = finish_wakeup(p, rq, self.acting, there, sync=sync, in_interrupt=irq)
            self.log_resched(result, rq)

    def _place(self, p: Task, rq: Runqueue, sync: bool) -> bool:
        here = self.rqs[self.acting]
        theirs = LoadRead(rq.cpu_load, rq.nr_running)
        ours = LoadRead(here.cpu_load, here.nr_running)
        last_tick = rq.timestamp_last_tick
        to = place(p, here.cpu, here.domains, last_tick, theirs, ours, sync=sync)
        self.emit(
            "place",
            task=p.pid,
            to=to.cpu,
            load=theirs.cpu_load,
            nr=theirs.nr_running,
            this_load=ours.cpu_load,
            this_nr=ours.nr_running,
            last_tick=last_tick,
        )
        return commit_placement(p, rq, to, self._idle_near(p, to.cpu))

    def _idle_near(self, p: Task, chosen: int) -> int:
        domains = self.rqs[chosen].domains
        if not any(sd.has(SDFlag.SHARE_CPUPOWER) for sd in domains):
            return chosen
        found = sum(1 << rq.cpu for rq in self.rqs if rq.curr is rq.idle)
        to = wake_idle(chosen, p, domains, found)
        self.emit("wake_idle", task=p.pid, **{"from": chosen}, to=to, found=found)
        return to

    def fork(self, cpu: int, *, clone_vm: bool = False) -> Task | None:
        parent = self.running(cpu)
        if parent is None:
            return None
        child = Task(self.next_id, "child", cpu, timestamp=self.ns)
        self.next_id += 1
        for name in ("policy", "static_prio", "prio", "rt_priority", "sleep_avg", "cpus_allowed"):
            setattr(child, name, getattr(parent, name))
        self.log_new(child, parent.pid)
        self.parents[child.pid] = parent
        now = self.now()
        self.emit("fork", task=parent.pid, child=child.pid, now=now.ns)
        if sched_fork(child, parent, now.ns):
            self.account(self.rqs[cpu])
        self._wake_new(child, parent, clone_vm)
        self.settle()
        return child

    def _wake_new(self, child: Task, parent: Task, clone_vm: bool) -> None:
        rq, here = self.rqs[child.cpu], self.rqs[self.acting]
        self.emit(
            "wake_new",
            task=child.pid,
            parent=parent.pid,
            rq=child.cpu,
            jiffies=self.jiffies,
            clone_vm=int(clone_vm),
            this_tick=here.timestamp_last_tick,
            rq_tick=rq.timestamp_last_tick,
        )
        result = wake_up_new_task(child, parent, rq, here, self.now(), clone_vm=clone_vm)
        self.log_resched(result, rq)

    def exit(self, cpu: int) -> None:
        p = self.running(cpu)
        if p is None:
            return
        parent = self.parents.get(p.pid)
        if parent is None or self.tasks.get(parent.pid) is not parent:
            self.emit("exit", task=p.pid, parent=-1, rq=0)
        else:
            self.emit("exit", task=p.pid, parent=parent.pid, rq=parent.cpu)
            sched_exit(p, parent, self.k)
        p.state = State.EXIT_DEAD
        self.schedule(cpu, preempt=False)
        del self.tasks[p.pid]
        self.ended[p.pid] = self.jiffies
        self.settle()

    def yield_(self, cpu: int) -> None:
        if p := self.running(cpu):
            self.emit("yield", task=p.pid, jiffies=self.jiffies)
            sched_yield(self.rqs[cpu], self.jiffies)
            self.schedule(cpu, preempt=False)
            self.settle()

    def nice(self, cpu: int, p: Task, nice: int) -> None:
        self.acting = cpu
        if p.static_prio != nice_to_prio(nice):
            rq = self.rqs[p.cpu]
            self.emit("set_nice", task=p.pid, rq=rq.cpu, nice=nice, jiffies=self.jiffies)
            self.log_resched(set_user_nice(p, rq, nice, cpu, self.jiffies), rq)
            self.settle()

    def set_policy(self, cpu: int, p: Task, policy: Policy, rt_priority: int) -> None:
        self.acting = cpu
        rq = self.rqs[p.cpu]
        fields = {"policy": int(policy), "rt_priority": rt_priority, "jiffies": self.jiffies}
        self.emit("set_policy", task=p.pid, rq=rq.cpu, **fields)
        self.log_resched(sched_setscheduler(p, rq, policy, rt_priority, cpu, self.jiffies), rq)
        self.settle()

    def set_cpus(self, cpu: int, p: Task, mask: int) -> None:
        """Somebody else restricts a task; the migration thread may have to move it."""
        self.acting = cpu
        rq = self.rqs[p.cpu]
        self.emit("set_cpus", task=p.pid, rq=rq.cpu, allowed=mask)
        if set_cpus_allowed(p, rq, mask, (1 << len(self.rqs)) - 1):
            assert rq.migration_thread is not None
            self._wake(rq.migration_thread, State.INTERRUPTIBLE | State.UNINTERRUPTIBLE)
        self.settle()
        assert mask >> p.cpu & 1
