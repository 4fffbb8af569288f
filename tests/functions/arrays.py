"""array.s: priority arrays, and what is logged of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from harness.model import array as model
from harness.model.constants import Constants
from harness.model.runqueue import Runqueue
from harness.model.task import Task, idle_task
from tests.functions.agreement import agrees, prios, times
from tests.functions.guest import Guest, Logged
from tests.functions.mirror import Mirror

TASKS, CPUS = 8, 2
AT_TAIL, AT_PARENT = 0, 2


@dataclass(frozen=True)
class Step:
    """What is done to a task: queued somewhere if it is in no list, else moved or taken off."""

    task: int
    prio: int
    choice: int
    """Which of the operations that are possible."""
    array: int
    """Number of the array to queue it in."""
    other: int
    """The task to queue it before, if that is the operation."""
    jiffies: int


steps = st.lists(
    st.builds(
        Step,
        st.integers(0, TASKS - 1),
        st.sampled_from([63, 64, 120, 120, 128]) | prios,
        st.integers(0, 3),
        st.integers(0, 1),
        st.integers(0, TASKS - 1),
        times,
    ),
    max_size=20,
)


class Bench:
    """Two run queues and some tasks on both sides; every step is taken on both and compared."""

    def __init__(self, guest: Guest, swapped: bool) -> None:
        self.guest = guest
        k = Constants()
        self.rqs = [Runqueue(cpu, k, idle_task(cpu, pid=TASKS + cpu)) for cpu in range(CPUS)]
        if swapped:
            rq = self.rqs[1]
            rq.active, rq.expired = rq.expired, rq.active
        self.tasks = [Task(pid, cpu=pid % CPUS) for pid in range(TASKS)]
        self.mirror = Mirror(guest, CPUS, TASKS + CPUS)
        for rq in self.rqs:
            self.mirror.put_runqueue(rq)
        self.address = [self.mirror.put_task(p) for p in self.tasks]
        self.events: list[Logged] = []
        guest.events.clear()

    def step(self, step: Step) -> None:
        p = self.tasks[step.task]
        if p.array is None:
            self._queue(p, step)
        else:
            self._move(p, p.array, step)
        self.compare()

    def _queue(self, p: Task, step: Step) -> None:
        rq = self.rqs[p.cpu]
        array = rq.arrays[step.array]
        other = self.tasks[step.other]
        p.prio = step.prio
        if step.choice == 3 and other.array is not None:
            rq = self.rqs[other.cpu]
            array, p.prio, p.cpu = other.array, other.prio, other.cpu
        guest, at = self.guest, self.mirror.array(rq, rq.arrays.index(array))
        task = self.address[p.pid]
        guest.store(guest.task, task, "prio", p.prio)
        guest.store(guest.task, task, "cpu", p.cpu)
        if step.choice == 3 and other.array is not None:
            guest.call("enqueue_task_before", task, at, self.address[other.pid])
            model.enqueue_task_before(p, other, array)
            self._log("enqueue", p, array, AT_PARENT)
        else:
            guest.call("enqueue_task_at", task, at, step.jiffies)
            model.enqueue_task(p, array, step.jiffies)
            self._log("enqueue", p, array, AT_TAIL)

    def _move(self, p: Task, array: model.PrioArray, step: Step) -> None:
        rq = self.rqs[p.cpu]
        at = self.mirror.array(rq, rq.arrays.index(array))
        name = "requeue" if step.choice % 2 else "dequeue"
        function: Callable[[Task, model.PrioArray], None] = getattr(model, f"{name}_task")
        self.guest.call(f"{name}_task", self.address[p.pid], at)
        function(p, array)
        self._log(name, p, array)
        # Neither side says so itself.
        if name == "dequeue":
            assert self._field(p, "array") == at, "dequeue_task changes task.array"
            assert self._field(p, "run_list") == 0, "dequeue_task leaves links behind"
            self.guest.store(self.guest.task, self.address[p.pid], "array", 0)
            p.array = None

    def _field(self, p: Task, name: str) -> int:
        return self.guest.load(self.guest.task, self.address[p.pid], name)[name]

    def _log(self, name: str, p: Task, array: model.PrioArray, *at: int) -> None:
        number = int(array is not self.rqs[p.cpu].active)
        self.events.append(Logged(name, (p.pid, p.cpu, p.prio, number, *at)))

    def compare(self) -> None:
        for rq in self.rqs:
            self.mirror.compare_runqueue(rq)
            for number, array in enumerate(rq.arrays):
                self.mirror.compare_array(self.mirror.array(rq, number), array)
        for p in self.tasks:
            self.mirror.compare_task(p)
            rq = self.rqs[p.cpu]
            at = self.mirror.array(rq, rq.arrays.index(p.array)) if p.array else 0
            assert self._field(p, "array") == at, f"task {p.pid}: array"


FUNCTIONS = (
    "enqueue_task_at",
    "enqueue_task_before",
    "dequeue_task",
    "requeue_task",
    "array_link",
    "list_insert",
)


@agrees(*FUNCTIONS, given=st.tuples(steps, st.booleans()))
def any_sequence(guest: Guest, steps: list[Step], swapped: bool) -> None:
    """Lists in both directions, bitmap, counts and tasks after every operation."""
    bench = Bench(guest, swapped)
    for step in steps:
        bench.step(step)
    assert not guest.events, "events are logged at loglevel 0"


@agrees(*FUNCTIONS, "array_describe", given=st.tuples(steps, st.booleans()))
def logged_sequence(guest: Guest, steps: list[Step], swapped: bool) -> None:
    """The same, and every move is one event with the right numbers."""
    bench = Bench(guest, swapped)
    with guest.logging():
        for step in steps:
            bench.step(step)
    assert guest.events == bench.events


@agrees("prio_array_init", given=st.tuples(st.binary(min_size=1, max_size=16)))
def emptied(guest: Guest, garbage: bytes) -> None:
    """Whatever was there; and nothing behind it changes."""
    size = guest.array.size
    address = guest.scratch(2 * size)
    before = (garbage * 2 * size)[: 2 * size]
    guest.write(address, before)
    guest.call("prio_array_init", address)
    Mirror(guest).compare_array(address, model.PrioArray())
    assert guest.read(address + size, size) == before[size:], "memory behind the array"
