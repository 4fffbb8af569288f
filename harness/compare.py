"""``harness compare``: one workload under several policies, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from harness.boot import boot
from harness.machine import Clock, ConfigError
from harness.report.comparison import Figures, comparison_table, figures
from harness.toolchain.build import BuildError
from harness.workload import Workload, WorkloadError, fold_cpus, load

POLICIES = ("o1", "veridian")

NOT_PASSED, BAD_INPUT, BAD_ENVIRONMENT = 1, 2, 3

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def compare(
    workload: str | Path | Workload,
    *,
    policies: Sequence[str] = POLICIES,
    cpus: int = 4,
    clock: Clock | str = Clock.VIRTUAL,
    seed: int = 1,
    hz: int = 1000,
    timeout: float = 300.0,
) -> list[Figures]:
    """Boot the workload under each policy, folded onto fewer CPUs where it has to be.

    Every run is judged as by :func:`harness.boot.boot`; its outcome is among its figures. Raises
    what that raises, and ``ValueError`` for a run that ended before it said who it is.
    """
    described = workload if isinstance(workload, Workload) else load(workload)
    found = []
    for policy in policies:
        run = boot(
            workload=fold_cpus(described, cpus),
            cpus=cpus,
            clock=clock,
            seed=seed,
            timeout=timeout,
            quiet=timeout,
            hz=hz,
            policy=policy,
        )
        with run:
            found.append(figures(run.trace, run.outcome.value))
    return found


def compare_command(
    workload: Annotated[
        str,
        typer.Argument(
            metavar="WORKLOAD", help="A name (`harness workloads` lists them), or a file."
        ),
    ],
    cpus: Annotated[
        int, typer.Option("--cpus", "--smp", metavar="N", min=1, max=64, help="CPUs.")
    ] = 4,
    clock: Annotated[Clock, typer.Option(help="As for `run`.")] = Clock.VIRTUAL,
    seed: Annotated[int, typer.Option(metavar="N", help="As for `run`.")] = 1,
    policy: Annotated[
        list[str] | None,
        typer.Option(metavar="P", help="Policy to compare, o1 and veridian by default; repeat."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="S", help="End each run after S seconds.")
    ] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Run the same workload under both policies and compare what came of it.

    work: ticks that found a task running. runs: turns of tasks on CPUs. wait: from being queued to
    running. fairness: Jain's index over the ticks of equal tasks, instances or forks of one name, 1
    is even; the least of all groups. migrations: turns that begin on another CPU than the last one.
    idle: ticks on which a CPU idled while tasks waited.

    Exit status: 0; 1 a run did not pass; 2 bad input; 3 the guest does not build.
    """
    try:
        found = compare(
            workload,
            policies=policy or POLICIES,
            cpus=cpus,
            clock=clock,
            seed=seed,
            timeout=timeout,
        )
    except BuildError as error:
        _stop(f"the guest does not build:\n{error}", BAD_ENVIRONMENT)
    except (ConfigError, WorkloadError) as error:
        _stop(str(error), BAD_INPUT)
    except ValueError as error:
        _stop(f"a run cannot be compared: {error}", NOT_PASSED)
    if as_json:
        typer.echo(json.dumps([run.as_json() for run in found], indent=2))
    else:
        _out.print(comparison_table(found))
    raise typer.Exit(0 if all(run.outcome == "pass" for run in found) else NOT_PASSED)


def _stop(message: str, status: int) -> NoReturn:
    _err.print(f"harness: {message}", markup=False, soft_wrap=True)
    raise typer.Exit(status)
