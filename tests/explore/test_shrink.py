"""What shrinking leaves: smaller, valid, and it still fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.explore.boots import Subject, boot_once
from harness.explore.campaign import shrink_finding
from harness.explore.findings import Finding
from harness.explore.seed import Seed
from harness.explore.session import DEFAULT_WORKLOAD
from harness.explore.shrink import candidates, shrink, size
from harness.workload import Workload, library_names, load, validate
from harness.workload.model import Fork, Wake, walk

SUBJECT = (("--workload", "W8"), ("--ticks", "160"), ("--cpus", "2"), ("--checked",))


def uses(workload: Workload, kind: type) -> bool:
    return any(isinstance(step, kind) for t in workload.tasks for _, step in walk(t.program, ()))


def test_what_the_failure_needs_stays_and_the_rest_goes() -> None:
    asked: list[Workload] = []

    def fails(workload: Workload) -> bool:
        asked.append(workload)
        return uses(workload, Wake)

    smallest, runs = shrink(load(DEFAULT_WORKLOAD), fails, budget=500)
    assert runs == len(asked) < 500
    assert uses(smallest, Wake)
    tasks, steps, _ = size(load(DEFAULT_WORKLOAD))
    assert size(smallest)[0] <= tasks // 2 and size(smallest)[1] <= steps // 4
    assert smallest.duration is not None and smallest.duration.value == 1


def test_every_candidate_is_valid_and_smaller() -> None:
    for name in library_names():
        workload = load(name)
        for candidate in candidates(workload):
            validate(candidate)
            assert size(candidate) < size(workload)


def test_the_budget_holds() -> None:
    workload, runs = shrink(load("mixed"), lambda _: False, budget=7)
    assert (workload, runs) == (load("mixed"), 7)
    assert shrink(load("mixed"), lambda _: True, budget=0)[1] == 0


def test_nothing_that_matters_is_lost() -> None:
    smallest, _ = shrink(load("W9"), lambda w: uses(w, Fork), budget=300)
    assert uses(smallest, Fork)


def test_a_found_race_shrinks_to_a_file_that_shows_it(raced: Subject, tmp_path: Path) -> None:
    seeds = (Seed.parse(f"points:delay:16:0:{number}") for number in range(1, 60))
    seed, broken = next((s, run.broken[0]) for s in seeds if (run := boot_once(raced, s)).broken)
    finding = Finding(broken.rule, broken.place, broken.words, seed, SUBJECT)
    words = shrink_finding(raced, finding, 24, tmp_path)
    (file,) = tmp_path.glob("*.yaml")
    assert str(file) in words and str(file) in finding.command
    smaller = load(file)
    assert size(smaller) < size(raced.workload)
    options = {option[0]: option[-1] for option in finding.subject}
    assert "--checked" in options and "--ticks" not in options
    cpus = int(options["--cpus"])
    again = boot_once(replace(raced, workload=smaller, cpus=cpus), finding.seed)
    assert broken.rule in [each.rule for each in again.broken]
