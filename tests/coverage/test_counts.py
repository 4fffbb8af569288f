"""Counts of what each CPU executes are exact, and counting changes nothing."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.boot import Run, build_id_of, default_image
from harness.cli import app
from harness.coverage.codemap import CodeMap
from harness.coverage.collect import CoverageError, boot_counts, boot_lines, map_of
from harness.coverage.counter import arguments, find_counter, read_counts
from harness.coverage.lcov import lcov
from harness.coverage.listing import annotated
from harness.coverage.record import FileCoverage, counted
from harness.coverage.scenario import Scenario
from harness.coverage.situations import situation_counts
from harness.explore.scenarios import scenario
from harness.explore.schedules import Preempt
from harness.explore.unit import Bench
from harness.toolchain import shared
from harness.toolchain.build import ROOT
from harness.toolchain.image import Image
from tests.coverage.lcov_parser import parse

TWO = Scenario("W10", 2)
TICK = "guest/sched/tick.s"


@pytest.fixture(scope="module")
def code() -> CodeMap:
    return map_of(default_image(), ROOT)


def booted(out: Path | None, code: CodeMap) -> Run:
    extra = () if out is None else arguments(find_counter(), code.text, out)
    image = default_image()
    config = TWO.config(image, timeout=240, quiet=60, extra_args=extra)
    return Run(config, build_id=build_id_of(image))


def test_each_cpu_counts_its_own_ticks_and_the_log_is_the_same(
    code: CodeMap, tmp_path: Path
) -> None:
    with booted(tmp_path / "a,comma", code) as run, booted(None, code) as plain:
        assert run.outcome == "pass", run.verdict
        assert run.log == plain.log
        ticks = Counter(event.cpu for event in run.trace.of("tick"))
    with Image(default_image()) as image:
        entry = image.address("scheduler_tick")
    counts = read_counts(tmp_path / "a,comma")
    assert {cpu: of[entry] for cpu, of in counts.items()} == dict(ticks)


def test_the_plugin_and_the_translation_log_agree_on_lines() -> None:
    by_log = boot_lines(default_image(), ROOT, TWO)
    by_plugin = boot_counts(default_image(), ROOT, TWO)
    assert by_plugin.lines == by_log.lines
    assert len(by_plugin.counts) == 2
    ran = {file: {line for line, _ in pairs} for file, pairs in by_plugin.counts[0].items()}
    for file, pairs in by_plugin.counts[1].items():
        ran.setdefault(file, set()).update(line for line, _ in pairs)
    assert ran == {file: set(lines) for file, lines in by_log.lines.items()}


def test_a_boot_that_had_to_be_ended_has_no_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.coverage.collect.TIMEOUT", 0.2)
    with pytest.raises(CoverageError, match="no counts: timeout: "):
        boot_counts(default_image(), ROOT, TWO)


FILE = FileCoverage(TICK, {3: 12, 5: 0}, (("scheduler_tick", 3),), ({3: 5, 5: 0}, {3: 7, 5: 0}))


def test_each_cpu_is_a_test_of_its_own_in_lcov() -> None:
    records = parse(lcov([FILE], ROOT))
    assert [record.test for record in records] == ["cpu0", "cpu1"]
    assert [record.lines for record in records] == [{3: 5, 5: 0}, {3: 7, 5: 0}]
    assert [record.calls["scheduler_tick"] for record in records] == [5, 7]


def test_each_cpu_is_a_column_of_its_own_in_the_listing() -> None:
    head, titles, *lines = annotated(FILE, "a\nb\nc\nd\ne\n").splitlines()
    assert head == f"{TICK}: 1 of 2 lines, 50.0 %"
    assert titles.split() == ["all", "cpu0", "cpu1"]
    assert lines[2].split() == ["12", "5", "7", "3", "c"]
    assert lines[4].split() == ["#####", "#####", "#####", "5", "e"]


def test_counts_of_boots_on_machines_of_several_sizes_add_up(code: CodeMap) -> None:
    line = min(code.lines[TICK])
    runs = [[{TICK: [[line, 2]]}], [{TICK: [[line, 3]]}, {TICK: [[line, 4]]}]]
    (file,) = [file for file in counted(code, runs) if file.file == TICK]
    assert [cpu[line] for cpu in file.cpus] == [5, 4]
    assert file.runs[line] == 9


class EveryStep(Preempt):
    """Stops before each step, and goes on with the same CPU."""

    def __init__(self) -> None:
        super().__init__(2, 0)
        self.next_stop = 1

    def at_step(self, cpu: int, able: Sequence[int]) -> int:
        self.next_stop += 1
        return cpu


def test_unicorn_counts_an_instruction_once_however_often_it_stops(code: CodeMap) -> None:
    with Image(default_image()) as image:
        bench = Bench(image, scenario("two-wakers"))
        counts = bench.smp.count(code.text)
        found = []
        for schedule in (Preempt(2, 0), EveryStep()):
            for each in counts:
                each.clear()
            assert not bench.run(schedule).broken
            found.append([dict(each) for each in counts])
    assert found[0] == found[1]
    assert all(len(each) > 50 for each in found[0])


def test_a_situation_says_what_ran(code: CodeMap) -> None:
    with Image(default_image()) as image:
        counts, wrong = situation_counts(image, code, scenario("double-lock"))
    assert not wrong
    assert all("guest/sched/runqueue.s" in cpu and TICK not in cpu for cpu in counts)


def test_unicorn_takes_no_workload() -> None:
    found = CliRunner().invoke(app, ["coverage", "W3", "--by", "unicorn"])
    assert found.exit_code == 2
    assert "--by unicorn has situations of its own" in found.stderr


def test_no_compiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    qemu = shutil.which("qemu-system-x86_64")
    assert qemu is not None
    (tmp_path / "qemu-system-x86_64").symlink_to(qemu)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(shared, "FOLDER", tmp_path / "build")
    found = CliRunner().invoke(app, ["coverage", "W3", "--by", "plugin"])
    assert found.exit_code == 3
    assert "no C compiler (cc, gcc, clang): apt-get install gcc" in found.stderr


def test_the_command_writes_columns_for_each_cpu(tmp_path: Path) -> None:
    options = ["--policy", "o1", "--by", "plugin", "-o", str(tmp_path)]
    found = CliRunner().invoke(app, ["coverage", "W10", *options])
    assert found.exit_code == 0, found.stderr
    titles = (tmp_path / f"{TICK}.txt").read_text().splitlines()[1]
    assert titles.split() == ["all", "cpu0", "cpu1", "cpu2", "cpu3"]
    assert {record.test for record in parse((tmp_path / "coverage.info").read_text())} == {
        "cpu0", "cpu1", "cpu2", "cpu3",
    }  # fmt: skip


def test_the_command_shows_what_situations_execute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    few = (scenario("double-lock"), scenario("wake-at-home"))
    monkeypatch.setattr("harness.explore.scenarios.SCENARIOS", few)
    options = ["--by", "unicorn", "-o", str(tmp_path), "--at-least", "99"]
    found = CliRunner().invoke(app, ["coverage", *options])
    assert found.exit_code == 1, "so little does not cover the scheduler"
    assert "situations: 2 of 2" in found.stderr
    assert "guest/sched/wake.s" in found.stdout
    assert "guest/veridian" not in found.stdout
    listing = (tmp_path / "guest/sched/wake.s.txt").read_text()
    assert listing.splitlines()[1].split() == ["all", "cpu0", "cpu1"]
