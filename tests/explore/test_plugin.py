"""Where the plugin cannot serve, that is said, and a campaign goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.explore.boots import Subject
from harness.explore.campaign import Campaign
from harness.explore.plugin import find_steering, scheduler_ranges, steps_of
from harness.explore.seed import Engine
from harness.machine.plugin import PluginMissingError
from harness.toolchain import shared
from harness.toolchain.image import Image

STARTS_QEMU = ("qemu-system-x86_64", "setpriv", "sh")


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A PATH with QEMU on it and what starts it, and no plugin built before."""
    (tmp_path / "bin").mkdir()
    for name in STARTS_QEMU:
        found = shutil.which(name)
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(shared, "FOLDER", tmp_path / "build")


@pytest.mark.usefixtures("no_compiler")
def test_no_compiler_is_named() -> None:
    with pytest.raises(PluginMissingError, match=r"no C compiler \(cc, gcc, clang\): apt-get"):
        find_steering()


@pytest.mark.usefixtures("no_compiler")
def test_a_campaign_goes_on_without_the_tier(subject: Subject, tmp_path: Path) -> None:
    tiers = (Engine.PLUGIN, Engine.POINTS)
    campaign = Campaign(subject, (("--cpus", "2"),), 1, tiers=tiers, scenarios=(), folder=tmp_path)
    campaign.run()
    assert "no C compiler" in campaign.unavailable[Engine.PLUGIN]
    assert campaign.done == {Engine.POINTS: 1}


def test_no_qemu_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(PluginMissingError, match="not there"):
        find_steering(str(tmp_path / "not there"))


def test_a_qemu_without_the_functions_is_named(tmp_path: Path) -> None:
    """Something that is called QEMU 7, and a static executable besides."""
    other = tmp_path / "qemu"
    other.write_text("#!/bin/sh\necho 'QEMU emulator version 7.2.0'\n")
    other.chmod(0o755)
    with pytest.raises(PluginMissingError, match="cannot read"):
        find_steering(str(other))


def test_a_newer_interface_is_named(tmp_path: Path) -> None:
    other = tmp_path / "qemu"
    other.write_text("#!/bin/sh\necho 'QEMU emulator version 10.0.3'\n")
    other.chmod(0o755)
    with pytest.raises(PluginMissingError, match=r"QEMU 10.0.3 takes no plugin of interface"):
        find_steering(str(other))


def test_what_is_steered_is_the_scheduler(image: Image) -> None:
    ranges = scheduler_ranges(image.path, 0)

    def steered(name: str) -> bool:
        return any(low <= image.address(name) < high for low, high in ranges)

    for name in (
        "schedule", "try_to_wake_up", "double_rq_lock", "spin_lock", "switch_to",
        "veridian_schedule", "queue_enqueue",
    ):  # fmt: skip
        assert steered(name), name
    for name in ("console_put", "idle_turn", "trace_emit", "relax"):
        assert not steered(name), name


def test_steps_are_read_from_what_the_plugin_says() -> None:
    assert steps_of("warning\nexplore: 1234 steps\n") == 1234
    assert steps_of("qemu: terminating") == 0
