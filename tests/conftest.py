"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import pytest_plugin
from tests.harness import guests
from tests.trace.logs import BUILD


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the project's plugin where no entry point did; it then adds its own options."""
    if not pluginmanager.is_registered(pytest_plugin):
        pluginmanager.register(pytest_plugin, "harness.pytest_plugin")


@pytest.fixture(scope="session")
def scripted_guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of a guest that does what its boot module says."""
    return guests.build("script", tmp_path_factory.mktemp("script"), build_id=BUILD)
