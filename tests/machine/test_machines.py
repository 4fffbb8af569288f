"""The command lines, started: machine types, clocks, CPU counts; what the guest sees of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.machine import Clock, Ending, Machine, MachineConfig, Topology, run
from harness.machine.debuglog import DebugFacts, DebugLog
from harness.machine.qmp import QmpError
from tests.machine.guests import Guest


@pytest.mark.parametrize("clock", Clock)
@pytest.mark.parametrize("machine", ["microvm", "q35", "pc"])
def test_guest_sees_its_parameters_and_module(
    guest: Guest, tmp_path: Path, machine: str, clock: Clock
) -> None:
    module = tmp_path / "workload, first"
    module.write_bytes(b"the module")
    config = MachineConfig(
        guest("args"),
        machine=machine,
        clock=clock,
        cpus=2,
        params={"seed": 2**64 - 1, "policy": "o1"},
        modules=(module,),
    )
    result = run(config)
    assert (result.ending, result.status) == (Ending.EXITED, 33), result.describe()
    # Firmware may clear the screen first.
    assert result.lines[-2].endswith(f"cmdline={config.boot_parameters()}".encode())
    assert result.lines[-1] == b"module=the module"


@pytest.mark.parametrize(("machine", "cpus"), [("microvm", 255), ("q35", 255), ("pc", 9)])
@pytest.mark.parametrize("clock", Clock)
def test_many_cpus_start(guest: Guest, machine: str, cpus: int, clock: Clock) -> None:
    config = MachineConfig(
        guest("exit"), machine=machine, cpus=cpus, hz=100, clock=clock, timeout=300, quiet=None
    )
    result = run(config)
    assert (result.ending, result.status) == (Ending.EXITED, 33), result.describe()


def test_qemu_sees_the_topology(guest: Guest) -> None:
    config = MachineConfig(guest("spin"), cpus=12, topology=Topology(2, 3, 2))
    with Machine.start(config) as machine:
        machine.console.expect("about to hang")
        last = machine.qmp.execute("query-cpus-fast")[-1]
    place = {"socket-id": 1, "core-id": 2, "thread-id": 1}
    assert last["props"] | place == last["props"]


def test_no_byte_of_a_long_log_is_lost(guest: Guest) -> None:
    result = run(MachineConfig(guest("lines")))
    assert (result.ending, result.status) == (Ending.EXITED, 33)
    assert result.lines == tuple(b"[SCHED] line %08d" % number for number in range(100_000))


def test_same_run_gives_the_same_bytes(guest: Guest) -> None:
    config = MachineConfig(guest("pass"))
    assert len({run(config).lines for _ in range(5)}) == 1


def test_line_for_the_shell_repeats_the_run(guest: Guest) -> None:
    result = run(MachineConfig(guest("pass"), params={"note": "a'b$c"}))
    again = subprocess.run(
        ["sh", "-c", result.by_hand], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert again.returncode == result.status
    assert again.stdout == b"".join(line + b"\n" for line in result.lines)


def test_qmp_answers_while_the_guest_runs(guest: Guest) -> None:
    with Machine.start(MachineConfig(guest("spin"), cpus=2)) as machine:
        machine.console.expect("about to hang")
        assert machine.qmp.execute("query-status")["status"] == "running"
        assert [state.cpu for state in machine.qmp.registers()] == [0, 1]
        with pytest.raises(QmpError, match="make-coffee"):
            machine.qmp.execute("make-coffee")
        machine.qmp.execute("stop")
        machine.qmp.execute("cont")
        machine.qmp.execute("quit")
        result = machine.wait()
    assert (result.ending, result.status) == (Ending.EXITED, 0)
    assert [event["event"] for event in result.events][:2] == ["STOP", "RESUME"]
    assert not result.reset


def test_qmp_of_a_machine_that_ended_is_refused(guest: Guest) -> None:
    with Machine.start(MachineConfig(guest("exit"))) as machine:
        machine.wait()
        with pytest.raises(QmpError):
            machine.qmp.execute("query-status")
    with (
        Machine.start(MachineConfig(guest("exit"), qemu="no-such-qemu")) as machine,
        pytest.raises(QmpError, match="did not start"),
    ):
        machine.qmp.execute("query-status")


@pytest.mark.parametrize(
    ("name", "reason"), [("triple_fault", "guest-reset"), ("reset", "guest-reset")]
)
def test_events_are_recorded_from_the_first_instruction_on(
    guest: Guest, name: str, reason: str
) -> None:
    result = run(MachineConfig(guest(name), machine="q35", qmp_events=True))
    kinds = {str(event["event"]): event.get("data") for event in result.events}
    assert "RESUME" in kinds
    assert kinds["SHUTDOWN"] == {"guest": True, "reason": reason}
    assert result.triple_fault is (name == "triple_fault")


def test_debug_log_that_is_empty_tells_nothing() -> None:
    log = DebugLog()
    try:
        assert log.facts() == DebugFacts()
    finally:
        log.close()
