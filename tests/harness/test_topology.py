"""The option --topology: of a machine to boot, and of one whose log was saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.model.domain import Topology
from harness.trace.grammar import format_event
from tests.harness.test_cli import harness
from tests.oracle.machine import Machine


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The log of a machine of two packages of two cores."""
    events = Machine(4, topology=Topology(sockets=2, cores=2)).finish().events
    path = tmp_path / "saved.log"
    path.write_bytes(b"".join(format_event(event) + b"\n" for event in events))
    return path


@pytest.mark.parametrize("arguments", [(), ("--topology", "2x2")])
def test_a_saved_log_is_judged_by_its_topology_or_by_what_it_says(
    saved: Path, arguments: tuple[str, ...]
) -> None:
    done = harness("check", saved, *arguments)
    assert done.returncode == 0, done.stdout


def test_a_saved_log_of_another_machine_is_found(saved: Path) -> None:
    done = harness("check", saved, "--topology", "sockets=4")
    assert done.returncode == 1
    assert done.stdout.startswith("violation: A12 every CPU has the domains that the shape of")


@pytest.mark.parametrize(
    ("command", "topology", "shown"),
    [
        ("run", "2y2", "harness: topology '2y2': '2y2' is not understood; write for instance"),
        ("check", "2y2", "harness: topology '2y2': '2y2' is not understood; write for instance"),
        ("run", "cores=0", "harness: topology: cores=0; at least 1 is needed"),
        ("run", "nodes=2", "harness: topology: machine='microvm' has one node, not 2: use one of"),
    ],
)
def test_a_topology_that_cannot_be_exits_with_2(
    saved: Path, scripted_guest: Path, command: str, topology: str, shown: str
) -> None:
    target = (saved,) if command == "check" else ("--image", scripted_guest)
    done = harness(command, *target, "--topology", topology)
    assert done.returncode == 2
    assert done.stderr.startswith(shown)
