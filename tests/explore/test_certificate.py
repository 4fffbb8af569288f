"""The arithmetic of what clean runs of PCT have earned."""

from __future__ import annotations

import math

import pytest

from harness.explore.certificate import Certificate


@pytest.mark.parametrize(
    ("depth", "threads", "steps", "one_in"),
    [(1, 4, 200, 4), (2, 4, 200, 800), (3, 4, 200, 160_000), (2, 4, 3900, 15_600)],
)
def test_the_bound(depth: int, threads: int, steps: int, one_in: int) -> None:
    assert Certificate("x", 1, depth, threads, steps).bound == pytest.approx(1 / one_in)


def test_runs_add_up() -> None:
    earned = Certificate("x", 2396, 2, 4, 200)
    assert earned.runs_for_confidence == 2396, "three times 800, near enough"
    assert earned.confidence == pytest.approx(0.95, abs=1e-4)
    assert Certificate("x", 2395, 2, 4, 200).confidence < 0.95
    tiny = Certificate("x", 10, 5, 4, 100_000)
    assert tiny.confidence == pytest.approx(10 * tiny.bound), "no rounding to nothing"


def test_one_thread_is_certain() -> None:
    sure = Certificate("x", 1, 1, 1, 0)
    assert (sure.bound, sure.confidence, sure.runs_for_confidence) == (1.0, 1.0, 1)
    assert not math.isnan(Certificate("x", 0, 2, 2, 0).confidence)


def test_it_says_what_it_rests_on() -> None:
    assert str(Certificate("workload w", 100, 2, 4, 200)) == (
        "workload w: no bug of depth 2 with a probability of 11.8 % (100 runs, n=4, k=200: "
        "1 in 800 a run; 2396 runs give 95 %)"
    )
