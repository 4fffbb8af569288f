"""Moments: what is only safe with a lock held, with interrupts off, in one instruction, or in this
order. Boots seldom hit the moments at which it matters."""

from __future__ import annotations

import pytest

from harness.workload.layout import NO_MUTEX
from tests.kernel.kernel import Kernel
from tests.kernel.sleepers import Sleepers

ATOMIC = {
    "spin_lock": ["cmpxchg"], "spin_trylock": ["cmpxchg"], "panic_report": ["cmpxchg"],
    "trace_emit": ["xadd"], "workload_op_fork": ["inc"], "workload_op_exit": ["dec"],
    "lapic_look": ["inc"], "lock_rounds": ["inc"],
    "switch_task": ["inc", "inc"], "sleeper_task": ["inc"],
}  # fmt: skip


@pytest.mark.parametrize("function", ATOMIC)
def test_what_several_cpus_change_is_changed_at_once(kernel: Kernel, function: str) -> None:
    words = [[*text.split(), ""] for _, text in kernel.instructions(function)]
    assert [name for prefix, name, *_ in words if prefix == "lock"] == ATOMIC[function]


def test_no_interrupt_comes_between_the_last_look_and_halting(kernel: Kernel) -> None:
    """It lets interrupts in only once the CPU halts: `sti` works one instruction later."""
    halt = kernel.find("idle_turn", "hlt")
    assert kernel.read(halt - 1, 1) == b"\xfb"


@pytest.mark.parametrize("look", ["cmp qword ptr gs:", "cmp dword ptr [rax"])
def test_the_idle_loop_looks_with_interrupts_off(kernel: Kernel, look: str) -> None:
    kernel.interrupts(True)
    kernel.set_percpu(0, curr=kernel.record(kernel.task, {}))
    kernel.stand_ins("ipi_run_mailbox", "relax")
    kernel.stand_in("trace_drain_one", lambda *_: 0)
    kernel.stand_in("idle_must_poll", lambda *_: 1)
    seen: list[bool] = []
    kernel.watch_at(kernel.find("idle_turn", look), lambda: seen.append(kernel.interrupts_on))
    kernel.call("idle_turn")
    assert seen == [False]


def guarded(sleepers: Sleepers, structure: int, size: int) -> list[str]:
    """Notes what is done to a structure that begins with a wait queue, or to its tasks, without
    its lock, and the lock with interrupts on."""
    wrong: list[str] = []

    def stored(what: str) -> None:
        if not sleepers.locked(structure):
            wrong.append(f"{what} changes without the lock")

    def lock(_: int) -> None:
        if sleepers.interrupts_on:
            wrong.append("the lock changes hands with interrupts on")

    for at in [*range(structure, structure + 16, 8), *range(structure + 32, structure + size, 8)]:
        sleepers.watch_store(at, lambda _, at=at: stored(f"+{at - structure}"))
    sleepers.watch_store(structure + 16, lock)
    own = sleepers.wtasks[0]
    for name in ("next", "prev", "waiting"):
        offset = sleepers.wtask.fields[name][0]
        sleepers.watch_store(own + offset, lambda _, name=name: stored(name))
    state = sleepers.tasks[0] + sleepers.task.fields["state"][0] & -8
    sleepers.watch_store(state, lambda _: stored("the state"))
    return wrong


OPERATIONS = [
    ("lock", "mutex", {}, False), ("lock", "mutex", {}, True), ("unlock", "mutex", {}, False),
    ("wait", "queue", {"b": NO_MUTEX}, True), ("signal", "queue", {}, False),
    ("broadcast", "queue", {}, False), ("barrier", "barrier", {}, True),
    ("barrier", "barrier", {}, False), ("block", "wrecord", {}, True),
    ("block", "wrecord", {}, False), ("wake", "wrecord", {"b": 1}, False),
    ("set_nice", "wrecord", {"b": 1}, False),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "kind", "values", "sleeps"), OPERATIONS)
