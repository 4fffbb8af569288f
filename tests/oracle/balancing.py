"""Load balancing on the machine that is made of the model, as a right guest does and logs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from harness.model.balance import (
    Found,
    Search,
    back_off,
    balance_due,
    begin_load_balance,
    count_failure,
    find_busiest_group,
    find_busiest_queue,
    finish_load_balance,
    request_push,
)
from harness.model.constants import IdleType, SDFlag, State
from harness.model.domain import Domain
from harness.model.fixes import Fix
from harness.model.load import LoadRead
from harness.model.migrate import (
    Move,
    Skip,
    Verdict,
    cpu_and_siblings_are_idle,
    exec_domain,
    exec_target,
    may_push,
    move_steps,
    push_targets,
    sched_migrate_task,
)
from harness.model.runqueue import Runqueue
from tests.oracle.kernel import THREAD_WAKE
from tests.oracle.waking import Waking
from tests.trace.logs import event

_REASONS = {Verdict.RUNNING: 1, Verdict.AFFINITY: 2, Verdict.CACHE_HOT: 3}
_NEWIDLE = IdleType.NEWLY_IDLE


class Balancing(Waking):
    """What ticks, schedule() and migration threads do about load."""

    when_dropped: Callable[[], None] | None = None
    """What others do when a CPU next lets its lock go to take one that comes first."""

    def read(self, cpu: int) -> LoadRead:
        rq = self.rqs[cpu]
        if rq.cpu_load or rq.nr_running:
            self.emit("load", rq=cpu, cpu_load=rq.cpu_load, nr=rq.nr_running)
        return LoadRead(rq.cpu_load, rq.nr_running)

    def rebalance(self, rq: Runqueue, idle: IdleType) -> None:
        for level, sd in enumerate(rq.domains):
            before = sd.last_balance
            if not sd.has(SDFlag.LOAD_BALANCE):
                continue
            if balance_due(sd, idle, self.jiffies, rq.cpu, len(self.rqs), self.k):
                after, sd.last_balance = sd.last_balance, before
                if self._attempt(rq, sd, level, idle):
                    idle = IdleType.NOT_IDLE
                sd.last_balance = after

    def look_for_work(self, rq: Runqueue) -> None:
        for level, sd in enumerate(rq.domains):
            if sd.has(SDFlag.BALANCE_NEWIDLE) and self._attempt(rq, sd, level, _NEWIDLE):
                return

    def _attempt(self, rq: Runqueue, sd: Domain, level: int, idle: IdleType) -> int:
        self.emit(
            "balance",
            level=level,
            type=int(idle),
            jiffies=self.jiffies,
            interval=sd.balance_interval,
            failed=sd.nr_balance_failed,
            last_balance=sd.last_balance,
        )
        fixes, move, thread_of = self.k.fixes, Move(), None
        result = self._search(rq, sd, idle)
        begin_load_balance(sd, idle, result, fixes)
        if result.found is Found.BUSIEST:
            busiest = self.rqs[result.busiest_cpu]
            single = busiest.nr_running <= 1
            if not single or (idle == _NEWIDLE and Fix.L05 not in fixes):
                move = self._take(rq, busiest, result.imbalance, sd, level, idle)
            thread_of = self._settle(rq, sd, idle, move, busiest)
        elif idle != _NEWIDLE:
            back_off(sd, fixes)
        moved = len(move.pulls)
        domain = {"interval": sd.balance_interval, "failed": sd.nr_balance_failed}
        self.emit("balanced", level=level, moved=moved, **domain)
        if thread_of is not None:
            self.wake_thread(thread_of)
        return moved

    def _search(self, rq: Runqueue, sd: Domain, idle: IdleType) -> Search:
        group, imbalance = find_busiest_group(sd, rq.cpu, idle, self.read, self.k.fixes)
        cpus = group.cpumask if group else 0
        self.emit("busiest_group", cpus=cpus, imbalance=imbalance)
        if group is None:
            return Search(Found.NO_GROUP)
        cpu = find_busiest_queue(group, self.read)
        if cpu is None or cpu == rq.cpu:
            self.emit("busiest_queue", rq=-1 if cpu is None else cpu, nr=-1)
            return Search(Found.NO_QUEUE if cpu is None else Found.SELF, imbalance)
        asks = idle != _NEWIDLE or Fix.L05 in self.k.fixes
        self.emit("busiest_queue", rq=cpu, nr=self.rqs[cpu].nr_running if asks else -1)
        return Search(Found.BUSIEST, imbalance, cpu)

    def _settle(
        self, rq: Runqueue, sd: Domain, idle: IdleType, move: Move, busiest: Runqueue
    ) -> Runqueue | None:
        """Gives the CPU whose migration thread is to be woken."""
        if idle == _NEWIDLE:
            sd.stats.lb[idle].lb_failed += not move.pulls
        elif move.pulls or (move.all_pinned and Fix.L01 in self.k.fixes):
            finish_load_balance(sd, idle, move, busiest, rq.cpu)
        elif count_failure(sd, idle):
            self.emit("push_request", rq=busiest.cpu, was=int(busiest.active_balance))
            return busiest if request_push(busiest, rq.cpu) else None
        return None

    def _take(
        self, dst: Runqueue, src: Runqueue, most: int, sd: Domain, level: int, idle: IdleType
    ) -> Move:
        self._double_lock(dst, src)
        return self._move(dst, src, most, sd, level, idle)

    def _double_lock(self, own: Runqueue, other: Runqueue) -> None:
        dropped = self.when_dropped is not None and other.cpu < own.cpu
        if dropped and self.when_dropped is not None:
            meanwhile, self.when_dropped, acting = self.when_dropped, None, self.acting
            meanwhile()
            self.acting = acting
        self.emit("double_lock", rq=other.cpu, dropped=int(dropped))

    def _move(
        self, dst: Runqueue, src: Runqueue, most: int, sd: Domain, level: int, idle: IdleType
    ) -> Move:
        dst_idle = cpu_and_siblings_are_idle(self.rqs, dst.cpu)
        fields = {"src": src.cpu, "dst": dst.cpu, "level": level, "max": most, "type": int(idle)}
        fields |= {"idle": int(dst_idle), "failed": sd.nr_balance_failed}
        fields |= {"src_tick": src.timestamp_last_tick, "dst_tick": dst.timestamp_last_tick}
        self.emit("move", **fields, jiffies=self.jiffies)
        taken = []
        at = len(self.events)
        for step in move_steps(
            dst, src, most, sd, idle, self.acting, self.jiffies, dst_idle=dst_idle
        ):
            taken.append(step)
            if isinstance(step, Skip):
                self.emit("skip", task=step.task.pid, why=_REASONS[step.reason])
            else:
                self._insert(at, "pull", task=step.task.pid, expired=int(step.expired))
                self.log_resched(step.resched, dst)
            at = len(self.events)
        move = Move.of(taken)
        self.emit("moved", nr=len(move.pulls))
        return move

    def _insert(self, at: int, name: str, **fields: int) -> None:
        """Log before what the model has already done: it tells only of what is done."""
        earlier = self.events[at]
        new = event(name, at, self.acting, earlier.ns, **fields)
        later = [old._replace(seq=old.seq + 1) for old in self.events[at:]]
        self.events[at:] = [new, *later]

    def push(self, busiest: Runqueue) -> None:
        self.emit("push", rq=busiest.cpu)
        busiest.stats.alb_cnt += 1
        for sd, cpu in push_targets(busiest):
            if not may_push(busiest):
                break
            if not cpu_and_siblings_are_idle(self.rqs, cpu):
                continue
            dst = self.rqs[cpu]
            self._double_lock(busiest, dst)
            level = busiest.domains.index(sd)
            move = self._move(dst, busiest, 1, sd, level, IdleType.SCHED_IDLE)
            busiest.stats.alb_lost += len(move.pulls)
            dst.stats.alb_gained += len(move.pulls)
            busiest.stats.alb_failed += not move.pulls
        self.emit("pushed", rq=busiest.cpu)
        busiest.active_balance = False

    def wake_thread(self, rq: Runqueue) -> None:
        assert rq.migration_thread is not None
        self.wake_now(rq.migration_thread, THREAD_WAKE)

    def exec(self, cpu: int) -> None:
        """The running task starts a new program."""
        p, rq = self.running(cpu), self.rqs[cpu]
        if p is None:
            return
        sd = exec_domain(rq, rq.nr_running)
        level = -1 if sd is None else rq.domains.index(sd)
        self.emit("exec", task=p.pid, rq=cpu, nr=rq.nr_running, level=level)
        if sd is None:
            return
        to = exec_target(rq, sd, self.read)
        self.emit("exec_to", task=p.pid, to=to)
        if to != cpu and sched_migrate_task(p, rq, to, (1 << len(self.rqs)) - 1):
            rq.migration_queue[0] = replace(rq.migration_queue[0], asker=p)
            self.wake_thread(rq)
            p.state = State.UNINTERRUPTIBLE
            self.schedule(cpu, preempt=False)
            self.settle()
