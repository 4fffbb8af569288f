"""The command line, as a user and a script see it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness import cli
from harness.commands import run as run_module
from harness.toolchain.build import BuildError
from harness.trace.event_kind import Kind
from harness.trace.vocabulary import VOCABULARY
from tests.harness.guests import Then, script
from tests.trace.logs import short_log

ROOT = Path(__file__).parents[2]


def harness(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def run(
    image: Path, directory: Path, log: bytes, then: bytes, *more: str
) -> subprocess.CompletedProcess[str]:
    return harness("run", "--image", image, "--module", script(directory, log, then), *more)


def test_a_pass_exits_with_0_and_shows_the_cpus(scripted_guest: Path, tmp_path: Path) -> None:
    done = run(scripted_guest, tmp_path, short_log(), Then.PASS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("pass: every condition holds\n")
    rows = [row.split()[:3] for row in done.stdout.splitlines() if row.strip()[:1].isdigit()]
    assert rows == [[str(cpu), str(cpu), "3"] for cpu in range(4)]
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_the_command_it_prints_repeats_the_run(scripted_guest: Path, tmp_path: Path) -> None:
    done = run(
        scripted_guest, tmp_path, short_log(cpus=2), Then.PASS, "--smp=2", "-p", "policy=none"
    )
    assert done.returncode == 0, done.stdout
    again = done.stdout.rpartition("again: ")[2].strip()
    repeated = subprocess.run(again, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert (repeated.returncode, repeated.stdout) == (0, done.stdout)


@pytest.mark.parametrize(
    ("log", "then", "shown"),
    [
        (short_log(result="fail"), Then.FAIL, "fail: the log ends with result=fail"),
        (short_log(), Then.TRIPLE_FAULT, "triple-fault: "),
        (b"", Then.PASS, "lost-log: missing hello"),
        (short_log(build="a" * 40), Then.PASS, "wrong-image: "),
    ],
)
def test_what_is_no_pass_exits_with_1_and_says_why(
    scripted_guest: Path, tmp_path: Path, log: bytes, then: bytes, shown: str
) -> None:
    done = run(scripted_guest, tmp_path, log, then)
    assert done.returncode == 1
    assert done.stdout.startswith(shown)
    assert "\nagain: " in done.stdout
    assert "\nby hand: qemu-system-x86_64 " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--smp", "0"], "harness: cpus=0: 1 to 255 CPUs work"),
        (["--machine", "vax"], "harness: machine='vax' is not one of microvm, q35, pc"),
        (["--accel", "kvm"], "harness: the virtual clock counts instructions"),
        (["--smp", "64", "--hz", "1000"], "use hz=781 or lower"),
        (["--clock", "sundial"], "sundial"),
        (["--param", "policy"], "'policy' is not KEY=VALUE"),
        (["--param", "hz=100"], "set hz by --hz"),
        (["--param", "cpus=2"], "set cpus by --smp"),
        (["--image", "nowhere.elf"], "nowhere.elf"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_wrong_usage_exits_with_2_and_one_message(
    scripted_guest: Path, arguments: list[str], complaint: str
) -> None:
    done = harness("run", "--image", scripted_guest, *arguments)
    assert done.returncode == 2
    assert complaint in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_qemu_that_is_missing_exits_with_3(scripted_guest: Path, tmp_path: Path) -> None:
    done = run(scripted_guest, tmp_path, short_log(), Then.PASS, "--qemu", "qemu-nowhere")
    assert done.returncode == 3
    assert done.stdout.startswith("qemu-error: ")
    assert "qemu-nowhere" in done.stdout


def test_a_kept_log_can_be_judged_again(scripted_guest: Path, tmp_path: Path) -> None:
    kept = tmp_path / "run.log"
    done = run(scripted_guest, tmp_path, short_log(), Then.PASS, "--keep-log", str(kept))
    assert done.returncode == 0
    assert kept.read_bytes() == short_log()
    checked = harness("check", kept, "--image", scripted_guest, "--smp", "4")
    assert checked.returncode == 0
    assert checked.stdout.splitlines()[:2] == [
        "pass: nothing speaks against it",
        "  not proven: how the run ended: a saved log does not tell QEMU's exit status",
    ]
    assert "no build id" in harness("check", kept).stdout


def test_a_log_that_cannot_be_kept_is_bad_input(scripted_guest: Path, tmp_path: Path) -> None:
    done = run(scripted_guest, tmp_path, short_log(), Then.PASS, "--keep-log", str(tmp_path))
    assert done.returncode == 2
    assert "cannot save the log" in done.stderr


@pytest.mark.parametrize(
    ("log", "arguments", "shown"),
    [
        (short_log()[:-5], [], "lost-log: line 18: cut line"),
        (short_log(), ["--smp", "8"], "fail: 4 CPUs came online, 8 were asked for"),
        (short_log(result="fail"), [], "fail: the log ends with result=fail"),
        (b"[SCHED] Created idle task\n", [], "lost-log: missing hello"),
    ],
)
def test_check_exits_with_1_for_a_bad_log(
    tmp_path: Path, log: bytes, arguments: list[str], shown: str
) -> None:
    saved = tmp_path / "saved.log"
    saved.write_bytes(log)
    done = harness("check", saved, *arguments)
    assert done.returncode == 1
    assert done.stdout.startswith(shown)


def test_check_of_a_missing_file_exits_with_2() -> None:
    done = harness("check", "nowhere.log")
    assert done.returncode == 2
    assert "nowhere.log" in done.stderr


def test_events_lists_the_vocabulary() -> None:
    done = harness("events")
    assert done.returncode == 0
    listed = {row.split()[0] for row in done.stdout.splitlines() if row.strip()}
    assert {event.name for event in VOCABULARY} <= listed
    assert all(f":{kind.value}" in done.stdout for kind in (Kind.UNSIGNED, Kind.HEX, Kind.WORD))


def test_a_guest_that_does_not_build_exits_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*, checked: bool) -> Path:
        raise BuildError("guest/x.s:3:1: error: unknown instruction")

    monkeypatch.setattr(run_module, "default_image", fail)
    done = CliRunner().invoke(cli.app, ["run"])
    assert done.exit_code == 3
    assert "the guest does not build:\nguest/x.s:3:1: error" in done.output


@pytest.mark.parametrize("command", [[], ["run"], ["check"], ["events"]])
def test_every_command_explains_itself(command: list[str]) -> None:
    done = harness(*command, "--help")
    assert done.returncode == 0
    assert "Usage: " in done.stdout
    for option in ("--smp", "--clock", "--seed", "--keep-log", "--timeout"):
        assert command != ["run"] or option in done.stdout
