"""``harness explore``: looks for races, or shows one again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from harness.explore.seed import Engine, Seed, SeedError
from harness.machine import ConfigError
from harness.machine.probe import QemuMissingError
from harness.toolchain.build import BuildError
from harness.workload import WorkloadError

if TYPE_CHECKING:
    from harness.explore.findings import Options

BAD_INPUT, BAD_ENVIRONMENT = 2, 3

_err = Console(stderr=True, highlight=False)


def explore_command(
    runs: Annotated[int, typer.Option(metavar="N", min=1, help="Boots of the campaign.")] = 60,
    tier: Annotated[
        list[Engine] | None, typer.Option(help="Only this tier; repeat.", show_default=False)
    ] = None,
    workload: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What the tasks do, in place of a short mixture of everything.",
            show_default=False,
        ),
    ] = None,
    ticks: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="End each run after N ticks.", show_default=False),
    ] = None,
    policy: Annotated[str, typer.Option(help="Scheduling policy.")] = "o1",
    cpus: Annotated[int, typer.Option(metavar="N", min=1, max=255, help="CPUs.")] = 2,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Where the seeds begin.")] = 1,
    replay: Annotated[
        str | None,
        typer.Option(
            metavar="SEED", help="Show one run again, in place of a campaign.", show_default=False
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Only this scenario of tier unicorn.", show_default=False
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Kernel instead of this project's.", exists=True, dir_okay=False
        ),
    ] = None,
    checked: Annotated[
        bool, typer.Option("--checked", help="Use the guest that checks itself at every unlock.")
    ] = False,
    shrink: Annotated[int, typer.Option(metavar="N", help="Runs to shrink a finding.")] = 40,
) -> None:
    """Look for races: the same tasks under many interleavings, each of which a seed repeats.

    Tiers: unicorn (the scheduler's code alone, every preemption), plugin (the whole machine, an
    instruction at a time), points (delays at locks, in the guest), stress (real concurrency).
    Exit status: 0 nothing found, 1 something found, 2 bad usage, 3 no QEMU or no build.
    """
    # Unicorn and Capstone take long to load; no other command needs them.
    from harness.boot import default_image
    from harness.explore import session
    from harness.explore.boots import ExploreError, Subject
    from harness.explore.campaign import FOLDER, Campaign
    from harness.explore.scenarios import SCENARIOS
    from harness.machine.plugin import PluginMissingError

    if image is not None and checked:
        _stop("--checked is about this project's kernel: leave it out with --image", BAD_INPUT)
    tiers = tuple(tier or Engine)
    options = _options(workload, ticks, policy, cpus, image, checked)
    try:
        seed_again = None if replay is None else Seed.parse(replay)
        chosen = session.workload_of(workload, ticks, cpus)
        path = image or default_image(checked=checked)
        subject = Subject(path.resolve(), chosen, cpus, policy, session.accelerator(tiers))
        if seed_again is not None:
            raise typer.Exit(session.replay(subject, seed_again, scenario))
        scenarios = SCENARIOS if scenario is None else (session.find_scenario(scenario),)
        campaign = Campaign(subject, options, runs, seed, tiers, scenarios, FOLDER, shrink)
        raise typer.Exit(session.run_campaign(campaign))
    except (SeedError, WorkloadError, ConfigError, session.ScenarioError) as error:
        _stop(str(error), BAD_INPUT)
    except (BuildError, ExploreError, PluginMissingError, QemuMissingError) as error:
        _stop(str(error), BAD_ENVIRONMENT)


def _stop(message: str, status: int) -> NoReturn:
    _err.print(f"harness: {message}", markup=False, soft_wrap=True)
    raise typer.Exit(status)


def _options(
    workload: str | None,
    ticks: int | None,
    policy: str,
    cpus: int,
    image: Path | None,
    checked: bool,
) -> Options:
    given = (
        ("--workload", workload),
        ("--ticks", ticks),
        ("--policy", None if policy == "o1" else policy),
        ("--cpus", cpus),
        ("--image", image),
    )
    chosen = [(name, str(value)) for name, value in given if value is not None]
    return (*chosen, *([("--checked",)] if checked else []))
