"""Spin locks, interrupts to other CPUs, and the mailbox through which CPUs call each other."""

from __future__ import annotations

import pytest

from tests.functions.guest import PanicError
from tests.functions.machine import Layout
from tests.kernel.kernel import APIC_IDS, CPUS, LAPIC, Kernel

FREE = 0xFFFFFFFF
RESCHEDULE, CALL, PING = 0xFC, 0xFA, 0xF9
ICR_LOW, ICR_HIGH, EOI = 0x300, 0x310, 0x0B0
FUNCTION, ARGUMENT = 0x1234_5678_9ABC, 0x77_0000_0001


@pytest.fixture
def lock(kernel: Kernel) -> int:
    return kernel.record(Layout.of(kernel.image, "lock"), {"owner": FREE, "reserved": 0})


def owner(kernel: Kernel, lock: int) -> int:
    return int.from_bytes(kernel.read(lock, 4), "little")


def own(kernel: Kernel, lock: int, cpu: int) -> None:
    kernel.write(lock, cpu.to_bytes(4, "little"))


@pytest.mark.parametrize("cpu", range(CPUS))
def test_a_lock_is_its_holders(kernel: Kernel, lock: int, cpu: int) -> None:
    kernel.become(cpu)
    kernel.call("spin_lock", lock)
    assert owner(kernel, lock) == cpu
    assert kernel.clobbered(lock) <= {"rax", "rcx"}
    kernel.call("spin_unlock", lock)
    assert owner(kernel, lock) == FREE
    assert kernel.clobbered(lock) <= {"rax"}
    assert kernel.call("spin_trylock", lock) == 1
    assert owner(kernel, lock) == cpu
    assert kernel.clobbered(lock) <= {"rax", "rcx"}


@pytest.mark.parametrize("holder", range(CPUS))
def test_a_lock_that_is_held_cannot_be_had_at_once(kernel: Kernel, lock: int, holder: int) -> None:
    own(kernel, lock, holder)
    assert kernel.call("spin_trylock", lock) == 0
    assert owner(kernel, lock) == holder


def test_nobody_takes_a_lock_twice(kernel: Kernel, lock: int) -> None:
    kernel.call("spin_lock", lock)
    with pytest.raises(PanicError, match="spin_lock: this CPU holds the lock already"):
        kernel.call("spin_lock", lock)


@pytest.mark.parametrize("holder", [1, 3, FREE])
def test_only_the_holder_gives_a_lock_back(kernel: Kernel, lock: int, holder: int) -> None:
    own(kernel, lock, holder)
    with pytest.raises(PanicError, match="spin_unlock: this CPU does not hold the lock"):
        kernel.call("spin_unlock", lock)
    assert owner(kernel, lock) == holder


def test_whoever_waits_takes_the_lock_when_it_is_free_and_not_before(
    kernel: Kernel, lock: int
) -> None:
    """It goes from one holder to the next between two looks, and in between is taken again."""
    own(kernel, lock, 1)
    seen = [1, 2, FREE, 3, 3, FREE]

    def pass_on(*_: int) -> None:
        own(kernel, lock, seen.pop(0))

    kernel.stand_in("relax_spin", pass_on, clobbers=("rcx",))
    took_it_between = iter([True])

    def sneak(*_: int) -> None:
        if owner(kernel, lock) == FREE and next(took_it_between, False):
            own(kernel, lock, 2)

    attempt = kernel.find("spin_lock", "lock cmpxchg")
    kernel.watch_at(attempt, sneak)
    kernel.call("spin_lock", lock)
    assert owner(kernel, lock) == 0
    assert seen == []


