"""What each CPU has for itself: interrupt entry, context switch, local APIC, tick, clock."""

from __future__ import annotations

import pytest

from tests.functions.guest import PanicError
from tests.functions.machine import Layout
from tests.kernel.kernel import CPUS, LAPIC, Kernel

TIMER, RESCHEDULE, CALL, PING, APIC_ERROR, SPURIOUS = 0xEF, 0xFC, 0xFA, 0xF9, 0xFE, 0xFF
HANDLERS = {
    TIMER: "timer_interrupt",
    RESCHEDULE: "ipi_reschedule",
    CALL: "ipi_call",
    PING: "ipi_ping",
    APIC_ERROR: "lapic_error_interrupt",
    SPURIOUS: "interrupt_spurious",
}
WITH_ERROR = {8, 10, 11, 12, 13, 14, 17, 21, 29, 30}
NMI, DOUBLE_FAULT, MACHINE_CHECK = 2, 8, 18
EOI, ESR, ISR = 0x0B0, 0x280, 0x100
LVT_TIMER, DIVIDE, INITIAL, CURRENT = 0x320, 0x3E0, 0x380, 0x390
SAVED = ["r15", "r14", "r13", "r12", "r11", "r10", "r9", "r8", "rbp", "rdi", "rsi", "rdx", "rcx",
         "rbx", "rax"]  # fmt: skip
CANARY = 0x5AFEC0DE5AFEC0DE
FREE = 0xFFFFFFFF


def test_each_vector_has_its_gate_stub_and_handler(kernel: Kernel) -> None:
    kernel.call("idt_init")
    at = kernel.addresses
    stacks = {NMI: 1, DOUBLE_FAULT: 2, MACHINE_CHECK: 3}
    handlers = kernel.words(at["interrupt_handlers"], 256)
    for vector in range(256):
        gate = kernel.read(at["idt"] + 16 * vector, 16)
        address = int.from_bytes(gate[0:2] + gate[6:12], "little")
        assert int.from_bytes(gate[2:4], "little") == 8, vector
        assert (gate[4], gate[5], gate[12:]) == (stacks.get(vector, 0), 0x8E, bytes(4)), vector
        assert address == at["interrupt_stubs"] + 16 * vector
        pushed = kernel.run_to(address, at["interrupt_entry"])
        assert pushed == ([vector] if vector in WITH_ERROR else [vector, 0])
        if vector >= 32:
            assert handlers[vector] == at[HANDLERS.get(vector, "interrupt_unexpected")], vector


def test_the_table_is_loaded_whole(kernel: Kernel) -> None:
    pointer = kernel.read(kernel.addresses["idt_pointer"], 10)
    assert int.from_bytes(pointer[:2], "little") == 256 * 16 - 1
    assert int.from_bytes(pointer[2:], "little") == kernel.addresses["idt"]
    kernel.call("idt_load")
    assert kernel.descriptor_table("IDTR") == (kernel.addresses["idt"], 256 * 16 - 1)


@pytest.mark.parametrize("nested", [0, 1])
@pytest.mark.parametrize("resched", [0, 1])
@pytest.mark.parametrize("current", ["none", "idle", "task"])
@pytest.mark.parametrize("mail", [0, 1])
def test_an_interrupt_leaves_everything_as_it_was(
    kernel: Kernel, nested: int, resched: int, current: str, mail: int
) -> None:
    """Its handler finds the frame; on the way out a task that is due makes room, unless the CPU is
    within another interrupt, or idle with a call in its mailbox."""
    idle, task = (kernel.record(kernel.task, {"need_resched": resched}) for _ in range(2))
    kernel.stand_policy("preempt")
    curr = {"none": 0, "idle": idle, "task": task}[current]
    kernel.set_percpu(0, curr=curr, idle=idle, irq_depth=nested, halted=1, call_function=mail)
    depth = []
    kernel.stand_in("timer_interrupt", lambda frame, *_: depth.append(
        (kernel.get_percpu("irq_depth"), kernel.get_percpu("halted"),
         kernel.words(frame, len(SAVED) + 2))))  # fmt: skip
    before, after = kernel.interrupt(TIMER, error=0)
    assert after == before
    ((at_depth, halted, frame),) = depth
    assert (at_depth, halted) == (nested + 1, 0)
    assert frame == [*(before[name] for name in SAVED), TIMER, 0]
    due = resched and not nested and (current == "task" or (current == "idle" and not mail))
    assert ("policy_preempt" in kernel.order) == bool(due)
    assert kernel.get_percpu("irq_depth") == nested


