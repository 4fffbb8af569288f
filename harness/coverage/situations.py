"""What the situations of `harness explore` execute in Unicorn, exactly and for each CPU."""

from __future__ import annotations

from harness.coverage.codemap import CodeMap, LineCounts
from harness.explore.scenarios import Scenario
from harness.explore.unit import Bench
from harness.toolchain.image import Image


def situation_counts(
    image: Image, code: CodeMap, scenario: Scenario
) -> tuple[list[LineCounts], str]:
    """What each CPU executed in all schedules with one preemption, and what the first of them that
    went wrong showed, or nothing."""
    bench, wrong = Bench(image, scenario), ""
    counts = bench.smp.count(code.text)
    for seed in bench.every_preemption():
        for broken in bench.replay(seed).broken:
            wrong = wrong or f"{seed}: {broken.rule} in {broken.place}: {broken.words}"
    return [code.counted(each) for each in counts], wrong
