"""From the boot CPU alone to all of them, and to the end: memory, other CPUs, the last line."""

from __future__ import annotations

import pytest

from tests.functions.guest import PanicError
from tests.functions.machine import Layout
from tests.kernel.kernel import APIC_IDS, CPUS, Kernel, RefusedError

PAGE, LARGE = 4096, 1 << 21
NX, PRESENT, WRITE, LARGE_FLAG = 1 << 63, 1, 2, 0x80
INIT, STARTUP, CALL = 0x4500, 0x4608, 0xFA
PASS, FAIL = 0x10, 0x11
U64_MAX = 2**64 - 1


@pytest.mark.parametrize(
    ("next_free", "size", "alignment", "result"),
    [(0x100001, 24, 64, 0x100040), (0x100040, 1, 64, 0x100040), (0x100041, 8, 4096, 0x101000),
     (0x100000, 0x1000, 8, 0x100000), (0x100040, 0xFC1, 64, None), (0x100040, 0xFC0, 64, 0x100040),
     (0x100FFF, 1, 4096, None)],
)  # fmt: skip
def test_memory_is_handed_out_upwards_to_its_end(
    kernel: Kernel, next_free: int, size: int, alignment: int, result: int | None
) -> None:
    kernel.set_word("memory_next", next_free)
    kernel.set_word("memory_top", 0x102001 if result == 0x101000 else 0x101000)
    if result is None:
        with pytest.raises(PanicError, match="out of memory"):
            kernel.call("memory_alloc", size, alignment)
        assert kernel.word("memory_next") == next_free
        return
    assert kernel.call("memory_alloc", size, alignment) == result
    assert kernel.word("memory_next") == result + size


@pytest.fixture
def mapped(kernel: Kernel) -> Kernel:
    """With 4 GiB of large pages, as boot/entry.s leaves them, and memory for tables."""
    directories = kernel.addresses["boot_page_directories"]
    data = b"".join((n * LARGE | 0x83).to_bytes(8, "little") for n in range(2048))
    kernel.write(directories, data)
    kernel.set_word("memory_next", kernel.allocate(64 * PAGE + PAGE))
    kernel.set_word("memory_top", kernel.word("memory_next") + 65 * PAGE)
    return kernel


