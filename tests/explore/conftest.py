"""The guest, and the guests with a planted race: each built once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.boot import default_image
from harness.explore.boots import Subject
from harness.explore.mutants import RACES
from harness.explore.session import DEFAULT_WORKLOAD
from harness.toolchain.build import BuildError
from harness.toolchain.image import Image
from harness.workload import load
from harness.workload.model import Span, Unit

TICKS = 15


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    try:
        path = default_image()
    except BuildError as error:
        pytest.fail(f"the guest does not build:\n{error}", pytrace=False)
    with Image(path) as opened:
        yield opened


@pytest.fixture(scope="session")
def planted() -> Callable[[str], Path]:
    """The guest with the race of that name."""

    @functools.cache
    def build(name: str) -> Path:
        return next(race for race in RACES if race.name == name).build()

    return build


@pytest.fixture(scope="session")
def subject(image: Image) -> Subject:
    """The guest with a short run of the default workload."""
    workload = replace(load(DEFAULT_WORKLOAD), duration=Span(TICKS, Unit.TICKS))
    return Subject(image.path, workload)


@pytest.fixture(scope="session")
def raced(planted: Callable[[str], Path]) -> Subject:
    """A guest that forgets to look twice whose run queue it has locked, and work that shows it."""
    workload = replace(load("W8"), duration=Span(160, Unit.TICKS))
    return Subject(planted("no-second-look"), workload)
