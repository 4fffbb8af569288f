"""``harness mutate``: changes the guest, one thing at a time, and shows what notices it."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.measure import Measurement

from harness.coverage.collect import CoverageError, map_of
from harness.coverage.progress import meter
from harness.mutate.boots import boots
from harness.mutate.campaign import CampaignError, Outcome, Plan, campaign, observe
from harness.mutate.generic import mutants_of
from harness.mutate.matrix import as_json, explanations, summary, table
from harness.mutate.mutant import Mutant, MutationError
from harness.mutate.sample import sample
from harness.mutate.tree import Tree
from harness.mutate.trial import Status
from harness.toolchain.build import ROOT, BuildError
from harness.workload import WorkloadError

SURVIVORS, BAD_INPUT, BAD_ENVIRONMENT, INTERRUPTED = 1, 2, 3, 130
POLICY_FOLDERS = {"o1": "guest/sched", "veridian": "guest/veridian"}

_WIDEST = 1000

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def mutate(
    use_sample: Annotated[
        bool, typer.Option("--sample", help="The classic mistakes (default without --generic).")
    ] = False,
    generic: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[:FUNCTION]|FOLDER",
            help="Small changes all over a source, such as core.s or core.s:schedule_pick, over "
            "a folder, such as guest/cpu, or over `all` of the policy's; repeat.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this mutant; repeat.")
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List them, boot nothing.")] = False,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="At most N of them, drawn by --seed.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="Seed of the draw.")] = 1,
    policy: Annotated[str, typer.Option(help="o1 or veridian.")] = "o1",
    budget: Annotated[
        float, typer.Option(metavar="MIN", help="Minutes after which no boot starts.")
    ] = 60.0,
    most_boots: Annotated[
        int | None,
        typer.Option(
            "--boots", metavar="N", help="At most N boots of a mutant, the most promising."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", "-j", metavar="N", help="Mutants at the same time.")
    ] = os.cpu_count() or 1,
    unchecked: Annotated[
        bool,
        typer.Option("--unchecked", help="Without the guest's own checks: only host rules notice."),
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Boot on after the first kill, to see all that notice.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the results; - for stdout.")
    ] = None,
    source: Annotated[
        Path, typer.Option("--source", metavar="DIR", help="Project whose guest is changed.")
    ] = ROOT,
) -> None:
    """Change the guest, one thing at a time, boot what reaches the change, show what notices it.

    A kill is a boot that does not pass. Results are kept in build/mutate under what they depend
    on, so a campaign that was interrupted goes on where it was.

    Exit status: 0 all are killed (or equivalent, or not reached); 1 some survived or were not
    decided in time, or a boot fails without any change; 2 bad usage; 3 the guest does not build or
    no boot passes; 130 Ctrl-C.
    """
    plan = Plan(workers, not unchecked, full, most_boots, time.monotonic() + 60 * budget)
    outcomes: list[Outcome] = []
    complete, stopped = True, False
    try:
        tree = Tree.of(source)
        mutants = choose(tree, use_sample, generic or [], policy, only or [], limit, seed)
        if show_list:
            for mutant in mutants:
                _out.print(f"{mutant.id}: {mutant.words}", markup=False, soft_wrap=True)
            return
        try:
            complete = run(tree, mutants, policy, plan, outcomes)
        except KeyboardInterrupt:
            stopped = True
    except (MutationError, WorkloadError, FileNotFoundError) as error:
        _stop(str(error), BAD_INPUT)
    except (BuildError, CampaignError, CoverageError) as error:
        _stop(str(error), BAD_ENVIRONMENT)
    show(outcomes, json_file)
    if stopped:
        _stop("interrupted; what was found is above, and kept", INTERRUPTED)
    failed = any(o.status in (Status.SURVIVED, Status.UNDECIDED) for o in outcomes)
    raise typer.Exit(SURVIVORS if failed or not complete else 0)


def choose(
    tree: Tree,
    use_sample: bool,
    generic: Sequence[str],
    policy: str,
    only: Sequence[str],
    limit: int | None,
    seed: int,
) -> list[Mutant]:
    """The mutants that the options name. Raises MutationError."""
    if policy not in POLICY_FOLDERS:
        raise MutationError(f"there is no policy {policy!r}, only {', '.join(POLICY_FOLDERS)}")
    mutants = sample(tree, policy) if use_sample or not (generic or only) else []
    folder = POLICY_FOLDERS[policy]
    for item in generic:
        mutants += _generic(tree, folder, item)
    for name in only:
        mutants += _named(tree, policy, name)
    mutants = list({mutant.id: mutant for mutant in mutants}.values())
    if limit is not None and limit < len(mutants):
        mutants = random.Random(seed).sample(mutants, limit)
    return mutants


def _generic(tree: Tree, folder: str, item: str) -> list[Mutant]:
    name, _, function = item.partition(":")
    files = tree.sources(folder) if name == "all" else _files(tree, folder, name)
    found = [m for file in files for m in mutants_of(file, tree.read(file), function or None)]
    if not found:
        raise MutationError(f"--generic {item}: nothing there that can be changed")
    return found


def _files(tree: Tree, folder: str, name: str) -> list[str]:
    """The source of that name, or all below the folder of that name."""
    known = tree.sources()
    for path in (name.rstrip("/"), f"guest/{name.rstrip('/')}", f"{folder}/{name}"):
        found = [file for file in known if file == path or file.startswith(f"{path}/")]
        if found:
            return found
    raise MutationError(f"the guest has no source and no folder {name!r}")


def _named(tree: Tree, policy: str, name: str) -> list[Mutant]:
    file = name.partition(":")[0]
    folder = POLICY_FOLDERS[policy]
    pool = _generic(tree, folder, file) if ":" in name else sample(tree, policy)
    found = [mutant for mutant in pool if mutant.id == name]
    if not found:
        raise MutationError(f"there is no mutant {name!r}; --list shows them")
    return found


def run(
    tree: Tree, mutants: Sequence[Mutant], policy: str, plan: Plan, outcomes: list[Outcome]
) -> bool:
    """Fills ``outcomes``, so that what was found before an interruption is there; whether every
    boot passes without any change."""
    chosen = boots(policy)
    with meter(_err, "unchanged guest", len(chosen)) as progress:
        runs = observe(tree, chosen, plan, progress)
    image = tree.build(plan.folder / tree.name, checked=plan.checked)
    code = map_of(image, tree.path).lines
    with meter(_err, "mutants", len(mutants)) as progress:
        for outcome in campaign(tree, mutants, runs, code, plan):
            outcomes.append(outcome)
            progress.step(outcome.mutant.id)
            if outcome.status in (Status.SURVIVED, Status.UNDECIDED):
                progress.say(f"{outcome.status}: {outcome.mutant.id}: {outcome.mutant.words}")
    return len(runs) == len(chosen)


def show(outcomes: Sequence[Outcome], json_file: Path | None) -> None:
    """The matrix, on standard output or as JSON."""
    text = json.dumps(as_json(outcomes), indent=1)
    if json_file is not None and str(json_file) == "-":
        sys.stdout.write(f"{text}\n")
        return
    if json_file is not None:
        json_file.write_text(text)
    matrix = table(outcomes)
    # Wider than the terminal rather than folded: a column is a rule.
    needed = Measurement.get(_out, _out.options.update(max_width=_WIDEST), matrix).maximum
    _out.print(matrix, width=max(needed, _out.width), crop=False, soft_wrap=True)
    for line in explanations(outcomes):
        _out.print(line, markup=False, soft_wrap=True)
    _out.print(summary(outcomes), style="bold", soft_wrap=True)


def _stop(message: str, status: int) -> NoReturn:
    _err.print(f"harness: {message}", markup=False, soft_wrap=True)
    raise typer.Exit(status)
