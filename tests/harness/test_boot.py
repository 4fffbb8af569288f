"""`boot` and what a run offers."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from harness.boot import boot, build_id_of, reproducer
from harness.machine import Clock, ConfigError, MachineConfig, Topology
from harness.oracle.verdict import Expectation
from tests.harness.guests import Then, script
from tests.trace.logs import BUILD, short_log


def test_a_run_offers_log_trace_text_and_verdict(scripted_guest: Path, tmp_path: Path) -> None:
    log = short_log().replace(b"\n", b"\nKTAP version 1\n1..1\nok 1 bits\n", 1)
    run = boot(scripted_guest, modules=[script(tmp_path, log, Then.PASS)])
    assert run.outcome == "pass"
    assert run.passed
    assert run.log == log
    assert len(list(run.trace.of("tick"))) == 12
    assert run.text.splitlines() == ["KTAP version 1", "1..1", "ok 1 bits"]
    assert [result.path for result in run.ktap.results] == ["bits"]
    assert repr(run) == "<Run of script.elf, pass: every condition holds>"


def test_expectations_take_part_in_the_verdict(scripted_guest: Path, tmp_path: Path) -> None:
    run = boot(
        scripted_guest,
        modules=[script(tmp_path, short_log(), Then.PASS)],
        expectations=[Expectation("impossible", lambda trace: f"saw {len(trace.events)} events")],
    )
    assert str(run.verdict) == "fail: impossible: saw 18 events"


def test_the_guest_lives_no_longer_than_the_block(scripted_guest: Path, tmp_path: Path) -> None:
    module = script(tmp_path, short_log(), Then.SPIN)
    with boot(scripted_guest, modules=[module]) as run:
        assert repr(run) == "<Run of script.elf, running>"
        pid = run.machine.pid
    assert not Path(f"/proc/{pid}").exists()


def test_the_build_id_comes_from_the_image(scripted_guest: Path, tmp_path: Path) -> None:
    assert build_id_of(scripted_guest) == BUILD
    other = tmp_path / "text"
    other.write_text("no ELF file")
    assert build_id_of(other) is None


def test_what_cannot_work_is_said_before_anything_starts(scripted_guest: Path) -> None:
    with pytest.raises(ConfigError, match="clock='sundial' is not one of virtual, real"):
        boot(scripted_guest, clock="sundial")
    with pytest.raises(ConfigError, match="cpus=0"):
        boot(scripted_guest, cpus=0)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.elf"):
        boot("nowhere.elf")


def options(config: MachineConfig, image: Path | None = None) -> str:
    return reproducer(config, image).partition(" run ")[2]


def test_the_reproducer_names_what_differs_from_the_defaults() -> None:
    image = Path("guest.elf")
    plain = MachineConfig(image=image, params={"seed": 7})
    assert options(plain) == "--smp 4 --clock virtual --seed 7"
    special = MachineConfig(
        image=image,
        cpus=2,
        clock=Clock.REAL,
        hz=100,
        machine="q35",
        accel="kvm",
        memory_mib=32,
        modules=(Path("work load.bin"),),
        timeout=5.0,
        quiet=2.0,
        qemu="/opt/qemu",
        params={"seed": 1, "policy": "o1"},
    )
    assert shlex.split(options(special, image)) == shlex.split(
        "--smp 2 --machine q35 --clock real --hz 100 --memory 32 --timeout 5.0 --qemu /opt/qemu "
        "--quiet 2.0 --seed 1 --accel kvm --image guest.elf --module 'work load.bin' "
        "--param policy=o1"
    )


def test_the_topology_says_how_many_cpus_there_are(scripted_guest: Path, tmp_path: Path) -> None:
    module = script(tmp_path, short_log(cpus=6), Then.PASS)
    run = boot(scripted_guest, topology="3x2", modules=[module])
    assert run.config.topology == Topology(sockets=3, cores=2)
    assert run.passed, run.verdict
    assert "--smp 6 --clock virtual --topology sockets=3,cores=2,threads=1,nodes=1" in run.command
    with pytest.raises(ConfigError, match="topology gives 6 CPUs, but cpus=4"):
        boot(scripted_guest, cpus=4, topology="3x2")


@pytest.mark.parametrize(
    "config",
    [
        MachineConfig(image=Path("guest.elf"), extra_args=("-d", "int")),
        MachineConfig(image=Path("guest.elf"), icount_shift=1),
        MachineConfig(image=Path("guest.elf"), quiet=None),
    ],
)
def test_what_no_option_expresses_is_repeated_by_hand(config: MachineConfig) -> None:
    assert reproducer(config, None) == config.by_hand()
