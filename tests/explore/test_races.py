"""Each planted race has work that leads to it, and which the guest without it does right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.explore.boots import Subject, boot_once
from harness.explore.mutants import RACES, WORKLOADS, race
from harness.explore.seed import Seed
from harness.explore.session import workload_of
from harness.toolchain.image import Image

CPUS, TICKS, MOST = 2, 150, 12
SHORT = 40


def test_every_workload_is_somebodys() -> None:
    used = {each.workload for each in RACES}
    assert {str(path) for path in WORKLOADS.glob("*.yaml")} <= used
    for name in used:
        assert workload_of(name, TICKS, CPUS).name


@pytest.mark.parametrize("path", sorted(WORKLOADS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_guest_does_them_right(image: Image, path: Path) -> None:
    subject = Subject(image.path, workload_of(str(path), SHORT, CPUS))
    for text in ("points:yield:4:0:1", "points:delay:16:0:1"):
        assert not boot_once(subject, Seed.parse(text)).broken, text


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("early-release", "points:yield:16:0:{}", None),
        ("sleep-late", "points:delay:16:0:{}", "C8"),
    ],
)
def test_races_are_found_that_need_work_of_their_own(
    planted: Callable[[str], Path], name: str, text: str, rule: str | None
) -> None:
    subject = Subject(planted(name), workload_of(race(name).workload, TICKS, CPUS))
    for number in range(1, MOST + 1):
        found = boot_once(subject, Seed.parse(text.format(number))).broken
        if found:
            assert rule in (None, found[0].rule)
            return
    pytest.fail(f"not in {MOST} boots")
