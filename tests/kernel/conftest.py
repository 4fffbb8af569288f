"""The guest for calls of single functions: loaded anew for each test, which may change it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.toolchain.image import Image
from tests.kernel.image import image_path
from tests.kernel.kernel import Kernel
from tests.kernel.sleepers import Sleepers


@pytest.fixture(scope="session")
def kernel_image() -> Iterator[Image]:
    with Image(image_path()) as opened:
        yield opened


@pytest.fixture
def kernel(kernel_image: Image) -> Kernel:
    return Kernel(kernel_image)


@pytest.fixture
def sleepers(kernel_image: Image) -> Sleepers:
    made = Sleepers(kernel_image)
    made.prepare()
    return made


@pytest.fixture(scope="session")
def checked_image() -> Iterator[Image]:
    with Image(image_path(checked=True)) as opened:
        yield opened


@pytest.fixture
def checked(checked_image: Image) -> Kernel:
    """The guest that verifies itself."""
    return Kernel(checked_image)
