"""The model's machine while a log is replayed: run queues, tasks, and what must come next.

A handler of an operation (see :mod:`harness.oracle.o1.replay`) holds the operation's inputs against
the model where that knows them, runs the model, and leaves its *predictions*: the events that must
follow on that CPU. Changes of the priority arrays predict themselves, through their observer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.model.array import Change, PrioArray
from harness.model.bitmap import has_cpu
from harness.model.constants import Constants, State
from harness.model.resched import Resched
from harness.model.runqueue import MigrationRequest, Runqueue
from harness.model.task import Task, idle_task
from harness.model.wake import Placement
from harness.oracle.o1.attempt import Balancing
from harness.oracle.o1.hints import Hints
from harness.oracle.o1.laws import Law
from harness.oracle.prediction import Either, LawBrokenError, Prediction, expect
from harness.oracle.reschedule import Reschedule
from harness.trace.grammar import Value, event_type

if TYPE_CHECKING:
    from harness.oracle.o1.domain import DomainsDue

ACTIVE, EXPIRED = 0, 1
"""How events name the arrays."""

TAIL, HEAD, BEFORE_PARENT = 0, 1, 2
"""How the event ``enqueue`` names the place in the list."""

_PLACES = {
    Change.ENQUEUE_TAIL: TAIL,
    Change.ENQUEUE_HEAD: HEAD,
    Change.ENQUEUE_BEFORE: BEFORE_PARENT,
}
_DEQUEUE, _ENQUEUE, _REQUEUE = map(event_type, ("dequeue", "enqueue", "requeue"))

STATES: dict[int, State] = {int(state): state for state in (State.RUNNING, *State)}
"""The states a task may have; there is no other combination of bits."""


@dataclass
class CpuContext:
    """What is going on on a CPU."""

    predicted: deque[Prediction] = field(default_factory=deque)
    """Events that must come next."""
    operation: str = ""
    """The last operation."""
    wakeup: tuple[State, bool] = (State.RUNNING, False)
    """States to be woken and whether the waker is about to sleep, of the wake-up in progress."""
    placement: Placement | None = None
    """Where it sends the task, before an idle CPU is looked for."""
    migrating: Runqueue | None = None
    """The run queue that a task is being moved away from by the migration thread."""
    jiffies: int = 0
    """The last that this CPU read."""
    ticks: int = 0
    """Those of the first CPU, at this one's last event that is not about locks."""
    ns: int = 0
    """Time of its last event that is not about locks."""
    requests: list[MigrationRequest] = field(default_factory=list)
    """Those that its migration thread found when it was switched to: to be served before it
    sleeps again."""
    owed: list[Task] = field(default_factory=list)
    """Who sleeps until the migration thread says that the request has been served, which it
    has."""
    evading: Task | None = None
    """A task that a wake-up has found on an offline CPU, and sends elsewhere."""
    reschedule: Reschedule = field(default_factory=Reschedule)
    """Whether it was asked to: the log said so, or its own tick or fork did it."""
    balancing: Balancing = field(default_factory=Balancing)
    """What it is in the middle of, and due for, in load balancing."""
    operations: int = 0
    """Operations on its run queue since its structure was checked."""


