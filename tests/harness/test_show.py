"""`harness show`, and what `harness check` tells of a wrong decision."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.pytest_plugin import Booter
from harness.trace.grammar import format_event
from harness.trace.trace import Trace
from tests.harness.test_cli import harness
from tests.oracle.runs import busy_run
from tests.oracle.test_replay_report import a_wrong_pick


def saved(trace: Trace, directory: Path) -> Path:
    path = directory / "run.log"
    path.write_bytes(b"".join(format_event(event) + b"\n" for event in trace.events))
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(busy_run(2, 40).finish(), tmp_path_factory.mktemp("show"))


def test_a_lane_for_each_cpu_and_a_legend(log: Path) -> None:
    done = harness("show", log)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line[:6] for line in lines if line.startswith("CPU")] == ["CPU 0 ", "CPU 1 "]
    assert any(line.startswith("A task (") for line in lines)
    assert "\x1b" not in done.stdout


def test_one_cpu_and_a_window(log: Path) -> None:
    done = harness("show", log, "--cpu", "1", "--from", "10000000", "--to", "20000000")
    lines = done.stdout.splitlines()
    assert [line[:6] for line in lines if line.startswith("CPU")] == ["CPU 1 "]
    assert lines[0].split()[:2] == ["10", "ms"]
    assert lines[0].split()[-2:] == ["20", "ms"]


def test_the_events_of_a_task_as_a_list(log: Path) -> None:
    done = harness("show", log, "--list", "--task", "migration", "--event", "pick")
    assert done.returncode == 0
    assert [line.split()[5:7] for line in done.stdout.splitlines()] == [
        ["pick", "task=2(migration/0)"],
        ["pick", "task=3(migration/1)"],
    ]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--event", "wakeup"), "there is no event 'wakeup'; `harness events` lists them"),
        (("--task", "nobody"), "the log has no task 'nobody'"),
    ],
)
def test_a_name_that_nothing_has(log: Path, option: tuple[str, str], message: str) -> None:
    done = harness("show", log, *option)
    assert (done.returncode, done.stderr) == (2, f"harness: {message}\n")


def test_check_tells_what_led_to_a_wrong_decision(tmp_path: Path) -> None:
    done = harness("check", saved(a_wrong_pick(), tmp_path))
    assert done.returncode == 1
    assert done.stdout.startswith("violation: P1 next is the head of the best")
    assert "run queue of CPU 0  model, after the operation  log, so far" in done.stdout
    assert "the 20 events before it on CPU 0:" in done.stdout


def test_check_passes_what_the_model_agrees_with(boot: Booter, tmp_path: Path) -> None:
    saved_log = tmp_path / "run.log"
    saved_log.write_bytes(boot(workload="W3", cpus=4).log)
    done = harness("check", saved_log)
    assert done.returncode == 0, done.stdout
