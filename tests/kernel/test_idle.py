"""What a CPU does while it waits: the idle loop, race points, and the runs that only pass time."""

from __future__ import annotations

import pytest

from tests.kernel.kernel import CPUS, Kernel

U64 = 2**64 - 1


def turn(kernel: Kernel, *, cpu: int = 0, mail: int = 0, resched: int = 0, lines: int = 0,
         polls: int = 0, monitor: int = 0) -> list[str]:  # fmt: skip
    """What one turn of the idle loop calls, ``hlt`` included."""
    task = kernel.record(kernel.task, {"need_resched": resched})
    kernel.become(cpu)
    kernel.interrupts(True)
    kernel.set_percpu(cpu, curr=task, call_function=mail, halted=0)
    kernel.set_word("param_monitor", monitor)
    kernel.stand_ins("ipi_run_mailbox", "monitor_poll", "relax")
    kernel.stand_in("trace_drain_one", lambda *_: lines)
    kernel.stand_in("idle_must_poll", lambda *_: polls)
    kernel.stand_policy("schedule")
    halt = kernel.find("idle_turn", "hlt")
    kernel.patch(halt, b"\x90")

    def halted(*_: int) -> None:
        assert kernel.get_percpu("halted", cpu) == 1
        assert kernel.interrupts_on
        made.append("hlt")

    made: list[str] = []
    kernel.watch_at(halt, halted)
    kernel.call("idle_turn")
    assert kernel.interrupts_on
    on = {"ipi_run_mailbox", "monitor_poll", "relax"}
    assert all(call.interrupts == (call.name in on) for call in kernel.calls)
    return kernel.order + made


@pytest.mark.parametrize("cpu", [0, 3])
def test_a_turn_of_the_idle_loop(kernel: Kernel, cpu: int) -> None:
    drain = ["ipi_run_mailbox", "trace_drain_one", "idle_must_poll"]
    assert turn(kernel, cpu=cpu) == [*drain, "hlt"]
    assert kernel.called("trace_drain_one")[0][0] == kernel.area(cpu)


def test_what_is_to_be_done_comes_before_halting(kernel: Kernel) -> None:
    assert turn(kernel, resched=1, lines=1) == ["ipi_run_mailbox", "policy_schedule"]


def test_a_call_that_has_come_meanwhile_is_made_before_anything_else(kernel: Kernel) -> None:
    assert turn(kernel, mail=7, resched=1, lines=1) == ["ipi_run_mailbox"]


def test_a_turn_writes_a_line_at_most(kernel: Kernel) -> None:
    assert turn(kernel, lines=1) == ["ipi_run_mailbox", "trace_drain_one"]


def test_who_must_poll_does_not_halt(kernel: Kernel) -> None:
    made = turn(kernel, polls=1)
    assert made == ["ipi_run_mailbox", "trace_drain_one", "idle_must_poll", "relax"]


@pytest.mark.parametrize(("cpu", "asked"), [(0, True), (1, False)])
def test_the_boot_cpu_looks_after_the_monitor(kernel: Kernel, cpu: int, asked: bool) -> None:
    assert ("monitor_poll" in turn(kernel, cpu=cpu, monitor=1)) == asked


@pytest.mark.parametrize(
    ("cpu", "clock", "monitor", "polls", "must"),
    [(0, 0, 0, 0, 1), (0, 1, 0, 0, 0), (0, 1, 1, 0, 1), (0, 1, 0, 1, 1), (1, 0, 1, 0, 0),
     (1, 0, 0, 1, 1), (3, 1, 1, 0, 0)],
)  # fmt: skip
def test_who_must_poll(
    kernel: Kernel, cpu: int, clock: int, monitor: int, polls: int, must: int
) -> None:
    """The boot CPU under the virtual clock or with a monitor; all, if a test wants it."""
    kernel.become(cpu)
    for name, value in {
        "param_clock": clock,
        "param_monitor": monitor,
        "idle_polls": polls,
    }.items():
        kernel.set_word(name, value)
    assert kernel.call("idle_must_poll") & 0xFFFFFFFF == must
    assert kernel.clobbered() == {"rax"}


def xorshift(state: int) -> int:
    """The next state of xorshift64*."""
    state ^= state >> 12
    state ^= state << 25 & U64
    return state ^ state >> 27


@pytest.mark.parametrize("cpu", [0, 3])
@pytest.mark.parametrize("seed", [1, 2**63 + 12345])
def test_the_moments_of_races_follow_from_the_seed(kernel: Kernel, cpu: int, seed: int) -> None:
    kernel.become(cpu)
    kernel.set_word("param_race_seed", seed)
    state = ((cpu + 1) * 0x9E3779B97F4A7C15 & U64 ^ seed) | 1
    for _ in range(5):
        state = xorshift(state)
        assert kernel.call("race_random") == (state * 0x2545F4914F6CDD1D & U64) >> 32


@pytest.mark.parametrize("kind", [1, 2])
def test_a_race_point_waits_one_time_in_so_many(kernel: Kernel, kind: int) -> None:
    """For a power of two of turns; no register shows it."""
    kernel.set_word("param_race", kind)
    kernel.set_word("param_race_one_in", 16)
    mask = 7 if kind == 1 else 15
    for number in (0, 1, 15, 16, 17, 16 * 5, 16 * 5 + 3, 16 * 0xABCD7, 0xFFFFFFF0):
        kernel.stand_in("race_random", lambda *_, drawn=number: drawn, clobbers=("rcx", "rdx"))
        turns = 1 << (number // 16 & mask) if number % 16 == 0 else 0
        kernel.call("race_point")
        assert kernel.clobbered() == set()
        steps = kernel.count("race_point")
        rest = steps - turns * (3 if kind == 1 else 2)
        assert 0 < rest < 40, (number, steps)


@pytest.mark.parametrize("clock", [0, 1])
def test_how_long_a_turn_of_waiting_is(kernel: Kernel, clock: int) -> None:
    kernel.set_word("param_clock", clock)
    kernel.call("relax_init")
    lengths = {"relax": (64, 4096), "relax_spin": (1, 512)}
    for name, turns in lengths.items():
        kernel.call(name)
        assert kernel.clobbered() == {"rcx"}
        assert kernel.count(name) == 2 * turns[clock] + 3


@pytest.mark.parametrize("marks", [0, 1, 5])
def test_a_flood_is_as_many_marks_as_were_asked_for(kernel: Kernel, marks: int) -> None:
    kernel.set_word("param_flood", marks)
    kernel.stand_in("smp_call_all", lambda *_: None)
    kernel.call("main_flood")
    assert [made[0] for made in kernel.called("smp_call_all")] == (
        [kernel.addresses["flood_cpu"]] if marks else []
    )
    if marks:
        kernel.call("flood_cpu")
    assert [event.arguments for event in kernel.events] == [(n,) for n in range(1, marks + 1)]


@pytest.mark.parametrize("late", range(CPUS))
def test_a_run_lasts_until_each_cpu_has_ticked_so_often(kernel: Kernel, late: int) -> None:
    kernel.set_word("param_ticks", 10)
    for cpu in range(CPUS):
        kernel.set_percpu(cpu, ticks=6 if cpu == late else 10)

    def idle(*_: int) -> None:
        kernel.set_percpu(late, ticks=kernel.get_percpu("ticks", late) + 1)

    kernel.stand_in("idle_turn", idle)
    kernel.call("main_wait_ticks")
    assert len(kernel.calls) == 4
