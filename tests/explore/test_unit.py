"""Tier unicorn: the guest's own code holds, and planted races are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest

from harness.explore.mutants import RACES, Race
from harness.explore.scenarios import SCENARIOS, Scenario, scenario
from harness.explore.seed import Seed
from harness.explore.unit import Bench
from harness.toolchain.image import Image

RANDOM_RUNS = 400


def random_seeds() -> Iterator[Seed]:
    for number in range(RANDOM_RUNS):
        yield Seed.parse(f"unicorn:pct:3:200:{number}")
        yield Seed.parse(f"unicorn:yield:5:0:{number}")


@pytest.mark.parametrize("given", SCENARIOS, ids=lambda each: each.name)
def test_preempted_anywhere_the_guest_is_right(image: Image, given: Scenario) -> None:
    bench = Bench(image, given)
    seeds = [*bench.every_preemption(), *random_seeds()]
    assert len(seeds) > 2 * RANDOM_RUNS
    broken = {str(seed): run.broken for seed in seeds if (run := bench.replay(seed)).broken}
    assert not broken


@pytest.mark.parametrize("text", ["unicorn:pct:3:200:7", "unicorn:yield:5:0:7"])
def test_a_seed_gives_the_same_run(image: Image, text: str) -> None:
    seed, given = Seed.parse(text), scenario("ping-pong")
    bench = Bench(image, given)
    first = bench.replay(seed)
    bytes_after = bench.world.state_bytes()
    bench.replay(Seed.parse("unicorn:yield:3:0:99"))
    assert bench.replay(seed) == first
    assert bench.world.state_bytes() == bytes_after
    assert Bench(image, given).replay(seed) == first


def test_different_seeds_differ(image: Image) -> None:
    bench = Bench(image, scenario("ping-pong"))
    runs = {bench.replay(Seed.parse(f"unicorn:yield:5:0:{number}")).steps for number in range(20)}
    assert len(runs) > 3


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
def test_a_planted_race_is_found(race: Race, planted: Callable[[str], Path]) -> None:
    with Image(planted(race.name)) as image:
        bench = Bench(image, scenario(race.scenario))
        seeds = chain(bench.every_preemption(), random_seeds())
        found = next((seed for seed in seeds if bench.replay(seed).broken), None)
        assert found is not None
        assert Bench(image, scenario(race.scenario)).replay(found).broken
