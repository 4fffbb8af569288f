"""What a boot costs, as ratios of the same run: python -m tests.bench.boot [--rounds N]

Three guests (one that exits at its first instructions, the project's own without its self-tests,
the same with them), and for each three times, all taken in turn, so that the host's other work
touches them alike; medians count.

    QEMU alone   the bare process, its output thrown away; for the first guest this is the floor
    verdict      from the call of boot() until its verdict is there
    test         one whole test that boots the guest by the fixture and looks at the outcome
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from harness.boot import Run, boot, default_image
from harness.machine import Clock, MachineConfig
from harness.oracle.outcome import Outcome
from tests.machine.guests import build

CPUS = 4
VERDICT_GOAL = 3.0
"""Boot to verdict, at most, as a multiple of the floor."""
OVERHEAD_GOAL_MS = 30.0
"""What a test adds, at most, to the bare QEMU process."""

EXITS, BOOTS, TESTS = "exits at once", "boots", "boots, tests itself"
PARAMS: Mapping[str, Mapping[str, Any]] = {
    EXITS: {},
    BOOTS: {"selftest": "none"},
    TESTS: {"selftest": "all"},
}

_TEST = """
import pytest

@pytest.mark.parametrize("clock", ["virtual", "real"])
@pytest.mark.parametrize("guest", {guests})
@pytest.mark.parametrize("round", range({rounds}))
def test_boot(boot, bench, guest, clock, round):
    bench.start(boot, guest, clock).outcome
"""


class Bench:
    """A pytest plugin: times each test, and the other two times between tests."""

    def __init__(self, floor_image: Path) -> None:
        self.seconds: defaultdict[tuple[str, str, Clock], list[float]] = defaultdict(list)
        self._images = {EXITS: floor_image, BOOTS: default_image(), TESTS: default_image()}

    @pytest.fixture
    def bench(self) -> Bench:
        """This object, for the test."""
        return self

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Function) -> Generator[None, object, object]:
        """Time a test from its setup to its report."""
        guest, clock = str(item.callspec.params["guest"]), Clock(item.callspec.params["clock"])
        self.seconds["alone", guest, clock].append(self.qemu_alone(guest, clock))
        self.seconds["verdict", guest, clock].append(self.to_verdict(guest, clock))
        start = time.perf_counter()
        result = yield
        self.seconds["test", guest, clock].append(time.perf_counter() - start)
        return result

    def start(self, how: Callable[..., Run], guest: str, clock: Clock | str) -> Run:
        """Start a guest by boot() or by the fixture of that name."""
        return how(self._images[guest], cpus=CPUS, clock=clock, **PARAMS[guest])

    def qemu_alone(self, guest: str, clock: Clock) -> float:
        """Seconds from the start of QEMU to its end, without anything of the harness."""
        config = MachineConfig(self._images[guest], cpus=CPUS, clock=clock, params=PARAMS[guest])
        command = config.command()
        nothing = subprocess.DEVNULL
        start = time.perf_counter()
        subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, check=False)
        return time.perf_counter() - start

    def to_verdict(self, guest: str, clock: Clock) -> float:
        """Seconds from the call of boot() to a verdict. Raises RuntimeError for a wrong one."""
        start = time.perf_counter()
        run = self.start(boot, guest, clock)
        outcome = run.outcome
        seconds = time.perf_counter() - start
        if outcome is not (Outcome.LOST_LOG if guest == EXITS else Outcome.PASS):
            raise RuntimeError(f"a guest that {guest} gives {run.verdict}; see make test")
        return seconds

    def median(self, name: str, guest: str, clock: Clock) -> float:
        """Seconds."""
        return statistics.median(self.seconds[name, guest, clock])


def measure(rounds: int) -> Bench:
    """Take all times so often. Raises RuntimeError when a boot goes wrong."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(build("exit", Path(folder)))
        test = Path(folder) / "test_boot.py"
        test.write_text(_TEST.format(rounds=rounds, guests=[*PARAMS]))
        quiet = ["-p", "no:terminal", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir"]
        status = pytest.main([*quiet, folder, str(test)], plugins=[bench])
    if status != 0:
        raise RuntimeError(f"pytest ended with {status!r}; see make test")
    return bench


def table(bench: Bench) -> Table:
    """One row for each guest and clock."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("clock", "guest"):
        shown.add_column(heading)
    for heading in ("QEMU alone", "verdict", "of the floor", "test", "more than QEMU"):
        shown.add_column(heading, justify="right")
    for clock in Clock:
        floor = bench.median("alone", EXITS, clock)
        for guest in PARAMS:
            alone, verdict, test = (
                bench.median(name, guest, clock) for name in ("alone", "verdict", "test")
            )
            shown.add_row(
                clock.value,
                guest,
                *(f"{seconds * 1000:.0f} ms" for seconds in (alone, verdict)),
                f"{verdict / floor:.1f} x",
                f"{test * 1000:.0f} ms",
                f"{(test - alone) * 1000:+.0f} ms",
            )
    return shown


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.boot")
    parser.add_argument("--rounds", type=int, default=15, help="times each is taken (default: 15)")
    rounds = parser.parse_args(arguments).rounds
    bench = measure(rounds)
    console = Console(highlight=False, width=100)
    console.print(f"{CPUS} CPUs, medians of {rounds} rounds")
    console.print(table(bench))
    console.print(f"goals: {VERDICT_GOAL:g} x the floor, +{OVERHEAD_GOAL_MS:g} ms for a test")


if __name__ == "__main__":
    main()
