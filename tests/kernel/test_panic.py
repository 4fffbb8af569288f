"""The report of a panic, part by part: who is stopped, what is said of the cause, and the walk."""

from __future__ import annotations

import pytest

from tests.functions.machine import Layout
from tests.kernel.kernel import APIC_IDS, CPUS, Kernel

PAGE = 4096
NMI_COMMAND = 0x4400
PAGE_FAULT, DOUBLE_FAULT = 14, 8
NAMES = ["#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "CSO", "#TS", "#NP", "#SS",
         "#GP", "#PF", "#15", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP", "#22", "#23", "#24", "#25",
         "#26", "#27", "#HV", "#VC", "#SX", "#31"]  # fmt: skip
WORDS = {0: "divide error", 3: "breakpoint", 6: "invalid opcode", 8: "double fault",
         13: "general protection fault", 14: "page fault", 18: "machine check"}  # fmt: skip
UNEXPECTED = "interrupt on a vector that nothing was set up to raise"
NULL, GUARD = "page fault (null pointer)", "stack overflow (guard page)"
FREE = 0xFFFFFFFF


def test_the_exceptions_have_their_names(kernel: Kernel) -> None:
    at = kernel.addresses["exception_names"]
    assert [kernel.string(name) for name in kernel.words(at, 32)] == NAMES
    words = kernel.words(kernel.addresses["exception_words"], 32)
    assert {number: kernel.string(words[number]) for number in WORDS} == WORDS


@pytest.mark.parametrize(
    ("vector", "address", "guard", "words"),
    [
        *((vector, 5, 1, words) for vector, words in WORDS.items() if vector not in (8, 14)),
        (32, 0, 0, UNEXPECTED), (200, 0, 0, UNEXPECTED),
        (PAGE_FAULT, PAGE - 1, 0, NULL), (PAGE_FAULT, 0, 1, NULL),
        (PAGE_FAULT, PAGE, 0, "page fault"), (PAGE_FAULT, PAGE, 1, GUARD),
        (DOUBLE_FAULT, 0, 0, "double fault"), (DOUBLE_FAULT, 1 << 40, 0, "double fault"),
        (DOUBLE_FAULT, 1 << 40, 1, GUARD),
    ],
)  # fmt: skip
def test_the_words_for_an_exception(
    kernel: Kernel, vector: int, address: int, guard: int, words: str
) -> None:
    kernel.fake_register_read("panic_reason", "mov rdi, cr2", "rdi", address)
    kernel.stand_in("panic_is_guard", lambda *_: guard)
    frame = kernel.record(Layout.of(kernel.image, "trapframe"), {"vector": vector})
    assert kernel.string(kernel.call("panic_reason", frame)) == words
    assert all(made.arguments[0] == address for made in kernel.calls)


@pytest.mark.parametrize("cpu", range(CPUS))
def test_the_guard_pages_of_all_stacks_are_known(kernel: Kernel, cpu: int) -> None:
    fields = Layout.of(kernel.image, "cpu_block").fields
    kernel.stand_in("task_of_guard", lambda *_: 0)
    blocks = [0x4_0000_0000 * (number + 1) for number in range(CPUS)]
    for number, block in enumerate(blocks):
        at = kernel.addresses["cpu_table"] + 8 * number
        kernel.write(at, block.to_bytes(8, "little"))
    for name, (offset, size) in fields.items():
        for address in (offset, offset + size - 1):
            found = kernel.call("panic_is_guard", blocks[cpu] + address)
            assert found == name.startswith("guard_"), name
    kernel.stand_in("task_of_guard", lambda *_: 1 << 40)
    assert kernel.call("panic_is_guard", 5) == 1