def test_an_expected_exception_goes_to_its_fix_up(kernel: Kernel) -> None:
    kernel.set_percpu(0, fixup=0x1234, irq_depth=3)
    frames = Layout.of(kernel.image, "trapframe")
    frame = kernel.record(frames, {"vector": 14, "rip": 5})
    kernel.call("exception_dispatch", frame)
    assert kernel.load(frames, frame, "rip", "vector") == {"rip": 0x1234, "vector": 14}
    assert (kernel.get_percpu("fixup"), kernel.get_percpu("fixup_vector")) == (0, 14)


@pytest.mark.parametrize(("vector", "panics"), [(2, True), (2, False), (14, True), (6, False)])
def test_any_other_exception_is_reported(kernel: Kernel, vector: int, panics: bool) -> None:
    """But for the NMI by which a CPU that panics stops the others."""
    kernel.write(kernel.addresses["panic_owner"], (1 if panics else FREE).to_bytes(4, "little"))
    frames = Layout.of(kernel.image, "trapframe")
    frame = kernel.record(frames, {"vector": vector})
    kernel.stand_in("panic_park", kernel.stop)
    kernel.stand_in("panic_exception", kernel.stop)
    kernel.run("exception_dispatch", frame)
    parked = vector == NMI and panics
    assert kernel.order == ["panic_park" if parked else "panic_exception"]
    assert parked or kernel.calls[0].arguments[0] == frame


def test_a_switch_keeps_what_belongs_to_a_task(kernel: Kernel) -> None:
    """Stack pointer and callee-saved registers of both: one's are saved, the other's come back."""
    stacks = [kernel.allocate(4096) for _ in range(2)]
    for stack in stacks:
        kernel.write(stack, CANARY.to_bytes(8, "little"))
    prev = kernel.record(kernel.task, {"stack": stacks[0]})
    saved = [0x5000 + number for number in range(6)]
    top = stacks[1] + 4096 - 64
    kernel.write(top, b"".join(word.to_bytes(8, "little") for word in [*saved, 0x5000_0000]))
    following = kernel.record(kernel.task, {"stack": stacks[1], "rsp": top})
    names = ["r15", "r14", "r13", "r12", "rbx", "rbp"]
    own = {name: 0x7000 + number for number, name in enumerate(names)}
    kernel.run("switch_to", prev, following, **own)
    assert kernel.register("rax") == prev
    assert [kernel.register(name) for name in names] == saved
    left = kernel.load(kernel.task, prev, "rsp")["rsp"]
    assert kernel.words(left, 7) == [*own.values(), 0x5000_0000]
    assert kernel.pointer == top + 56


def test_a_task_whose_stack_has_overflown_is_not_switched_from(kernel: Kernel) -> None:
    prev, following = (kernel.record(kernel.task, {"stack": kernel.allocate(64)}) for _ in range(2))
    kernel.write(kernel.load(kernel.task, prev, "stack")["stack"], bytes(8))
    with pytest.raises(PanicError, match="stack overflow: the canary"):
        kernel.call("switch_to", prev, following)


def apic_base(kernel: Kernel, value: int) -> None:
    """What the MSR reads as."""

    def read() -> int:
        assert kernel.register("rcx") == 0x1B
        return value

    kernel.fake("rdmsr", read, "lapic_init")


def test_the_local_apic_is_set_up(kernel: Kernel) -> None:
    apic_base(kernel, 0xFEE00800)
    kernel.call("lapic_init")
    masked, enabled = 0x10000, 0x100
    assert dict(kernel.apic) == {
        0x080: 0, LVT_TIMER: masked, 0x350: masked, 0x360: masked, 0x370: APIC_ERROR,
        0x0F0: enabled | SPURIOUS, ESR: 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("base", "words"),
    [(0xFEE00000, "is disabled"), (0xFEF00800, "is not at 0xfee00000"),
     (0xFEE01800, "is not at 0xfee00000")],
)  # fmt: skip
def test_a_local_apic_elsewhere_or_off_is_found(kernel: Kernel, base: int, words: str) -> None:
    apic_base(kernel, base)
    with pytest.raises(PanicError, match=words):
        kernel.call("lapic_init")


