"""What the host offers is found by trying."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.machine import Clock, Ending, MachineConfig, run
from harness.machine.host import CpuUse, cpu_use, starvation
from harness.machine.probe import (
    PROBE_STATUS,
    QemuMissingError,
    find_qemu,
    probe_image,
    probe_kvm,
)


def test_qemu_is_found_with_its_version() -> None:
    qemu = find_qemu()
    assert qemu.version >= (7, 0, 0)
    assert find_qemu() is qemu


def test_missing_qemu_names_the_package() -> None:
    with pytest.raises(QemuMissingError, match=r"no-such-qemu .*apt-get install qemu-system-x86"):
        find_qemu("no-such-qemu")


def test_something_else_is_no_qemu() -> None:
    with pytest.raises(QemuMissingError, match="does not say which version"):
        find_qemu("true")


@pytest.mark.parametrize("machine", ["microvm", "q35", "pc"])
def test_probe_guest_runs(tmp_path: Path, machine: str) -> None:
    image = tmp_path / "probe.elf"
    image.write_bytes(probe_image())
    result = run(MachineConfig(image, cpus=1, machine=machine, clock=Clock.REAL))
    assert (result.ending, result.status) == (Ending.EXITED, PROBE_STATUS)


def test_probe_of_kvm_comes_to_a_verdict_and_keeps_it(tmp_path: Path) -> None:
    probe = probe_kvm()
    assert probe.reason
    assert probe.tcg_seconds > 0
    if probe.usable:
        assert probe.kvm_seconds is not None
        assert probe.kvm_seconds < probe.tcg_seconds
    assert probe_kvm() is probe


def test_probe_where_qemu_has_no_kvm(tmp_path: Path) -> None:
    """A QEMU that refuses KVM, as most containers make it do."""
    real = shutil.which("qemu-system-x86_64")
    fake = tmp_path / "qemu"
    fake.write_text(
        f'#!/bin/sh\ncase "$*" in *"-accel kvm"*) echo "no KVM here" >&2; exit 1;; esac\n'
        f'exec {real} "$@"\n'
    )
    fake.chmod(0o755)
    probe = probe_kvm(str(fake))
    assert not probe.works
    assert not probe.usable
    assert "no KVM here" in probe.reason


def test_process_that_is_gone_has_no_threads() -> None:
    assert cpu_use(2**22 + 1) == {}


@pytest.mark.parametrize(
    ("then", "now", "starved"),
    [
        (CpuUse(1, 2, False), CpuUse(1, 2, False), 0),  # asleep
        (CpuUse(1, 2, True), CpuUse(11, 2, True), 0),  # on a CPU all the time
        (CpuUse(1, 2, False), CpuUse(4, 5, False), 3),  # had waited, and sleeps again
        (CpuUse(1, 2, True), CpuUse(3, 2, True), 8),  # still waits
        (CpuUse(1, 2, True), CpuUse(3, 99, True), 10),  # no longer than the time between the looks
    ],
)
def test_starvation_is_the_time_without_a_cpu(then: CpuUse, now: CpuUse, starved: float) -> None:
    idle = CpuUse(0, 0, False)
    assert starvation({1: idle, 2: then}, {1: idle, 2: now, 3: CpuUse(0, 50, True)}, 10) == starved
