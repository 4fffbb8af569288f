"""The guest's tests of itself see what they look for: each is made to fail by every single thing
that it checks, and passes without."""

from __future__ import annotations

import pytest

from tests.kernel.kernel import APIC_IDS, CPUS, LAPIC, Kernel

NAMES = ["cpus", "exceptions", "lapic", "timer", "ipi", "lock", "switch"]
ALL, NONE, FIRST = 0, 1, 2
SVR = 0x0F0
SPURIOUS = 0x1FF


def verdict(kernel: Kernel, function: str) -> str:
    """The reason that a test gives, none if it passes."""
    reason = kernel.call(function)
    return kernel.string(reason) if reason else ""


@pytest.mark.parametrize("failing", [[], ["timer"], ["cpus", "switch"], NAMES])
def test_all_are_run_and_reported(kernel: Kernel, failing: list[str]) -> None:
    kernel.capture_print()
    for name in NAMES:
        reason = kernel.text(f"why {name}") if name in failing else 0
        kernel.stand_in(f"test_{name}", lambda *_, reason=reason: reason)
    kernel.set_word("param_selftest", ALL)
    assert kernel.call("selftest_run") == len(failing)
    lines = [f"not ok {n} {name} # why {name}" if name in failing else f"ok {n} {name}"
             for n, name in enumerate(NAMES, start=1)]  # fmt: skip
    assert kernel.printed.splitlines() == ["KTAP version 1", f"1..{len(NAMES)}", *lines]


@pytest.mark.parametrize("name", [*NAMES, "lock_drop"])
@pytest.mark.parametrize("fails", [False, True])
def test_one_is_run_alone(kernel: Kernel, name: str, fails: bool) -> None:
    kernel.capture_print()
    kernel.stand_in(f"test_{name}", lambda *_: kernel.text("why") if fails else 0)
    kernel.set_word("param_selftest", FIRST + [*NAMES, "lock_drop"].index(name))
    assert kernel.call("selftest_run") == fails
    line = f"not ok 1 {name} # why" if fails else f"ok 1 {name}"
    assert kernel.printed == f"KTAP version 1\n1..1\n{line}\n"


def test_none_is_run(kernel: Kernel) -> None:
    kernel.capture_print()
    kernel.set_word("param_selftest", NONE)
    assert (kernel.call("selftest_run"), kernel.printed) == (0, "")


@pytest.mark.parametrize("cpu", range(CPUS))
def test_cpus_sees_what_is_wrong_with_any(kernel: Kernel, cpu: int) -> None:
    for other in range(CPUS):
        kernel.set_percpu(other, online=1)
    assert verdict(kernel, "test_cpus") == ""
    sound = {"self": kernel.area(cpu), "cpu": cpu, "online": 1, "apic_id": APIC_IDS[cpu]}
    twin = APIC_IDS[(cpu + 1) % CPUS]
    wrong = [("self", 5, "name itself"), ("cpu", 9, "name itself"), ("online", 0, "not online"),
             ("apic_id", twin, "same APIC identifier")]  # fmt: skip
    for field, value, words in wrong:
        kernel.set_percpu(cpu, **{field: value})
        assert words in verdict(kernel, "test_cpus"), field
        kernel.set_percpu(cpu, **{field: sound[field]})
    assert verdict(kernel, "test_cpus") == ""


@pytest.mark.parametrize(
    ("in_service", "identifier", "spurious", "failures"),
    [(0, APIC_IDS[1], SPURIOUS, 0), (1, APIC_IDS[1], SPURIOUS, 1), (0, APIC_IDS[2], SPURIOUS, 1),
     (0, APIC_IDS[1], 0x0FF, 1), (0, APIC_IDS[1], 0x1EF, 1)],
)  # fmt: skip
@pytest.mark.parametrize("on", [True, False])
def test_lapic_looks_at_all_of_it(
    kernel: Kernel, in_service: int, identifier: int, spurious: int, failures: int, on: bool
) -> None:
    kernel.become(1)
    kernel.interrupts(on)
    kernel.stand_in("lapic_in_service", lambda *_: in_service)
    kernel.stand_in("lapic_id", lambda *_: identifier)
    kernel.write(LAPIC + SVR, spurious.to_bytes(4, "little"))
    kernel.call("lapic_look")
    assert kernel.word("lapic_failures") == failures
    assert kernel.interrupts_on == on and not any(made.interrupts for made in kernel.calls)


