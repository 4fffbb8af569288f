"""Mutants against boots: which boots reach which mutant, and what came of each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.coverage.collect import BootLines, collect
from harness.coverage.pool import Crash, Pool
from harness.coverage.progress import Meter
from harness.coverage.scenario import Scenario
from harness.mutate.equivalent import EQUIVALENT
from harness.mutate.mutant import Mutant
from harness.mutate.tree import FOLDER, Tree
from harness.mutate.trial import HANDLER, Boot, Job, Status, boot_from_json, function_of, limit

_START_SECONDS = 0.5
"""What a boot costs however short it is, the judge's time included."""


class CampaignError(Exception):
    """A campaign that makes no sense: the guest fails without any change."""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant, in which boots, and why where no boot says it."""

    mutant: Mutant
    status: Status
    boots: tuple[Boot, ...] = ()
    reason: str = ""

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that noticed it."""
        return tuple(dict.fromkeys(rule for boot in self.boots for rule in boot.rules))

    @property
    def killer(self) -> Boot | None:
        """The first boot in which a rule noticed it."""
        return next((boot for boot in self.boots if boot.killed), None)


@dataclass(frozen=True)
class Plan:
    """How a campaign is run. ``until`` is a moment of the monotonic clock."""

    workers: int = 1
    checked: bool = True
    to_the_end: bool = False
    most_boots: int | None = None
    """Boots of a mutant at most, the most promising that reach it."""
    until: float = float("inf")
    folder: Path = FOLDER


def observe(
    tree: Tree, scenarios: Sequence[Scenario], plan: Plan, progress: Meter
) -> list[BootLines]:
    """Boots the unchanged guest: what each boot executes, cheapest first.

    A boot that does not pass can show nothing about a mutant: it is left out, and said. Raises
    CampaignError where none passes, CoverageError, BuildError.
    """
    image = tree.build(plan.folder / tree.name, checked=plan.checked)
    runs = []
    where = plan.folder / "coverage"
    for run in collect(image, tree.path, scenarios, workers=plan.workers, folder=where):
        progress.step(run.scenario.name)
        if run.passed:
            runs.append(run)
        else:
            words = f"{run.scenario.name} fails without any change: {run.outcome}: {run.reason}"
            progress.say(f"left out: {words}")
    if not runs:
        raise CampaignError("no boot passes without any change")
    return sorted(runs, key=lambda run: run.cpu_seconds)


def reaching(mutant: Mutant, runs: Sequence[BootLines], code: Mapping[str, set[int]]) -> list[int]:
    """Which runs execute a line that the mutant changes, the most promising first; all, if it
    changes no code but data. ``code`` has the lines with code of each file."""
    changed = [(e.file, line) for e in mutant.edits for line in e.lines]
    coded = [(file, line) for file, line in changed if line in code.get(file, ())]
    reached = [
        number
        for number, run in enumerate(runs)
        if not coded or any(line in run.lines.get(file, ()) for file, line in coded)
    ]
    return _varied(mutant, runs, reached)


def _varied(mutant: Mutant, runs: Sequence[BootLines], reached: Sequence[int]) -> list[int]:
    """By merit, and no two of a kind one after the other: what a machine does not tell apart,
    others like it do not either. Self-tests come last: what they notice has no name."""
    left, order, seen = set(reached), [], set[object]()
    while left:
        best = max(left, key=lambda n: _merit(mutant, runs[n], seen))
        left.remove(best)
        order.append(best)
        seen |= _traits(runs[best].scenario)
    return order


def _traits(scenario: Scenario) -> set[object]:
    """What sets a boot apart from others."""
    parts = (scenario.cpus, scenario.clock, scenario.hz, scenario.topology, scenario.machine)
    return {scenario.workload, *enumerate((*parts, scenario.cpu_model, scenario.params))}


def _merit(mutant: Mutant, run: BootLines, seen: set[object]) -> tuple[bool, float, float]:
    """How much a boot promises: it goes through much of the changed sources, costs little, and
    differs from those that come before."""
    lines = sum(len(run.lines.get(file, ())) for file in mutant.files)
    new = len(_traits(run.scenario) - seen) if seen else 1
    promise = (0.2 + new) * lines**2 / (run.cpu_seconds + _START_SECONDS)
    return run.scenario.workload is not None, promise, -run.cpu_seconds


def campaign(
    tree: Tree,
    mutants: Sequence[Mutant],
    runs: Sequence[BootLines],
    code: Mapping[str, set[int]],
    plan: Plan,
) -> Iterator[Outcome]:
    """What becomes of each mutant, in the order in which that is known."""
    by_id = {mutant.id: mutant for mutant in mutants}
    jobs = []
    for mutant in mutants:
        numbers = reaching(mutant, runs, code)
        if mutant.id in EQUIVALENT:
            yield Outcome(mutant, Status.EQUIVALENT, reason=EQUIVALENT[mutant.id])
        elif not numbers and function_of(mutant) is None:
            yield Outcome(mutant, Status.NOT_REACHED)
        else:
            boots = tuple(_boot(mutant, runs[n]) for n in numbers[: plan.most_boots])
            jobs.append(
                Job(
                    tree.path, mutant, boots, plan.checked, plan.to_the_end, plan.until, plan.folder
                )
            )
    with Pool(HANDLER, min(plan.workers, len(jobs))) as pool:
        for job, answer in pool.run(_in_time(jobs, plan.until)):
            mutant = by_id.pop(job["mutant"]["id"])
            if isinstance(answer, Crash):
                yield Outcome(mutant, Status.UNDECIDED, reason=answer.words)
            else:
                boots_made = tuple(boot_from_json(boot) for boot in answer["boots"])
                yield Outcome(mutant, Status(answer["status"]), boots_made, answer["reason"])
    for job_left in jobs:
        left = by_id.pop(job_left.mutant.id, None)
        if left is not None:
            yield Outcome(left, Status.UNDECIDED, reason="the time was over")


def _boot(mutant: Mutant, run: BootLines) -> tuple[Scenario, float]:
    """What to boot, and how long at most."""
    params = run.scenario.params + mutant.params
    return replace(run.scenario, params=params), limit(run.cpu_seconds)


def _in_time(jobs: Sequence[Job], until: float) -> Iterator[dict[str, object]]:
    for job in jobs:
        if time.monotonic() > until:
            return
        yield job.as_json()
