"""The figures of a boot can be taken; what they are is for people to read."""

from __future__ import annotations

from rich.console import Console

from harness.machine import Clock
from tests.bench.boot import PARAMS, measure, table


def test_every_guest_and_clock_has_its_row() -> None:
    bench = measure(rounds=1)
    assert all(len(times) == 1 and times[0] > 0 for times in bench.seconds.values())
    assert len(bench.seconds) == 3 * len(PARAMS) * len(Clock)
    console = Console(width=120)
    with console.capture() as shown:
        console.print(table(bench))
    rows = [line.split("  ")[0].strip() for line in shown.get().splitlines() if "ms" in line]
    assert rows == [clock.value for clock in Clock for _ in PARAMS]
