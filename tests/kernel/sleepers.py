"""A guest with tasks of a workload that wait for each other, of which one runs."""

from __future__ import annotations

from collections.abc import Callable

from harness.workload.layout import INSTRUCTION
from tests.functions.machine import Layout
from tests.kernel.kernel import Kernel

FREE = 0xFFFFFFFF
INTERRUPTIBLE, UNINTERRUPTIBLE = 1, 2
ANY_SLEEP = INTERRUPTIBLE | UNINTERRUPTIBLE
TASKS = 6


class Sleepers(Kernel):
    """A kernel with tasks of a workload; task 0 runs on this CPU. Policies' operations are
    stand-ins."""

    def prepare(self) -> None:
        self.wtask, self.queue = (Layout.of(self.image, n) for n in ("wtask", "wait_queue"))
        self.mutex, self.barrier = (Layout.of(self.image, n) for n in ("mutex", "barrier"))
        self.wrecord = Layout.of(self.image, "wrecord")
        table = self.allocate(TASKS * self.wtask.size)
        self.write(table, bytes(TASKS * self.wtask.size))
        self.set_word("wtasks", table)
        self.tasks = [self.record(self.task, {"id": number}) for number in range(TASKS)]
        self.wtasks = [table + number * self.wtask.size for number in range(TASKS)]
        for wtask, task in zip(self.wtasks, self.tasks, strict=True):
            self.store(self.wtask, wtask, "task", task)
        self.set_percpu(0, curr=self.tasks[0])
        self.stand_policy("wake", "schedule", "exit")
        self.interrupts(False)

    def queues(self, layout: Layout, count: int = 1) -> int:
        """Structures that begin with an empty queue."""
        address = self.allocate(count * layout.size)
        self.write(address, bytes(count * layout.size))
        for at in range(address, address + count * layout.size, layout.size):
            self.write(at, at.to_bytes(8, "little") * 2 + FREE.to_bytes(4, "little"))
        return address

    def locked(self, queue: int) -> bool:
        return int.from_bytes(self.read(queue + 16, 4), "little") != FREE

    def lock(self, queue: int) -> None:
        self.write(queue + 16, bytes(4))

    def waiting(self, queue: int) -> list[int]:
        """Who waits in a queue, by number, read forwards; backwards must say the same."""
        found, back = [], []
        at, at_back = self.words(queue, 2)
        while at != queue:
            found.append(self.wtasks.index(at))
            at = self.words(at, 1)[0]
        while at_back != queue:
            back.append(self.wtasks.index(at_back))
            at_back = self.words(at_back, 2)[1]
        assert found == back[::-1]
        return found

    def put(self, queue: int, *numbers: int) -> None:
        for number in numbers:
            self.call("wait_enter", queue, self.wtasks[number])

    def is_waiting(self, number: int) -> bool:
        return bool(self.load(self.wtask, self.wtasks[number], "waiting")["waiting"])

    def woken(self) -> list[int]:
        """Who was woken, in order, out of any sleep."""
        made = self.called("policy_wake")
        assert all(arguments[1] == ANY_SLEEP for arguments in made)
        return [self.tasks.index(arguments[0]) for arguments in made]

    def state(self, number: int = 0) -> int:
        return self.load(self.task, self.tasks[number], "state")["state"]

    def instruction(self, **values: int) -> int:
        packed = {field.name: 0 for field in INSTRUCTION.fields} | values
        return self.place(INSTRUCTION.struct.pack(*packed.values()))

    def place(self, data: bytes) -> int:
        address = self.allocate(len(data))
        self.write(address, data)
        return address

    def while_asleep(self, queue: int, *turns: Callable[[], None]) -> list[tuple[int, bool]]:
        """Has things happen each time the running task gives up the CPU; the state that it has
        then, and whether its queue is still locked."""
        left, seen = list(turns), list[tuple[int, bool]]()

        def schedule(*_: int) -> None:
            seen.append((self.state(), self.locked(queue)))
            left.pop(0)()

        self.stand_in("policy_schedule", schedule)
        return seen

    def wake(self, queue: int) -> Callable[[], None]:
        """Takes the running task out of a queue, as its waker does."""

        def take() -> None:
            following, before = self.words(self.wtasks[0], 2)
            self.write(before, following.to_bytes(8, "little"))
            self.write(following + 8, before.to_bytes(8, "little"))
            self.store(self.wtask, self.wtasks[0], "waiting", 0)
            self.store(self.task, self.tasks[0], "state", 0)

        return take