def test_a_wait_is_no_attempt(kernel: Kernel, lock: int) -> None:
    """A CPU that waits only reads: what it writes keeps the holder from its own memory."""
    own(kernel, lock, 1)
    turns = iter(range(10))
    kernel.stand_in("relax_spin", lambda *_: own(kernel, lock, FREE) if next(turns) == 9 else None,
                    clobbers=("rcx",))  # fmt: skip
    attempts: list[int] = []
    kernel.watch_at(kernel.find("spin_lock", "lock cmpxchg"), lambda *_: attempts.append(1))
    kernel.call("spin_lock", lock)
    assert len(attempts) == 2


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("apic", [0, 1, 254])
def test_an_interrupt_is_sent_with_its_target_first(kernel: Kernel, apic: int, on: bool) -> None:
    kernel.interrupts(on)
    seen = []
    kernel.watch_at(kernel.find("lapic_send", "mov dword ptr"), lambda *_: seen.append(
        kernel.interrupts_on))  # fmt: skip
    kernel.call("lapic_send", apic, 0x46FC)
    assert kernel.apic == [(ICR_HIGH, apic << 24), (ICR_LOW, 0x46FC)]
    assert seen == [False] and kernel.interrupts_on == on
    assert kernel.register("rdi") == apic


def test_an_interrupt_is_sent_when_the_one_before_has_gone(kernel: Kernel) -> None:
    kernel.write(LAPIC + ICR_LOW, (0x1000).to_bytes(4, "little"))
    looks = iter(range(5))

    def look(*_: int) -> None:
        assert not kernel.apic
        if next(looks) == 4:
            kernel.write(LAPIC + ICR_LOW, bytes(4))

    kernel.watch_at(kernel.find("lapic_send", "test dword ptr"), look)
    kernel.call("lapic_send", 3, 0xFC)
    assert next(looks, None) is None
    assert len(kernel.apic) == 2


@pytest.mark.parametrize("cpu", range(CPUS))
def test_an_interrupt_goes_to_the_cpu_that_is_meant(kernel: Kernel, cpu: int) -> None:
    kernel.genuine("ipi_send")
    kernel.stand_ins("lapic_send")
    with kernel.logging():
        kernel.call("ipi_send", cpu, RESCHEDULE)
    ((to, vector, *_),) = kernel.called("lapic_send")
    assert (to, vector) == (APIC_IDS[cpu], RESCHEDULE)
    ((name, arguments),) = [(event.name, event.arguments) for event in kernel.events]
    assert (name, arguments) == ("ipi_send", (cpu, RESCHEDULE))


@pytest.mark.parametrize("handler", ["ipi_reschedule", "ipi_call", "ipi_ping"])
def test_a_handler_ends_its_interrupt_and_counts_it(kernel: Kernel, handler: str) -> None:
    kernel.stand_in("clock_ns", lambda *_: 4321, clobbers=("rdx",))
    kernel.set_percpu(0, curr=5, idle=5, ipis=6)
    with kernel.logging():
        kernel.call(handler, 0)
    assert kernel.apic == [(EOI, 0)]
    assert kernel.get_percpu("ipis") == 7
    assert kernel.get_percpu("ping_time") == (4321 if handler == "ipi_ping" else 0)
    logged = {"ipi_reschedule": [(RESCHEDULE,)], "ipi_call": [(CALL,)], "ipi_ping": []}
    assert [event.arguments for event in kernel.events] == logged[handler]


@pytest.mark.parametrize("busy", [True, False])
def test_a_busy_cpu_is_called_at_once_an_idle_one_from_its_loop(kernel: Kernel, busy: bool) -> None:
    function = mailbox(kernel)
    kernel.set_percpu(0, idle=5, curr=6 if busy else 5, call_function=function)
    kernel.call("ipi_call", 0)
    assert len(kernel.called("smp_enter")) == busy
    assert kernel.get_percpu("call_function") == (0 if busy else function)
    assert kernel.apic == [(EOI, 0)]


def mailbox(kernel: Kernel) -> int:
    """A function for the mailbox; it must find itself there until it returns."""
    function = kernel.addresses["smp_enter"]

    def runs(*_: int) -> None:
        assert kernel.get_percpu("call_function") == function
        assert kernel.apic in ([], [(EOI, 0)])

    kernel.stand_in("smp_enter", runs)
    return function


def test_the_mailbox_is_emptied_after_its_function_has_returned(kernel: Kernel) -> None:
    kernel.set_percpu(0, call_function=mailbox(kernel), call_argument=ARGUMENT)
    kernel.call("ipi_run_mailbox")
    ((argument, *_),) = kernel.called("smp_enter")
    assert argument == ARGUMENT
    assert kernel.get_percpu("call_function") == 0
    kernel.call("ipi_run_mailbox")
    assert len(kernel.calls) == 1