def test_an_error_of_the_local_apic_is_found(kernel: Kernel) -> None:
    kernel.call("lapic_check_errors")
    assert kernel.apic == [(ESR, 0)]
    kernel.watch_store(LAPIC + ESR, lambda _: None)
    kernel.watch_at(
        kernel.find("lapic_check_errors", "cmp dword ptr"),
        lambda *_: kernel.write(LAPIC + ESR, (0x20).to_bytes(4, "little")),
    )
    with pytest.raises(PanicError, match="error status is not zero"):
        kernel.call("lapic_check_errors")
    with pytest.raises(PanicError, match="error interrupt"):
        kernel.call("lapic_error_interrupt", 0)


def test_the_identifier_is_in_the_upper_byte(kernel: Kernel) -> None:
    kernel.write(LAPIC + 0x20, 0xC9000000.to_bytes(4, "little"))
    assert kernel.call("lapic_id") == 0xC9


@pytest.mark.parametrize("words", [[], [0], [7], [0, 3, 7], list(range(8))])
def test_interrupts_in_service_are_counted(kernel: Kernel, words: list[int]) -> None:
    # Beside them are the words of other registers.
    for offset in (ISR - 16, ISR + 8 * 16):
        kernel.write(LAPIC + offset, (1).to_bytes(4, "little"))
    for bit in (0, 31):
        for word in words:
            kernel.write(LAPIC + ISR + 16 * word, (1 << bit).to_bytes(4, "little"))
        assert kernel.call("lapic_in_service") == len(words)


@pytest.mark.parametrize("cpu", [0, 3])
def test_a_tick(kernel: Kernel, cpu: int) -> None:
    """EOI first; jiffies, freeing of tasks and the look whether all is over are the boot CPU's."""
    kernel.become(cpu)
    kernel.set_percpu(cpu, ticks=41)
    kernel.set_word("jiffies", 17)
    kernel.watch("task_reap", lambda *_: kernel.number("jiffies") == 18 or pytest.fail("too early"))
    kernel.stand_ins("lapic_eoi", "task_reap", "timeout_expire", "run_check_end")
    kernel.stand_policy("tick")
    with kernel.logging():
        kernel.call("timer_interrupt", 0)
    boot = ["lapic_eoi", "task_reap", "policy_tick", "timeout_expire", "run_check_end"]
    others = ["lapic_eoi", "policy_tick", "timeout_expire"]
    assert kernel.order == (others if cpu else boot)
    assert kernel.get_percpu("ticks", cpu) == 42
    assert kernel.word("jiffies") == (17 if cpu else 18)
    assert [(event.name, event.arguments) for event in kernel.events] == [("tick", (42,))]


def test_the_timer_is_started_and_stopped(kernel: Kernel) -> None:
    kernel.set_word("timer_count", 62500)
    kernel.call("timer_start")
    assert kernel.apic == [(DIVIDE, 3), (LVT_TIMER, 0x20000 | TIMER), (INITIAL, 62500)]
    kernel.apic.clear()
    kernel.call("timer_stop")
    assert dict(kernel.apic) == {LVT_TIMER: 0x10000, INITIAL: 0}


@pytest.mark.parametrize("hz", [10, 100, 1000, 10_000])
@pytest.mark.parametrize(("clock", "window"), [(0, 10_000), (1, 62_500)])
def test_the_count_of_a_tick_follows_from_the_measurement(
    kernel: Kernel, hz: int, clock: int, window: int
) -> None:
    ticks, counts, khz = 1_600_123, 99_999, 2_893_217
    kernel.stand_in("calibrate", lambda *_: kernel.result(ticks, rcx=counts), clobbers=())
    for symbol, value in {"param_hz": hz, "param_clock": clock, "clock_khz": khz}.items():
        kernel.set_word(symbol, value)
    kernel.call("timer_calibrate")
    rate = counts * khz * 1000 // ticks
    assert kernel.word("timer_count") == rate // hz
    assert kernel.word("timer_khz") == rate // 1000
    ((reader, least, mask, *_),) = kernel.called("calibrate")
    assert (least, mask) == (window, 0xFFFFFFFF)
    assert kernel.apic == [(DIVIDE, 3), (INITIAL, 0xFFFFFFFF), (INITIAL, 0)]
    kernel.write(LAPIC + CURRENT, (987654).to_bytes(4, "little"))
    assert reader == kernel.addresses["timer_read"]
    kernel.call("timer_read")
    assert kernel.register("rcx") == 987654


