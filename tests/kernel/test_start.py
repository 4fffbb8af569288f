"""From the boot CPU alone to all of them, and to the end of the run."""

from __future__ import annotations

import pytest

from tests.functions.guest import PanicError
from tests.functions.machine import Layout
from tests.kernel.kernel import APIC_IDS, CPUS, Kernel, RefusedError

PAGE = 4096
INIT, STARTUP, CALL = 0x4500, 0x4608, 0xFA
PASS, FAIL = 0x10, 0x11
U64_MAX = 2**64 - 1


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
    kernel.stop_when_halted("run_park")
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
    kernel.stop_when_halted("run_end")
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


@pytest.mark.parametrize(("level", "real"), [(0, 0), (1, 0), (1, 1)])
def test_the_first_lines(kernel: Kernel, level: int, real: int) -> None:
    kernel.stand_ins("clock_restart", "trace_drain")
    names = {"param_clock": real, "param_hz": 250, "param_seed": U64_MAX, "clock_khz": 11,
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
    assert (kernel.string(policy), kernel.string(clock)) == ("o1", ["virtual", "real"][real])
    assert kernel.read(build, 20).hex() == kernel.image.build_id
    names_after = ["cpus_found", "timer"] if level else ["quiet", "cpus_found", "timer"]
    assert [event.name for event in rest] == names_after
    assert rest[-1].arguments == (11, 12, 13)
    assert rest[-2].arguments[1] == CPUS


def mains(kernel: Kernel) -> list[str]:
    """Stand-ins for all that `kernel_main` calls; their names, in its order, up to the choice of
    what the run does."""
    names = ["main_setup_boot_cpu", "main_setup_machine", "smp_start_all", "sched_constants_init",
             "main_hello", "smp_enter_all", "selftest_run", "main_flood"]  # fmt: skip
    kernel.stand_ins(*names, "monitor_start", "idle_turn", "main_wait_ticks")
    for name in ("workload_start", "idle_forever", "run_end"):
        kernel.stand_in(name, kernel.stop if name != "workload_start" else None)
    kernel.stand_in("selftest_run", lambda *_: 3)
    kernel.stand_policy("ready")
    names.insert(names.index("selftest_run"), "policy_ready")
    kernel.interrupts(False)
    return names


@pytest.mark.parametrize(
    ("header", "monitor", "then"),
    [
        (1, 1, ["workload_start", "idle_forever"]),
        (0, 1, ["monitor_start", *["idle_turn"] * 3, "run_end"]),
        (0, 0, ["main_wait_ticks", "run_end"]),
    ],
)
def test_the_way_through_a_run(kernel: Kernel, header: int, monitor: int, then: list[str]) -> None:
    """Interrupts come in once the first line is logged."""
    names = mains(kernel)
    kernel.set_word("workload_header", header)
    kernel.set_word("param_monitor", monitor)
    turns = iter([0, 0, 1])
    kernel.stand_in("idle_turn", lambda *_: kernel.set_word("monitor_done", next(turns)))
    kernel.run("kernel_main")
    assert kernel.order == names + then
    on = {made.name for made in kernel.calls if made.interrupts}
    assert on == {*names[names.index("smp_enter_all") :], *then}
    assert kernel.number("run_failures") == 3, "what fails in the self-tests fails the run"


def test_the_boot_cpu_begins_on_the_stack_of_its_idle_task(kernel: Kernel) -> None:
    at, size = Layout.of(kernel.image, "cpu_block").fields["idle_stack"]
    kernel.map_pages(page := kernel.addresses["boot_block"] + at + size - PAGE, 1)
    kernel.execute(kernel.find("boot_long_mode", "lea rsp"), kernel.addresses["kernel_main"])
    assert kernel.pointer == page + PAGE - 8


def test_the_boot_cpu_is_set_up(kernel: Kernel) -> None:
    kernel.stand_ins("console_init", "percpu_init", "idt_init", "idt_load")
    kernel.stand_in("lapic_id", lambda *_: 7, clobbers=())
    kernel.set_word("cpu_count", 0)
    kernel.set_word("cpu_table", 0)
    kernel.call("main_setup_boot_cpu")
    assert kernel.order == ["console_init", "lapic_id", "percpu_init", "idt_init", "idt_load"]
    assert kernel.called("percpu_init")[0][:3] == (kernel.addresses["boot_block"], 0, 7)
    assert kernel.word("cpu_table") == kernel.area(0)
    assert kernel.word("cpu_count") == 1


def test_the_machine_is_set_up(kernel: Kernel) -> None:
    names = ["boot_info_read", "params_parse", "workload_load", "smp_copy_trampoline",
             "memory_protect_image", "clock_init", "lapic_init", "acpi_find_cpus",
             "timer_calibrate", "trace_init", "policy_choose", "task_table_init",
             "task_init_idle"]  # fmt: skip
    kernel.stand_ins(*names)
    kernel.stand_policy("init_cpu")
    kernel.call("main_setup_machine")
    assert kernel.order == [*names, "policy_init_cpu"]
    assert kernel.ports == [(0x21, 0xFF), (0xA1, 0xFF)], "no interrupt of the legacy controllers"
    stack = Layout.of(kernel.image, "cpu_block").fields["idle_stack"][0]
    assert kernel.called("task_init_idle")[0][0] == kernel.area(0) + stack
    assert kernel.get_percpu("online") == 1


@pytest.mark.parametrize("identifier", [201, 202])
def test_a_cpu_comes_up_as_what_it_was_started_as(kernel: Kernel, identifier: int) -> None:
    kernel.become(3)
    kernel.set_word("smp_starting_block", block := kernel.area(3))
    for symbol, value in {"smp_starting_cpu": 3, "smp_starting_apic": 201}.items():
        kernel.write(kernel.addresses[symbol], value.to_bytes(4, "little"))
    fields = Layout.of(kernel.image, "cpu_block").fields
    kernel.stand_ins("percpu_init", "idt_load", "lapic_init", "trace_init", "task_init_idle")
    kernel.stand_in("lapic_id", lambda *_: identifier, clobbers=())
    kernel.stand_policy("init_cpu")
    online: list[int] = []
    kernel.stand_in("policy_init_cpu", lambda *_: online.append(kernel.get_percpu("online", 3)))
    kernel.stand_in("idle_forever", kernel.stop)
    pointers: list[int] = []
    stack_at, stack_size = fields["idle_stack"]
    kernel.map_pages(block + PAGE, 8)
    kernel.watch_at(kernel.find("smp_ap_entry", "xor ebp"), lambda: pointers.append(kernel.pointer))
    if identifier != 201:
        with pytest.raises(PanicError, match="under another APIC identifier"):
            kernel.call("smp_ap_entry")
        return
    kernel.run("smp_ap_entry")
    assert pointers == [block + stack_at + stack_size]
    assert kernel.order == [
        "percpu_init", "idt_load", "lapic_init", "lapic_id", "trace_init", "task_init_idle",
        "policy_init_cpu", "idle_forever",
    ]  # fmt: skip
    assert kernel.called("percpu_init")[0][:3] == (block, 3, 201)
    assert kernel.called("task_init_idle")[0][0] == block + stack_at
    assert online == [0] and kernel.get_percpu("online", 3) == 1