@pytest.mark.parametrize("cpu", range(1, CPUS))
def test_a_call_is_complete_before_its_interrupt(kernel: Kernel, cpu: int) -> None:
    """And its argument is there before its function, at which others look without a lock."""
    kernel.genuine("ipi_send")
    at = kernel.area(cpu) + kernel.percpu.fields["call_function"][0]
    stores: list[tuple[str, int]] = []
    for name in ("call_function", "call_argument"):
        kernel.watch_store(
            kernel.area(cpu) + kernel.percpu.fields[name][0],
            lambda value, name=name: stores.append((name, value)),
        )
    kernel.stand_in("ipi_send", lambda *_: stores.append(("send", 0)))
    kernel.call("ipi_call_post", cpu, FUNCTION, ARGUMENT)
    assert stores == [("call_argument", ARGUMENT), ("call_function", FUNCTION), ("send", 0)]
    ((to, vector, *_),) = kernel.called("ipi_send")
    assert (to, vector) == (cpu, CALL)
    assert kernel.words(at, 1) == [FUNCTION]


@pytest.mark.parametrize("cpu", range(1, CPUS))
def test_whoever_waits_for_a_call_waits_for_its_end(kernel: Kernel, cpu: int) -> None:
    turns = iter(range(6))
    kernel.set_percpu(cpu, call_function=FUNCTION)

    def relax(*_: int) -> None:
        if next(turns) == 5:
            kernel.set_percpu(cpu, call_function=0)

    kernel.stand_in("relax", relax, clobbers=("rcx",))
    kernel.call("ipi_call_wait", cpu)
    assert len(kernel.calls) == 6


def test_a_call_is_posted_and_waited_for(kernel: Kernel) -> None:
    kernel.stand_ins("ipi_call_post", "ipi_call_wait")
    kernel.call("ipi_call_on", 2, FUNCTION, ARGUMENT)
    assert [(made.name, made.arguments[0]) for made in kernel.calls] == [
        ("ipi_call_post", 2), ("ipi_call_wait", 2),
    ]  # fmt: skip
    assert kernel.calls[0].arguments[1:3] == (FUNCTION, ARGUMENT)


def test_a_latency_is_from_before_the_interrupt_to_its_arrival(kernel: Kernel) -> None:
    kernel.stand_in("clock_ns", lambda *_: 1000, clobbers=("rdx",))
    kernel.stand_in("lapic_send", lambda *_: kernel.set_percpu(3, halted=0), clobbers=("rax",))
    turns = iter(range(4))

    def relax(*_: int) -> None:
        if next(turns) == 3:
            kernel.set_percpu(3, ping_time=1700)

    kernel.stand_in("relax_spin", relax, clobbers=("rcx",))
    kernel.set_percpu(3, ping_time=900, halted=1)
    kernel.call("ipi_measure", 3)
    assert kernel.order == ["clock_ns", "lapic_send", *["relax_spin"] * 4]
    assert kernel.called("lapic_send")[0][:2] == (APIC_IDS[3], PING)
    (event,) = kernel.events
    assert (event.name, event.arguments) == ("ipi_latency", (3, 700, 1))


@pytest.mark.parametrize("caller", range(CPUS))
@pytest.mark.parametrize("function", ["smp_call_others", "smp_call_all"])
def test_all_others_are_called(kernel: Kernel, function: str, caller: int) -> None:
    """One after the other, or all at the same time and this CPU, too."""
    kernel.become(caller)
    kernel.stand_ins("ipi_call_on", "ipi_call_post", "ipi_call_wait", "smp_enter")
    work = kernel.addresses["smp_enter"]
    kernel.call(function, work, ARGUMENT)
    others = [cpu for cpu in range(CPUS) if cpu != caller]
    made = [(call.name, call.arguments[0]) for call in kernel.calls]
    if function == "smp_call_others":
        assert made == [("ipi_call_on", cpu) for cpu in others]
    else:
        posts = [("ipi_call_post", cpu) for cpu in others]
        waits = [("ipi_call_wait", cpu) for cpu in others]
        assert made == [*posts, ("smp_enter", ARGUMENT), *waits]
    for call in kernel.calls:
        if call.name in ("ipi_call_on", "ipi_call_post"):
            assert call.arguments[1:3] == (work, ARGUMENT)