def entry(kernel: Kernel, address: int) -> int:
    """What the tables say of an address."""
    directory = kernel.addresses["boot_page_directories"] + address // LARGE * 8
    (large,) = kernel.words(directory, 1)
    if large & LARGE_FLAG:
        return large
    assert large & 0xFFF == PRESENT | WRITE
    (small,) = kernel.words((large & -PAGE) + address % LARGE // PAGE * 8, 1)
    return small


def test_a_large_page_is_split_where_a_part_of_it_differs(mapped: Kernel) -> None:
    start, end = 3 * LARGE + 5 * PAGE, 4 * LARGE + 2 * PAGE
    mapped.call("memory_protect", start, end, NX | PRESENT)
    for page in range(3 * LARGE, 5 * LARGE, PAGE):
        expected = NX | PRESENT if start <= page < end else PRESENT | WRITE
        assert entry(mapped, page) == page | expected, hex(page)
    for page in (2 * LARGE, 5 * LARGE):
        assert entry(mapped, page) == page | 0x83
    used = mapped.word("memory_next")
    mapped.call("memory_protect", start, start + PAGE, 0)
    assert mapped.word("memory_next") == used, "it is split already"
    assert entry(mapped, start) == start


def test_the_image_is_protected(mapped: Kernel) -> None:
    mapped.fake_control_registers("memory_protect_image")
    mapped.call("memory_protect_image")
    at = mapped.addresses
    image_end = -(-at["__image_end"] // LARGE) * LARGE
    text, text_end = at["__text_start"], at["__text_end"]
    guards = {at["boot_block"] + offset for offset in guard_pages(mapped)}
    for page in range(0, image_end, PAGE):
        if page == 0 or page in guards:
            expected = 0
        elif page == 0x8000 or text <= page < text_end:
            expected = PRESENT
        elif page < at["__image_start"] or page >= at["__rodata_end"]:
            expected = NX | PRESENT | WRITE
        else:
            expected = NX | PRESENT
        assert entry(mapped, page) == page | expected, hex(page)
    apic = 0xFEE00000
    for large in range(image_end, 1 << 32, LARGE):
        uncached = 0x18 if large == apic else 0
        assert entry(mapped, large) == large | 0x83 | NX | uncached, hex(large)


def guard_pages(kernel: Kernel) -> list[int]:
    fields = Layout.of(kernel.image, "cpu_block").fields
    return [at for name, (at, _) in fields.items() if name.startswith("guard_")]


def test_below_each_stack_of_a_cpu_nothing_is_mapped(mapped: Kernel) -> None:
    block = 8 * LARGE + 16 * PAGE
    mapped.call("memory_guard_block", block)
    offsets = guard_pages(mapped)
    assert len(offsets) == 4
    for page in range(8 * LARGE, 9 * LARGE, PAGE):
        expected = 0 if page - block in offsets else PRESENT | WRITE
        assert entry(mapped, page) == page | expected


def test_the_code_for_other_cpus_is_where_they_start(kernel: Kernel) -> None:
    kernel.make_writable(0x8000)
    kernel.write(0x8000, bytes(PAGE))
    loaded = kernel.image.read(0x8000, PAGE)
    kernel.map_pages(kernel.addresses["__trampoline_load"], 1)
    kernel.write(kernel.addresses["__trampoline_load"], loaded)
    kernel.call("smp_copy_trampoline")
    at = kernel.addresses
    size = at["trampoline_end"] - at["trampoline_start"]
    found = kernel.read(0x8000, PAGE)
    assert found[:size] == loaded[:size]
    assert set(found[size:]) == {0xCC}


def starting(kernel: Kernel, online_after: int) -> int:
    """Stand-ins for what `smp_start` needs; the CPU is online at that start-up interrupt."""
    block = kernel.allocate(64 * PAGE)
    kernel.stand_in("memory_alloc", lambda *_: block)
    kernel.stand_ins("memory_guard_block", "clock_delay", "lapic_send")
    answers = iter(range(1, 9))
    kernel.stand_in("smp_wait_online", lambda *_: int(next(answers) >= online_after))
    kernel.write(kernel.addresses["apic_ids"], bytes(APIC_IDS))
    return block


@pytest.mark.parametrize("tries", [1, 2])
def test_a_cpu_is_started_by_init_and_one_or_two_start_ups(kernel: Kernel, tries: int) -> None:
    block = starting(kernel, tries)
    kernel.set_word("cpu_table", 0)
    kernel.call("smp_start", 3)
    apic = APIC_IDS[3]
    startups = [(apic, STARTUP)] * tries
    assert [made[:2] for made in kernel.called("lapic_send")] == [(apic, INIT), *startups]
    waits = [10**6, 5 * 10**9][:tries]
    assert [made[0] for made in kernel.called("smp_wait_online")] == waits
    assert kernel.called("clock_delay")[0][0] == 10_000
    assert kernel.called("memory_guard_block")[0][0] == block
    ((size, alignment, *_),) = kernel.called("memory_alloc")
    assert (size, alignment) == (Layout.of(kernel.image, "cpu_block").size, PAGE)
    (slot,) = kernel.words(kernel.addresses["cpu_table"] + 8 * 3, 1)
    assert slot == block
    assert kernel.number("smp_starting_cpu") == 3
    assert kernel.number("smp_starting_apic") == apic
    assert kernel.word("smp_starting_block") == block
    order = kernel.order
    assert order.index("clock_delay") == order.index("lapic_send") + 1


def test_a_cpu_that_does_not_come_is_named(kernel: Kernel) -> None:
    kernel.capture_print()
    starting(kernel, 9)
    with pytest.raises(RefusedError) as refused:
        kernel.call("smp_start", 2)
    assert str(refused.value) == "REFUSED CPU 2 (APIC identifier 2) did not come online\n"


def test_whoever_waits_for_a_cpu_looks_until_the_time_is_over(kernel: Kernel) -> None:
    now = iter([1000, 1499, 1500])
    kernel.stand_in("clock_ns", lambda *_: next(now), clobbers=("rdx",))
    kernel.stand_in("relax", None, clobbers=("rcx",))
    kernel.set_word("smp_starting_block", kernel.area(1))
    assert kernel.call("smp_wait_online", 500) == 0
    assert kernel.order.count("relax") == 2
    kernel.set_percpu(1, online=1)
    now = iter([1000])
    assert kernel.call("smp_wait_online", 500) == 1


@pytest.mark.parametrize("found", [1, 2, 5])
@pytest.mark.parametrize("wanted", [0, 1, 2, 4, 5, 6])
def test_all_cpus_are_started_and_counted(kernel: Kernel, found: int, wanted: int) -> None:
    kernel.capture_print()
    counted: list[int] = []
    kernel.stand_in("smp_start", lambda *_: counted.append(kernel.word("cpu_count")))
    kernel.set_word("apic_count", found)
    kernel.set_word("param_cpus", wanted)
    kernel.set_word("cpu_count", 1)
    if wanted in (0, found):
        kernel.call("smp_start_all")
    else:
        words = f"REFUSED boot parameter cpus={wanted}, but {found} CPUs came online\n"
        with pytest.raises(RefusedError) as refused:
            kernel.call("smp_start_all")
        assert str(refused.value) == words
    assert [made[0] for made in kernel.called("smp_start")] == list(range(1, found))
    assert counted == list(range(1, found))
    assert kernel.word("cpu_count") == found


def test_a_cpu_announces_itself_and_starts_its_tick(kernel: Kernel) -> None:
    kernel.become(3)
    idle = kernel.record(kernel.task, {})
    kernel.set_percpu(3, idle=idle)
    kernel.stand_ins("timer_start")
    kernel.call("smp_enter")
    assert [(event.name, event.arguments) for event in kernel.events] == [
        ("cpu_online", (APIC_IDS[3],))
    ]
    assert kernel.load(kernel.task, idle, "need_resched")["need_resched"] == 1
    assert kernel.order == ["timer_start"]


@pytest.mark.parametrize("parked_late", range(CPUS))
def test_the_end_waits_for_every_other_cpu(kernel: Kernel, parked_late: int) -> None:
    kernel.become(1)
    kernel.stand_ins("ipi_call_post")
    turns = iter(range(5))
    for cpu in range(CPUS):
        kernel.set_percpu(cpu, parked=int(cpu not in (1, parked_late)))

    def relax(*_: int) -> None:
        if next(turns) == 4:
            kernel.set_percpu(parked_late, parked=1)

    kernel.stand_in("relax", relax, clobbers=("rcx",))
    kernel.call("run_stop_others")
    posts = [made[:2] for made in kernel.called("ipi_call_post")]
    assert posts == [(cpu, kernel.addresses["run_park"]) for cpu in range(CPUS) if cpu != 1]
    assert kernel.order.count("relax") == (0 if parked_late == 1 else 5)


def test_a_cpu_that_parks_closes_and_drains_first(kernel: Kernel) -> None:
    kernel.become(2)
    kernel.interrupts(True)
    parked = []
    kernel.stand_in("trace_drain", lambda *_: parked.append(kernel.get_percpu("parked", 2)))
    kernel.stand_ins("run_close_cpu")
    kernel.watch_at(kernel.find("run_park", "hlt"), kernel.stop)
    kernel.run("run_park")
    assert kernel.order == ["run_close_cpu", "trace_drain"]
    assert not any(made.interrupts for made in kernel.calls)
    assert kernel.called("trace_drain")[0][0] == kernel.area(2)
    assert parked == [0] and kernel.get_percpu("parked", 2) == 1
    assert not kernel.interrupts_on


def test_a_cpu_closes_with_its_totals(kernel: Kernel) -> None:
    kernel.stand_ins("timer_stop", "lapic_check_errors", "trace_drain")
    kernel.stand_policy("close_cpu")
    kernel.set_percpu(0, ticks=5, ipis=6, switches=7)
    kernel.call("run_close_cpu")
    assert kernel.order == ["timer_stop", "lapic_check_errors", "trace_drain", "policy_close_cpu"]
    assert [(event.name, event.arguments) for event in kernel.events] == [
        ("cpu_summary", (5, 6, 7))
    ]


def test_the_dropped_events_of_all_cpus_are_summed(kernel: Kernel) -> None:
    for cpu in range(CPUS):
        kernel.set_percpu(cpu, dropped=10**cpu)
    assert kernel.call("run_sum_dropped") == 1111


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_the_last_line_and_the_status(kernel: Kernel, failures: int) -> None:
    kernel.interrupts(True)
    kernel.stand_ins("run_stop_others", "task_close_all", "run_close_cpu", "trace_drain")
    kernel.stand_in("run_sum_dropped", lambda *_: 9)
    kernel.set_word("run_failures", failures)
    kernel.set_word("trace_sequence", 100)
    kernel.watch_at(kernel.find("run_end", "hlt"), kernel.stop)
    kernel.run("run_end")
    assert kernel.order == [
        "run_stop_others", "task_close_all", "run_close_cpu", "run_sum_dropped", "trace_drain",
    ]  # fmt: skip
    assert not any(made.interrupts for made in kernel.calls)
    (event,) = kernel.events
    assert (event.name, event.arguments[:2]) == ("end", (101, 9))
    assert kernel.string(event.arguments[2]) == ("fail" if failures else "pass")
    assert kernel.ports == [(0xF4, FAIL if failures else PASS)]


@pytest.mark.parametrize(("header", "done"), [(0, 1), (5, 0), (5, 1)])
def test_a_run_ends_with_its_workload(kernel: Kernel, header: int, done: int) -> None:
    kernel.set_word("workload_header", header)
    kernel.stand_in("workload_done", lambda *_: done)
    kernel.stand_ins("run_end")
    kernel.call("run_check_end")
    assert ("run_end" in kernel.order) == bool(header and done)


@pytest.mark.parametrize("level", [0, 1])
def test_the_first_lines(kernel: Kernel, level: int) -> None:
    kernel.stand_ins("clock_restart", "trace_drain")
    names = {"param_clock": 0, "param_hz": 250, "param_seed": U64_MAX, "clock_khz": 11,
             "timer_khz": 12, "timer_count": 13, "apic_count": CPUS, "param_loglevel": level,
             "policy": kernel.addresses["o1_policy"]}  # fmt: skip
    for symbol, value in names.items():
        kernel.set_word(symbol, value)
    kernel.call("main_hello")
    assert kernel.order == ["clock_restart", "trace_drain"]
    assert kernel.called("trace_drain")[0][0] == kernel.area(0)
    hello, *rest = kernel.events
    proto, build, policy, cpus, hz, clock, seed = hello.arguments
    assert (hello.name, proto, cpus, hz, seed) == ("hello", 1, CPUS, 250, U64_MAX)
    assert (kernel.string(policy), kernel.string(clock)) == ("o1", "virtual")
    assert kernel.read(build, 20).hex() == kernel.image.build_id
    names_after = ["cpus_found", "timer"] if level else ["quiet", "cpus_found", "timer"]
    assert [event.name for event in rest] == names_after
    assert rest[-1].arguments == (11, 12, 13)
    assert rest[-2].arguments[1] == CPUS