@pytest.mark.parametrize("fails_on", [None, 0, 1, 3])
def test_lapic_looks_on_each_cpu(kernel: Kernel, fails_on: int | None) -> None:
    kernel.set_word("lapic_failures", 7)

    def look(cpu: int) -> None:
        failed = kernel.word("lapic_failures") + (cpu == fails_on)
        kernel.set_word("lapic_failures", failed)

    kernel.stand_in("lapic_look", lambda *_: look(0))
    kernel.stand_in("ipi_call_on", lambda cpu, *_: look(cpu))
    failed = verdict(kernel, "test_lapic")
    assert failed.startswith("a local APIC has") == (fails_on is not None)
    called = [made[:2] for made in kernel.called("ipi_call_on")]
    assert called == [(cpu, kernel.addresses["lapic_look"]) for cpu in range(1, CPUS)]


@pytest.mark.parametrize("cpu", range(CPUS))
@pytest.mark.parametrize(
    ("period", "clock", "fails"),
    [(10_000, 0, False), (20_000, 0, False), (20_001, 0, True), (5000, 0, False), (4999, 0, True),
     (10**9, 1, False)],
)  # fmt: skip
def test_timer_sees_a_wrong_rate_of_any_cpu(
    kernel: Kernel, cpu: int, period: int, clock: int, fails: bool
) -> None:
    kernel.set_word("param_hz", 100_000)
    kernel.set_word("param_clock", clock)
    kernel.stand_in("timer_period", lambda asked, *_: period if asked == cpu else 10_000)
    assert ("ticks come at" in verdict(kernel, "test_timer")) == fails
    asked = [made[0] for made in kernel.called("timer_period")]
    assert asked == list(range(cpu + 1 if fails else CPUS))


def test_a_period_is_measured_over_whole_ticks(kernel: Kernel) -> None:
    times = iter([1000, 21_000])
    kernel.stand_in("clock_ns", lambda *_: next(times), clobbers=("rdx",))

    def relax(*_: int) -> None:
        kernel.set_percpu(2, ticks=kernel.get_percpu("ticks", 2) + 1)

    kernel.stand_in("relax", relax, clobbers=("rcx",))
    kernel.set_percpu(2, ticks=5)
    assert kernel.call("timer_period", 2) == 10_000
    assert kernel.order == ["relax", "clock_ns", "relax", "relax", "clock_ns"]


def pings(kernel: Kernel) -> list[tuple[int, int]]:
    """Stand-ins for all that reaches other CPUs; who pinged whom."""
    made: list[tuple[int, int]] = []

    def others(cpu: int) -> None:
        made.extend((cpu, to) for to in range(CPUS) if to != cpu)

    kernel.stand_in("ping_others", lambda *_: others(0))
    kernel.stand_in("ipi_call_on", lambda cpu, *_: others(cpu))
    return made


@pytest.mark.parametrize(
    ("clock", "cpus", "rounds"), [(0, CPUS, 2), (1, CPUS, 1), (0, 16, 2), (0, 17, 1)]
)
def test_ipi_tries_all_pairs_polling_and_halted(
    kernel: Kernel, clock: int, cpus: int, rounds: int
) -> None:
    polls: list[int] = []
    kernel.set_word("param_clock", clock)
    kernel.set_word("cpu_count", cpus)
    kernel.stand_in("ping_all_pairs", lambda *_: polls.append(kernel.number("idle_polls")))
    assert verdict(kernel, "test_ipi") == ""
    assert polls == [1, 0][2 - rounds :]
    assert kernel.number("idle_polls") == 0


def test_each_cpu_pings_every_other(kernel: Kernel) -> None:
    made = pings(kernel)
    kernel.call("ping_all_pairs")
    everyone = {(sender, to) for sender in range(CPUS) for to in range(CPUS) if sender != to}
    assert set(made) == everyone
    function = kernel.addresses["ping_others"]
    assert all(arguments[1] == function for arguments in kernel.called("ipi_call_on"))


@pytest.mark.parametrize("cpu", range(CPUS))
def test_a_cpu_pings_all_but_itself(kernel: Kernel, cpu: int) -> None:
    kernel.become(cpu)
    kernel.stand_ins("ipi_measure")
    kernel.call("ping_others")
    pinged = [made[0] for made in kernel.called("ipi_measure")]
    assert pinged == [other for other in range(CPUS) if other != cpu]


