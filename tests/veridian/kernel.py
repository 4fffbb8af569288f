"""A kernel made of the model, and the log that a right guest of policy `veridian` would write."""

from __future__ import annotations

from harness.model.constants import WAKE_ANY, Policy, State
from harness.model.veridian import attributes, balance, core, hotplug
from harness.model.veridian.attributes import AffinityStep
from harness.model.veridian.cpu import Change, Cpu, Kick, kick, kick_if_idle
from harness.model.veridian.exit import CLEANUP_DELAY
from harness.model.veridian.load import NOTHING, LoadRead, cpus_of, find_cpu
from harness.model.veridian.pick import Algorithm, find_victim
from harness.model.veridian.task import ALL_CPUS, Task, idle_task
from harness.model.veridian.wait import Claim, WakeStep, arrive, begin_wakeup
from harness.trace.grammar import Event, Value, event_type
from harness.trace.trace import Trace
from tests.trace.logs import BUILD, event

STEP_NS = 200
RESCHEDULE = 0xFC
JIFFY_NS = 1_000_000

COUNTERS = [field.name for field in event_type("v_cpu").fields]


class Kernel:
    """Some CPUs, and the log so far in ``events``. Actions are those of the task that runs."""

    def __init__(self, cpus: int, algorithm: Algorithm = Algorithm.PRIORITY) -> None:
        self.algorithm = algorithm
        self.events: list[Event] = []
        self.ns = self.jiffies = 0
        self.ticks = [0] * cpus
        self.acting = 0
        self.cpus = [Cpu(number, idle_task(number)) for number in range(cpus)]
        self.tasks: dict[int, Task] = {}
        self.ended: dict[int, int] = {}
        self.interrupted: set[int] = set()
        self.next_id = cpus
        names: dict[str, Value] = {"policy": "veridian", "clock": "virtual", "build": BUILD}
        self.emit("hello", proto=1, cpus=cpus, hz=1000, **names)
        for cpu in self.cpus:
            cpu.observer = self._observe

    @property
    def online(self) -> int:
        return sum(1 << cpu.number for cpu in self.cpus if cpu.online)

    def emit(self, name: str, /, **fields: Value) -> None:
        self.ns += STEP_NS
        self.events.append(event(name, len(self.events), self.acting, self.ns, **fields))

    def _observe(self, change: Change, p: Task, ring: int) -> None:
        cpu = self.cpus[p.cpu]
        self.emit(
            change.value, task=p.pid, rq=cpu.number, ring=ring, nr=cpu.nr_running, load=cpu.load
        )

    def log_kick(self, cpu: Cpu, curr: Task, how: Kick | None) -> None:
        if how is None:
            return
        was, ipi = int(how is Kick.PENDING), int(how is Kick.IPI)
        self.cpus[self.acting].metrics.ipis += ipi
        self.emit("v_kick", task=curr.pid, rq=cpu.number, was=was, ipi=ipi)
        if ipi:
            self.emit("ipi_send", to=cpu.number, vector=RESCHEDULE)
            self.interrupted.add(cpu.number)

    def log_arrival(self, cpu: Cpu) -> None:
        curr = cpu.curr
        self.log_kick(cpu, curr, kick_if_idle(cpu, self.acting))

    def create(
        self,
        cpu: int,
        *,
        nice: int = 0,
        policy: Policy = Policy.NORMAL,
        rt_priority: int = 0,
        allowed: int = ALL_CPUS,
    ) -> Task:
        """A task that nobody forks, created by the acting CPU."""
        p = Task(self.next_id, "task", cpu, policy, nice, rt_priority, allowed=allowed)
        self.log_new(p, -1)
        self.emit("start", task=p.pid, rq=cpu, jiffies=self.jiffies)
        p.since = self.jiffies
        self.cpus[cpu].enqueue(p)
        self.log_arrival(self.cpus[cpu])
        self.settle()
        return p

    def log_new(self, p: Task, parent: int) -> None:
        self.next_id += 1
        self.tasks[p.pid] = p
        standing: dict[str, Value] = {
            "policy": int(p.policy),
            "nice": p.nice,
            "rt_priority": p.rt_priority,
        }
        who: dict[str, Value] = {"task": p.pid, "name": p.name, "cpu": p.cpu, "parent": parent}
        self.emit("task_new", **who, **standing, allowed=p.allowed)

    def jiffy(self, count: int = 1) -> None:
        """So many ticks on every CPU."""
        for _ in range(count):
            self.ns += JIFFY_NS
            for cpu in self.cpus:
                self._tick(cpu)
            self.acting = 0
            for task, end in list(self.ended.items()):
                if self.jiffies - end >= CLEANUP_DELAY:
                    del self.ended[task]
                    self.emit("task_free", task=task, jiffies=self.jiffies)

    def _tick(self, cpu: Cpu) -> None:
        self.acting = cpu.number
        self.ticks[cpu.number] += 1
        self.jiffies += cpu.number == 0
        self.emit("tick", n=self.ticks[cpu.number])
        idle = cpu.is_idle
        if not idle:
            self.emit("v_tick", task=cpu.curr.pid, slice=cpu.curr.slice)
            core.tick(cpu)
        if len(self.cpus) > 1 and cpu.online and balance.due(self.ticks[cpu.number], idle=idle):
            self.balance()
        self.settle()

    def settle(self) -> None:
        """Every CPU does what it was asked to."""
        while asked := [cpu for cpu in self.cpus if cpu.curr.need_resched]:
            for cpu in asked:
                self.acting = cpu.number
                if cpu.number in self.interrupted:
                    self.interrupted.discard(cpu.number)
                    self.emit("ipi_recv", vector=RESCHEDULE)
                self.schedule(cpu, preempt=not cpu.is_idle)

    def schedule(self, cpu: Cpu, *, preempt: bool) -> None:
        self.acting = cpu.number
        prev = cpu.curr
        leaves = prev.state != State.RUNNING and not preempt
        if self.algorithm is Algorithm.ROUND_ROBIN and (leaves or cpu.is_idle):
            self._steal(cpu)
        states = {"state": int(prev.state), "preempt": int(preempt), "slice": prev.slice}
        self.emit("v_schedule", task=prev.pid, **states, jiffies=self.jiffies)
        decision = core.decide(cpu, self.jiffies, preempt=preempt)
        if found := decision.comparison:
            prios = {"task_prio": found.current_prio, "next_prio": found.next_prio}
            who = {"task": prev.pid, "next": found.next.pid}
            self.emit("v_compare", **who, **prios, preempt=int(found.preempts))
        changed = core.commit(cpu, decision, self.jiffies)
        shown = {"task": cpu.curr.pid, "algorithm": int(self.algorithm)}
        self.emit("v_pick", **shown, nr=cpu.nr_running, load=cpu.load)
        if changed:
            both = {"prev": prev.pid, "next": cpu.curr.pid}
            self.emit("switch", **both, voluntary=int(decision.voluntary))
        if decision.hand_over:
            self.place(Claim(prev, cpu.number, migrates=True))

    def _steal(self, cpu: Cpu) -> None:
        if len(cpu.queue) or not cpu.online:
            return
        self.emit("v_steal", online=self.online)
        reads = self.log_loads()
        victim = find_victim(cpu.number, self.online, reads)
        self.emit("v_victim", rq=-1 if victim is None else victim)
        if victim is not None:
            self.migrate(victim, cpu.number, 1)

    def log_loads(self) -> dict[int, LoadRead]:
        reads = {
            number: LoadRead(self.cpus[number].nr_running, self.cpus[number].load)
            for number in cpus_of(self.online)
        }
        for number, read in reads.items():
            if read != NOTHING:
                self.emit("v_load", rq=number, nr=read.nr, load=read.load)
        return reads

    def balance(self) -> None:
        self.emit("v_balance", jiffies=self.jiffies, online=self.online)
        found = balance.balance_load(self.online, self.log_loads())
        who = {"busiest": found.busiest, "idlest": found.idlest}
        loads = {"max": found.max_load, "min": found.min_load}
        self.emit("v_balanced", **who, **loads, count=found.count)
        if found.count and self.migrate(found.busiest, found.idlest, found.count):
            self.cpus[self.acting].metrics.balances += 1

    def migrate(self, src: int, dst: int, count: int) -> int:
        self.emit("v_migrate", src=src, dst=dst, count=count)
        source, target = self.cpus[src], self.cpus[dst]
        moved = len(balance.migrate_tasks(source, target, count))
        steals = self.events_since("v_victim", "v_balanced") == "v_victim"
        if moved and not steals:
            self.log_arrival(target)
        self.cpus[self.acting].metrics.migrations += moved
        self.emit("v_migrated", moved=moved)
        return moved

    def events_since(self, *names: str) -> str:
        """The last event of these names."""
        return next(e.name for e in reversed(self.events) if e.name in names)

    def place(self, claim: Claim) -> None:
        p, home = claim.task, self.cpus[claim.origin]
        target = home
        if not (claim.woken and home.serves(p)):
            self.emit("v_find", task=p.pid, rq=home.number, online=self.online)
            found = find_cpu(p, self.online, self.log_loads())
            if found.reset:
                p.allowed, claim.reset = ALL_CPUS, True
            target = self.cpus[found.cpu]
        index = len(self.events)
        self.emit("v_place", task=p.pid, rq=target.number, jiffies=self.jiffies)
        migrated = arrive(claim, target, self.jiffies)
        self.cpus[self.acting].metrics.migrations += migrated
        flags = {"reset": int(claim.reset), "migrated": int(migrated)}
        fields = {**self.events[index].fields, **flags}
        self.events[index] = self.events[index]._replace(values=tuple(fields.values()))
        self.log_arrival(target)

    def running(self, cpu: int) -> Task | None:
        """The ordinary task on a CPU, which acts from now on."""
        self.acting = cpu
        return None if self.cpus[cpu].is_idle else self.cpus[cpu].curr

    def sleep(self, cpu: int) -> None:
        if p := self.running(cpu):
            p.state = State.INTERRUPTIBLE
            self.schedule(self.cpus[cpu], preempt=False)
            self.settle()

    def about_to_sleep(self, cpu: int) -> None:
        """A task sets its state and is preempted before it can call schedule()."""
        if p := self.running(cpu):
            p.state = State.INTERRUPTIBLE
            self.schedule(self.cpus[cpu], preempt=True)
            self.settle()

    def wake(self, cpu: int, p: Task) -> None:
        self.acting = cpu
        home = self.cpus[p.cpu]
        seen = {"state": int(p.state), "queued": int(p.ring is not None)}
        current = int(home.curr is p)
        self.emit("v_wake", task=p.pid, rq=p.cpu, mask=int(WAKE_ANY), **seen, current=current)
        if begin_wakeup(p, home, WAKE_ANY) is WakeStep.PLACE:
            self.cpus[cpu].metrics.wakeups += 1
            self.place(Claim(p, p.cpu, woken=True))
        self.settle()

    def fork(self, cpu: int) -> Task | None:
        parent = self.running(cpu)
        if parent is None:
            return None
        child = Task(self.next_id, "child", cpu, parent.policy, parent.nice, parent.rt_priority)
        child.allowed = parent.allowed
        self.log_new(child, parent.pid)
        self.emit("v_fork", task=child.pid, parent=parent.pid, rq=cpu)
        self.place(Claim(child, cpu))
        self.settle()
        return child

    def end(self, cpu: int) -> None:
        """The running task exits."""
        if p := self.running(cpu):
            p.state = State.EXIT_DEAD
            del self.tasks[p.pid]
            self.ended[p.pid] = self.jiffies
            self.schedule(self.cpus[cpu], preempt=False)
            self.log_totals(p)
            self.settle()

    def yield_(self, cpu: int) -> None:
        if p := self.running(cpu):
            self.emit("yield", task=p.pid, jiffies=self.jiffies)
            core.sched_yield(self.cpus[cpu])
            self.schedule(self.cpus[cpu], preempt=False)
            self.settle()

    def nice(self, cpu: int, p: Task, nice: int) -> None:
        self.acting = cpu
        self.emit("set_nice", task=p.pid, rq=p.cpu, nice=nice, jiffies=self.jiffies)
        attributes.set_priority(p, self.cpus[p.cpu], p.policy, p.rt_priority, nice)

    def set_cpus(self, cpu: int, p: Task, allowed: int) -> None:
        self.acting = cpu
        home = self.cpus[p.cpu]
        where = {"queued": int(p.ring is not None), "current": int(home.curr is p)}
        self.emit("v_set_cpus", task=p.pid, rq=p.cpu, allowed=allowed, **where)
        step = attributes.set_cpus(p, home, allowed)
        if step is AffinityStep.PLACE:
            self.place(Claim(p, home.number, migrates=True))
        elif step is AffinityStep.LEAVE:
            curr = home.curr
            self.log_kick(home, curr, kick(home, cpu))
        self.settle()

    def cpu_down(self, number: int) -> None:
        self.acting = 0
        cpu = self.cpus[number]
        leaves = hotplug.cpu_down(cpu)
        self.emit("v_cpu_down", rq=number, online=self.online)
        if leaves:
            curr = cpu.curr
            self.log_kick(cpu, curr, kick(cpu, 0))
        while first := cpu.queue.first():
            self.emit("v_drain", task=first.pid, rq=number)
            hotplug.drain(cpu)
            self.place(Claim(first, number, migrates=True))
        self.settle()

    def cpu_up(self, number: int) -> None:
        self.acting = number
        hotplug.cpu_up(self.cpus[number])
        self.emit("v_cpu_up", rq=number, online=self.online)

    def plug_refused(self, by: int, number: int, *, up: bool) -> None:
        """A CPU asks another for what that has done already."""
        self.acting = by
        self.emit("plug_refused", rq=number, up=int(up), online=self.online)

    def finish(self) -> Trace:
        """Stop and log the totals."""
        for cpu in self.cpus:
            self.acting = cpu.number
            self.emit("v_cpu", **{name: getattr(cpu.metrics, name) for name in COUNTERS})
            ticks = self.ticks[cpu.number]
            self.emit("cpu_summary", ticks=ticks, switches=cpu.metrics.switches)
        self.acting = 0
        for p in self.tasks.values():
            self.log_totals(p)
        self.emit("end", events=len(self.events) + 1, dropped=0, result="pass")
        return Trace(tuple(self.events))

    def log_totals(self, p: Task) -> None:
        last = -1 if p.last_cpu is None else p.last_cpu
        self.emit("v_task", task=p.pid, migrations=p.migrations, last_cpu=last)
        times = {"cpu_time": p.cpu_time, "run_delay": p.run_delay, "pcnt": p.pcnt}
        switches = {"nvcsw": p.voluntary, "nivcsw": p.involuntary}
        self.emit("task_summary", task=p.pid, **times, **switches)
