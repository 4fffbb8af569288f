"""Each way a run can end, brought about by a guest or by the host."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.machine import Clock, Ending, Machine, MachineConfig, MachineResult, run
from tests.machine.guests import Guest


@pytest.fixture(params=[Clock.VIRTUAL, Clock.REAL], ids=["virtual", "real"])
def clock(request: pytest.FixtureRequest) -> Clock:
    value: Clock = request.param
    return value


@pytest.mark.parametrize(
    ("name", "status"), [("exit", 33), ("pass", 33), ("status", 171), ("status_one", 1)]
)
def test_guest_exits_with_a_status(guest: Guest, clock: Clock, name: str, status: int) -> None:
    result = run(MachineConfig(guest(name), clock=clock))
    assert (result.ending, result.status, result.signal) == (Ending.EXITED, status, None)
    assert not (result.triple_fault or result.reset or result.powered_off)
    assert result.error is None
    assert result.describe().startswith(f"QEMU exited with status {status}")


def test_lines_come_in_order_and_apart(guest: Guest) -> None:
    result = run(MachineConfig(guest("pass")))
    assert result.lines == (b"hello from the guest", b"[SCHED] a note", b"good bye")
    assert result.log == (b"[SCHED] a note",)
    assert result.text == (b"hello from the guest", b"good bye")
    assert result.first_output_seconds is not None
    assert result.last_output_seconds is not None
    assert 0 < result.first_output_seconds <= result.last_output_seconds <= result.seconds
    assert result.cpu_seconds > 0


def facts(result: MachineResult) -> tuple[Ending, int | None, bool, bool, bool]:
    return (
        result.ending,
        result.status,
        result.triple_fault,
        result.reset,
        result.powered_off,
    )


@pytest.mark.parametrize("machine", ["microvm", "q35", "pc"])
def test_triple_fault_is_told_though_the_status_is_0(guest: Guest, machine: str) -> None:
    result = run(MachineConfig(guest("triple_fault"), machine=machine))
    assert facts(result) == (Ending.EXITED, 0, True, False, False)


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_reset_is_told_from_a_triple_fault(guest: Guest, machine: str) -> None:
    result = run(MachineConfig(guest("reset"), machine=machine))
    assert facts(result) == (Ending.EXITED, 0, False, True, False)


def test_power_off_is_told_from_a_reset(guest: Guest) -> None:
    result = run(MachineConfig(guest("power_off"), machine="q35"))
    assert facts(result) == (Ending.EXITED, 0, False, False, True)


def test_silent_hang_with_interrupts_off(guest: Guest, clock: Clock) -> None:
    result = run(MachineConfig(guest("spin"), clock=clock, cpus=2, quiet=0.5))
    assert result.ending is Ending.QUIET
    assert result.lines == (b"about to hang",)
    boot, other = result.registers
    assert (boot.cpu, boot.halted, boot.interrupts) == (0, False, False)
    assert 0x100000 <= boot.rip < 0x101000
    assert other.halted  # nobody ever started it
    assert f"cpu 0: rip={boot.rip:#x} halted=0 if=0" in result.describe()


def test_hang_in_a_halted_cpu(guest: Guest, clock: Clock) -> None:
    result = run(MachineConfig(guest("halt"), clock=clock, cpus=1, quiet=0.5))
    assert result.ending is Ending.QUIET
    (cpu,) = result.registers
    assert (cpu.halted, cpu.interrupts) == (True, True)


def test_deadline_ends_a_guest_that_talks_on(guest: Guest) -> None:
    result = run(MachineConfig(guest("endless"), timeout=0.5, quiet=0.4))
    assert result.ending is Ending.DEADLINE
    assert set(result.log[:-1]) == {b"[SCHED] and another thing"}
    assert len(result.registers) == 4
    assert result.describe().startswith("no end within timeout=0.5 s\n  cpu 0: rip=0x10")


def test_deadline_ends_a_silent_guest_where_quiet_is_no_limit(guest: Guest) -> None:
    result = run(MachineConfig(guest("spin"), timeout=0.5, quiet=None))
    assert result.ending is Ending.DEADLINE


def test_too_much_output_ends_the_run(guest: Guest) -> None:
    result = run(MachineConfig(guest("endless"), max_log_bytes=100_000))
    assert result.ending is Ending.LOG_LIMIT
    assert len(result.lines) * 32 >= 100_000  # a line counts as 32 bytes at least
    assert result.describe() == "more serial output than max_log_bytes=100000"


def test_long_lines_are_cut_and_marked(guest: Guest) -> None:
    result = run(MachineConfig(guest("long_line")))
    assert result.ending is Ending.EXITED
    log, text, torn = result.lines
    kept, left_out = 64 << 10, 200_000 - (64 << 10)
    assert log == b"[SCHED] " + b"x" * (kept - 8) + b"\xff<cut: %d bytes left out>" % (left_out + 8)
    assert text == b"x" * kept + b"\xff<cut: %d bytes left out>" % left_out
    assert torn == b"[SCHED] \xff<cut: no newline>"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_signal_from_outside_is_told(guest: Guest, number: signal.Signals) -> None:
    with Machine.start(MachineConfig(guest("spin"))) as machine:
        machine.console.expect("about to hang")
        assert machine.pid is not None
        os.kill(machine.pid, number)
        result = machine.wait()
    assert (result.ending, result.signal, result.status) == (Ending.KILLED, number, None)
    assert result.error == f"QEMU was ended by {number.name}: sent by somebody else"
    assert result.lines == (b"about to hang",)


def test_qemus_own_bound_on_cpu_time_is_named(guest: Guest) -> None:
    with Machine.start(MachineConfig(guest("spin"))) as machine:
        machine.console.expect("about to hang")
        assert machine.pid is not None
        os.kill(machine.pid, signal.SIGXCPU)
        assert "more CPU time than the timeout allows" in str(machine.wait().error)


def test_words_of_a_qemu_that_aborts_are_told(tmp_path: Path) -> None:
    fake = tmp_path / "qemu"
    fake.write_text("#!/bin/sh\necho 'GLib: failed to allocate' >&2\nkill -ABRT $$\n")
    fake.chmod(0o755)
    result = run(MachineConfig(Path("guest.elf"), qemu=str(fake)))
    assert result.describe() == "QEMU was ended by SIGABRT: GLib: failed to allocate"


def test_missing_qemu_is_told_with_the_way_out(guest: Guest) -> None:
    result = run(MachineConfig(guest("exit"), qemu="qemu-system-vax"))
    assert result.ending is Ending.START_FAILED
    assert (result.status, result.signal, result.lines) == (None, None, ())
    assert result.describe() == (
        "qemu-system-vax not found on this host: install it with `apt-get install qemu-system-x86`"
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"extra_args": ("-nonsense",)}, "-nonsense: invalid option"),
        ({"extra_args": ("-smp", "4,maxcpus=3000")}, "3000"),
        ({"image": Path("/nowhere/guest.elf")}, "could not open kernel file"),
        ({"modules": (Path("/nowhere/module"),)}, "/nowhere/module"),
    ],
)
@pytest.mark.parametrize("qmp_events", [False, True])
def test_refusal_of_qemu_is_told(
    guest: Guest, fields: dict[str, object], words: str, qmp_events: bool
) -> None:
    config = MachineConfig(guest("exit"), qmp_events=qmp_events)
    result = run(replace(config, **fields))  # type: ignore[arg-type]
    assert result.ending is Ending.START_FAILED
    assert result.status == 1
    assert words in result.stderr
    assert words in result.describe()


def test_something_that_is_not_qemu_is_told(guest: Guest) -> None:
    result = run(MachineConfig(guest("exit"), qemu="true"))
    assert result.ending is Ending.START_FAILED
    assert result.error == "QEMU refused to start (status 0): it said nothing"


def test_defect_of_the_harness_is_raised_where_somebody_waits(guest: Guest) -> None:
    config = MachineConfig(guest("exit"), extra_args=("a\0b",))
    with pytest.raises(ValueError, match="null byte"):
        run(config)
    with pytest.raises(ValueError, match="null byte"), Machine.start(config):
        pass


def test_runs_give_their_descriptors_back(guest: Guest) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    config = MachineConfig(guest("spin"), quiet=0.2)
    endings = []
    before = descriptors()
    for fields in ({}, {"qemu": "no-such-qemu"}, {"extra_args": ("-nonsense",)}):
        endings.append(run(replace(config, **fields)).ending)
    with pytest.raises(ValueError, match="null byte"):
        run(replace(config, extra_args=("a\0b",)))
    assert endings == [Ending.QUIET, Ending.START_FAILED, Ending.START_FAILED]
    assert descriptors() == before


@pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="the kernel does not say who had to wait"
)
def test_silence_that_the_host_causes_does_not_count(guest: Guest) -> None:
    """On a host CPU that a busy process keeps for itself, silence is the host's doing."""
    host_cpu = min(os.sched_getaffinity(0))
    burn = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    with subprocess.Popen(burn, stdout=subprocess.PIPE) as busy:
        try:
            os.sched_setaffinity(busy.pid, {host_cpu})
            assert busy.stdout is not None
            busy.stdout.readline()
            config = MachineConfig(guest("spin"), cpus=1, quiet=1, timeout=8)
            with Machine.start(config) as machine:
                machine.console.expect("about to hang")
                for thread in Path(f"/proc/{machine.pid}/task").iterdir():
                    os.sched_setaffinity(int(thread.name), {host_cpu})
                    os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))
                result = machine.wait()
        finally:
            busy.kill()
    # It gets about a third of the CPU there. Without regard to that it would be called hung after a
    # second, of which it had a third.
    assert result.ending in (Ending.QUIET, Ending.DEADLINE)
    assert result.cpu_seconds > 0.6 or result.ending is Ending.DEADLINE


def test_last_words_are_read_though_the_process_is_gone(tmp_path: Path) -> None:
    """A process that ends in the same moment as it writes, which QEMU hardly ever does."""
    fake = tmp_path / "qemu"
    fake.write_text("#!/bin/sh\nprintf '%040000d\\n' 1\nprintf 'gone' >&2\nexit 9\n")
    fake.chmod(0o755)
    for _ in range(10):
        result = run(MachineConfig(Path("guest.elf"), qemu=str(fake)))
        assert result.lines == (b"0" * 39_999 + b"1",)
        assert (result.status, result.stderr) == (9, "gone")


def test_user_stops_the_run(guest: Guest) -> None:
    with Machine.start(MachineConfig(guest("spin"))) as machine:
        machine.console.expect("about to hang")
        machine.kill()
        assert machine.wait().ending is Ending.STOPPED
    machine.kill()  # harmless afterwards


def test_waiting_can_be_bounded(guest: Guest) -> None:
    with Machine.start(MachineConfig(guest("spin"))) as machine:
        with pytest.raises(TimeoutError):
            machine.wait(timeout=0.05)
        assert machine.running
