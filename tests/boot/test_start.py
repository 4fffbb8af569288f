"""How the guest is started: boot protocols, ACPI, parameters; and when it refuses to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.boot import build_id_of, default_image
from harness.oracle.outcome import Outcome
from harness.pytest_plugin import Booter

MULTIBOOT_MAGIC = (0x1BADB002).to_bytes(4, "little")
PVH_NOTE = b"\x12\0\0\0Xen\0"  # note type 18, and whose it is


@pytest.fixture(scope="session")
def protocols(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The guest with both headers, with each alone, and with none; all with the same build id."""
    whole = default_image().read_bytes()
    contents = {
        "both": whole,
        "pvh": blank(whole, MULTIBOOT_MAGIC),
        "multiboot": blank(whole, PVH_NOTE),
        "none": blank(blank(whole, MULTIBOOT_MAGIC), PVH_NOTE),
    }
    folder = tmp_path_factory.mktemp("protocols")
    paths = {}
    for name, content in contents.items():
        paths[name] = folder / f"{name}.elf"
        paths[name].write_bytes(content)
        assert build_id_of(paths[name]) == build_id_of(default_image())
    return paths


def blank(image: bytes, header: bytes) -> bytes:
    """The image with the only such header in its first 8 KiB overwritten."""
    assert image[:8192].count(header) == 1
    return image.replace(header, bytes(len(header)), 1)


@pytest.mark.parametrize("machine", ["microvm", "q35", "pc"])
def test_both_boot_protocols_lead_to_the_same_log(
    boot: Booter, protocols: dict[str, Path], machine: str
) -> None:
    runs = {
        name: boot(protocols[name], machine=machine, cpus=2, clock="virtual")
        for name in ("both", "pvh", "multiboot")
    }
    for name, run in runs.items():
        assert run.outcome == "pass", f"{name}: {run.verdict}"
    assert runs["pvh"].trace.events == runs["multiboot"].trace.events
    assert runs["both"].trace.events == runs["multiboot"].trace.events


def test_without_either_header_it_is_no_kernel(boot: Booter, protocols: dict[str, Path]) -> None:
    run = boot(protocols["none"])
    assert run.outcome is Outcome.QEMU_ERROR, run.verdict


@pytest.mark.parametrize("machine", ["microvm", "pc"])
def test_without_acpi_the_log_says_how_the_cpus_were_found(boot: Booter, machine: str) -> None:
    run = boot(cpus=4, machine=machine, extra_args=["-machine", "acpi=off"])
    assert run.outcome == "pass", run.verdict
    (found,) = run.trace.of("cpus_found")
    assert (found.word("source"), found.number("count")) == ("cpuid", 4)
    assert {event.cpu for event in run.trace.of("cpu_online")} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"colour": "red"}, "unknown boot parameter 'colour'; known are policy seed hz "),
        ({"polic": "none"}, "unknown boot parameter 'polic'"),
        ({"policy": "fair"}, "policy=fair: expected one of none "),
        ({"selftest": "everything"}, "selftest=everything: expected one of all none cpus "),
        ({"ticks": "many"}, "ticks=many: expected a decimal number from 0 to "),
        ({"ticks": "10x"}, "ticks=10x: expected a decimal number"),
        ({"seed": 2**64}, "seed=18446744073709551616: expected a decimal number"),
        ({"seed": -1}, "seed=-1: expected a decimal number"),
        ({"tasks": 0}, "tasks=0: expected a decimal number from 1 to "),
        ({"loglevel": 4}, "loglevel=4: expected a decimal number from 0 to 3"),
        ({"ring": "3k"}, "ring=3k: expected one of 2k 8k "),
        ({"monitor": "yes"}, "monitor=yes: expected one of 0 1"),
        ({"fix": "L01,L99"}, "fix=L99: expected one of L01 L02 "),
        ({"fix": "L01,"}, "fix=: expected one of L01 L02 "),
        ({"fix": ",L01"}, "fix=: expected one of L01 L02 "),
        ({"seed": "9" * 300}, "is too long"),
    ],
)
def test_a_wrong_boot_parameter_is_refused_by_name(
    boot: Booter, params: dict[str, Any], words: str
) -> None:
    run = boot(**params)
    assert run.outcome is Outcome.FAIL, run.verdict
    assert run.verdict.reason.startswith("the guest refused: ")
    assert words in run.verdict.reason
    assert run.result.status == 39


def test_a_wrong_rate_is_refused_by_name(boot: Booter) -> None:
    run = boot(hz=5, cpus=1)
    assert "hz=5: expected a decimal number from 10 to 10000" in run.verdict.reason


@pytest.mark.parametrize(("there", "asked"), [(3, 4), (4, 3), (1, 2)])
def test_another_number_of_cpus_than_asked_for_is_refused(
    boot: Booter, there: int, asked: int
) -> None:
    run = boot(cpus=asked, extra_args=["-smp", str(there)])
    assert run.outcome is Outcome.FAIL, run.verdict
    assert run.verdict.reason == (
        f"the guest refused: boot parameter cpus={asked}, but {there} CPUs came online"
    )
    assert run.result.status == 39


def test_a_clock_that_is_not_what_the_parameter_says_is_found(boot: Booter) -> None:
    run = boot(cpus=1, clock="real", extra_args=["-append", "clock=virtual"])
    assert run.outcome is Outcome.PANIC, run.verdict
    assert "clock=virtual, but the time-stamp counter does not run at 1 GHz" in run.verdict.reason
