"""The scheduler's data for a few tasks on a few CPUs, laid out in an `Smp`'s memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from harness.explore.smp import FIRST_RUN, NOW, PAGE, WORLD, WORLD_BYTES, Smp, Stop
from harness.explore.structure import Layout
from harness.model.constants import MAX_PRIO, NS_PER_SECOND, State

CANARY = 0x5AFEC0DE5AFEC0DE
JIFFIES, HZ = 1000, 1000
ALL_CPUS = (1 << 64) - 1
WAKE_AFFINE = 16
SAVED_REGISTERS = 6
"""What switch_to leaves on the stack of a task that it takes off the CPU, besides the return."""


@dataclass(frozen=True)
class Call:
    """An operation: a function of the guest. A word stands for a task's address or, as `rq0`, a run
    queue's."""

    function: str
    arguments: tuple[int | str, ...] = ()


@dataclass(frozen=True)
class Block:
    """An operation: sleeps until `flag` is set, as wait queues do: state first, then the test."""

    flag: str


@dataclass(frozen=True)
class Notify:
    """An operation: sets `flag`, then wakes the task."""

    flag: str
    task: str
    sync: bool = False


Op: TypeAlias = Call | Block | Notify


@dataclass(frozen=True)
class Actor:
    """A task: where it is, and what it does when it runs. `endless` ones never finish that."""

    name: str
    cpu: int
    program: tuple[Op, ...] = ()
    running: bool = True
    """On its CPU; else it sleeps, interruptibly, and has never run."""
    prio: int = 120
    endless: bool = False
    migration: bool = False
    """Its CPU's migration thread."""


