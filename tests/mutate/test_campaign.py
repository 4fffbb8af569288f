"""A campaign from real boots: what is killed, by which rule, and what need not be booted."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.coverage.collect import BootLines, map_of
from harness.coverage.progress import Meter
from harness.coverage.scenario import Scenario
from harness.mutate.campaign import Outcome, Plan, campaign, observe
from harness.mutate.command import choose
from harness.mutate.equivalent import EQUIVALENT
from harness.mutate.generic import mutants_of
from harness.mutate.matrix import as_json, explanations, kill_rate, rules_seen, summary, table
from harness.mutate.mutant import Edit, Mutant, MutationError
from harness.mutate.sample import sample
from harness.mutate.tree import Tree
from harness.mutate.trial import Status

CORE = "guest/sched/core.s"
SCENARIO = Scenario("W9", 1)
MARK = "HARNESS_MUTATE_TEST"


class Ground:
    """A campaign's tree, its unchanged boots, and a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.tree = Tree.of()
        self.plan = Plan(workers=2, folder=folder)
        quiet = Meter(Console(file=io.StringIO()), "boots", 1, None)
        self.runs: list[BootLines] = observe(self.tree, [SCENARIO], self.plan, quiet)
        image = self.tree.build(folder / self.tree.name)
        self.code = map_of(image, self.tree.path).lines

    def campaign(self, mutants: Sequence[Mutant], plan: Plan | None = None) -> dict[str, Outcome]:
        found = campaign(self.tree, mutants, self.runs, self.code, plan or self.plan)
        return {outcome.mutant.id: outcome for outcome in found}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("mutate"))


def chosen(tree: Tree) -> list[Mutant]:
    """One of each fate."""
    by_id = {mutant.id: mutant for mutant in sample(tree)}
    core = {mutant.id: mutant for mutant in mutants_of(CORE, tree.read(CORE))}
    broken = Edit(CORE, 40, 40, ("    mov eax, nowhere[",))
    harmless = next(m for m in core.values() if m.words.startswith("no 'xor edx, edx'"))
    line = harmless.edits[0].first
    comment = Edit(CORE, line, line, ("    xor edx, edx     # as before",))
    return [
        by_id["M01"],
        by_id["M17"],
        by_id["E1"],
        by_id["M36"],
        Mutant("unbuildable", "", (broken,)),
        Mutant("harmless", "", (comment,)),
    ]


def test_what_no_boot_reaches_is_called_all_the_same(ground: Ground) -> None:
    """The second policy's functions, with boots of the first; one that properties speak about, and
    one that they do not."""
    found: dict[str, Status] = {}
    for name, number in (("priority.s:priority_of", 2), ("pick.s:pick_runnable", 8)):
        file = f"guest/veridian/{name.partition(':')[0]}"
        wanted = f"guest/veridian/{name}:{number}:negate"
        made = mutants_of(file, ground.tree.read(file))
        (outcome,) = ground.campaign([m for m in made if m.id == wanted]).values()
        found[name] = outcome.status
    assert list(found.values()) == [Status.KILLED, Status.NOT_REACHED]


@pytest.fixture(scope="module")
def outcomes(ground: Ground) -> dict[str, Outcome]:
    return ground.campaign(chosen(ground.tree))


def test_each_mutant_has_its_fate(outcomes: dict[str, Outcome]) -> None:
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "M01": Status.KILLED,
        "M17": Status.KILLED,
        "E1": Status.EQUIVALENT,
        "M36": Status.NOT_REACHED,
        "unbuildable": Status.UNBUILDABLE,
        "harmless": Status.SURVIVED,
    }


def test_a_kill_names_rule_boot_and_reason(outcomes: dict[str, Outcome]) -> None:
    first = outcomes["M01"]
    assert first.rules[0] == "S1"
    assert first.killer is not None
    assert first.killer.scenario == SCENARIO.name
    assert first.killer.reason.startswith("S1: ")
    assert set(outcomes["M17"].rules) & {"S10", "P10"}
    assert outcomes["E1"].reason == EQUIVALENT["E1"]
    assert "core.s:40:" in outcomes["unbuildable"].reason


