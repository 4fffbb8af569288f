"""Fixtures for tests that boot small guests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.machine import guests


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> guests.Guest:
    """`guest("pass")` is the image of that test guest."""
    folder = tmp_path_factory.mktemp("guests")

    def image(name: str) -> Path:
        return guests.build(name, folder)

    return image