@dataclass
class World:
    """Where everything is. What an `Smp` holds after construction is saved for its `reset`."""

    smp: Smp
    actors: Sequence[Actor]
    affine: bool = True
    """Whether wakers pull whom they wake to their CPU."""
    tasks: dict[str, int] = field(default_factory=dict)
    """Address of each task by name; idle tasks are idle0, idle1, ..."""
    names: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        smp, image = self.smp, self.smp.image
        self.cpus = len(smp.cpus)
        self.task, self.runqueue = Layout.of(image, "task"), Layout.of(image, "runqueue")
        self.array, self.domain = Layout.of(image, "prio_array"), Layout.of(image, "sched_domain")
        self._free = WORLD + PAGE * self.cpus
        self.queues = self._room(self.runqueue.size * self.cpus)
        everyone = [*(Actor(f"idle{cpu}", cpu) for cpu in range(self.cpus)), *self.actors]
        self.first_task = self._room(self.task.size * len(everyone))
        for number, actor in enumerate(everyone):
            self.tasks[actor.name] = self.first_task + self.task.size * number
        self.names = {address: name for name, address in self.tasks.items()}
        self._boot_stack = self._room(PAGE, PAGE) + PAGE
        self.stacks = {actor.name: self._room(PAGE, PAGE) for actor in everyone}
        self._variables()
        for cpu in range(self.cpus):
            self._queue(cpu)
        for number, actor in enumerate(everyone):
            self._actor(number, actor)
        for region in smp.regions:
            region.save()

    def _room(self, size: int, alignment: int = 64) -> int:
        address = -(-self._free // alignment) * alignment
        self._free = address + size
        if self._free > WORLD + WORLD_BYTES:
            raise ValueError("the world is too small for so many tasks")
        return address

    def queue(self, cpu: int) -> int:
        """Address of a CPU's run queue."""
        return self.queues + self.runqueue.size * cpu

    def stack_top(self, task: int) -> int:
        return self.stacks[self.names[task]] + PAGE

    def field(self, task: int, name: str) -> int:
        """A field of a task, unsigned."""
        at, width = self.task.fields[name]
        return self.smp.word(task + at, width)

    def set_field(self, task: int, name: str, value: int) -> None:
        at, width = self.task.fields[name]
        self.smp.set_word(task + at, value, width)

    def queue_field(self, cpu: int, name: str) -> int:
        """A field of a run queue, unsigned."""
        at, width = self.runqueue.fields[name]
        return self.smp.word(self.queue(cpu) + at, width)

    def state_bytes(self) -> bytes:
        """Everything that a snapshot reads: equal bytes, equal snapshots."""
        end = self.first_task + self.task.size * len(self.tasks)
        return self.smp.read(self.queues, end - self.queues)

    def call(self, function: str, *arguments: int) -> None:
        """Has CPU 0 run a function to its end while nothing else goes on."""
        smp = self.smp
        smp.enter(0, self._boot_stack, smp.image.address(function), *arguments)
        if smp.go_on(0) is not Stop.ENDS:
            raise ValueError(f"{function} does not end when nobody else is there")

    def _variables(self) -> None:
        smp, address = self.smp, self.smp.image.address
        for symbol, value in (
            ("runqueues", self.queues),
            ("cpu_count", self.cpus),
            ("jiffies", JIFFIES),
            ("param_hz", HZ),
            ("param_loglevel", 0),
        ):
            smp.set_word(address(symbol), value)
        for cpu in range(self.cpus):
            idle = self.tasks[f"idle{cpu}"]
            running = next((a for a in self.actors if a.cpu == cpu and a.running), None)
            values = {
                "self": smp.area(cpu),
                "cpu": cpu,
                "apic_id": cpu,
                "idle": idle,
                "curr": self.tasks[running.name] if running else idle,
                "runqueue": self.queue(cpu),
            }
            smp.write(smp.area(cpu), smp.percpu.pack(values))
            smp.set_word(address("cpu_table") + 8 * cpu, smp.area(cpu))
        self.call("sched_constants_init")

    def _queue(self, cpu: int) -> None:
        at = self.queue(cpu)
        arrays = at + self.runqueue.fields["arrays"][0]
        thread = next((a for a in self.actors if a.cpu == cpu and a.migration), None)
        values = {
            "lock": 0xFFFFFFFF,
            "cpu": cpu,
            "curr": self.smp.field(cpu, "curr"),
            "idle": self.smp.field(cpu, "idle"),
            "active": arrays,
            "expired": arrays + self.array.size,
            "best_expired_prio": MAX_PRIO,
            "timestamp_last_tick": NOW,
            "migration_thread": self.tasks[thread.name] if thread else 0,
            "sd": self._domain(),
        }
        self.smp.write(at, self.runqueue.pack(values))
        for number in (0, 1):
            self.call("prio_array_init", arrays + self.array.size * number)

    def _domain(self) -> int:
        """One level over all CPUs, in which every task is cold."""
        at = self._room(self.domain.size)
        values = {
            "span": (1 << self.cpus) - 1,
            "flags": WAKE_AFFINE * self.affine,
            "imbalance_pct": 125,
        }
        self.smp.write(at, self.domain.pack(values))
        return at

    def _actor(self, number: int, actor: Actor) -> None:
        at, stack = self.tasks[actor.name], self.stacks[actor.name]
        idle = actor.name.startswith("idle")
        prio = MAX_PRIO if idle else actor.prio
        saved = stack + PAGE - 8 * (SAVED_REGISTERS + 2)
        values = {
            "id": number,
            "slot": 1,
            "state": State.RUNNING if actor.running else State.INTERRUPTIBLE,
            "cpu": actor.cpu,
            # While a task runs nothing useful is there, and whoever goes by it must be found out.
            "rsp": 0 if self.smp.field(actor.cpu, "curr") == at else saved,
            "stack": stack,
            "prio": prio,
            "static_prio": max(prio, 100),
            "policy": 1 if prio < 100 else 0,
            "rt_priority": 99 - prio if prio < 100 else 0,
            "time_slice": 100,
            "sleep_avg": NS_PER_SECOND // 2,
            "cpus_allowed": 1 << actor.cpu if actor.migration else ALL_CPUS,
        }
        self.smp.write(at, self.task.pack(values))
        self.smp.set_word(stack, CANARY)
        self.smp.set_word(saved + 8 * SAVED_REGISTERS, FIRST_RUN)
        if actor.running and not idle:
            array = self.queue(actor.cpu) + self.runqueue.fields["arrays"][0]
            self.call("enqueue_task_at", at, array, JIFFIES)
            running, width = self.runqueue.fields["nr_running"]
            self.smp.set_word(self.queue(actor.cpu) + running, 1, width)