@pytest.mark.parametrize(("clock", "khz", "used"), [
    (0, 950_000, 1_000_000), (0, 1_000_000, 1_000_000), (0, 1_049_999, 1_000_000),
    (0, 949_999, None), (0, 1_050_001, None), (1, 2_893_217, 2_893_217), (1, 999_999, 999_999),
])  # fmt: skip
def test_nanoseconds_follow_from_the_measured_rate(
    kernel: Kernel, clock: int, khz: int, used: int | None
) -> None:
    kernel.stand_ins("relax_init")
    kernel.stand_in("clock_measure", lambda *_: khz)
    kernel.set_word("param_clock", clock)
    if used is None:
        with pytest.raises(PanicError, match="does not run at 1 GHz"):
            kernel.call("clock_init")
        return
    kernel.call("clock_init")
    assert kernel.called("clock_measure")[0][0] == (1200 if clock else 120)
    assert kernel.word("clock_khz") == used
    assert kernel.word("clock_factor") == 10**6 * 2**32 // used


def test_the_interval_timer_gives_the_rate(kernel: Kernel) -> None:
    ticks, counts = 303_131, 125
    kernel.stand_in("calibrate", lambda *_: kernel.result(ticks, rcx=counts), clobbers=())
    assert kernel.call("clock_measure", 120) == ticks * 1_193_182 // (counts * 1000)
    ((reader, least, mask, *_),) = kernel.called("calibrate")
    assert (reader, least, mask) == (kernel.addresses["clock_read_pit"], 120, 0xFFFF)
    assert kernel.ports == [
        (0x43, 0x34), (0x40, 0xFF), (0x40, 0xFF), (0x43, 0x30), (0x40, 1), (0x40, 0),
    ]  # fmt: skip
    kernel.ports.clear()
    kernel.answers[0x40] = [0x34, 0x12]
    kernel.call("clock_read_pit")
    assert kernel.register("rcx") == 0x1234 and kernel.ports == [(0x43, 0)]


