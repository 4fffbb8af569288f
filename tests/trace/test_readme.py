"""What the document on the log says is so."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from harness.trace import vocabulary
from harness.trace.framing import LINE_LIMIT
from harness.trace.parser import parse_log
from tests.trace.logs import end, hello, line

README = (Path(vocabulary.__file__).parent / "README.md").read_text(encoding="utf-8")


def test_the_example_is_a_sound_log() -> None:
    example = README.split("```\n")[3]
    trace = parse_log(example.encode("ascii"))
    assert trace.sound, trace.damages
    assert [event.seq for event in trace.events] == [0, 1, 2, 3, 4]


def test_the_longest_line_is_as_long_as_it_says() -> None:
    stated = re.search(r"at most ([\d,]+) bytes", README)
    assert stated is not None
    longest = int(stated[1].replace(",", ""))
    assert longest == LINE_LIMIT
    fits = b"x" * (longest - 1) + b"\n"
    assert parse_log(hello() + fits + end(1)).sound
    assert not parse_log(hello() + b"x" + fits + end(1)).sound


def test_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = README.split("```python\n")[1].split("```")[0]
    log = hello() + line("switch", 1, 2, 30, prev=4, next=5) + end(2)
    (tmp_path / "run.log").write_bytes(log)
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(program, {})
    assert printed.getvalue() == "True ()\n30 2 4 5\n"
