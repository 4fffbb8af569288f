"""Whatever happens in whatever order, the structure stays sound and no task is lost.

`Sim` checks the rules S1 to S11 and conservation after every step of these machines.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from harness.model.constants import Policy, State
from harness.model.domain import Topology, flat
from harness.model.task import Task
from tests.model.sim import Sim

CPU = st.integers(0, 7)
PICK = st.integers(0, 10**6)
TOPOLOGIES = st.sampled_from(
    [flat(1), flat(2), flat(4), Topology(sockets=2, cores=2), Topology(sockets=2, threads=2)]
)
SCHEDULING = st.one_of(
    st.just((Policy.NORMAL, 0)),
    st.tuples(st.sampled_from([Policy.FIFO, Policy.RR]), st.integers(1, 98)),
)


class Scheduler(RuleBasedStateMachine):
    sim: Sim

    @initialize(topology=TOPOLOGIES, count=st.integers(1, 12))
    def boot(self, topology: Topology, count: int) -> None:
        self.sim = Sim(topology)
        for n in range(count):
            self.sim.add(n % 2 and topology.nr_cpus - 1, nice=n - 6)

    def cpu(self, number: int) -> int:
        return number % len(self.sim.rqs)

    def pick(self, number: int, *, asleep: bool = False) -> Task | None:
        """One of the ordinary tasks."""
        tasks = [p for p in self.sim.tasks[len(self.sim.rqs) :] if not asleep or p.state]
        return tasks[number % len(tasks)] if tasks else None

    @rule(count=st.sampled_from([1, 2, 10, 100]))
    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.sim.tick()

    @rule(cpu=CPU, disk=st.booleans())
    def block(self, cpu: int, disk: bool) -> None:
        state = State.UNINTERRUPTIBLE if disk else State.INTERRUPTIBLE
        self.sim.block(self.cpu(cpu), state)

    @rule(number=PICK, waker=CPU, sync=st.booleans())
    def wake(self, number: int, waker: int, sync: bool) -> None:
        if p := self.pick(number, asleep=True):
            assert self.sim.wake(p, self.cpu(waker), sync=sync).woken
            assert p.cpus_allowed >> p.cpu & 1

    @rule(cpu=CPU, waker=CPU)
    def wake_while_switching_out(self, cpu: int, waker: int) -> None:
        self.sim.wake_while_switching_out(self.cpu(cpu), self.cpu(waker))

    @rule(cpu=CPU)
    def sleep_called_off(self, cpu: int) -> None:
        self.sim.sleep_called_off(self.cpu(cpu))

    @rule(cpu=CPU)
    def give_way(self, cpu: int) -> None:
        self.sim.yield_(self.cpu(cpu))

    @rule(number=PICK, nice=st.integers(-20, 19), cpu=CPU)
    def renice(self, number: int, nice: int, cpu: int) -> None:
        if p := self.pick(number):
            self.sim.nice(p, nice, self.cpu(cpu))

    @rule(number=PICK, scheduling=SCHEDULING, cpu=CPU)
    def setscheduler(self, number: int, scheduling: tuple[Policy, int], cpu: int) -> None:
        if p := self.pick(number):
            self.sim.setscheduler(p, *scheduling, this_cpu=self.cpu(cpu))

    @rule(number=PICK, mask=st.integers(1, 15))
    def affinity(self, number: int, mask: int) -> None:
        p = self.pick(number)
        if p and mask & self.sim.online:
            self.sim.set_affinity(p, mask)

    @rule(cpu=CPU, on=CPU, clone_vm=st.booleans())
    def fork(self, cpu: int, on: int, clone_vm: bool) -> None:
        self.sim.fork(self.cpu(cpu), on=self.cpu(on), clone_vm=clone_vm)

    @rule(cpu=CPU)
    def exit(self, cpu: int) -> None:
        self.sim.exit(self.cpu(cpu))

    @invariant()
    def disk_sleepers_are_counted(self) -> None:
        asleep = [p for p in self.sim.tasks if p.state == State.UNINTERRUPTIBLE]
        assert sum(rq.nr_uninterruptible for rq in self.sim.rqs) == len(asleep)

    @invariant()
    def pulls_are_gains_and_losses(self) -> None:
        pulls = [pulled for rq in self.sim.rqs for pulled in rq.stats.pt]
        gained = sum(pulled.pt_gained for pulled in pulls)
        assert gained == sum(pulled.pt_lost for pulled in pulls) == self.sim.pulled

    @invariant()
    def picks_are_accounted(self) -> None:
        for rq in self.sim.rqs:
            stats = rq.stats
            picks = stats.sched_switch + stats.sched_noswitch + stats.sched_goidle
            assert stats.sched_cnt == picks

    @invariant()
    def no_cpu_idles_with_work_queued(self) -> None:
        assert not any(rq.is_idle and rq.nr_running for rq in self.sim.rqs)


Scheduler.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True
)
TestScheduler = Scheduler.TestCase
