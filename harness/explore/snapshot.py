"""What is in the guest's memory, as objects of the model, for the model's rules to judge."""

from __future__ import annotations

from collections.abc import Iterator

from harness.explore.world import World
from harness.model.array import PrioArray
from harness.model.checks import Violation, check_system
from harness.model.constants import MAX_PRIO, Constants, Policy, State
from harness.model.runqueue import Runqueue
from harness.model.task import Task

_PLAIN = ("cpu", "prio", "static_prio", "rt_priority", "time_slice", "sleep_avg", "timestamp",
          "cpus_allowed")  # fmt: skip
_HZ = 1000


class Snapshot:
    """The run queues and tasks of a world as they stand. `broken` is what cannot be told as
    lists."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.broken: list[Violation] = []
        self.tasks = {at: self._task(name, at) for name, at in world.tasks.items()}
        k = Constants(_HZ)
        self.runqueues = [self._runqueue(cpu, k) for cpu in range(world.cpus)]
        arrays = {
            self._array_at(rq.cpu, number): array
            for rq in self.runqueues
            for number, array in enumerate(rq.arrays)
        }
        for at, task in self.tasks.items():
            array = world.field(at, "array")
            if array:
                task.array = arrays.get(array)
                if task.array is None:
                    words = f"{task!r} names {array:#x} as its array, where none is"
                    self.broken.append(Violation("S8", words))

    def violations(self) -> list[Violation]:
        """All that breaks a rule of structure (S1 to S11), or of what has to hold at rest."""
        idle = {id(rq.idle) for rq in self.runqueues}
        tasks = [task for task in self.tasks.values() if id(task) not in idle]
        return [*self.broken, *check_system(self.runqueues, tasks), *self._at_rest()]

    def _at_rest(self) -> Iterator[Violation]:
        for rq in self.runqueues:
            owner = self._world.queue_field(rq.cpu, "lock") & 0xFFFFFFFF
            if owner != 0xFFFFFFFF:
                yield Violation("K3", f"cpu{rq.cpu}: its lock is still held by CPU {owner}")
            if rq.curr.need_resched:
                yield Violation("P8", f"cpu{rq.cpu}: need_resched is set and nothing tells the CPU")
            waiting = rq.active.tasks()
            if rq.is_idle and rq.nr_running:
                yield Violation("P11", f"cpu{rq.cpu}: idles with {rq.nr_running} tasks queued")
            elif waiting and waiting[0].prio < rq.curr.prio:
                yield Violation("P7", f"cpu{rq.cpu}: {waiting[0]!r} waits while {rq.curr!r} runs")
            for task in [*waiting, *rq.expired.tasks()]:
                if not task.cpus_allowed >> rq.cpu & 1:
                    yield Violation("P3", f"cpu{rq.cpu}: {task!r} must not be there")

    def _task(self, name: str, at: int) -> Task:
        world = self._world
        task = Task(world.field(at, "id"), name)
        for field in _PLAIN:
            setattr(task, field, world.field(at, field))
        task.state = State(world.field(at, "state"))
        task.policy = Policy(world.field(at, "policy"))
        task.need_resched = bool(world.field(at, "need_resched"))
        task.preempt_active = bool(world.field(at, "preempt_active"))
        return task

    def _array_at(self, cpu: int, number: int) -> int:
        first = self._world.queue(cpu) + self._world.runqueue.fields["arrays"][0]
        return first + self._world.array.size * number

    def _runqueue(self, cpu: int, k: Constants) -> Runqueue:
        world = self._world
        idle = self.tasks[world.tasks[f"idle{cpu}"]]
        rq = Runqueue(cpu, k, idle, arrays=(self._array(cpu, 0), self._array(cpu, 1)))
        for name in ("nr_running", "expired_timestamp", "best_expired_prio"):
            setattr(rq, name, world.queue_field(cpu, name))
        if world.queue_field(cpu, "active") != self._array_at(cpu, 0):
            rq.active, rq.expired = rq.expired, rq.active
        current = world.queue_field(cpu, "curr")
        rq.curr = self.tasks.get(current, idle)
        if current not in self.tasks:
            self.broken.append(Violation("S9", f"cpu{cpu}: curr is {current:#x}, which is no task"))
        return rq

    def _array(self, cpu: int, number: int) -> PrioArray:
        smp, layout, at = self._world.smp, self._world.array, self._array_at(cpu, number)
        bitmap = at + layout.fields["bitmap"][0]
        array = PrioArray(smp.word(at + layout.fields["nr_active"][0]))
        array.bitmap = [smp.word(bitmap + 8 * word) for word in range(3)]
        heads = at + layout.fields["queue"][0]
        links = smp.read(heads, 16 * MAX_PRIO)
        for prio in range(MAX_PRIO):
            head = heads + 16 * prio
            if int.from_bytes(links[16 * prio : 16 * prio + 8], "little") != head:
                array.queue[prio] = list(self._list(cpu, prio, head))
        return array

    def _list(self, cpu: int, prio: int, head: int) -> Iterator[Task]:
        """The tasks of a list, as far as its links lead somewhere."""
        smp, offset = self._world.smp, self._world.task.fields["run_list"][0]
        before, link = head, smp.word(head)
        for _ in range(len(self.tasks) + 1):
            if link == head:
                if smp.word(head + 8) != before:
                    self._broken(cpu, prio, "its head does not lead back to its last")
                return
            task = self.tasks.get(link - offset)
            if task is None:
                self._broken(cpu, prio, f"a link leads to {link:#x}, where no task is")
                return
            if smp.word(link + 8) != before:
                self._broken(cpu, prio, f"{task!r} does not lead back to the one before it")
            yield task
            before, link = link, smp.word(link)
        self._broken(cpu, prio, "it does not end")

    def _broken(self, cpu: int, prio: int, words: str) -> None:
        self.broken.append(Violation("S7", f"cpu{cpu}: list {prio}: {words}"))
