"""No QEMU survives whoever started it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.machine import Ending, Machine, MachineConfig
from harness.machine.guard import guarded
from tests.machine.guests import Guest

PATIENCE = 30.0

# A harness of its own, which names its QEMU once the guest runs, waits to be told, and goes on.
HARNESS = """
import atexit, os, sys, threading, time
machines = []
atexit.register(lambda: print("running:", sum(machine.running for machine in machines)))
from pathlib import Path
from harness.machine import Machine, MachineConfig

def boot():
    machine = Machine.start(MachineConfig(Path(sys.argv[1])))
    machine.console.expect("about to hang")
    machines.append(machine)
    print(machine.pid, flush=True)
    sys.stdin.readline()
    return machine
"""


@contextmanager
def harness(image: Path, then: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A Python process that runs HARNESS and `then`; gives it and a pidfd of its QEMU."""
    command = [sys.executable, "-c", HARNESS + then, str(image)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            pid = int(process.stdout.readline())
            qemu = os.pidfd_open(pid)
            try:
                assert Path(f"/proc/{pid}/comm").read_text().startswith("qemu-system")
                process.stdin.write("\n")
                process.stdin.flush()
                yield process, qemu
            finally:
                os.close(qemu)
        finally:
            process.kill()


def ended(pidfd: int) -> bool:
    """Whether the process ends, given a long time."""
    return bool(select.select([pidfd], [], [], PATIENCE)[0])


def test_killed_harness_takes_its_qemu_along(guest: Guest) -> None:
    with harness(guest("spin"), "m = boot(); m.wait()") as (process, qemu):
        process.send_signal(signal.SIGKILL)
        assert ended(qemu)


def test_killed_harness_takes_the_qemus_of_its_threads_along(guest: Guest) -> None:
    then = "threading.Thread(target=boot).start(); time.sleep(60)"
    with harness(guest("spin"), then) as (process, qemu):
        process.send_signal(signal.SIGKILL)
        assert ended(qemu)


@pytest.mark.parametrize(
    "then",
    [
        "m = boot()",
        "m = boot(); sys.exit(3)",
        "m = boot(); raise RuntimeError",
        "with boot() as m: raise RuntimeError",
        "threading.Thread(target=boot).start()",
        "m = boot(); os._exit(0)",
        # A forked child is not the owner, and its orderly end must not end the run.
        "m = boot(); pid = os.fork() or sys.exit(0)\nos.waitpid(pid, 0); assert m.running",
    ],
)
def test_harness_that_ends_takes_its_qemu_along(guest: Guest, then: str) -> None:
    with harness(guest("spin"), then) as (process, qemu):
        _, errors = process.communicate(timeout=PATIENCE)
        assert "AssertionError" not in errors
        assert ended(qemu)


def test_qemu_ends_before_the_interpreter_does(guest: Guest) -> None:
    with harness(guest("spin"), "boot()") as (process, _):
        said, _ = process.communicate(timeout=PATIENCE)
        assert said == "running: 0\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_harness_takes_its_qemu_along(guest: Guest, number: signal.Signals) -> None:
    with harness(guest("spin"), "m = boot(); m.wait()") as (process, qemu):
        process.send_signal(number)
        assert ended(qemu)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == -number


def test_ctrl_c_reaches_the_harness_alone(guest: Guest) -> None:
    """The terminal signals a whole process group; QEMU is in another."""
    with Machine.start(MachineConfig(guest("spin"))) as machine:
        assert machine.pid is not None
        assert os.getpgid(machine.pid) != os.getpgid(0)


def test_qemu_outlives_the_thread_that_asked_for_it(guest: Guest) -> None:
    """The kernel ends QEMU with the thread that started it, which must not be the caller's."""
    started: list[Machine] = []
    config = MachineConfig(guest("spin"), timeout=60)
    caller = threading.Thread(target=lambda: started.append(Machine.start(config)))
    caller.start()
    caller.join()
    (machine,) = started
    with machine:
        machine.console.expect("about to hang")
        with pytest.raises(TimeoutError):
            machine.wait(timeout=0.3)
        machine.kill()
        assert machine.wait().ending is Ending.STOPPED


def test_exception_in_the_block_ends_qemu(guest: Guest) -> None:
    with pytest.raises(ZeroDivisionError), Machine.start(MachineConfig(guest("spin"))) as machine:
        assert machine.pid is not None
        pidfd = os.pidfd_open(machine.pid)
        raise ZeroDivisionError
    assert ended(pidfd)
    os.close(pidfd)
    assert not machine.running


def test_orphan_of_the_first_moment_does_not_start() -> None:
    """A harness may die before its child asks for a death signal: its parent is another then."""
    command = guarded(["echo", "started"], MachineConfig(Path("guest.elf")))
    mine = str(os.getpid())
    assert command.count(mine) == 1
    orphan = ["1" if word == mine else word for word in command]
    said = subprocess.run(orphan, capture_output=True, check=False)
    assert (said.returncode, said.stdout) == (125, b"")
    said = subprocess.run(command, capture_output=True, check=False)
    assert (said.returncode, said.stdout) == (0, b"started\n")


def test_bounds_hold() -> None:
    config = MachineConfig(Path("guest.elf"), timeout=10)
    script = "ulimit -c; ulimit -t; ulimit -f; ulimit -v"
    said = subprocess.run(guarded(["sh", "-c", script], config), capture_output=True, check=True)
    core, cpu, files, memory = map(int, said.stdout.split())
    assert (core, cpu, files) == (0, 50, 131072)
    assert 512 << 10 < memory < 1 << 20
