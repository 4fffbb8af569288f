"""The guest's monitor, driven by pexpect, beside a log that never tears."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from harness.boot import Run
from harness.machine.console import Console
from harness.pytest_plugin import Booter
from tests.boot import PATIENT

PROMPT = "sched> "
CPUS = 2


@pytest.fixture(params=["virtual", "real"])
def monitored(boot: Booter, request: pytest.FixtureRequest) -> Iterator[Run]:
    """A guest that waits at its prompt; it has to end well."""
    run = boot(cpus=CPUS, clock=request.param, monitor=1, selftest="none", tasks=4, **PATIENT)
    run.console.expect_exact("monitor: type help\n" + PROMPT)
    yield run
    run.console.sendline("quit")
    assert run.outcome == "pass", run.verdict


def ask(console: Console, command: str) -> str:
    """The answer to a command, without its echo and without the next prompt."""
    console.sendline(command)
    console.expect_exact(PROMPT)
    assert isinstance(console.before, str)
    text = console.before
    for character in command:
        # A log line may come while somebody types; it starts, and leaves, a new line.
        assert text.lstrip("\n")[:1] == character, console.before
        text = text.lstrip("\n")[1:]
    return text.lstrip("\n")


def test_help_lists_the_commands(monitored: Run) -> None:
    answer = ask(monitored.console, "help")
    listed = [line.split()[0] for line in answer.splitlines()]
    assert {"help", "ps", "spawn", "unplug", "plug", "quit"} <= set(listed)


def test_ps_lists_the_tasks(monitored: Run) -> None:
    heading, *tasks = ask(monitored.console, "ps").splitlines()
    assert heading.split()[:2] == ["TASK", "CPU"]
    assert [task.split()[:2] for task in tasks] == [[str(cpu), str(cpu)] for cpu in range(CPUS)]
    assert all(task.endswith(" idle") for task in tasks)


def test_a_task_that_was_spawned_runs_where_it_was_told(monitored: Run) -> None:
    answer = ask(monitored.console, "spawn hog 1 20")
    found = re.search(r"task (\d+) started on CPU 1", answer)
    assert found is not None, answer
    task = int(found[1])
    while f"\n{task} 1 " in ask(monitored.console, "ps"):
        time.sleep(0.01)  # the guest's time is not ours
    monitored.console.sendline("quit")
    assert monitored.outcome == "pass", monitored.verdict
    (created,) = (event for event in monitored.trace.of("task_new") if event.number("task") == task)
    assert (created.word("name"), created.number("cpu")) == ("hog", 1)
    starts = [event for event in monitored.trace.of("switch") if event.number("next") == task]
    ends = [event for event in monitored.trace.of("switch") if event.number("prev") == task]
    assert {event.cpu for event in [*starts, *ends]} == {1}
    assert ends[-1].ns - starts[0].ns >= 20_000_000


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("colour", "unknown command 'colour': help lists them"),
        ("HELP", "unknown command 'HELP': help lists them"),
        ("spawn", "usage: spawn NAME"),
        ("spawn hog x", "spawn: no such CPU; there are 2, from 0"),
        ("spawn hog 2", "spawn: no such CPU; there are 2, from 0"),
        ("spawn hog 1 soon", "usage: spawn NAME"),
    ],
)
def test_what_makes_no_sense_is_explained(monitored: Run, command: str, answer: str) -> None:
    assert ask(monitored.console, command).startswith(answer)


def test_a_line_that_is_too_long_is_cut(monitored: Run) -> None:
    monitored.console.sendline("x" * 300)
    monitored.console.expect("unknown command '(x+)'")
    assert isinstance(monitored.console.match, re.Match)
    assert len(monitored.console.match[1]) == 127


def test_an_empty_line_only_prompts_again(monitored: Run) -> None:
    assert ask(monitored.console, "") == ""
    assert ask(monitored.console, "   ") == ""


def test_typing_errors_can_be_taken_back(monitored: Run) -> None:
    monitored.console.sendline("\b\x7fhelpp\b")
    monitored.console.expect("p\n*\b \b\n+help {5}")
    monitored.console.expect_exact(PROMPT)


def test_a_full_task_table_is_said(monitored: Run) -> None:
    answers = [ask(monitored.console, f"spawn hog{number} 1 500") for number in range(10)]
    assert "started on CPU 1" in answers[0]
    assert answers[-1] == "spawn: the task table is full; boot with a larger tasks=\n"


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_lines_stay_whole_while_somebody_types(boot: Booter, clock: str) -> None:
    """Characters are echoed one by one while CPU 1 switches tasks and all CPUs log their ticks."""
    run = boot(cpus=CPUS, clock=clock, monitor=1, selftest="none", **PATIENT)
    console = run.console
    console.expect_exact(PROMPT)
    for number in range(8):
        console.sendline(f"spawn hog{number} 1 200")
        console.expect_exact(f"started on CPU 1\n{PROMPT}")
    for character in "this is no command ":
        console.send(character)
        console.expect_exact(character)
    console.sendline("at all")
    console.expect_exact("unknown command 'this'")
    console.sendline("quit")
    assert run.outcome == "pass", run.verdict
    assert len(list(run.trace.of("switch"))) > 8
    assert {event.cpu for event in run.trace.of("tick")} == set(range(CPUS))
