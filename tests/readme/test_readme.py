"""The README is part of the product: its commands run, its examples pass, its excerpts are real."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from harness.pytest_plugin import Booter
from harness.trace.parser import parse_lines

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
GENEROUS = 300


def commands() -> list[str]:
    """Every line of every `sh` block, without its comment."""
    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    return [line.split(" #")[0].strip() for line in lines if line.strip()]


def run(command: str, *options: str) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    if words[0].startswith(".venv/bin/"):
        # Wherever the package is installed for this test run.
        words[0] = str(Path(sys.executable).with_name(Path(words[0]).name))
    return subprocess.run(
        [*words, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=GENEROUS,
        env={**os.environ, "COLUMNS": "120"},
    )


def test_there_are_commands() -> None:
    assert "make run" in commands()
    assert "make test" in commands()


@pytest.mark.parametrize("command", [c for c in commands() if c != "make test"])
def test_the_command_works(command: str) -> None:
    result = run(command)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.strip()


def test_make_test_runs_the_suite() -> None:
    """`make test`, with one quick test for the whole suite that is running already."""
    result = run("make test", "ARGS=tests/trace/test_vocabulary.py -q")
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout


def test_a_second_run_sets_nothing_up() -> None:
    run("make run")
    again = run("make run")
    assert again.returncode == 0
    assert "setup:" not in again.stdout + again.stderr


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "python"])
def test_the_example_passes(text: str, tmp_path: Path) -> None:
    example = tmp_path / "test_example.py"
    example.write_text(text)
    result = run(f"{sys.executable} -m pytest -q -p no:cacheprovider {example}")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_excerpts_are_lines_of_a_log() -> None:
    """Whole log lines in the README carry the right checksum and fields."""
    lines = re.findall(r"^\[SCHED\] .* \*[0-9a-f]{2}$", README, re.MULTILINE)
    assert len(lines) >= 8
    trace = parse_lines(f"{line}\n".encode() for line in lines)
    assert len(trace.events) == len(lines), trace.damages


def test_the_boot_parameters_are_those_of_the_guest(boot: Booter) -> None:
    table = README.split("| boot parameter |")[1].split("\n\n")[0]
    first_cells = [row.split("|")[1] for row in table.splitlines()[2:]]
    listed = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    refusal = boot(colour="red").verdict.reason
    assert sorted(listed) == sorted(refusal.partition("known are ")[2].split())


def test_every_path_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
