"""The guest whose functions are called: built where that is due, loaded once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.boot import default_image
from harness.toolchain.build import BuildError
from harness.toolchain.image import Image
from tests.functions.guest import Guest


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    try:
        path = default_image()
    except BuildError as error:
        pytest.fail(f"the guest does not build:\n{error}", pytrace=False)
    with Image(path) as opened:
        yield opened


@pytest.fixture(scope="session")
def guest(image: Image) -> Guest:
    return Guest(image)
