"""A few CPUs of a machine on both sides, ours the first, with tasks that run, wait and sleep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.model.array import enqueue_task
from harness.model.constants import State
from harness.model.fixes import NO_FIXES, Fixes
from harness.model.runqueue import Runqueue
from harness.model.task import Task, idle_task
from tests.functions.guest import Guest, Logged
from tests.functions.machine import Layout
from tests.functions.mirror import Mirror

HERE = 0
LOCK_FREE = (1 << 32) - 1
RUNS, WAITS, EXPIRED, SLEEPS = "runs", "waits", "expired", "sleeps"
PLACES = (RUNS, WAITS, EXPIRED, SLEEPS)
TASKS = 72
NS_PER_TICK = 1_000_000


class Cpus:
    """Run queues with their locks free. Tasks are placed on the model's side; `copy` then writes
    everything into the guest."""

    def __init__(self, guest: Guest, count: int = 3, fixes: Fixes = NO_FIXES) -> None:
        self.guest = guest
        self.k = guest.configure(1000, count, fixes)
        self.rqs = [Runqueue(cpu, self.k, idle_task(cpu, pid=cpu)) for cpu in range(count)]
        for rq in self.rqs:
            rq.timestamp_last_tick = 70 * NS_PER_TICK + 1000 * rq.cpu
        self.mirror = Mirror(guest, count, TASKS)
        self.tasks: list[Task] = []
        self.at: dict[int, int] = {}
        guest.events.clear()

    def place(self, p: Task, place: str) -> Task:
        """Puts a task where `place` says on its CPU."""
        rq = self.rqs[p.cpu]
        if place == SLEEPS:
            p.state = p.state or State.INTERRUPTIBLE
        else:
            enqueue_task(p, rq.expired if place == EXPIRED else rq.active, 0)
            rq.nr_running += 1
        if place == RUNS:
            rq.curr = p
        self.tasks.append(p)
        return p

    def copy(self, jiffies: int = 1) -> None:
        """Writes all that into the guest; this CPU is in no operation."""
        for rq in self.rqs:
            self.mirror.put_runqueue(rq)
        self.at = {p.pid: self.mirror.put_task(p) for p in self.tasks}
        for rq in self.rqs:
            for number, array in enumerate(rq.arrays):
                self._enqueue((p for tasks in array.queue for p in tasks), rq, number)
        self.guest.set_word("jiffies", jiffies)
        here = self.rqs[HERE]
        self.guest.enter(self.queue(HERE), self.mirror.task(here.curr), HERE)
        self.guest.events.clear()

    def _enqueue(self, tasks: Iterable[Task], rq: Runqueue, number: int) -> None:
        for p in tasks:
            array = self.mirror.array(rq, number)
            self.guest.call("enqueue_task_at", self.at[p.pid], array, 0)

    def queue(self, cpu: int) -> int:
        """Address of a run queue."""
        return self.mirror.runqueue(self.rqs[cpu])

    def store(self, cpu: int, field: str, value: int) -> None:
        self.guest.store(self.guest.runqueue, self.queue(cpu), field, value)

    def load(self, cpu: int, field: str) -> int:
        return self.guest.load(self.guest.runqueue, self.queue(cpu), field)[field]

    def task_field(self, p: Task, field: str) -> int:
        return self.guest.load(self.guest.task, self.mirror.task(p), field)[field]

    def owner(self, lock: int) -> int:
        """The CPU that holds a lock, or LOCK_FREE."""
        return self.guest.load(Layout.of(self.guest.image, "lock"), lock, "owner")["owner"]

    def lock(self, lock: int, owner: int) -> None:
        self.guest.store(Layout.of(self.guest.image, "lock"), lock, "owner", owner)

    def check_unlocked(self) -> None:
        """Raises AssertionError if a lock is held."""
        locks = {f"run queue {rq.cpu}": self.queue(rq.cpu) for rq in self.rqs}
        locks["cpu_online_lock"] = self.guest.addresses["cpu_online_lock"]
        held = {name: self.owner(at) for name, at in locks.items() if self.owner(at) != LOCK_FREE}
        assert not held, f"locks that are held, by: {held}"

    def check_logged(self, events: Sequence[Logged], *, on: bool = True) -> None:
        """Raises AssertionError unless, of the kinds of event in question, the guest has logged
        just these; nothing at all if it was not `on`."""
        kinds = {event.name for event in events}
        found = [event for event in self.guest.events if event.name in kinds or not on]
        assert found == (list(events) if on else [])

    def compare(self) -> None:
        """Raises AssertionError where the sides differ, or where a lock is held."""
        self.check_unlocked()
        for rq in self.rqs:
            self.mirror.compare_runqueue(rq)
            assert self.load(rq.cpu, "curr") == self.mirror.task(rq.curr), f"curr of {rq.cpu}"
            for name, array in (("active", rq.active), ("expired", rq.expired)):
                at = self.mirror.array(rq, rq.arrays.index(array))
                assert self.load(rq.cpu, name) == at, f"{name} of {rq.cpu}"
            for number, array in enumerate(rq.arrays):
                self.mirror.compare_array(self.mirror.array(rq, number), array)
                self._compare_in(array.queue, rq, number)
        for p in (*self.tasks, *(rq.idle for rq in self.rqs)):
            self.mirror.compare_task(p)
            if p.array is None:
                assert self.task_field(p, "array") == 0, f"task {p.pid} is in no array"

    def _compare_in(self, lists: Iterable[Iterable[Task]], rq: Runqueue, number: int) -> None:
        for p in (p for tasks in lists for p in tasks):
            array = self.mirror.array(rq, number)
            assert self.task_field(p, "array") == array, f"array of task {p.pid}"