@pytest.mark.parametrize("late", range(CPUS))
def test_all_others_that_are_online_are_stopped(kernel: Kernel, late: int) -> None:
    """And waited for, but not for ever."""
    kernel.become(1)
    for cpu in range(CPUS):
        kernel.set_percpu(cpu, online=int(cpu != 3), parked=int(cpu != late))
    kernel.stand_in("lapic_send", None, clobbers=("rax",))
    kernel.call("panic_stop_others")
    assert [made[:2] for made in kernel.called("lapic_send")] == [
        (APIC_IDS[0], NMI_COMMAND), (APIC_IDS[2], NMI_COMMAND),
    ]  # fmt: skip
    steps = kernel.count("panic_stop_others")
    assert (steps > 20_000) == (late in (0, 2))


def test_what_all_rings_hold_is_saved(kernel: Kernel) -> None:
    kernel.stand_ins("trace_drain")
    kernel.write(kernel.addresses["cpu_table"] + 8, bytes(8))
    kernel.call("panic_save_log")
    assert [made[0] for made in kernel.called("trace_drain")] == [
        kernel.area(cpu) for cpu in (0, 2, 3)
    ]


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        (14, "vector=14 name=#PF error=0x2"),
        (31, "vector=31 name=#31 error=0x2"),
        (32, "vector=32 name=interrupt error=0x2"),
        (-1, "vector=- name=- error=0x0"),
    ],
)
def test_the_first_line_says_what_and_where(kernel: Kernel, vector: int, said: str) -> None:
    kernel.capture_print()
    kernel.become(3)
    kernel.fake_register_read("panic_print_cause", "mov rax, cr2", "rax", 0x1234)
    kernel.fake_register_read("panic_print_cause", "mov r8, cr3", "r8", 0x5678)
    values = {"vector": vector, "error": 2, "rip": 0x104242}
    frame = kernel.record(Layout.of(kernel.image, "trapframe"), values)
    kernel.call("panic_print_cause", rbx=frame, r12=kernel.text("these words"))
    assert kernel.printed == (
        f"PANIC cpu=3 {said} rip=0x104242 cr2=0x1234 cr3=0x5678 reason=these words\n"
    )


def test_the_registers_are_printed_under_their_names(kernel: Kernel) -> None:
    kernel.capture_print()
    numbered = [f"r{number}" for number in range(8, 16)]
    names = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *numbered, "rflags"]
    values = {name: 0x1000 + number for number, name in enumerate(names)}
    frame = kernel.record(Layout.of(kernel.image, "trapframe"), values)
    kernel.call("panic_print_registers", rbx=frame)
    said = [f"{name}={value:#x}" for name, value in values.items()]
    first, second = " ".join(said[:8]), " ".join(said[8:])
    assert kernel.printed == f"PANIC {first}\nPANIC {second}\n"


def chain(kernel: Kernel, *frames: tuple[int, int]) -> int:
    """Frames at offsets from the first, each leading to the next one; its address."""
    start = kernel.allocate(4096)
    offsets = [offset for offset, _ in frames] + [0]
    for (offset, caller), following in zip(frames, offsets[1:], strict=True):
        link = start + following if following else 0
        kernel.write(start + offset, link.to_bytes(8, "little") + caller.to_bytes(8, "little"))
    return start


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([(0, 0x11), (64, 0x22), (128, 0x33)], [0x11, 0x22, 0x33]),
        ([(0, 0x11), (64, 0), (128, 0x33)], [0x11]),
        ([(0, 0x11), (64, 0x22), (32, 0x33)], [0x11, 0x22]),
        ([(0, 0x11), (65, 0x22)], [0x11]),
        ([(16 * n, 0x100 + n) for n in range(30)], [0x100 + n for n in range(16)]),
    ],
)
def test_the_walk_goes_up_the_frames(
    kernel: Kernel, frames: list[tuple[int, int]], said: list[int]
) -> None:
    kernel.capture_print()
    kernel.call("panic_print_backtrace", chain(kernel, *frames))
    assert kernel.printed == "PANIC backtrace" + "".join(f" {at:#x}" for at in said) + "\n"
    assert kernel.get_percpu("fixup") == 0


