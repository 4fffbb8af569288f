"""Constant time is what the scheduler is named for: counted, not believed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.boot import default_image
from harness.toolchain.image import Image
from tests.bench.instructions import (
    QUEUE,
    SEARCH,
    Counts,
    compile_queue,
    measure_compiled,
    measure_guest,
    shared,
    spread,
)

NUMBERS = (1, 2, 3, 30, 300, 1000)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with Image(default_image()) as opened:
        yield opened


def test_no_operation_depends_on_the_number_of_tasks(image: Image) -> None:
    first, *others = measure_guest(image, NUMBERS, spread)
    assert min(first.values()) > 0
    assert others == [first] * len(others)


def test_company_in_the_list_costs_nothing(image: Image) -> None:
    alone, first, *others = measure_guest(image, NUMBERS, shared)
    assert others == [first] * len(others)
    # Only the last of a list has a bit to clear.
    assert alone == first | {QUEUE: first[QUEUE] + 1}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[Counts]:
    path = compile_queue(tmp_path_factory.mktemp("queue"))
    if path is None:
        pytest.skip("no C compiler")
    with Image(path) as opened:
        return measure_compiled(opened, NUMBERS, spread)


def test_a_search_shows_up_in_the_count(compiled: list[Counts]) -> None:
    """What the counting would say of an operation that is not constant."""
    counts = [count[SEARCH] for count in compiled]
    assert all(count >= 3 * number for count, number in zip(counts, NUMBERS, strict=True))
    assert sorted(set(counts)) == counts


def test_assembly_and_c_are_of_one_size(image: Image, compiled: list[Counts]) -> None:
    """Neither counts what the other does not do."""
    (ours,) = measure_guest(image, [300], spread)
    theirs = compiled[NUMBERS.index(300)]
    for name in ours.keys() & theirs.keys():
        assert ours[name] < 2 * theirs[name] and theirs[name] < 2 * ours[name], name
