"""The model's machine while a log of policy `veridian` is replayed.

A handler of an operation (see :mod:`harness.oracle.veridian.replay`) holds what the log says
against the model where that knows it, runs the model, and leaves *predictions*: the events that
must follow on that CPU. Changes of the rings predict themselves, through their observer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from harness.model.constants import State
from harness.model.veridian.cpu import Change, Cpu, Kick, kick, kick_if_idle
from harness.model.veridian.exit import CleanupQueue
from harness.model.veridian.load import LoadRead, find_cpu
from harness.model.veridian.pick import Algorithm
from harness.model.veridian.task import ALL_CPUS, Task, idle_task
from harness.model.veridian.wait import Claim
from harness.oracle.prediction import LawBrokenError, Prediction, expect
from harness.oracle.reschedule import Reschedule
from harness.oracle.veridian.laws import Law
from harness.trace.grammar import Event, Value, event_type

STATES: dict[int, State] = {int(state): state for state in (State.RUNNING, *State)}
"""The states a task may have; there is no other combination of bits."""


@dataclass
class CpuContext:
    """What is going on on a CPU."""

    predicted: deque[Prediction] = field(default_factory=deque)
    """Events that must come next."""
    operation: str = ""
    """The last operation."""
    claim: Claim | None = None
    """The task that it is placing, when all that was predicted has come."""
    searched: int | None = None
    """CPUs online as read by the search for a place in progress."""
    settled: bool = False
    """Whether that search's loads have said where to go."""
    reads: dict[int, LoadRead] = field(default_factory=dict)
    """Loads read since the last search, balancing or stealing attempt began."""
    jiffies: int = 0
    """The last that this CPU read."""
    ticks: int = 0
    reschedule: Reschedule = field(default_factory=Reschedule)
    """Whether it was asked to."""
    tick_due: bool = False
    """The running task has to account a tick."""
    balance_due: bool = False
    searched_online: int = 0
    """CPUs online as read by the balancing or stealing attempt in progress."""
    brought: int = 0
    """Tasks that others have enqueued there since its own last event."""
    stealing: bool = False
    """The migration to come is a theft."""
    buries: int | None = None
    """The ended task that it is putting into the queue of the dead."""
    migrating: tuple[int, ...] = ()
    """The two CPUs between which it moves tasks."""
    stole: bool = False
    """It has looked for something to steal since its last pass of schedule()."""
    interrupts: int | None = None
    """The CPU that it has to interrupt now."""
    locks: set[int] = field(default_factory=set)
    """Locks that it holds, where the log tells of them."""

    def settle(self) -> None:
        """All loads of a search are known: the task goes to the CPU that they say."""
        if self.claim is None or self.searched is None or self.settled:
            return
        p, found = self.claim.task, find_cpu(self.claim.task, self.searched, self.reads)
        if found.reset:
            p.allowed = ALL_CPUS
            self.claim.reset = True
        p.cpu = found.cpu
        self.settled = True


