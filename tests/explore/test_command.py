"""The command as its users see it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PATIENCE = 60.0
EXPLORE = (sys.executable, "-m", "harness.cli", "explore")


def explore(*words: str) -> subprocess.CompletedProcess[str]:
    command = [*EXPLORE, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def children(pid: int) -> set[int]:
    """Processes that a process has started, and theirs."""
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(stat.parent.name)
            found |= {child} | children(child)
    return found


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ctrl_c_ends_at_once_and_leaves_no_process() -> None:
    process = subprocess.Popen(
        [*EXPLORE, "--runs", "100000", "--tier", "points"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _interrupt(process)
    finally:
        process.kill()


def _interrupt(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (started := children(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert started
    # Those of the next runs, too.
    time.sleep(0.5)
    started |= children(process.pid)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert "interrupted" in err and "found" in out
    assert not [pid for pid in started if runs(pid)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--replay", "plugin:pct:3"), "has 3 parts"),
        (("--replay", "unicorn:pct:3:9:1"), "tier unicorn needs --scenario: two-wakers"),
        (("--scenario", "five-wakers"), "there is no scenario 'five-wakers': two-wakers"),
        (("--workload", "W99"), "no workload named 'W99'"),
        (("--image", __file__, "--checked"), "--checked is about this project's kernel: leave"),
    ],
)
def test_bad_usage_is_said(words: tuple[str, ...], message: str) -> None:
    result = explore(*words)
    assert result.returncode == 2
    assert message in result.stderr and "Traceback" not in result.stderr


def test_a_finding_is_replayed_by_its_printed_command(planted: Callable[[str], Path]) -> None:
    image = str(planted("lock-order"))
    found = explore("--tier", "unicorn", "--runs", "1", "--scenario", "double-lock",
                    "--image", image)  # fmt: skip
    assert found.returncode == 1, found.stderr
    assert "K7 in double_rq_lock" in found.stdout
    assert "confirmed, the same end" in found.stdout
    match = re.search(r"again: .* explore (.*)", found.stdout)
    assert match is not None
    again = explore(*match[1].split())
    assert again.returncode == 1
    assert "K7 in double_rq_lock: CPUs 0, 1 wait for locks for ever" in again.stdout


def test_a_clean_campaign_says_what_it_has_earned() -> None:
    result = explore("--tier", "unicorn", "--runs", "2", "--scenario", "double-lock")
    assert result.returncode == 0, result.stderr
    assert re.search(
        r"scenario double-lock: no bug of depth 2 with a probability of \d", result.stdout
    )
    assert "assumed: CPUs take turns" in result.stdout
