"""Tiers plugin, points and stress: replay to the byte, and planted races."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.explore.boots import Subject, boot_once, the_guests
from harness.explore.plugin import find_steering
from harness.explore.seed import Engine, Seed
from harness.machine.plugin import PluginMissingError
from harness.machine.probe import probe_kvm
from harness.oracle.outcome import Outcome
from harness.oracle.verdict import Finding
from harness.workload.model import Span, Unit


@pytest.fixture
def plugin() -> None:
    try:
        find_steering()
    except PluginMissingError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("text", ["plugin:pct:3:50000:{}", "plugin:yield:50:0:{}"])
def test_the_plugin_repeats_a_seed_byte_for_byte(subject: Subject, text: str) -> None:
    first, again, other = (
        boot_once(subject, Seed.parse(text.format(number))) for number in (5, 5, 6)
    )
    assert not first.broken and first.steps > 1000
    assert (again.digest, again.steps) == (first.digest, first.steps)
    assert other.digest != first.digest


@pytest.mark.usefixtures("plugin")
def test_a_plugin_that_steers_nothing_changes_nothing(subject: Subject) -> None:
    plain = boot_once(subject, Seed.parse("points:plain:0:0:1"))
    assert boot_once(subject, Seed.parse("plugin:plain:0:0:1")).digest == plain.digest


@pytest.mark.parametrize("algorithm", ["yield", "delay"])
def test_race_points_repeat_a_seed_byte_for_byte(subject: Subject, algorithm: str) -> None:
    first, again, other = (
        boot_once(subject, Seed.parse(f"points:{algorithm}:16:0:{number}")) for number in (5, 5, 6)
    )
    assert not first.broken
    assert again.digest == first.digest
    assert other.digest != first.digest


def test_that_pct_keeps_a_cpu_away_is_no_finding() -> None:
    late, unfair, other = (
        Finding(Outcome.VIOLATION, reason)
        for reason in ("P15 every CPU's ticks", "P11 no CPU idles", "P1 the next task")
    )
    found = (late, unfair, other)
    assert the_guests(Seed.parse("plugin:pct:2:9:1"), found) == (other,)
    assert the_guests(Seed.parse("plugin:yield:50:0:1"), found) == found


@pytest.mark.parametrize("text", ["stress:delay:16:0:1", "stress:plain:0:0:1"])
def test_kvm_is_stressed_like_tcg(subject: Subject, text: str) -> None:
    if not Path("/dev/kvm").exists():
        pytest.skip("there is no /dev/kvm")
    if not probe_kvm().usable:
        pytest.skip(probe_kvm().reason)
    short = replace(subject.workload, duration=Span(5, Unit.TICKS))
    run = boot_once(replace(subject, accel="kvm", workload=short), Seed.parse(text))
    assert not run.broken


@pytest.mark.parametrize(
    ("text", "most"),
    [("plugin:yield:50:0:{}", 8), ("points:delay:16:0:{}", 40), ("stress:delay:16:0:{}", 60)],
)
def test_a_planted_race_is_found(
    raced: Subject, text: str, most: int, request: pytest.FixtureRequest
) -> None:
    if text.startswith(Engine.PLUGIN.value):
        request.getfixturevalue("plugin")
    runs = (boot_once(raced, Seed.parse(text.format(number))) for number in range(1, most + 1))
    assert any(run.broken for run in runs)
