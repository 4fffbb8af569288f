"""Counts the runs that it takes to find each planted race, by tier and algorithm.

    python -m tests.bench.explore [--boots N] [--ticks N] [--schedules N] [RACE...]

A cell is the number of the first run that shows the race, `-` where none of them does. Takes half
an hour for all races at the defaults; `--schedules 0` leaves tier unicorn out, `--boots 0` the
others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.explore.boots import Subject, boot_once
from harness.explore.mutants import RACES, Race
from harness.explore.scenarios import scenario
from harness.explore.seed import Seed
from harness.explore.session import workload_of
from harness.explore.unit import Bench
from harness.toolchain.image import Image

CPUS = 2
UNIT = {
    "pct 2": "unicorn:pct:2:{length}:{number}",
    "pct 3": "unicorn:pct:3:{length}:{number}",
    "pct 5": "unicorn:pct:5:{length}:{number}",
    "walk 5": "unicorn:yield:5:0:{number}",
    "walk 20": "unicorn:yield:20:0:{number}",
    "plain": "unicorn:plain:0:0:{number}",
}
BOOT = {
    "plugin yield 50": "plugin:yield:50:0:{number}",
    "plugin pct 2": "plugin:pct:2:{length}:{number}",
    "plugin pct 3": "plugin:pct:3:{length}:{number}",
    "plugin pct 5": "plugin:pct:5:{length}:{number}",
    "points yield 16": "points:yield:16:0:{number}",
    "points yield 4": "points:yield:4:0:{number}",
    "points delay 16": "points:delay:16:0:{number}",
    "stress delay 16": "stress:delay:16:0:{number}",
    "stress plain": "stress:plain:0:0:{number}",
    "plain": "points:plain:0:0:{number}",
}


def first(seeds: Iterable[Seed], shows: Callable[[Seed], bool]) -> int | None:
    """The number, from 1, of the first seed that shows it."""
    return next((number for number, seed in enumerate(seeds, 1) if shows(seed)), None)


def seeds(pattern: str, length: int, count: int) -> Iterator[Seed]:
    """Seeds 1, 2, ... of a pattern."""
    for number in range(1, count + 1):
        yield Seed.parse(pattern.format(length=length, number=number))


def units(race: Race, image: Path, count: int) -> list[int | None]:
    """Tier unicorn: every single preemption, then each of UNIT."""
    with Image(image) as opened:
        bench = Bench(opened, scenario(race.scenario))

        def shows(seed: Seed) -> bool:
            return bool(bench.replay(seed).broken)

        length = bench.replay(Seed.parse("unicorn:plain:0:0:0")).steps
        found = [first(bench.every_preemption(), shows)]
        return found + [first(seeds(each, length, count), shows) for each in UNIT.values()]


def boots(race: Race, image: Path, count: int, ticks: int) -> list[int | None]:
    """The other tiers, each of BOOT, with the race's workload on two CPUs."""
    subject = Subject(image, workload_of(race.workload, ticks, CPUS))

    def shows(seed: Seed) -> bool:
        return bool(boot_once(subject, seed).broken)

    length = boot_once(subject, Seed.parse("plugin:plain:0:0:1")).steps or 100_000
    return [
        # Nothing changes between two plain runs under the virtual clock.
        first(seeds(each, length, 1 if name == "plain" else count), shows)
        for name, each in BOOT.items()
    ]


def table(title: str, columns: Sequence[str]) -> Table:
    """An empty table of one row a race."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("race")
    for column in columns:
        shown.add_column(column, justify="right")
    return shown


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boots", type=int, default=8)
    parser.add_argument("--ticks", type=int, default=150)
    parser.add_argument("--schedules", type=int, default=2000)
    parser.add_argument("races", nargs="*", metavar="RACE")
    options = parser.parse_args()
    chosen = [race for race in RACES if not options.races or race.name in options.races]
    unit = table(f"Runs to the first finding, of {options.schedules}", ["every preemption", *UNIT])
    boot = table(f"Runs to the first finding, of {options.boots} boots", list(BOOT))
    for race in chosen:
        image = race.build()
        if options.schedules:
            _add(unit, race, units(race, image, options.schedules))
        if options.boots:
            _add(boot, race, boots(race, image, options.boots, options.ticks))
    console = Console(width=160)
    if options.schedules:
        console.print(unit)
    if options.boots:
        console.print(boot)
    return 0


def _add(shown: Table, race: Race, found: list[int | None]) -> None:
    """A row of the table, and on stderr at once."""
    cells = [race.name, *("-" if run is None else str(run) for run in found)]
    shown.add_row(*cells)
    print(" ".join(cells), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