@pytest.mark.parametrize(
    ("lost", "failures", "words"),
    [(0, 0, ""), (1, 0, "increments under the lock were lost"), (0, 1, "a held lock was taken")],
)
def test_lock_sees_lost_increments_and_wrong_holders(
    kernel: Kernel, lost: int, failures: int, words: str
) -> None:
    def rounds(function: int, count: int, *_: int) -> None:
        assert (function, count) == (kernel.addresses["lock_rounds"], 1024 // CPUS)
        kernel.set_word("lock_count", CPUS * count - lost)
        kernel.set_word("lock_failures", failures)

    kernel.stand_in("smp_call_all", rounds)
    found = verdict(kernel, "test_lock")
    assert found.startswith(words) and bool(found) == bool(words)


@pytest.mark.parametrize(("taken", "holder", "failures"), [(0, 2, 0), (1, 2, 5), (0, 3, 5)])
def test_each_round_tries_the_lock_that_it_holds(
    kernel: Kernel, taken: int, holder: int, failures: int
) -> None:
    kernel.become(2)
    held: list[str] = []
    kernel.stand_in("spin_lock", lambda at, *_: kernel.write(at, holder.to_bytes(4, "little")),
                    clobbers=("rax", "rcx"))  # fmt: skip
    kernel.stand_in("spin_trylock", lambda *_: taken, clobbers=("rcx",))
    kernel.stand_in("spin_unlock", lambda *_: held.append("unlock"), clobbers=("rax",))
    kernel.set_word("lock_count", 100)
    kernel.call("lock_rounds", 5)
    assert kernel.word("lock_count") == 105
    assert kernel.word("lock_failures") == failures
    assert kernel.order == ["spin_lock", "spin_trylock", "spin_unlock"] * 5
    assert len({made.arguments[0] for made in kernel.calls}) == 1


PATTERN = 0x5A5A_0008


@pytest.mark.parametrize("register", [None, "rbx", "r12", "r13", "r14"])
def test_switch_sees_a_register_that_yielding_changed(kernel: Kernel, register: str | None) -> None:
    kernel.stand_policy("yield")
    turns = iter(range(4))

    def spoil(*_: int) -> None:
        if next(turns) == 3 and register is not None:
            kernel.result(**{register: 1})

    kernel.stand_in("policy_yield", spoil)
    kernel.stand_in("switch_preempted", lambda *_: 0)
    kernel.call("switch_task", PATTERN)
    assert kernel.order.count("policy_yield") == 4
    assert kernel.word("switch_failures") == (register is not None)
    assert kernel.word("switch_done") == 1


@pytest.mark.parametrize("result", [0, 1])
def test_switch_counts_what_preemption_changed(kernel: Kernel, result: int) -> None:
    kernel.stand_policy("yield")
    kernel.stand_in("switch_preempted", lambda *_: result)
    kernel.call("switch_task", PATTERN)
    assert kernel.called("switch_preempted")[0][0] == PATTERN
    assert kernel.word("switch_failures") == result


SPOILT = ["rbx", "rcx", "rdx", "rsi", *(f"r{number}" for number in range(8, 16))]


@pytest.mark.parametrize("register", [None, *SPOILT])
def test_switch_sees_a_register_that_an_interrupt_changed(
    kernel: Kernel, register: str | None
) -> None:
    ticks = [40]

    def turn() -> None:
        ticks[0] += 1
        kernel.set_percpu(0, ticks=ticks[0])
        if ticks[0] == 42 and register is not None:
            kernel.result(**{register: kernel.register(register) + 1})

    kernel.set_percpu(0, ticks=40)
    kernel.watch_at(kernel.find("switch_preempted", "pause"), turn)
    assert kernel.call("switch_preempted", PATTERN) & 0xFFFFFFFF == (register is not None)
    assert ticks == [43]


@pytest.mark.parametrize("failures", [0, 2])
def test_switch_waits_for_two_tasks_on_each_cpu(kernel: Kernel, failures: int) -> None:
    kernel.stand_in("task_create", lambda *_: 1)

    def idle(*_: int) -> None:
        kernel.set_word("switch_done", kernel.word("switch_done") + 1)
        kernel.set_word("switch_failures", failures)

    kernel.stand_in("idle_turn", idle)
    kernel.set_word("switch_done", 3)
    assert bool(verdict(kernel, "test_switch")) == bool(failures)
    made = kernel.called("task_create")
    assert [arguments[3] for arguments in made] == [cpu for cpu in range(CPUS) for _ in range(2)]
    assert len({arguments[2] for arguments in made}) > 1, "tasks of a CPU have different patterns"
    assert {arguments[1] for arguments in made} == {kernel.addresses["switch_task"]}
    assert kernel.order.count("idle_turn") == 2 * CPUS


def test_switch_says_when_there_is_no_room(kernel: Kernel) -> None:
    kernel.stand_in("task_create", lambda *_: 0)
    assert verdict(kernel, "test_switch").startswith("the task table is full")
