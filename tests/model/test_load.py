"""Load figures: the table of fact sheet A11 and all vectors."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.load import LoadRead, decayed_load, read_live
from tests.model.build import VECTORS, normal, one_cpu


def decay(start: int, nr_running: list[int]) -> list[int]:
    loads = [start]
    for count in nr_running:
        loads.append(decayed_load(loads[-1], count))
    return loads


@pytest.mark.parametrize("vector", VECTORS["cpu_load"])
def test_cpu_load_vectors(vector: dict[str, Any]) -> None:
    assert decay(vector["start"], vector["nr_running"]) == vector["cpu_load"]


def test_the_table() -> None:
    assert decay(0, [1] * 8)[1:] == [64, 96, 112, 120, 124, 126, 127, 128]
    assert decay(128, [0] * 8) == [128, 64, 32, 16, 8, 4, 2, 1, 0]


@given(st.integers(0, 100_000), st.integers(0, 500))
def test_load_reaches_the_number_of_tasks_and_stays(start: int, count: int) -> None:
    loads = decay(start, [count] * 20)
    assert loads[-1] == count * 128
    assert sorted(loads, reverse=start > count * 128) == loads


def test_guesses_are_pessimistic_in_both_directions() -> None:
    assert (LoadRead(300, 2).source, LoadRead(300, 2).target) == (256, 300)
    assert (LoadRead(100, 2).source, LoadRead(100, 2).target) == (100, 256)


def test_live_reads_follow_the_run_queue() -> None:
    rq = one_cpu(normal(1))
    rq.cpu_load = 64
    assert read_live([rq])(0) == LoadRead(cpu_load=64, nr_running=1)
