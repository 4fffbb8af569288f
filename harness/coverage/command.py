"""``harness coverage``: which lines of the guest a set of boots executes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.boot import default_image
from harness.coverage.codemap import CodeMap
from harness.coverage.collect import BootLines, CoverageError, collect, map_of
from harness.coverage.lcov import lcov
from harness.coverage.listing import missed, summary, write_listings
from harness.coverage.progress import meter
from harness.coverage.record import FileCoverage, below, merged, percentage
from harness.coverage.scenario import of_workloads, standard
from harness.toolchain.build import ROOT, BuildError
from harness.workload import WorkloadError

FOLDERS = {"o1": "guest/sched", "veridian": "guest/veridian"}
"""Where a policy's own code is."""
TOO_LOW, BAD_INPUT, BAD_ENVIRONMENT = 1, 2, 3

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def coverage(
    workloads: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORKLOAD]...",
            help="Names or files; `selftest` for the guest's self-tests. Default: all.",
            show_default=False,
        ),
    ] = None,
    policy: Annotated[
        list[str] | None, typer.Option(help="Policy that schedules; repeat. Default: each.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="For reports.")
    ] = ROOT / "build" / "coverage",
    workers: Annotated[
        int, typer.Option("--workers", "-j", metavar="N", help="Boots at the same time.")
    ] = os.cpu_count() or 1,
    at_least: Annotated[
        float, typer.Option(metavar="PERCENT", help="Fail if a folder has less.")
    ] = 0.0,
) -> None:
    """Boot workloads and show which lines of the guest's assembly they execute.

    Writes coverage.info (lcov) and every source with counts into the output folder. Boots of an
    image that were seen before are not repeated.

    Exit status: 0; 1 a boot did not pass, or less is covered than --at-least; 2 bad input; 3 the
    guest does not build or QEMU does not start.
    """
    policies = policy or list(FOLDERS)
    if unknown := set(policies) - set(FOLDERS):
        _err.print(f"harness: there is no policy {', '.join(unknown)}", markup=False)
        raise typer.Exit(BAD_INPUT)
    try:
        image = default_image()
        chosen = [
            scenario
            for name in policies
            for scenario in (of_workloads(workloads, name) if workloads else standard(name))
        ]
        runs = []
        with meter(_err, "boots", len(chosen)) as progress:
            for run in collect(image, ROOT, chosen, workers=workers):
                progress.step(run.scenario.name)
                runs.append(run)
    except BuildError as error:
        _err.print(f"harness: the guest does not build:\n{error}", markup=False)
        raise typer.Exit(BAD_ENVIRONMENT) from None
    except CoverageError as error:
        _err.print(f"harness: {error}", markup=False)
        raise typer.Exit(BAD_ENVIRONMENT) from None
    except (WorkloadError, ValueError) as error:
        _err.print(f"harness: {error}", markup=False)
        raise typer.Exit(BAD_INPUT) from None
    folders = [FOLDERS[name] for name in policies]
    lowest = report(map_of(image, ROOT), runs, output, folders)
    failed = any(not run.passed and not run.scenario.defective for run in runs)
    raise typer.Exit(TOO_LOW if lowest < at_least or failed else 0)


def report(code: CodeMap, runs: list[BootLines], output: Path, folders: list[str]) -> float:
    """Prints and writes all of it; returns the lowest percentage of one of the folders."""
    files = merged(code, [run.lines for run in runs])
    output.mkdir(parents=True, exist_ok=True)
    (output / "coverage.info").write_text(lcov(files, ROOT))
    write_listings(files, ROOT, output)
    groups = [(name, list(below(files, name))) for name in folders]
    shown = [(name, group) for name, group in groups if group]
    rest = [f for f in files if not any(f.file.startswith(name) for name in folders)]
    _out.print(summary(shown))
    for _, group in shown:
        _name_missed(group)
    _out.print(f"the rest of the guest: {percentage(rest):.1f} %")
    for run in runs:
        if not run.passed and not run.scenario.defective:
            words = f"{run.scenario.name} did not pass: {run.outcome}: {run.reason}"
            _out.print(words, markup=False, soft_wrap=True)
    _out.print(f"written: {output / 'coverage.info'} and {output}/guest/", soft_wrap=True)
    return min((percentage(group) for _, group in shown), default=100.0)


def _name_missed(files: list[FileCoverage]) -> None:
    for file in files:
        for line in missed(file, (ROOT / file.file).read_text()):
            _out.print(str(line), markup=False, soft_wrap=True, style="dim" if line.reason else "")
