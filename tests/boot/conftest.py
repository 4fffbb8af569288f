"""Fixtures for boots of changed guests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.boot.variant import Change, Variants


@pytest.fixture(scope="session")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Variants:
    """Builds guests that differ from the project's own."""
    return Variants(tmp_path_factory.mktemp("variants"))


@pytest.fixture(scope="session")
def crashing_guest(variants: Variants) -> Path:
    """The guest in which a task that the monitor starts crashes: crash.s says how."""
    monitor = "monitor/commands.s"
    changes = [
        Change(monitor, [".extern work_spin"], [".extern crash"], indent=0),
        Change(monitor, ["lea rsi, [rip + work_spin]"], ["lea rsi, [rip + crash]"]),
    ]
    return variants.build("crash", changes, more=[Path(__file__).with_name("crash.s")])
