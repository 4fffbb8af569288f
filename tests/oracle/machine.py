"""What tasks do on the machine that is made of the model."""

from __future__ import annotations

from harness.model.constants import WAKE_ANY, Policy, State, nice_to_prio
from harness.model.core import sched_setscheduler, sched_yield, set_user_nice
from harness.model.domain import Topology
from harness.model.exit import sched_exit
from harness.model.fixes import NO_FIXES, Fixes
from harness.model.fork import sched_fork, wake_up_new_task
from harness.model.migrate import set_cpus_allowed
from harness.model.task import Task
from tests.oracle.balancing import Balancing


class Machine(Balancing):
    """Actions of the task that runs on a CPU; nothing happens where none does."""

    def __init__(
        self,
        cpus: int,
        hz: int = 1000,
        topology: Topology | None = None,
        fixes: Fixes = NO_FIXES,
    ) -> None:
        super().__init__(cpus, hz, topology, fixes)
        self.parents: dict[int, Task] = {}

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
        self.wake_now(p, WAKE_ANY, sync=sync, irq=irq)
        if sync and self.running(cpu):
            self.schedule(cpu, preempt=False)
        self.settle()

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
        self.log_totals(p)
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
        self.set_cpus_now(cpu, p, mask)
        self.settle()
        assert mask >> p.cpu & 1

    def set_cpus_now(self, cpu: int, p: Task, mask: int) -> None:
        """Without waiting for the migration thread."""
        self.acting = cpu
        rq = self.rqs[p.cpu]
        self.emit("set_cpus", task=p.pid, rq=rq.cpu, allowed=mask)
        if set_cpus_allowed(p, rq, mask, (1 << len(self.rqs)) - 1):
            self.wake_thread(rq)
