"""The checked guest with sound run queues of either policy, which tests then damage."""

from __future__ import annotations

from tests.functions.machine import Layout
from tests.kernel.kernel import CPUS, Kernel

MAX_PRIO, MAX_RT_PRIO = 140, 100
CANARY = 0x5AFEC0DE5AFEC0DE
PAGE = 4096
NORMAL, FIFO, RR = 0, 1, 2
RINGS, SLOTS = 35, 256
RT_RINGS, IDLE_RING = 30, 34
HZ = 1000


class Queue:
    """CPU 2's run queue of policy o1: two tasks of one priority, of which the first runs, a real-
    time one, and one that has expired."""

    CPU = 2

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        kernel.genuine("invariant_structure")
        kernel.configure(HZ, CPUS)
        kernel.set_word("task_count", 20)
        self.layout, self.array = kernel.runqueue, kernel.array
        self.at = kernel.allocate(self.layout.size)
        kernel.write(self.at, bytes(self.layout.size))
        self.arrays = [self.at + self.layout.fields["arrays"][0] + n * self.array.size
                       for n in range(2)]  # fmt: skip
        self.stacks: dict[int, int] = {}
        self.idle = self.task(MAX_PRIO, cpu=self.CPU)
        self.running = self.task(115)
        self.second = self.task(115)
        self.realtime = self.task(57, policy=RR, static_prio=120)
        self.expired = self.task(125)
        self.fill(self.arrays[0], {57: [self.realtime], 115: [self.running, self.second]})
        self.fill(self.arrays[1], {125: [self.expired]})
        self.set(cpu=self.CPU, nr_running=4, curr=self.running, idle=self.idle,
                 active=self.arrays[0], expired=self.arrays[1], best_expired_prio=125,
                 expired_timestamp=77)  # fmt: skip

    def task(self, prio: int, **values: int) -> int:
        stack = self.kernel.allocate(8)
        self.kernel.write(stack, CANARY.to_bytes(8, "little"))
        fields = {"static_prio": 120, "time_slice": 50, "cpu": self.CPU, "stack": stack}
        return self.kernel.record(self.kernel.task, fields | {"prio": prio} | values)

    def link(self, task: int) -> int:
        return task + self.kernel.task.fields["run_list"][0]

    def head(self, array: int, prio: int) -> int:
        return array + self.array.fields["queue"][0] + 16 * prio

    def fill(self, array: int, lists: dict[int, list[int]]) -> None:
        """Links tasks in the lists of an array, and makes all that counts them agree."""
        bitmap = 1 << MAX_PRIO
        for prio in range(MAX_PRIO):
            tasks = lists.get(prio, [])
            ring = [self.head(array, prio), *map(self.link, tasks)]
            for here, following in zip(ring, ring[1:] + ring[:1], strict=True):
                self.kernel.write(here, following.to_bytes(8, "little"))
                self.kernel.write(following + 8, here.to_bytes(8, "little"))
            for task in tasks:
                self.set_task(task, array=array)
            bitmap |= bool(tasks) << prio
        at, size = self.array.fields["bitmap"]
        self.kernel.write(array + at, bitmap.to_bytes(size, "little"))
        count = sum(map(len, lists.values()))
        self.kernel.store(self.array, array, "nr_active", count)

    def set(self, **values: int) -> None:
        for name, value in values.items():
            self.kernel.store(self.layout, self.at, name, value)

    def set_task(self, task: int, **values: int) -> None:
        for name, value in values.items():
            width = self.kernel.task.fields[name][1]
            self.kernel.store(self.kernel.task, task, name, value & (1 << 8 * width) - 1)

    def flip(self, bit: int, array: int = 0) -> None:
        """Another bit of an array's bitmap."""
        at = self.arrays[array] + self.array.fields["bitmap"][0] + bit // 8
        (byte,) = self.kernel.read(at, 1)
        self.kernel.write(at, bytes([byte ^ 1 << bit % 8]))

    def check(self) -> None:
        self.kernel.call("invariant_structure", self.at)
        assert self.kernel.clobbered(self.at) == set()


class Rings:
    """CPU 2's ready queue of policy veridian: two tasks in a normal ring, which wraps, and one each
    in a real-time ring and in that of idle tasks; another one runs."""

    CPU = 2

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        kernel.genuine("invariant_rings")
        self.info, self.ring, self.vtask = (
            Layout.of(kernel.image, name) for name in ("cpu_info", "ring", "vtask")
        )
        self.at = kernel.allocate(self.info.size)
        kernel.write(self.at, bytes(self.info.size))
        self.vtasks = kernel.allocate(600 * self.vtask.size)
        kernel.write(self.vtasks, bytes(600 * self.vtask.size))
        kernel.set_word("vtasks", self.vtasks)
        self.tasks: list[int] = []
        self.fill(31, [self.waiting(31), self.waiting(31)], head=SLOTS - 1)
        self.fill(7, [self.waiting(7)], head=3)
        self.fill(IDLE_RING, [self.waiting(IDLE_RING)], head=0)
        self.fill(0, [], head=9)
        self.set(cpu=self.CPU, nr_running=4, load=50, idle=0)
        self.set(rt_bitmap=1 << 7, normal_bitmap=1 << 31 - RT_RINGS, idle_flag=1)

    def waiting(self, ring: int) -> int:
        """A task that waits in that ring."""
        number = len(self.tasks) + 1
        task = self.kernel.record(self.kernel.task, {
            "id": number, "cpu": self.CPU, "array": self.ring_at(ring)})  # fmt: skip
        self.kernel.store(self.vtask, self.vtasks + number * self.vtask.size, "ring", ring)
        self.tasks.append(task)
        return task

    def ring_at(self, ring: int) -> int:
        return self.at + self.info.fields["rings"][0] + ring * self.ring.size

    def fill(self, ring: int, tasks: list[int], head: int) -> None:
        """Puts tasks into a ring from that slot on, those without a slot into the list behind."""
        slots, behind = tasks[:SLOTS], tasks[SLOTS:]
        self.set_ring(ring, head=head, tail=(head + len(slots)) % SLOTS, count=len(slots))
        for number, task in enumerate(slots):
            self.set_slot(ring, head + number, task)
        self.set_ring(ring, overflowed=len(behind), overflow_first=behind[0] if behind else 0,
                      overflow_last=behind[-1] if behind else 0)  # fmt: skip
        for task, following in zip(behind, [*behind[1:], 0], strict=False):
            at = task + self.kernel.task.fields["run_list"][0]
            self.kernel.write(at, following.to_bytes(8, "little"))

    def set_slot(self, ring: int, slot: int, value: int) -> None:
        at = self.ring_at(ring) + self.ring.fields["slots"][0] + slot % SLOTS * 8
        self.kernel.write(at, value.to_bytes(8, "little"))

    def set(self, **values: int) -> None:
        for name, value in values.items():
            self.kernel.store(self.info, self.at, name, value)

    def set_ring(self, ring: int, **values: int) -> None:
        for name, value in values.items():
            self.kernel.store(self.ring, self.ring_at(ring), name, value)

    def overflow(self, behind: int) -> list[int]:
        """Ring 5 full, and so many tasks behind it; all of them."""
        tasks = [self.waiting(5) for _ in range(SLOTS + behind)]
        self.fill(5, tasks, head=17)
        self.set(rt_bitmap=1 << 7 | 1 << 5, nr_running=4 + SLOTS + behind, load=100)
        return tasks

    def check(self) -> None:
        self.kernel.call("invariant_rings", self.at)
        assert self.kernel.clobbered(self.at) == set()
