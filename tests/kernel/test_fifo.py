"""Policy none: one queue per CPU, first in, first out."""

from __future__ import annotations

import pytest

from tests.functions.guest import PanicError
from tests.functions.machine import Layout
from tests.kernel.kernel import CPUS, Kernel

FREE = 0xFFFFFFFF
RESCHEDULE = 0xFC
TASK_DEAD, SLEEPING = 32, 1
U64 = 2**64 - 1


class Fifo:
    """Policy none's queue of CPU 0, and tasks."""

    LOCK, HEAD, TAIL, SLICE, SIZE = 0, 16, 24, 32, 40

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.queues = [kernel.allocate(self.SIZE) for _ in range(CPUS)]
        self.idle = [kernel.record(kernel.task, {"id": cpu, "cpu": cpu}) for cpu in range(CPUS)]
        for cpu, queue in enumerate(self.queues):
            kernel.write(queue, FREE.to_bytes(4, "little") + bytes(self.SIZE - 4))
            kernel.set_percpu(cpu, runqueue=queue, idle=self.idle[cpu], curr=self.idle[cpu])
        self.tasks = [
            kernel.record(kernel.task, {"id": 10 + n, "run_list": 0xEE}) for n in range(4)
        ]

    def append(self, *numbers: int, cpu: int = 0) -> None:
        for number in numbers:
            self.kernel.call("fifo_append", self.queues[cpu], self.tasks[number])

    def queued(self, cpu: int = 0) -> list[int]:
        head, tail = self.kernel.words(self.queues[cpu] + self.HEAD, 2)
        found, at = [], head
        while at:
            found.append(at)
            (at,) = self.kernel.words(at + self.kernel.task.fields["run_list"][0], 1)
        assert tail == (found[-1] if found else 0)
        return [self.tasks.index(task) for task in found]

    def locked(self, cpu: int = 0) -> bool:
        return self.kernel.read(self.queues[cpu], 4) != FREE.to_bytes(4, "little")

    def set_slice(self, value: int) -> None:
        self.kernel.write(self.queues[0] + self.SLICE, (value & U64).to_bytes(8, "little"))


@pytest.fixture
def fifo(kernel: Kernel) -> Fifo:
    return Fifo(kernel)


def field(kernel: Kernel, task: int, name: str) -> int:
    return kernel.load(kernel.task, task, name)[name]


def test_the_queue_of_a_cpu_begins_empty(kernel: Kernel) -> None:
    memory = kernel.allocate(64)
    kernel.write(memory, b"\xee" * 64)
    kernel.stand_in("memory_alloc", lambda *_: memory)
    kernel.call("fifo_init_cpu")
    assert kernel.get_percpu("runqueue") == memory
    assert kernel.read(memory, 4) == FREE.to_bytes(4, "little")
    assert kernel.words(memory + Fifo.HEAD, 2) == [0, 0]
    assert kernel.called("memory_alloc")[0][0] == Fifo.SIZE


@pytest.mark.parametrize("cpu", range(CPUS))
@pytest.mark.parametrize("on", [True, False])
def test_a_new_task_is_queued_on_its_cpu_which_is_told(
    kernel: Kernel, fifo: Fifo, cpu: int, on: bool
) -> None:
    kernel.become(1)
    kernel.interrupts(on)
    kernel.genuine("ipi_send")
    kernel.stand_ins("ipi_send", "task_log_new")
    fifo.append(2, cpu=cpu)
    kernel.store(kernel.task, fifo.tasks[0], "cpu", cpu)
    kernel.call("fifo_start", fifo.tasks[0])
    assert fifo.queued(cpu) == [2, 0] and not fifo.locked(cpu)
    assert [field(kernel, task, "need_resched") for task in fifo.idle] == [
        int(number == cpu) for number in range(CPUS)
    ]
    sent = [made[:2] for made in kernel.called("ipi_send")]
    assert sent == ([] if cpu == 1 else [(cpu, RESCHEDULE)])
    assert kernel.called("task_log_new")[0][0] == fifo.tasks[0]
    assert kernel.interrupts_on == on and not any(made.interrupts for made in kernel.calls)


