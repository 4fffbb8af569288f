"""From facts to a verdict.  That real runs give such facts is shown in test_outcomes.py."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from harness.machine import CpuState, Ending, MachineConfig, MachineResult
from harness.oracle.outcome import Outcome
from harness.oracle.verdict import Expectation, Verdict, judge
from harness.trace.parser import parse_log
from tests.trace.logs import BUILD, end, hello, line, short_log

EXITED = MachineResult(
    config=MachineConfig(image=Path("guest.elf")),
    command=("qemu-system-x86_64",),
    ending=Ending.EXITED,
    status=33,
    signal=None,
    error=None,
    lines=(),
    stderr="",
    triple_fault=False,
    reset=False,
    powered_off=False,
    events=(),
    registers=(),
    seconds=0.1,
    first_output_seconds=0.05,
    last_output_seconds=0.1,
    cpu_seconds=0.1,
)
GIVEN_UP = replace(EXITED, status=None, signal=signal.SIGKILL)


def state(cpu: int, *, halted: bool, interrupts: bool) -> CpuState:
    return CpuState(cpu=cpu, rip=0x100000, halted=halted, interrupts=interrupts, text="")


DEAD = tuple(state(cpu, halted=True, interrupts=False) for cpu in range(4))
ALIVE = (*DEAD[:3], state(3, halted=True, interrupts=True))


def verdict(
    log: bytes = short_log(), machine: MachineResult = EXITED, cpus: int | None = 4
) -> Verdict:
    return judge(parse_log(log), machine=machine, build_id=BUILD, cpus=cpus)


def with_text(text: bytes) -> bytes:
    return short_log().replace(b"\n", b"\n" + text + b"\n", 1)


def test_a_run_in_which_every_condition_holds_passes() -> None:
    judged = verdict()
    assert judged.passed
    assert str(judged) == "pass: every condition holds"


CASES: list[tuple[str, bytes, MachineResult, Outcome, str]] = [
    ("exit status of a failure", short_log(), replace(EXITED, status=35), Outcome.FAIL, "35"),
    ("exit status of a panic", short_log(), replace(EXITED, status=37), Outcome.PANIC, "37"),
    ("exit status of a refusal", short_log(), replace(EXITED, status=39), Outcome.FAIL, "39"),
    ("unknown exit status", short_log(), replace(EXITED, status=41), Outcome.FAIL, "status 41"),
    ("exit status 0", short_log(), replace(EXITED, status=0), Outcome.RESET, "no verdict"),
    ("exit status 1", short_log(), replace(EXITED, status=1), Outcome.QEMU_ERROR, "with 1"),
    ("exit status 2", short_log(), replace(EXITED, status=2), Outcome.QEMU_ERROR, "with 2"),
    (
        "triple fault",
        short_log(),
        replace(EXITED, status=0, triple_fault=True),
        Outcome.TRIPLE_FAULT,
        "the CPU shut down",
    ),
    (
        "triple fault with the status of a pass",
        short_log(),
        replace(EXITED, triple_fault=True),
        Outcome.TRIPLE_FAULT,
        "the CPU shut down",
    ),
    ("reset", short_log(), replace(EXITED, status=0, reset=True), Outcome.RESET, "reset"),
    ("off", short_log(), replace(EXITED, status=0, powered_off=True), Outcome.RESET, "off"),
    (
        "silence",
        short_log(),
        replace(GIVEN_UP, ending=Ending.QUIET, registers=ALIVE),
        Outcome.HANG,
        "no output for quiet=10 s (cpu 0: rip=0x100000 halted=1 if=0",
    ),
    (
        "time over",
        short_log(),
        replace(GIVEN_UP, ending=Ending.DEADLINE, registers=ALIVE),
        Outcome.TIMEOUT,
        "no end within timeout=60 s",
    ),
    (
        "time over, all CPUs asleep for good",
        short_log(),
        replace(GIVEN_UP, ending=Ending.DEADLINE, registers=DEAD),
        Outcome.HANG,
        "no interrupt can wake a CPU",
    ),
    (
        "time over, nothing known of the CPUs",
        short_log(),
        replace(GIVEN_UP, ending=Ending.DEADLINE),
        Outcome.TIMEOUT,
        "no end within",
    ),
    (
        "too much output",
        short_log(),
        replace(GIVEN_UP, ending=Ending.LOG_LIMIT),
        Outcome.LOST_LOG,
        "max_log_bytes",
    ),
    (
        "killed",
        short_log(),
        replace(GIVEN_UP, ending=Ending.KILLED, error="QEMU was ended by SIGKILL"),
        Outcome.QEMU_ERROR,
        "SIGKILL",
    ),
    (
        "killed for its CPU time",
        short_log(),
        replace(GIVEN_UP, ending=Ending.KILLED, signal=signal.SIGXCPU, error="too much CPU time"),
        Outcome.TIMEOUT,
        "too much CPU time",
    ),
    (
        "not started",
        b"",
        replace(EXITED, status=1, ending=Ending.START_FAILED, error="QEMU refused to start"),
        Outcome.QEMU_ERROR,
        "refused to start",
    ),
    (
        "stopped",
        short_log(),
        replace(GIVEN_UP, ending=Ending.STOPPED),
        Outcome.HARNESS_ERROR,
        "stopped by its user",
    ),
    ("other image", short_log(build="f" * 40), EXITED, Outcome.WRONG_IMAGE, "was asked for"),
    ("panic report", with_text(b"PANIC cpu=1 reason=stack"), EXITED, Outcome.PANIC, "stack"),
    ("refusal", with_text(b"REFUSED colour=red"), EXITED, Outcome.FAIL, "colour=red"),
    (
        "failing self-test",
        with_text(b"KTAP version 1\n1..1\nnot ok 1 bits # bit 3"),
        EXITED,
        Outcome.FAIL,
        "self-test bits failed (bit 3)",
    ),
    (
        "self-test that did not report",
        with_text(b"KTAP version 1\n1..2\nok 1 bits"),
        EXITED,
        Outcome.FAIL,
        "plan is 1..2",
    ),
    ("result=fail", short_log(result="fail"), EXITED, Outcome.FAIL, "result=fail"),
    ("result=maybe", short_log(result="maybe"), EXITED, Outcome.FAIL, "result=maybe"),
    ("too few CPUs", short_log(cpus=2), EXITED, Outcome.FAIL, "2 CPUs came online, 4 were"),
    ("too many CPUs", short_log(cpus=5), EXITED, Outcome.FAIL, "5 CPUs came online, 4 were"),
    (
        "a silent CPU",
        b"".join([hello(), *(line("tick", seq, seq - 1, n=1) for seq in (1, 2, 3)), end(4)]),
        EXITED,
        Outcome.FAIL,
        "no event from CPU 3",
    ),
    ("damage", with_text(b"\xff"), EXITED, Outcome.LOST_LOG, "line 2: not printable"),
    ("no end", short_log()[: short_log().rindex(b"[")], EXITED, Outcome.LOST_LOG, "missing end"),
    ("no log", b"", EXITED, Outcome.LOST_LOG, "missing hello"),
    (
        "a broken rule",
        short_log().replace(line("tick", 5, 0, 1_000_000, n=1), line("tick", 5, 0, 1_000_000, n=2)),
        EXITED,
        Outcome.VIOLATION,
        "H1 ticks of a CPU count from 1 without a gap: tick 2 of CPU 0 where 1 is due",
    ),
]


@pytest.mark.parametrize(
    ("log", "machine", "outcome", "reason"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_each_condition_alone_decides(
    log: bytes, machine: MachineResult, outcome: Outcome, reason: str
) -> None:
    judged = verdict(log, machine)
    assert judged.outcome is outcome, judged
    assert reason in judged.reason
    assert not judged.passed


def test_every_outcome_and_every_ending_is_shown_above() -> None:
    assert {case[3] for case in CASES} == set(Outcome) - {Outcome.PASS}
    assert {case[2].ending for case in CASES} == set(Ending)


def test_the_worst_finding_decides_and_all_are_listed() -> None:
    log = with_text(b"KTAP version 1\n1..1\nnot ok 1 bits\n\xff").replace(
        b"result=pass", b"result="
    )
    judged = verdict(log, replace(GIVEN_UP, ending=Ending.QUIET))
    assert judged.outcome is Outcome.HANG
    assert "fail: self-test bits failed" in judged.details
    assert any(detail.startswith("lost-log: ") for detail in judged.details)
    ranks = [finding.outcome.rank for finding in judged.findings]
    assert ranks == sorted(ranks)
    assert all(f"also {detail}" in str(judged) for detail in judged.details)


def test_the_guest_is_believed_when_it_says_that_it_failed_though_the_log_is_damaged() -> None:
    judged = verdict(short_log(result="fail") + b"\xff\n")
    assert judged.outcome is Outcome.FAIL


def test_rules_and_expectations_are_asked_only_of_a_sound_log() -> None:
    def never(_trace: object) -> str:
        raise AssertionError("asked of a damaged log")

    trace = parse_log(short_log() + b"\xff\n")
    judged = judge(trace, machine=EXITED, expectations=[Expectation("never", never)])
    assert judged.outcome is Outcome.LOST_LOG


def test_an_expectation_that_is_not_met_fails() -> None:
    trace = parse_log(short_log())
    met = Expectation("ticks", lambda seen: None if list(seen.of("tick")) else "no tick")
    unmet = Expectation("switches", lambda seen: None if list(seen.of("switch")) else "no switch")
    assert judge(trace, machine=EXITED, build_id=BUILD, expectations=[met]).passed
    judged = judge(trace, machine=EXITED, build_id=BUILD, expectations=[met, unmet])
    assert (judged.outcome, judged.reason) == (Outcome.FAIL, "switches: no switch")


def test_an_expectation_that_cannot_be_evaluated_is_never_a_pass() -> None:
    def broken(_trace: object) -> str | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        judge(parse_log(short_log()), expectations=[Expectation("broken", broken)])


def test_a_saved_log_says_what_it_cannot_prove() -> None:
    judged = judge(parse_log(short_log()))
    assert judged.outcome is Outcome.PASS
    assert str(judged).splitlines() == [
        "pass: nothing speaks against it",
        "  not proven: how the run ended: a saved log does not tell QEMU's exit status",
        "  not proven: that this image ran: no build id to compare with",
    ]


def test_a_flood_of_damage_gives_a_short_verdict() -> None:
    judged = verdict(b"\xff\n" * 1000)
    assert len(judged.findings) < 30
    assert any("more damages" in detail for detail in judged.details)
