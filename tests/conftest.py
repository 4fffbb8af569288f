"""What all tests share."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from harness import pytest_plugin
from tests.harness import guests
from tests.trace.logs import BUILD


def pytest_configure() -> None:
    """What tests interrupt must be interruptible, however the suite itself was started: a shell
    gives what it runs in the background an ignored SIGINT, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the project's plugin where no entry point did; it then adds its own options."""
    if not pluginmanager.is_registered(pytest_plugin):
        pluginmanager.register(pytest_plugin, "harness.pytest_plugin")


@pytest.fixture(scope="session")
def scripted_guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of a guest that does what its boot module says."""
    return guests.build("script", tmp_path_factory.mktemp("script"), build_id=BUILD)
