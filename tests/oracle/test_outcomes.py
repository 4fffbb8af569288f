"""Every outcome, each by a guest in QEMU made for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.boot import Run
from harness.boot import boot as start
from harness.oracle.outcome import Outcome
from harness.pytest_plugin import Booter
from tests.harness.guests import Then, build, script
from tests.trace.logs import BUILD, end, hello, line, short_log

Boot = Callable[..., Run]

KTAP = b"KTAP version 1\n1..2\nok 1 bits\nnot ok 2 queue # empty\n"
PANIC = (
    b"PANIC cpu=0 vector=13 name=#GP error=0x0 rip=0x100000 cr2=0x0 cr3=0x0 reason=bad segment\n"
    b"PANIC backtrace 0x100004\nPANIC end\n"
)


@pytest.fixture
def boot_script(scripted_guest: Path, tmp_path: Path, boot: Booter) -> Boot:
    """Boots the scripted guest: the log it shall write, and what it shall do then."""

    def run(log: bytes, then: bytes, **options: Any) -> Run:
        module = script(tmp_path, log, then)
        return boot(scripted_guest, modules=[module], **options)

    return run


def after_hello(text: bytes) -> bytes:
    first, newline, rest = short_log().partition(b"\n")
    return first + newline + text + rest


def test_a_sound_log_and_the_agreed_exit_status_pass(boot_script: Boot) -> None:
    run = boot_script(short_log(), Then.PASS)
    assert run.verdict.findings == ()
    assert run.verdict.unproven == ()
    assert run.outcome is Outcome.PASS
    assert run.log == short_log()


@pytest.mark.parametrize(
    ("log", "then", "outcome", "reason"),
    [
        pytest.param(short_log(), Then.FAIL, Outcome.FAIL, "status 35", id="exit status"),
        pytest.param(
            after_hello(KTAP), Then.PASS, Outcome.FAIL, "self-test queue failed (empty)", id="ktap"
        ),
        pytest.param(short_log(result="fail"), Then.PASS, Outcome.FAIL, "result=fail", id="result"),
        pytest.param(
            b"REFUSED colour=red\n", Then.REFUSE, Outcome.FAIL, "colour=red", id="refused"
        ),
        pytest.param(short_log(cpus=3), Then.PASS, Outcome.FAIL, "3 CPUs came", id="too few CPUs"),
        pytest.param(
            after_hello(PANIC), Then.PANIC, Outcome.PANIC, "#GP bad segment", id="panic report"
        ),
        pytest.param(short_log(), Then.PANIC, Outcome.PANIC, "status 37", id="panic status"),
        pytest.param(short_log(), Then.TRIPLE_FAULT, Outcome.TRIPLE_FAULT, "shut down", id="fault"),
        pytest.param(
            b"", Then.TRIPLE_FAULT, Outcome.TRIPLE_FAULT, "shut down", id="fault before any line"
        ),
        pytest.param(
            short_log(build="f" * 40), Then.PASS, Outcome.WRONG_IMAGE, "f" * 40, id="other image"
        ),
        pytest.param(
            short_log().replace(b" n=2 ", b" n=3 ", 1),
            Then.PASS,
            Outcome.LOST_LOG,
            "bad checksum",
            id="changed line",
        ),
        pytest.param(
            short_log()[:-1].replace(b"\n", b"", 3) + b"\n",
            Then.PASS,
            Outcome.LOST_LOG,
            "torn line",
            id="torn lines",
        ),
        pytest.param(
            short_log()[: short_log().rindex(b"[SCHED]")],
            Then.PASS,
            Outcome.LOST_LOG,
            "missing end",
            id="no end",
        ),
        pytest.param(short_log()[:-9], Then.PASS, Outcome.LOST_LOG, "end", id="cut end"),
        pytest.param(b"", Then.PASS, Outcome.LOST_LOG, "missing hello", id="silence"),
        pytest.param(
            b"".join([hello(), *(line("tick", n, n - 1, n=n) for n in (1, 2, 3, 4)), end(5)]),
            Then.PASS,
            Outcome.VIOLATION,
            "H1 ticks of a CPU count from 1 without a gap",
            id="broken rule",
        ),
    ],
)
def test_what_the_guest_does_decides(
    boot_script: Boot, log: bytes, then: bytes, outcome: Outcome, reason: str
) -> None:
    run = boot_script(log, then)
    assert run.outcome is outcome, run.verdict
    assert reason in run.verdict.reason


@pytest.mark.parametrize("then", [Then.HANG, Then.SPIN])
def test_a_silent_guest_hangs(boot_script: Boot, then: bytes) -> None:
    run = boot_script(short_log(), then, quiet=1.0)
    assert run.outcome is Outcome.HANG, run.verdict
    assert "no output for quiet=1 s (cpu 0: rip=0x1000" in run.verdict.reason


def test_a_guest_that_sleeps_for_good_hangs_however_short_its_time(boot_script: Boot) -> None:
    run = boot_script(short_log(), Then.HANG, timeout=2.0, quiet=None)
    assert run.outcome is Outcome.HANG, run.verdict
    assert "no interrupt can wake a CPU" in run.verdict.reason


def test_a_guest_that_talks_on_meets_the_timeout(boot_script: Boot) -> None:
    run = boot_script(short_log(), Then.TALK, timeout=2.0)
    assert run.outcome is Outcome.TIMEOUT, run.verdict


def test_a_guest_that_resets_the_machine(tmp_path: Path) -> None:
    image = build("reset", tmp_path, build_id=BUILD)
    run = start(image, machine="q35", cpus=1)
    assert run.outcome is Outcome.RESET, run.verdict


def test_qemu_that_is_not_there(scripted_guest: Path) -> None:
    run = start(scripted_guest, qemu="qemu-system-nowhere")
    assert run.outcome is Outcome.QEMU_ERROR
    assert "qemu-system-nowhere" in run.verdict.reason


def test_qemu_that_refuses_an_option(scripted_guest: Path) -> None:
    run = start(scripted_guest, extra_args=["-no-such-option"])
    assert run.outcome is Outcome.QEMU_ERROR
    assert "-no-such-option" in run.verdict.reason


def test_qemu_that_is_killed_from_outside(boot_script: Boot) -> None:
    run = boot_script(after_hello(b"ready\n"), Then.TALK)
    run.console.expect_exact("ready")
    pid = run.machine.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert run.outcome is Outcome.QEMU_ERROR, run.verdict
    assert "SIGKILL" in run.verdict.reason


def test_a_run_that_its_user_stops_is_no_pass(boot_script: Boot) -> None:
    with boot_script(short_log(), Then.SPIN) as run:
        pass
    assert run.outcome is Outcome.HARNESS_ERROR, run.verdict