def test_the_matrix_shows_it(outcomes: dict[str, Outcome]) -> None:
    found = list(outcomes.values())
    assert round(kill_rate(found), 1) == 66.7
    assert "S1" in rules_seen(found)
    text = io.StringIO()
    Console(file=text, width=200).print(table(found))
    [row] = [line.split() for line in text.getvalue().splitlines() if line.split()[:1] == ["M01"]]
    assert row[1] == "killed"
    assert row[2 + rules_seen(found).index("S1")] == "x"
    assert row[-1] == SCENARIO.name
    words = "\n".join(explanations(found))
    assert "survived: harmless" in words
    assert "M01" not in words
    assert summary(found) == (
        "6 mutants: 2 killed, 1 survived, 1 equivalent, 1 not reached, 1 unbuildable; 66.7 % killed"
    )
    told = {item["id"]: item for item in as_json(found)["mutants"]}
    assert told["M01"]["rules"][0] == "S1"
    assert told["harmless"]["boots"] == [
        {"boot": SCENARIO.name, "rules": [], "reason": "every condition holds"}
    ]


def test_what_was_booted_is_not_booted_again(ground: Ground, outcomes: dict[str, Outcome]) -> None:
    over = replace(ground.plan, until=time.monotonic() + 5, workers=1)
    store = {path: path.stat().st_mtime_ns for path in (over.folder / "results").rglob("*.json")}
    known = ("M01", "M17", "harmless")
    mutants = [mutant for mutant in chosen(ground.tree) if mutant.id in known]
    again = ground.campaign(mutants, over)
    assert {name: again[name].boots for name in known} == {
        name: outcomes[name].boots for name in known
    }
    after = {path: path.stat().st_mtime_ns for path in (over.folder / "results").rglob("*.json")}
    assert after == store


def test_when_the_time_is_over_nothing_starts(ground: Ground) -> None:
    over = replace(ground.plan, until=time.monotonic() - 1, folder=ground.plan.folder / "late")
    [mutant] = [m for m in sample(ground.tree) if m.id == "M05"]
    outcome = ground.campaign([mutant], over)["M05"]
    assert (outcome.status, outcome.boots) == (Status.UNDECIDED, ())
    assert outcome.reason == "the time was over"


def marked(mark: str) -> list[str]:
    """Command lines of processes that were started with the mark in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_ctrl_c_ends_everything_at_once(tmp_path: Path) -> None:
    mark = f"{MARK}={tmp_path.name}-{os.getpid()}"
    key, _, value = mark.partition("=")
    with subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "mutate", "--sample", "-j", "2"],
        env={**os.environ, key: value},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 120
        while not any("qemu-system" in words for words in marked(mark)):
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert "0 mutants" in said or "killed" in said
    deadline = time.monotonic() + 10
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)  # the kernel ends them, a moment later
    assert marked(mark) == []


def choose_by(tree: Tree, **options: Any) -> list[Mutant]:
    usual: dict[str, Any] = {"use_sample": False, "generic": [], "policy": "o1", "only": []}
    return choose(tree, **{**usual, "limit": None, "seed": 1, **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"only": ["M99"]}, "there is no mutant 'M99'"),
        ({"only": ["core.s:schedule_pick:1:dance"]}, "there is no mutant"),
        ({"generic": ["corpse.s"]}, "the guest has no source and no folder 'corpse.s'"),
        ({"generic": ["guest/cp"]}, "the guest has no source and no folder 'guest/cp'"),
        ({"generic": ["core.s:no_such"]}, "nothing there that can be changed"),
        ({"policy": "cfs"}, "there is no policy 'cfs'"),
    ],
)
def test_what_is_not_there_cannot_be_chosen(
    ground: Ground, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(MutationError, match=words):
        choose_by(ground.tree, **options)


def test_bad_usage_is_said_and_has_its_status() -> None:
    command = [sys.executable, "-m", "harness.cli", "mutate", "--only", "M99"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "harness: there is no mutant 'M99'; --list shows them\n"


def test_mutants_are_chosen_by_name_by_place_and_by_lot(ground: Ground) -> None:
    every = {mutant.id for mutant in choose_by(ground.tree, generic=["all"])}
    assert len(every) > 2000
    drawn = [
        [m.id for m in choose_by(ground.tree, generic=["all"], limit=5, seed=seed)]
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 5 and set(drawn[0]) <= every
    function = {m.id for m in choose_by(ground.tree, generic=["core.s:schedule_pick"])}
    assert function < every and all(":schedule_pick:" in name for name in function)
    folder = choose_by(ground.tree, generic=["guest/cpu"])
    assert folder == choose_by(ground.tree, generic=["cpu/"])
    files = {m.files[0] for m in folder}
    assert {"guest/cpu/lock.s", "guest/cpu/ipi.s"} < files
    assert all(file.startswith("guest/cpu/") for file in files)
    one = min(function)
    assert [m.id for m in choose_by(ground.tree, only=[one, "M01"])] == [one, "M01"]
    assert choose_by(ground.tree) == sample(ground.tree)