def test_queues_change_under_their_lock_with_interrupts_off(
    sleepers: Sleepers, operation: str, kind: str, values: dict[str, int], sleeps: bool
) -> None:
    layout = getattr(sleepers, kind)
    structure = sleepers.queues(layout)
    tables = {"mutex": "mutexes", "queue": "conditions", "barrier": "barriers",
              "wrecord": "wrecords"}  # fmt: skip
    sleepers.set_word(tables[kind], structure)
    if not sleeps and operation != "lock":
        sleepers.put(structure, 3, 4)
    prepare(sleepers, operation, structure, sleeps)
    sleepers.stand_policy("set_nice")
    wrong = guarded(sleepers, structure, layout.size)
    seen = sleepers.while_asleep(structure, sleepers.wake(structure))
    sleepers.interrupts(True)
    sleepers.call(f"workload_op_{operation}", sleepers.instruction(**values),
                  rbx=sleepers.wtasks[0], r14=sleepers.tasks[0])  # fmt: skip
    assert wrong == []
    assert len(seen) == sleeps
    assert not sleepers.locked(structure) and sleepers.interrupts_on


def prepare(sleepers: Sleepers, operation: str, structure: int, sleeps: bool) -> None:
    """A structure in which the operation sleeps, or does not."""
    own = sleepers.wtasks[0]
    if operation in ("lock", "unlock"):
        owner = sleepers.wtasks[5] if sleeps else own if operation == "unlock" else 0
        sleepers.store(sleepers.mutex, structure, "owner", owner)
    elif operation == "barrier":
        sleepers.store(sleepers.barrier, structure, "parties", 3 if sleeps else 1)
    elif operation in ("block", "wake", "set_nice"):
        sleepers.store(sleepers.wtask, own, "record", structure)
        sleepers.store(sleepers.wrecord, structure, "task", sleepers.tasks[0])
        sleepers.store(sleepers.wrecord, structure, "token", int(operation == "block"
                                                                 and not sleeps))  # fmt: skip


@pytest.mark.parametrize("ticks", [False, True])
def test_a_timeout_is_set_under_the_lock(sleepers: Sleepers, ticks: bool) -> None:
    table = sleepers.queues(sleepers.queue, 2)
    sleepers.set_word("timeout_queues", table)
    queue = table + ticks * sleepers.queue.size
    sleepers.stand_in("clock_ns", lambda *_: 5, clobbers=("rdx",))
    wrong = guarded(sleepers, queue, sleepers.queue.size)
    seen = sleepers.while_asleep(queue, sleepers.wake(queue))
    sleepers.interrupts(True)
    sleepers.call("timeout_sleep_ticks" if ticks else "timeout_sleep_until", 10)
    assert wrong == [] and len(seen) == 1
    assert sleepers.interrupts_on


@pytest.mark.parametrize(
    ("function", "before", "after"),
    [
        ("interpreter_run", "", "call qword ptr [rcx"),
        ("wait_sleep", "call", "mov rax, qword ptr [r"),
    ],
)
def test_others_get_a_turn(kernel: Kernel, function: str, before: str, after: str) -> None:
    """Under the virtual clock: between two steps of any program, and at the moment at which a task
    is asleep by its state and still runs."""
    words = [text for _, text in kernel.instructions(function)]
    pause = words.index("pause")
    assert words[pause - 1].startswith(before)
    assert any(text.startswith(after) for text in words[pause + 1 :])


def test_a_lock_is_given_back_by_one_store(kernel: Kernel) -> None:
    """And nothing of what it protects is written behind it."""
    lock = kernel.allocate(16)
    kernel.write(lock, bytes(4))
    stores: list[int] = []
    kernel.watch_store(lock, stores.append)
    kernel.call("spin_unlock", lock)
    assert stores == [0xFFFFFFFF]


def test_an_event_has_its_number_while_nothing_can_come_between(kernel: Kernel) -> None:
    """The number is drawn with interrupts off, and the record is whole before the ring has it."""
    kernel.genuine("trace_emit")
    kernel.interrupts(True)
    kernel.set_word("trace_ring_bytes", 2048)
    kernel.set_percpu(0, ring=kernel.allocate(2048))
    kernel.stand_in("clock_ns", lambda *_: 9, clobbers=("rdx",))
    seen: list[tuple[str, bool]] = []
    at = kernel.area(0) + kernel.percpu.fields["ring_head"][0]
    ring = kernel.get_percpu("ring")
    for name, address in (("number", kernel.addresses["trace_sequence"]), ("head", at),
                          ("argument", ring + 24)):  # fmt: skip
        kernel.watch_store(address, lambda _, name=name: seen.append((name, kernel.interrupts_on)))
    data = b"".join(word.to_bytes(8, "little") for word in (3 | 1 << 16, 77))
    kernel.call_with_stack("trace_emit", data)
    assert seen == [("number", False), ("argument", False), ("head", False)]
