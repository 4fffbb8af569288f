"""What the checked guest verifies where locks change hands, where a CPU switches, halts, or goes
back to a task."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from tests.functions.guest import PanicError
from tests.functions.machine import Layout
from tests.kernel.kernel import LAPIC, Kernel

CANARY = 0x5AFEC0DE5AFEC0DE
PAGE = 4096
ISR = 0x100
CPU = 2


@pytest.fixture
def held(checked: Kernel) -> Kernel:
    """CPU 2 with interrupts off, on the stack of its task."""
    checked.become(CPU)
    checked.interrupts(False)
    for name in [name for name in checked.addresses if name.startswith("invariant_")]:
        if name != "invariant_held":  # data
            checked.genuine(name)
    stack = 0x2000_0000 + 3 * PAGE  # the page of the stack that calls begin in
    checked.write(stack, CANARY.to_bytes(8, "little"))
    task = checked.record(checked.task, {"stack": stack, "cpu": CPU})
    checked.set_percpu(CPU, curr=task, idle=0)
    return checked


def hold(kernel: Kernel, *cpus: int) -> None:
    """CPU 2 has locked the run queues of these; its neighbours have locked all."""
    at = kernel.addresses["invariant_held"]
    for cpu in (1, 3):
        kernel.write(at + 8 * cpu, b"\xff" * 8)
    kernel.write(at + 8 * CPU, sum(1 << cpu for cpu in cpus).to_bytes(8, "little"))


def holds(kernel: Kernel) -> set[int]:
    (mask,) = kernel.words(kernel.addresses["invariant_held"] + 8 * CPU, 1)
    return {cpu for cpu in range(64) if mask >> cpu & 1}


def queue(kernel: Kernel, cpu: int) -> int:
    at = kernel.allocate(kernel.runqueue.size)
    kernel.write(at, kernel.runqueue.pack({"cpu": cpu}))
    return at


def broken(kernel: Kernel, rule: str, function: str, *arguments: int) -> None:
    with pytest.raises(PanicError, match=f"^rule {rule}: "):
        kernel.call(f"invariant_{function}", *arguments)


def passes(kernel: Kernel, function: str, *arguments: int) -> None:
    kernel.call(f"invariant_{function}", *arguments)
    assert kernel.clobbered(*arguments) == set()


@pytest.mark.parametrize("cpu", [0, 2, 63])
def test_what_is_locked_is_noted_and_forgotten(held: Kernel, cpu: int) -> None:
    held.stand_ins("invariant_structure", "invariant_rings", "invariant_stack")
    hold(held, 33)
    at = queue(held, cpu)
    passes(held, "locked", at)
    assert holds(held) == {33, cpu}
    for function, check in (("before_unlock", "structure"), ("before_info_unlock", "rings")):
        hold(held, 33, cpu)
        held.calls.clear()
        held.call(f"invariant_{function}", at)
        assert holds(held) == {33}
        assert held.order == [f"invariant_{check}", "invariant_stack"]
        assert held.calls[0].arguments[0] == at
        broken(held, "K3", function, at)
        held.interrupts(True)
        hold(held, 33, cpu)
        broken(held, "K4", function, at)
        held.interrupts(False)


@pytest.mark.parametrize(
    ("locked", "cpu", "sound"),
    [([], 0, True), ([4], 5, True), ([5], 5, False), ([6], 5, False), ([63], 0, False),
     ([0, 4], 63, True), ([0, 63], 9, False)],
)  # fmt: skip
def test_who_waits_for_a_lock_holds_no_higher_one(
    held: Kernel, locked: list[int], cpu: int, sound: bool
) -> None:
    hold(held, *locked)
    if sound:
        passes(held, "before_lock", queue(held, cpu))
    else:
        broken(held, "K1", "before_lock", queue(held, cpu))
    held.interrupts(True)
    broken(held, "K4", "before_lock", queue(held, cpu))


def test_a_task_is_queued_under_the_lock_of_its_cpu(held: Kernel) -> None:
    task = held.record(held.task, {"cpu": 4})
    hold(held, 4, 9)
    passes(held, "task_locked", task)
    hold(held, 3, 5, 9)
    broken(held, "K2", "task_locked", task)


def test_a_task_moves_between_two_that_are_locked(held: Kernel) -> None:
    first, second = queue(held, 4), queue(held, 9)
    hold(held, 4, 9)
    passes(held, "both_locked", first, second)
    passes(held, "both_locked", second, first)
    for cpus in ([4], [9], [], [3, 5, 8, 10]):
        hold(held, *cpus)
        broken(held, "K5", "both_locked", first, second)


def test_a_switch_is_under_the_lock_of_this_cpu_alone(held: Kernel) -> None:
    hold(held, CPU)
    passes(held, "switching")
    for cpus in ([], [CPU, 3], [3], [CPU, 63]):
        hold(held, *cpus)
        broken(held, "K6", "switching")


def test_nothing_is_in_service_at_a_switch(held: Kernel) -> None:
    hold(held, CPU)
    held.write(LAPIC + ISR + 0x70, (1 << 15).to_bytes(4, "little"))
    broken(held, "P15", "switching")
    broken(held, "P15", "apic_idle")


def test_nothing_is_locked_where_a_cpu_halts(held: Kernel) -> None:
    hold(held)
    passes(held, "unlocked")
    hold(held, 63)
    broken(held, "K3", "unlocked")


def test_a_task_goes_on_unlocked_and_with_interrupts(held: Kernel) -> None:
    hold(held)
    held.interrupts(True)
    seen: list[bool] = []
    held.watch("invariant_unlocked", lambda *_: seen.append(held.interrupts_on))
    passes(held, "between_steps")
    assert seen == [False], "the task must not move to another CPU while it looks"
    assert held.interrupts_on
    hold(held, 5)
    broken(held, "K3", "between_steps")
    hold(held)
    held.interrupts(False)
    broken(held, "K4", "between_steps")


@pytest.mark.parametrize(("clock", "patience_ms"), [(0, 1000), (1, 8000)])
def test_no_lock_is_waited_for_for_ever(held: Kernel, clock: int, patience_ms: int) -> None:
    khz = 2_000_000
    held.set_word("param_clock", clock)
    held.set_word("clock_khz", khz)
    lock = held.record(Layout.of(held.image, "lock"), {"owner": 3})
    now = [5_000_000_000]
    held.fake("rdtsc", lambda: now[0], "invariant_waiting")
    held.call("invariant_waiting", lock, 0)
    assert held.register("rsi") == now[0]
    began = now[0]
    now[0] = began + patience_ms * khz
    passes(held, "waiting", lock, began)
    now[0] += 1
    broken(held, "K7", "waiting", lock, began)
    assert (held.register("rax"), held.register("rbx")) == (3, lock), "which lock, and whose"
    held.set_word("clock_khz", 0)
    passes(held, "waiting", lock, began)


@pytest.mark.parametrize(
    ("pages_below", "is_idle", "sound"),
    [(0, False, True), (1, False, False), (1, True, True), (2, True, False), (-1, False, False)],
)
def test_a_cpu_is_on_the_stack_of_its_task(
    held: Kernel, pages_below: int, is_idle: bool, sound: bool
) -> None:
    """An idle task's is twice as large."""
    stack = 0x2000_0000 + (3 - pages_below) * PAGE
    if pages_below >= 0:
        held.write(stack, CANARY.to_bytes(8, "little"))
    task = held.record(held.task, {"stack": stack})
    held.set_percpu(CPU, curr=task, idle=task if is_idle else 0)
    if sound:
        passes(held, "stack")
        held.write(stack, bytes(8))
    with pytest.raises(PanicError, match="rule S12: the running" if sound else "rule S12: a CPU"):
        held.call("invariant_stack")


@pytest.mark.parametrize(("is_idle", "size"), [(False, PAGE), (True, 2 * PAGE)])
def test_a_stack_ends_with_its_last_byte(held: Kernel, is_idle: bool, size: int) -> None:
    pointers: list[int] = []
    held.watch_at(
        held.find("invariant_stack", "mov rdx, rsp"), lambda: pointers.append(held.pointer)
    )
    task = held.record(held.task, {"stack": held.scratch(8)})
    held.set_percpu(CPU, curr=task, idle=task if is_idle else 0)
    broken(held, "S12", "stack")
    for below, sound in ((size - 8, True), (size, False)):
        stack = pointers[0] - below
        held.store(held.task, task, "stack", stack)
        held.write(stack, CANARY.to_bytes(8, "little"))
        with pytest.raises(PanicError, match="rule S12: a CPU") if not sound else nullcontext():
            held.call("invariant_stack")
