"""``harness coverage``: which lines of the guest a set of boots executes."""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from harness.boot import default_image
from harness.coverage.codemap import CodeMap
from harness.coverage.collect import CoverageError, collect, map_of
from harness.coverage.counter import find_counter
from harness.coverage.lcov import lcov
from harness.coverage.listing import missed, summary, write_listings
from harness.coverage.progress import meter
from harness.coverage.record import FileCoverage, below, counted, merged, percentage
from harness.coverage.scenario import Scenario, of_workloads, standard
from harness.machine.plugin import PluginMissingError
from harness.toolchain.build import ROOT, BuildError
from harness.toolchain.image import Image
from harness.workload import WorkloadError

FOLDERS = {"o1": "guest/sched", "veridian": "guest/veridian"}
"""Where a policy's own code is."""


class Method(enum.StrEnum):
    """What tells which lines ran."""

    LOG = "log"
    PLUGIN = "plugin"
    UNICORN = "unicorn"


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
    by: Annotated[Method, typer.Option(help="What tells which lines ran; see above.")] = Method.LOG,
    workers: Annotated[
        int, typer.Option("--workers", "-j", metavar="N", help="Boots at the same time.")
    ] = os.cpu_count() or 1,
    at_least: Annotated[
        float, typer.Option(metavar="PERCENT", help="Fail if a folder has less.")
    ] = 0.0,
) -> None:
    """Boot workloads and show which lines of the guest's assembly they execute.

    By `log`, QEMU's translation log (default): needs nothing, costs next to nothing, counts boots.
    By `plugin`: exact counts of what each CPU executes; needs a C compiler. By `unicorn`: exact,
    too, of the situations of `harness explore` under every single preemption, in place of boots.

    Writes coverage.info (lcov) and every source with counts into the output folder. Boots of an
    image that were seen before are not repeated.

    Exit status: 0; 1 a boot did not pass, or less is covered than --at-least; 2 bad input; 3 the
    guest does not build, QEMU does not start, or the plugin cannot serve.
    """
    try:
        policies = _policies(policy, by, workloads)
        image = default_image()
        code = map_of(image, ROOT)
        if by is Method.UNICORN:
            files, failures = _situations(image, code)
        else:
            files, failures = _boots(image, code, _chosen(policies, workloads), by, workers)
    except BuildError as error:
        _stop(f"the guest does not build:\n{error}", BAD_ENVIRONMENT)
    except (CoverageError, PluginMissingError) as error:
        _stop(str(error), BAD_ENVIRONMENT)
    except (WorkloadError, ValueError) as error:
        _stop(str(error), BAD_INPUT)
    lowest = report(files, failures, output, [FOLDERS[name] for name in policies])
    raise typer.Exit(TOO_LOW if lowest < at_least or failures else 0)


def _policies(policy: list[str] | None, by: Method, workloads: list[str] | None) -> list[str]:
    """Those that are meant. Raises ValueError."""
    if by is Method.UNICORN:
        if workloads or policy not in (None, ["o1"]):
            raise ValueError("--by unicorn has situations of its own, of policy o1: name nothing")
        return ["o1"]
    policies = policy or list(FOLDERS)
    if unknown := set(policies) - set(FOLDERS):
        raise ValueError(f"there is no policy {', '.join(sorted(unknown))}")
    return policies


def _chosen(policies: list[str], workloads: list[str] | None) -> list[Scenario]:
    return [
        scenario
        for name in policies
        for scenario in (of_workloads(workloads, name) if workloads else standard(name))
    ]


def _boots(
    image: Path, code: CodeMap, chosen: list[Scenario], by: Method, workers: int
) -> tuple[list[FileCoverage], list[str]]:
    """Coverage by boots, and what did not pass that should have."""
    exact = by is Method.PLUGIN
    if exact:
        find_counter()
    runs = []
    with meter(_err, "boots", len(chosen)) as progress:
        for run in collect(image, ROOT, chosen, workers=workers, exact=exact):
            progress.step(run.scenario.name)
            runs.append(run)
    failures = [
        f"{run.scenario.name} did not pass: {run.outcome}: {run.reason}"
        for run in runs
        if not run.passed and not run.scenario.defective
    ]
    if exact:
        return counted(code, [run.counts for run in runs]), failures
    return merged(code, [run.lines for run in runs]), failures


def _situations(image: Path, code: CodeMap) -> tuple[list[FileCoverage], list[str]]:
    """The same by situations. Unicorn and Capstone take long to load: nobody else needs them."""
    from harness.coverage.situations import situation_counts
    from harness.explore.scenarios import SCENARIOS

    runs, failures = [], []
    with Image(image) as opened, meter(_err, "situations", len(SCENARIOS)) as progress:
        for scenario in SCENARIOS:
            counts, wrong = situation_counts(opened, code, scenario)
            runs.append(counts)
            failures += [f"{scenario.name}: {wrong}"] if wrong else []
            progress.step(scenario.name)
    return counted(code, runs), failures


def report(
    files: list[FileCoverage], failures: list[str], output: Path, folders: list[str]
) -> float:
    """Prints and writes all of it; returns the lowest percentage of one of the folders."""
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
    for words in failures:
        _out.print(words, markup=False, soft_wrap=True)
    _out.print(f"written: {output / 'coverage.info'} and {output}/guest/", soft_wrap=True)
    return min((percentage(group) for _, group in shown), default=100.0)


def _stop(message: str, status: int) -> NoReturn:
    _err.print(f"harness: {message}", markup=False, soft_wrap=True)
    raise typer.Exit(status)


def _name_missed(files: list[FileCoverage]) -> None:
    for file in files:
        for line in missed(file, (ROOT / file.file).read_text()):
            _out.print(str(line), markup=False, soft_wrap=True, style="dim" if line.reason else "")
