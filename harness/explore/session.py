"""What `harness explore` does: sets up what is to be run, runs it, and says what came of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from harness.explore.boots import Subject, boot_once
from harness.explore.campaign import Campaign
from harness.explore.certificate import ASSUMPTIONS
from harness.explore.scenarios import SCENARIOS, Scenario
from harness.explore.seed import Engine, Seed
from harness.explore.unit import Bench, Broken
from harness.machine.probe import probe_kvm
from harness.toolchain.image import Image
from harness.workload import Workload, fold_cpus, load
from harness.workload.model import Span, Unit

FOUND, INTERRUPTED = 1, 130
DEFAULT_WORKLOAD = Path(__file__).with_name("race.yaml")

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


class ScenarioError(ValueError):
    """There is no such scenario, or none was named; the message says which there are."""


def find_scenario(name: str | None) -> Scenario:
    """The scenario of that name. Raises ScenarioError."""
    for each in SCENARIOS:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in SCENARIOS)
    what = f"there is no scenario {name!r}" if name else "tier unicorn needs --scenario"
    raise ScenarioError(f"{what}: {known}")


def workload_of(name: str | None, ticks: int | None, cpus: int) -> Workload:
    """The named workload, or the default one, for so many CPUs and ticks. Raises WorkloadError."""
    value = fold_cpus(load(name or DEFAULT_WORKLOAD), cpus)
    return value if ticks is None else replace(value, duration=Span(ticks, Unit.TICKS))


def accelerator(tiers: tuple[Engine, ...]) -> str:
    """KVM for tier `stress` where it serves, else TCG."""
    wanted = Engine.STRESS in tiers
    return "kvm" if wanted and Path("/dev/kvm").exists() and probe_kvm().usable else "tcg"


def replay(subject: Subject, seed: Seed, scenario_name: str | None) -> int:
    """Shows one run again; returns the exit status. Raises as boot_once, and ScenarioError."""
    if seed.engine is Engine.UNICORN:
        chosen = find_scenario(scenario_name)
        with Image(subject.image) as opened:
            unit = Bench(opened, chosen).replay(seed)
        _out.print(f"{chosen.name}: {chosen.words}; {unit.steps} steps", markup=False)
        return _show(unit.broken)
    run = boot_once(subject, seed)
    _out.print(f"log {run.digest}, {run.seconds:.2f} s", markup=False)
    return _show(run.broken)


def _show(broken: tuple[Broken, ...]) -> int:
    for each in broken:
        _out.print(f"{each.rule} in {each.place}: {each.words}", markup=False, soft_wrap=True)
    if not broken:
        _out.print("pass: nothing is wrong with this run")
    return FOUND if broken else 0


def run_campaign(campaign: Campaign) -> int:
    """Runs a campaign with a progress bar and reports; returns the exit status."""
    interrupted = False
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=_err, transient=True) as bar:
        task = bar.add_task("starting", total=None, rate="")
        started = time.monotonic()

        def show(what: str, done: int, total: int) -> None:
            seconds = max(time.monotonic() - started, 0.001)
            rate = f"{sum(campaign.done.values()) / seconds:,.0f} runs/s"
            found = f", {len(campaign.book)} found" if len(campaign.book) else ""
            bar.update(task, description=what + found, completed=done, total=total, rate=rate)

        campaign.progress = show
        try:
            campaign.run()
        except KeyboardInterrupt:
            interrupted = True
    _summary(campaign)
    if interrupted:
        _err.print("harness: interrupted; what was found until then stands above", markup=False)
        return INTERRUPTED
    return FOUND if len(campaign.book) else 0


def _summary(campaign: Campaign) -> None:
    for engine, runs in campaign.done.items():
        rate = runs / max(campaign.seconds[engine], 0.001)
        _out.print(f"{engine.value}: {runs} runs, {rate:,.1f} a second", markup=False)
    for engine, reason in campaign.unavailable.items():
        _out.print(f"{engine.value}: unavailable: {reason}", markup=False, soft_wrap=True)
    if len(campaign.book):
        _out.print(f"\n{len(campaign.book)} findings\n{campaign.book.report()}", markup=False,
                   soft_wrap=True)  # fmt: skip
    elif not campaign.certificates:
        _out.print("nothing found", markup=False)
    if campaign.certificates:
        _out.print("\nwhat the clean runs of PCT have earned:", markup=False)
        for certificate in campaign.certificates:
            _out.print(f"  {certificate}", markup=False, soft_wrap=True)
        for words in ASSUMPTIONS:
            _out.print(f"  assumed: {words}", markup=False, soft_wrap=True)