@pytest.mark.parametrize(("ticks", "factor"), [(123_456_789_012, 10**6 * 2**32 // 2_893_217),
                                               (5, 2**32), (2**62, 2**32)])  # fmt: skip
def test_ticks_become_nanoseconds(kernel: Kernel, ticks: int, factor: int) -> None:
    kernel.set_word("clock_factor", factor)
    kernel.set_word("clock_base", 10**9)
    kernel.fake("rdtsc", lambda: ticks + 10**9, "clock_ns", "clock_ticks")
    assert kernel.call("clock_ns") == ticks * factor >> 32
    assert kernel.clobbered() == {"rax", "rdx"}
    assert kernel.call("clock_ticks") == ticks + 10**9
    kernel.call("clock_restart")
    assert kernel.word("clock_base") == ticks + 10**9


def test_a_deadline_and_the_wait_for_it(kernel: Kernel) -> None:
    now = iter([1000, 1499, 1500, 9999])
    kernel.stand_in("clock_ns", lambda *_: next(now), clobbers=("rdx",))
    kernel.stand_in("relax", None, clobbers=("rcx",))
    kernel.call("clock_delay", 500)
    assert kernel.order == ["clock_ns", *["relax", "clock_ns"] * 2]
    assert kernel.call("clock_deadline", 1) == 10_000


@pytest.mark.parametrize("cpu", range(CPUS))
def test_a_per_cpu_area(kernel: Kernel, cpu: int) -> None:
    """Cleared, numbered, with a GDT whose TSS is its own, and stacks for what cannot trust any."""
    block = 0x3000_0000
    kernel.allocate(16 * 4096)
    kernel.write(block, b"\xaa" * 4096)
    kernel.call("percpu_init", block, cpu, 200 + cpu)
    area = kernel.load(kernel.percpu, block)
    gdt_at, tss_at = (kernel.percpu.fields[name][0] for name in ("gdt", "tss"))
    assert (area["self"], area["cpu"], area["apic_id"]) == (block, cpu, 200 + cpu)
    assert all(not area[name] for name in ("curr", "ticks", "ring", "irq_depth", "fixup", "line"))
    assert kernel.read(block + gdt_at, 0x20) == kernel.read(kernel.addresses["boot_gdt"], 0x20)
    low, high = kernel.words(block + gdt_at + 0x20, 2)
    tss = block + tss_at
    assert low & 0xFFFF == 103 and low >> 40 & 0xFF in (0x89, 0x8B), "in use after ltr"
    assert (low >> 16 & 0xFFFFFF) | (low >> 56) << 24 | high << 32 == tss
    fields = Layout.of(kernel.image, "cpu_block").fields
    stacks = [fields[f"{name}_stack"] for name in ("nmi", "double_fault", "machine_check")]
    assert kernel.words(tss + 36, 3) == [block + at + size for at, size in stacks]
    assert int.from_bytes(kernel.read(tss + 102, 2), "little") == 104
    assert kernel.gs == block
    assert kernel.descriptor_table("GDTR") == (block + gdt_at, 0x30 - 1)


def test_calibration_wants_two_that_agree(kernel: Kernel) -> None:
    """Within 1/64; what passes is what the tightest readings say, of a counter that wraps."""
    mask, at = 0xFFFF, iter([(100, 900), (2100, 64_436), (3000, 500), (5000, 64_036),
                             (6000, 10), (8000, 63_546)])  # fmt: skip

    def read(*_: int) -> int:
        ticks, counter = next(at)
        kernel.result(rsi=ticks)
        kernel.result(rcx=counter)
        return 0

    kernel.stand_in("calibrate_read", read, clobbers=("rdx", "rdi", "r8", "r9", "r10", "r11"))
    kernel.stand_in("relax_spin", None, clobbers=("rcx",))
    polls = iter([890, 64_437, 499, 64_037, 9, 63_547] + [0] * 9)
    kernel.stand_in("clock_read_pit", lambda *_: kernel.result(rcx=next(polls)), clobbers=())
    ticks = kernel.call("calibrate", kernel.addresses["clock_read_pit"], 1000, mask)
    assert (ticks, kernel.register("rcx")) == (2000, 2000)
    assert kernel.order.count("calibrate_read") == 4


def test_without_agreement_the_last_of_64_counts(kernel: Kernel) -> None:
    made: list[int] = []

    def read(*_: int) -> int:
        number = len(made)
        made.append(number)
        kernel.result(rsi=1000 * number if number % 4 != 3 else 1000 * number + 500)
        kernel.result(rcx=0xFFFF - number % 2 * 1000)
        return 0

    kernel.stand_in("calibrate_read", read, clobbers=("rdx", "rdi", "r8", "r9", "r10", "r11"))
    kernel.stand_in("relax_spin", None, clobbers=("rcx",))
    kernel.stand_in("clock_read_pit", lambda *_: kernel.result(rcx=0), clobbers=())
    kernel.call("calibrate", kernel.addresses["clock_read_pit"], 1000, 0xFFFF)
    assert len(made) == 2 * 64


def test_the_tightest_reading_counts(kernel: Kernel) -> None:
    """Of eight: the fourth takes 10 ticks, the others 100."""
    ticks, number = [(7 << 32) + 1000], [0]

    def read(*_: int) -> int:
        number[0] += 1
        ticks[0] += 10 if number[0] == 4 else 100
        kernel.result(rcx=number[0])
        return 0

    kernel.stand_in("clock_read_pit", read, clobbers=())
    kernel.fake("rdtsc", lambda: ticks[0], "calibrate_read")
    kernel.call("calibrate_read", rbx=kernel.addresses["clock_read_pit"], r11=99)
    assert number == [8]
    assert (kernel.register("rcx"), kernel.register("rsi")) == (4, (7 << 32) + 1300)


@pytest.mark.parametrize(("second", "agree"), [(2031, True), (2033, False), (1970, True),
                                               (1968, False)])  # fmt: skip
def test_measurements_agree_within_a_64th(kernel: Kernel, second: int, agree: bool) -> None:
    """Of the later one: 2000 ticks for 1000 counts, then more or less for as many."""
    ticks = iter([0, 2000, 0, second, 0, second])
    counts = iter([5000, 4000] * 3)
    kernel.stand_in(
        "calibrate_read", lambda *_: kernel.result(rsi=next(ticks), rcx=next(counts)), clobbers=()
    )
    kernel.stand_in("relax_spin", None, clobbers=("rcx",))
    kernel.stand_in("clock_read_pit", lambda *_: kernel.result(rcx=0), clobbers=())
    assert kernel.call("calibrate", kernel.addresses["clock_read_pit"], 1000, 0xFFFF) == second
    assert kernel.order.count("calibrate_read") == (4 if agree else 6)
