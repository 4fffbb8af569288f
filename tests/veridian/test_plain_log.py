"""`harness check` on what a VeridianOS kernel writes to its serial port."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.oracle.veridian_log import MESSAGES, PlainLog, contradictions, limits, read_plain
from harness.trace.parser import parse_log
from tests.trace import logs

GOOD = """\
BdsDxe: starting Boot0001
[SMP] Initializing CPU 0
[SCHED] Initializing scheduler...
[SCHED] Scheduler initialized (minimal)
[SCHED] Starting scheduler execution
[SCHED] DISPATCH_FIRST pid=0x1
sched_test...\t[ok]
Test Results: 1 passed, 0 failed
[SCHED] Load balancing: migrating tasks
[SCHED] Successfully migrated tasks
[SCHED] Load balancing: migrating tasks
[SCHED] Warning: Task 7 cannot run on CPU 3 due to affinity mask
[SCHED] Warning: Task 8 has no valid CPU affinity!
[SCHED] Something new
[SCHED] Scheduler Metrics:
[SCHED]   Context switches: 12
[SCHED]   Load balances: 2
BOOTOK
"""


def read(text: str) -> PlainLog:
    log = read_plain(parse_log(text.encode()))
    assert log is not None
    return log


def test_what_it_says_is_counted() -> None:
    log = read(GOOD)
    assert log.counts["Load balancing: migrating tasks"] == 2
    assert log.counts["Successfully migrated tasks"] == 1
    assert log.counts["Warning: no valid CPU affinity"] == 1
    assert log.counts["Warning: affinity excludes the CPU"] == 1
    assert log.dispatched == (1,)
    assert log.metrics == ("Context switches: 12", "Load balances: 2")
    assert log.smp == ("[SMP] Initializing CPU 0",)
    assert log.results == (1, 0)
    assert log.unknown == ("Something new",)
    assert list(contradictions(log)) == []
    assert list(log.counts) == [name for name in MESSAGES if name in log.counts]


def test_what_it_cannot_prove_is_said() -> None:
    found = "\n".join(limits(read(GOOD)))
    assert "a migration by 'Load balancing: migrating tasks' (2 times)" in found
    assert "which tasks moved" in found
    assert "success by BOOTOK" in found
    assert "success by [ok]" in found
    assert "that it is complete" in found
    assert "exit status" in found
    assert "more than one CPU" not in found
    assert "more than one CPU" in "\n".join(limits(read("BOOTOK\n")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("BOOTFAIL\nmore\nBOOTOK\n", "BOOTOK in line 3 comes after BOOTFAIL in line 1"),
        ("BOOTFAIL\n", "it says BOOTFAIL once: that is a failure"),
        ("a...\t[ok]\nb...\t[failed]: no\n", "it says [failed] once: that is a failure"),
        ("Test Results: 1 passed, 2 failed\nBOOTOK\n", "its summary has 2 failed tests"),
        ("a...\t[ok]\nTest Results: 5 passed, 0 failed\n", "counts 5 tests as [ok], the log has 1"),
        ("[SCHED] Successfully migrated tasks\n", "it migrated once, and balanced only 0 times"),
    ],
)
def test_what_speaks_against_the_kernel_is_found(text: str, words: str) -> None:
    assert any(words in found for found in contradictions(read(text)))


def test_only_its_own_logs_are_taken_for_plain_ones() -> None:
    assert read_plain(parse_log(b"hello world\n")) is None
    assert read_plain(parse_log(logs.hello() + b"[SCHED] Entering idle loop\n")) is None


def test_metrics_may_stand_without_the_mark() -> None:
    log = read("[SCHED] Scheduler Metrics:\n  Context switches: 3\n\tIPC blocks: 1\nother\n")
    assert log.metrics == ("Context switches: 3", "IPC blocks: 1")


@pytest.mark.parametrize("text", [GOOD, "BOOTFAIL\nBOOTOK\n"])
def test_the_command_tells_it_and_does_not_pass(tmp_path: Path, text: str) -> None:
    path = tmp_path / "serial.log"
    path.write_text(text)
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.exit_code == 1
    assert "a plain VeridianOS log, without events: it cannot pass" in result.output
    assert "it cannot prove:" in result.output
    assert ("against the kernel:" in result.output) is ("BOOTFAIL" in text)