def test_a_walk_that_leaves_all_memory_ends(kernel: Kernel) -> None:
    """Its fix-up is where the line is ended; below the image it does not look."""
    kernel.capture_print()
    fixups = []
    kernel.watch_at(kernel.find("panic_print_backtrace", "mov rsi, qword ptr [rbx"),
                    lambda *_: fixups.append(kernel.get_percpu("fixup")))  # fmt: skip
    kernel.call("panic_print_backtrace", chain(kernel, (0, 0x11)))
    (fixup,) = fixups
    # Right behind the end of the loop.
    assert fixup - kernel.find("panic_print_backtrace", "dec r12d") in (3 + 2, 3 + 6)
    kernel.call("panic_print_backtrace", 4096)
    assert kernel.printed == "PANIC backtrace 0x11\nPANIC backtrace\n"


PARTS = ["panic_stop_others", "console_break_lock", "panic_save_log", "panic_print_cause",
         "panic_print_registers", "panic_print_backtrace"]  # fmt: skip


def reports(kernel: Kernel) -> None:
    kernel.capture_print()
    kernel.stand_ins(*PARTS)
    kernel.stand_in("panic_park", kernel.stop)
    kernel.write(kernel.addresses["panic_owner"], FREE.to_bytes(4, "little"))
    kernel.stop_when_halted("panic_report")


def test_a_report_has_its_order(kernel: Kernel) -> None:
    kernel.become(2)
    reports(kernel)
    frame = kernel.record(Layout.of(kernel.image, "trapframe"), {"rbp": 0x777})
    kernel.run("panic_report", frame, 5)
    assert kernel.order == PARTS
    assert kernel.called("panic_print_backtrace")[0][0] == 0x777
    assert kernel.number("panic_owner") == 2
    assert kernel.ports[-1] == (0xF4, 0x12)


@pytest.mark.parametrize(("owner", "out"), [(1, []), (2, [(0xF4, 0x12)])])
def test_who_comes_second_parks_and_who_faults_in_its_report_leaves(
    kernel: Kernel, owner: int, out: list[tuple[int, int]]
) -> None:
    kernel.become(2)
    reports(kernel)
    kernel.write(kernel.addresses["panic_owner"], owner.to_bytes(4, "little"))
    kernel.run("panic_report", kernel.allocate(256), 5)
    assert kernel.order == ["panic_park"]
    assert kernel.ports == out


def test_a_panic_of_the_guests_own_has_the_registers_of_its_caller(kernel: Kernel) -> None:
    frames = Layout.of(kernel.image, "trapframe")
    found: list[dict[str, int]] = []

    def report(frame: int, words: int, *_: int) -> None:
        found.append(kernel.load(frames, frame) | {"words": words, "if": int(kernel.interrupts_on)})
        kernel.stop()

    kernel.interrupts(True)
    kernel.genuine("panic")
    kernel.stand_in("panic_report", report)
    names = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)), "rbp")
    values = {name: 0x9000 + number for number, name in enumerate(names)}
    kernel.run("panic", **values)
    (frame,) = found
    assert {name: frame[name] for name in names} == values
    assert (frame["words"], frame["if"]) == (values["rdi"], 0)
    assert frame["vector"] == 2**64 - 1 and frame["error"] == 0
    assert frame["rip"] == 0x5000_0000, "where it would return to"
    assert frame["rflags"] & 0x200 and (frame["cs"], frame["ss"]) == (8, 16)


def test_an_exception_is_reported_with_its_frame_and_words(kernel: Kernel) -> None:
    kernel.stand_in("panic_reason", lambda *_: 0x77)
    kernel.stand_in("panic_report", kernel.stop)
    kernel.run("panic_exception", 0x55)
    assert kernel.called("panic_reason")[0][0] == 0x55
    assert kernel.called("panic_report")[0][:2] == (0x55, 0x77)


def test_a_cpu_that_parks_says_so(kernel: Kernel) -> None:
    kernel.become(3)
    kernel.stop_when_halted("panic_park")
    kernel.run("panic_park")
    assert kernel.get_percpu("parked", 3) == 1
