"""What a boot executed is what the coverage says: exactly, by line, in every form."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.boot import default_image
from harness.coverage.codemap import CodeMap
from harness.coverage.collect import BootLines, boot_lines, collect, map_of
from harness.coverage.lcov import lcov
from harness.coverage.listing import NOT_EXECUTED, annotated, missed
from harness.coverage.record import FileCoverage, below, merged, percentage
from harness.coverage.scenario import Scenario
from harness.machine import run as run_machine
from harness.toolchain.build import ROOT
from tests.coverage.lcov_parser import parse

BITMAP = "guest/sched/bitmap.s"
LEVELS = Scenario("W6", 1)
"""Tasks in all three words of the bitmap, on one CPU."""


@pytest.fixture(scope="module")
def code() -> CodeMap:
    return map_of(default_image(), ROOT)


@pytest.fixture(scope="module")
def levels() -> BootLines:
    found = boot_lines(default_image(), ROOT, LEVELS)
    assert found.passed, found.reason
    return found


@pytest.fixture(scope="module")
def files(code: CodeMap, levels: BootLines) -> list[FileCoverage]:
    return merged(code, [levels.lines])


def line_of(file: str, text: str, function: str) -> int:
    lines = (ROOT / file).read_text().split("\n")
    start = lines.index(f"{function}:")
    return next(n for n, line in enumerate(lines[start:], start + 1) if line.strip() == text)


def test_lines_that_a_boot_needs_are_executed_and_others_are_not(levels: BootLines) -> None:
    bitmap, search = set(levels.lines[BITMAP]), "sched_find_first_bit"
    for text in ("bsf rax, qword ptr [rdi]", "add eax, 2 * BITS_PER_LONG"):
        assert line_of(BITMAP, text, search) in bitmap
    # One CPU never takes a task from another, and the delimiter is there.
    assert line_of(BITMAP, "inc edx", "find_next_bit") not in bitmap
    panic = 'PANIC "sched_find_first_bit: the delimiter is gone"'
    assert line_of(BITMAP, panic, search) not in bitmap
    assert "guest/monitor/monitor.s" not in levels.lines


def test_the_translation_log_is_exact(code: CodeMap) -> None:
    """Against QEMU translating, and listing, one instruction at a time."""
    image = default_image()
    config = Scenario("W9", 1).config(image, timeout=240, quiet=60, code=code.text)
    usual = run_machine(config).executed
    slow = Scenario("W9", 1).config(
        image, timeout=240, quiet=60, code=code.text, extra_args=("-singlestep",)
    )
    single = run_machine(slow).executed
    assert len(usual) > 1000
    assert usual == single


def test_what_was_executed_begins_an_instruction_of_a_line(code: CodeMap) -> None:
    executed = run_machine(LEVELS.config(default_image(), timeout=240, quiet=60, code=code.text))
    assert executed.executed
    assert set(executed.executed) <= set(code.line_at)


def test_without_asking_nothing_is_listed() -> None:
    result = run_machine(LEVELS.config(default_image(), timeout=240, quiet=60))
    assert result.status == 33
    assert not result.executed


def test_lcov_is_read_back(files: list[FileCoverage]) -> None:
    records = parse(lcov(files, ROOT))
    assert [record.source for record in records] == [str(ROOT / file.file) for file in files]
    assert [record.lines for record in records] == [dict(file.runs) for file in files]
    bitmap = next(record for record in records if record.source.endswith(BITMAP))
    assert bitmap.calls["sched_find_first_bit"] == 1
    assert bitmap.calls["find_next_bit"] == 0


def test_every_function_of_a_source_is_named(files: list[FileCoverage]) -> None:
    bitmap = next(file for file in files if file.file == BITMAP)
    assert [name for name, _ in bitmap.functions] == ["sched_find_first_bit", "find_next_bit"]


def test_runs_add_up(code: CodeMap, levels: BootLines) -> None:
    twice = {file.file: file for file in merged(code, [levels.lines, levels.lines])}
    once = {file.file: file for file in merged(code, [levels.lines])}
    assert set(twice) == set(code.lines)
    for name, file in once.items():
        assert {line: 2 * count for line, count in file.runs.items()} == twice[name].runs


def test_percentages() -> None:
    some = [FileCoverage("a/x.s", {1: 2, 2: 0, 5: 1, 6: 1}), FileCoverage("b/y.s", {1: 0})]
    assert percentage(some) == 60.0
    assert percentage(below(some, "a")) == 75.0
    assert percentage([]) == 100.0
    assert some[0].missed == [2]


def test_the_listing_marks_each_line_with_code(files: list[FileCoverage]) -> None:
    bitmap = next(file for file in files if file.file == BITMAP)
    source = (ROOT / BITMAP).read_text()
    head, _, *body = annotated(bitmap, source).splitlines()
    assert head == f"{BITMAP}: {bitmap.covered} of {bitmap.total} lines, " + (
        f"{100 * bitmap.covered / bitmap.total:.1f} %"
    )
    marks = {number: line[:6].strip() for number, line in enumerate(body, start=1)}
    assert {number for number, mark in marks.items() if mark} == set(bitmap.runs)
    assert [number for number, mark in marks.items() if mark == NOT_EXECUTED] == bitmap.missed
    assert [line[12:] for line in body] == source.rstrip("\n").split("\n")


def test_missed_lines_come_in_stretches_with_their_reasons(files: list[FileCoverage]) -> None:
    bitmap = next(file for file in files if file.file == BITMAP)
    found = missed(bitmap, (ROOT / BITMAP).read_text())
    assert sum(1 for part in found if part.function == "find_next_bit") == 1
    [panic] = [part for part in found if part.text.startswith("PANIC")]
    assert panic.reason == "a panic: an invariant is broken"


def test_boots_of_an_image_are_not_repeated(tmp_path: Path, levels: BootLines) -> None:
    image = default_image()
    [first] = collect(image, ROOT, [LEVELS], folder=tmp_path)
    assert first.lines == levels.lines
    assert len(list(tmp_path.rglob("*.json"))) == 1
    [kept] = tmp_path.rglob("*.json")
    kept.write_text(kept.read_text().replace('"every condition holds"', '"from the store"'))
    [second] = collect(image, ROOT, [LEVELS], folder=tmp_path)
    assert second.reason == "from the store"
    kept.write_text("{")
    [third] = collect(image, ROOT, [LEVELS], folder=tmp_path)
    assert third == first or third.lines == first.lines