@pytest.mark.parametrize(
    ("current", "waits", "left", "due"),
    [("idle", True, 1, 0), ("task", True, 1, 1), ("task", False, 1, 0), ("task", True, 2, 0)],
)
def test_a_slice_is_a_tick(
    kernel: Kernel, fifo: Fifo, current: str, waits: bool, left: int, due: int
) -> None:
    task = fifo.idle[0] if current == "idle" else fifo.tasks[0]
    kernel.set_percpu(0, curr=task)
    fifo.set_slice(left)
    if waits:
        fifo.append(1)
    kernel.call("fifo_tick")
    assert field(kernel, task, "need_resched") == due


@pytest.mark.parametrize(
    ("current", "state", "queue", "following", "after"),
    [
        ("idle", 0, [1, 2], 1, [2]),
        ("idle", 0, [], None, []),
        (0, 0, [1, 2], 1, [2, 0]),
        (0, 0, [], 0, []),
        (0, SLEEPING, [1, 2], 1, [2]),
        (0, SLEEPING, [1], 1, []),
        (0, SLEEPING, [], None, []),
    ],
)
def test_the_cpu_goes_to_the_head_of_the_queue(
    kernel: Kernel, fifo: Fifo, current: str | int, state: int, queue: list[int],
    following: int | None, after: list[int],
) -> None:  # fmt: skip
    prev = fifo.idle[0] if current == "idle" else fifo.tasks[int(current)]
    expected = fifo.idle[0] if following is None else fifo.tasks[following]
    kernel.store(kernel.task, prev, "state", state)
    kernel.store(kernel.task, prev, "need_resched", 1)
    kernel.set_percpu(0, curr=prev, switches=5)
    fifo.append(*queue)
    kernel.interrupts(True)
    locked = []

    def switch(*_: int) -> int:
        locked.append(fifo.locked())
        return 0x99

    kernel.stand_in("switch_to", switch)
    kernel.stand_ins("fifo_finish")
    with kernel.logging():
        kernel.call("fifo_schedule")
    assert kernel.interrupts_on and kernel.get_percpu("curr") == expected
    assert fifo.queued() == after and field(kernel, prev, "need_resched") == 0
    assert kernel.words(fifo.queues[0] + Fifo.SLICE, 1) == [1]
    if expected == prev:
        assert kernel.order == [] and not fifo.locked() and kernel.get_percpu("switches") == 5
        assert kernel.events == []
        return
    assert kernel.called("switch_to")[0][:2] == (prev, expected) and locked == [True]
    assert kernel.called("fifo_finish")[0][0] == 0x99
    assert not any(made.interrupts for made in kernel.calls)
    assert kernel.get_percpu("switches") == 6
    ids = field(kernel, prev, "id"), field(kernel, expected, "id")
    assert [(event.name, event.arguments) for event in kernel.events] == [
        ("switch", (*ids, int(state != 0)))
    ]


@pytest.mark.parametrize("dead", [True, False])
def test_who_comes_after_a_dead_task_buries_it(kernel: Kernel, fifo: Fifo, dead: bool) -> None:
    kernel.write(fifo.queues[0], bytes(4))
    kernel.store(kernel.task, fifo.tasks[0], "state", TASK_DEAD if dead else SLEEPING)
    kernel.stand_ins("task_bury")
    kernel.call("fifo_finish", fifo.tasks[0])
    assert not fifo.locked()
    assert [made[0] for made in kernel.called("task_bury")] == [fifo.tasks[0]] * dead


def test_a_task_that_ends_is_dead_before_another_runs(kernel: Kernel, fifo: Fifo) -> None:
    kernel.interrupts(True)
    kernel.set_percpu(0, curr=fifo.tasks[0])
    kernel.stand_in("fifo_schedule", lambda *_: None)
    with pytest.raises(PanicError, match="a task that had ended was run again"):
        kernel.call("fifo_exit")
    assert field(kernel, fifo.tasks[0], "state") == TASK_DEAD
    assert not kernel.calls[0].interrupts


def test_each_operation_of_policy_none(kernel: Kernel) -> None:
    ops = Layout.of(kernel.image, "policy_ops").fields
    at = kernel.addresses
    own = {"init_cpu": "init_cpu", "ready": "nothing", "tick": "tick", "schedule": "schedule",
           "preempt": "schedule", "yield": "schedule", "exit": "exit", "start": "start",
           "close_cpu": "nothing", "close_task": "nothing", "finish": "finish"}  # fmt: skip
    for name, (offset, _) in ops.items():
        (found,) = kernel.words(at["fifo_policy"] + offset, 1)
        if name == "name":
            assert kernel.string(found) == "none"
        else:
            assert found == at[f"fifo_{own.get(name, 'unsupported')}"], name
