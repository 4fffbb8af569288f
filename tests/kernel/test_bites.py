"""Mistakes in the guest are noticed by calling its functions."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.toolchain.build import ROOT


@pytest.mark.parametrize(
    ("mutant", "test"),
    [
        ("guest/cpu/clock.s:clock_delay:6:negate", "test_a_deadline_and_the_wait_for_it"),
        ("guest/invariant/structure.s:check_values:3:minus1", "test_a_sound_run_queue_passes"),
    ],
)
def test_a_mutant_is_noticed(mutant: str, test: str) -> None:
    file = mutant.partition(":")[0]
    command = [sys.executable, "-m", "tests.kernel", file, "--only", mutant]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"killed {mutant}: ")
    assert test in done.stdout