class World:
    """The machine as the model knows it after some events of a log."""

    def __init__(self, nr_cpus: int, hz: int, domains: DomainsDue, *, real: bool = False) -> None:
        self.k = Constants(hz)
        self.real = real
        """Whether the host's time passes for the machine, whatever it gets done meanwhile."""
        self.nr_cpus = nr_cpus
        self.online = (1 << self.nr_cpus) - 1
        self.dead = 0
        """CPUs that are offline and have been drained."""
        self.came = [0] * nr_cpus
        """``seq`` at which each CPU was last plugged in."""
        self.stranded: set[Task] = set()
        """Tasks that could not be moved, because the CPU they were sent to went offline."""
        self.ticks = 0
        """Ticks that the first CPU has logged; it is the one that advances the jiffies."""
        self.jiffies = 0
        """The latest that anybody is known to have read."""
        self.domains = domains
        """What the log has to say of them; from then on run queues have theirs."""
        self.rqs = [Runqueue(cpu, self.k, idle_task(cpu, cpu)) for cpu in range(self.nr_cpus)]
        self.contexts = [CpuContext() for _ in self.rqs]
        self.hints = Hints(self.rqs)
        """What CPUs may have read of each other without a lock."""
        self.tasks = {rq.idle.pid: rq.idle for rq in self.rqs}
        self.ended: dict[int, int] = {}
        """When tasks that were not freed yet ended, in jiffies."""
        self.parents: dict[int, int] = {}
        """Who forked a task, by number."""
        self.predicted = self.contexts[0].predicted
        """Those of the CPU whose event is being handled."""
        for rq in self.rqs:
            for array in rq.arrays:
                array.observer = self._observer(rq)

    def _observer(self, rq: Runqueue) -> Callable[[Change, Task, PrioArray], None]:
        def observe(change: Change, p: Task, array: PrioArray) -> None:
            self.hints.touched.add(rq.cpu)
            which = ACTIVE if array is rq.active else EXPIRED
            if change is Change.DEQUEUE:
                prediction = Prediction(_DEQUEUE, (p.pid, rq.cpu, p.prio, which))
            elif change is Change.REQUEUE:
                prediction = Prediction(_REQUEUE, (p.pid, rq.cpu, p.prio, which))
            else:
                place = _PLACES[change]
                prediction = Prediction(_ENQUEUE, (p.pid, rq.cpu, p.prio, which, place))
                self.check_affinity(p, rq.cpu)
                self.check_alive(p, rq)
            self.predicted.append(prediction)

        return observe

    def rq(self, cpu: int) -> Runqueue:
        """The run queue of a CPU that the log names."""
        if cpu >= self.nr_cpus:
            raise LawBrokenError(Law.S6, f"there is no CPU {cpu}")
        return self.rqs[cpu]

    def task(self, number: int) -> Task:
        """A task that is not an idle task."""
        p = self.tasks.get(number)
        if p is None:
            raise LawBrokenError(Law.C1, f"nobody has created task {number}")
        if number < self.nr_cpus:
            raise LawBrokenError(Law.S9, f"task {number} is an idle task")
        return p

    def running(self, number: int, cpu: int) -> Task:
        """The task that the log says runs on a CPU, held against the model."""
        expect(Law.S9, f"the task running on CPU {cpu}", number, self.rqs[cpu].curr.pid)
        return self.rqs[cpu].curr

    def home(self, p: Task, cpu: int) -> Runqueue:
        """The run queue that the log says a task belongs to, held against the model."""
        expect(Law.S6, f"the CPU of task {p.pid}", cpu, p.cpu)
        return self.rqs[cpu]

    def read_jiffies(self, cpu: int, jiffies: int, *, anew: bool = False) -> None:
        """What a CPU read of the jiffies, which the first CPU advances before it logs its tick.

        ``anew``: since its last event, and not at the beginning of something longer.
        """
        context = self.contexts[cpu]
        least = max(context.jiffies, context.ticks) if anew else context.jiffies
        if not least <= jiffies <= self.ticks + 1:
            due = f"{least} to {self.ticks + 1}"
            raise LawBrokenError(Law.P16, f"CPU {cpu} reads jiffies {jiffies}, {due} is due")
        context.jiffies = jiffies
        self.jiffies = max(self.jiffies, jiffies)

    def ask(self, cpu: int) -> None:
        """A CPU is to reschedule, and nothing may keep it from that for long."""
        self.contexts[cpu].reschedule.ask()

    def predict(self, name: str, *values: Value | None) -> None:
        """An event must follow, after those that were predicted before."""
        self.predicted.append(Prediction(event_type(name), values))

    def predict_either(self, *alternatives: tuple[str, *tuple[Value | None, ...]]) -> None:
        """One of several events must follow: what decides is not in the log."""
        kinds = [Prediction(event_type(name), tuple(values)) for name, *values in alternatives]
        self.predicted.append(Either(kinds))

    def predict_resched(self, result: Resched | None, rq: Runqueue) -> None:
        """What the model's resched_task decided, and so must have happened."""
        if result is None:
            return
        was = int(result is Resched.PENDING)
        self.predict("resched", rq.curr.pid, rq.cpu, was, None, None)

    def check_affinity(self, p: Task, cpu: int) -> None:
        """A task may stay where it no longer may be until its request to move is carried out."""
        if has_cpu(p.cpus_allowed, cpu) or p in self.stranded:
            return
        if not any(request.task is p for request in self.rqs[cpu].migration_queue):
            raise LawBrokenError(
                Law.P3, f"task {p.pid} may run on {p.cpus_allowed:#x}, not on CPU {cpu}"
            )

    def came_since_heard(self, cpu: int, reader: int) -> bool:
        """Whether a CPU was plugged in while another one may have read whether it is online."""
        return self.came[cpu] > self.hints.heard[reader]

    def check_alive(self, p: Task, rq: Runqueue) -> None:
        """Nothing is queued on a CPU that was drained, but the thread that will bring it back."""
        if has_cpu(self.dead, rq.cpu) and p is not rq.migration_thread:
            raise LawBrokenError(Law.U1, f"task {p.pid} is queued on CPU {rq.cpu}, unplugged")


def state_of(value: int) -> State:
    """A state as the log has it; raises :class:`LawBrokenError` for what is none."""
    state = STATES.get(value)
    if state is None:
        raise LawBrokenError(Law.S10, f"{value} is no state of a task")
    return state