class World:
    """The machine as the model knows it after some events of a log."""

    def __init__(self, nr_cpus: int, *, real: bool = False) -> None:
        self.nr_cpus = nr_cpus
        self.real = real
        """Whether the host's time passes for the machine, whatever it gets done meanwhile."""
        self.cpus = [Cpu(number, idle_task(number)) for number in range(nr_cpus)]
        self.contexts = [CpuContext() for _ in self.cpus]
        self.tasks = {cpu.number: cpu.idle for cpu in self.cpus}
        self.new: set[int] = set()
        """Tasks that exist and were not made runnable yet."""
        self.parents: dict[int, int] = {}
        self.ended = CleanupQueue()
        self.ticks = 0
        """Ticks that the first CPU has logged; it is the one that advances the jiffies."""
        self.jiffies = 0
        """The latest that anybody is known to have read."""
        self.locks_logged = False
        self.acting = 0
        """The CPU whose event is being handled."""
        for cpu in self.cpus:
            cpu.observer = self._observe

    @property
    def context(self) -> CpuContext:
        return self.contexts[self.acting]

    def note_brought(self, event: Event) -> None:
        """Keeps count of what others enqueue on a CPU while it says nothing."""
        if event.name == "v_enqueue" and event.number("rq") != event.cpu:
            self.contexts[event.number("rq")].brought += 1
        self.contexts[event.cpu].brought = 0

    def check_moves(self, cpu: int) -> None:
        """No other CPU is moving tasks from or to that one: it would hold its lock."""
        for other, context in enumerate(self.contexts):
            if other != self.acting and cpu in context.migrating:
                words = f"CPU {other} has not finished moving tasks between"
                raise LawBrokenError(
                    Law.S8, f"{words} CPU {' and '.join(map(str, context.migrating))}"
                )

    def _observe(self, change: Change, p: Task, ring: int) -> None:
        cpu = self.cpus[p.cpu]
        self.check_moves(cpu.number)
        if cpu.number != self.acting and self.schedules(cpu.number):
            raise LawBrokenError(
                Law.P5, f"the queue of CPU {cpu.number} changes while that is switching tasks"
            )
        self.predict(change.value, p.pid, cpu.number, ring, cpu.nr_running, cpu.load)

    def schedules(self, cpu: int) -> bool:
        """Whether a CPU is in the middle of schedule()."""
        context = self.contexts[cpu]
        return context.operation == "v_schedule" and bool(context.predicted)

    def cpu(self, number: int) -> Cpu:
        """A CPU that the log names."""
        if not 0 <= number < self.nr_cpus:
            raise LawBrokenError(Law.S10, f"there is no CPU {number}")
        return self.cpus[number]

    def task(self, number: int) -> Task:
        """A task that is not an idle task."""
        p = self.tasks.get(number)
        if p is None:
            raise LawBrokenError(Law.C1, f"nobody has created task {number}")
        if p.idle:
            raise LawBrokenError(Law.S9, f"task {number} is an idle task")
        return p

    def running(self, number: int) -> Task:
        """The task that the log says runs on the acting CPU, held against the model."""
        curr = self.cpus[self.acting].curr
        expect(Law.S9, f"the task running on CPU {self.acting}", number, curr.pid)
        return curr

    def home(self, p: Task, cpu: int) -> Cpu:
        """The CPU that the log says a task belongs to, held against the model."""
        if cpu != p.cpu:
            # It may be on its way there, by a search of which all loads have been logged.
            for context in self.contexts:
                if context.claim is not None and context.claim.task is p:
                    context.settle()
        expect(Law.S6, f"the CPU of task {p.pid}", cpu, p.cpu)
        return self.cpu(cpu)

    def is_current(self, p: Task) -> bool:
        return self.cpus[p.cpu].curr is p

    def read_jiffies(self, jiffies: int) -> None:
        """What the acting CPU read of the jiffies, which the first advances before its tick."""
        context = self.context
        if not context.jiffies <= jiffies <= self.ticks + 1:
            due = f"{context.jiffies} to {self.ticks + 1}"
            raise LawBrokenError(Law.P16, f"CPU {self.acting} reads jiffies {jiffies}, not {due}")
        context.jiffies = jiffies
        self.jiffies = max(self.jiffies, jiffies)

    def predict(self, name: str, *values: Value | None) -> None:
        """An event must follow, after those that were predicted before."""
        self.context.predicted.append(Prediction(event_type(name), values))

    def predict_arrival_kick(self, cpu: Cpu) -> None:
        """An idle CPU has to be told of the task that was just queued there."""
        curr = cpu.curr
        self._predict_kick(cpu, curr, kick_if_idle(cpu, self.acting))

    def predict_kick(self, cpu: Cpu) -> None:
        """The task that runs there has to leave."""
        curr = cpu.curr
        self._predict_kick(cpu, curr, kick(cpu, self.acting))

    def _predict_kick(self, cpu: Cpu, curr: Task, how: Kick | None) -> None:
        if how is None:
            return
        self.cpus[self.acting].metrics.ipis += how is Kick.IPI
        flags = int(how is Kick.PENDING), int(how is Kick.IPI)
        self.predict("v_kick", curr.pid, cpu.number, *flags)

    def ask(self, cpu: int) -> None:
        """A CPU is to reschedule, and nothing may keep it from that for long."""
        self.contexts[cpu].reschedule.ask()

    def check_serves(self, p: Task, cpu: Cpu) -> None:
        """Nothing is queued or run where it may not."""
        if not p.may_use(cpu.number):
            words = f"task {p.pid} may use {p.allowed:#x}, not CPU {cpu.number}"
            raise LawBrokenError(Law.P3, words)
        if not cpu.online:
            raise LawBrokenError(Law.P3, f"task {p.pid} goes to CPU {cpu.number}, which is offline")

    def check_algorithm(self, algorithm: int) -> Algorithm:
        if algorithm not in set(Algorithm):
            raise LawBrokenError(Law.S10, f"there is no algorithm {algorithm}")
        return Algorithm(algorithm)


def state_of(value: int) -> State:
    """A state as the log has it; raises :class:`LawBrokenError` for what is none."""
    state = STATES.get(value)
    if state is None:
        raise LawBrokenError(Law.S10, f"{value} is no state of a task")
    return state
