"""Seeds: the one line of text that names an interleaving, in every tier.

    engine:algorithm:depth:length:seed          pct of the plugin: plugin:pct:3:52000:17

``length`` is the number of steps that the interleaving is chosen over (0: not measured or not
asked), ``seed`` the random generator's start or, for ``preempt``, the number of the schedule.
What ``depth`` means depends on the algorithm:

=========  =====================================================================================
plain      nothing is steered: plain repetition. depth 0
preempt    every schedule with ``depth`` preemptions, by number (Unicorn only)
pct        random priorities with ``depth`` - 1 change points (Burckhardt et al., ASPLOS 2010)
yield      gives way at one step in ``depth`` on average: a random walk
delay      loses time at one race point in ``depth`` on average
=========  =====================================================================================
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeVar

_Kind = TypeVar("_Kind", bound=enum.Enum)
MOST_DEPTH, MOST = 1_000_000, 2**63 - 1


class SeedError(ValueError):
    """A seed that says nothing; the message names the part and what it may be."""


class Engine(enum.Enum):
    """The tiers, from the smallest piece of the guest to the least control over it."""

    UNICORN = "unicorn"
    PLUGIN = "plugin"
    POINTS = "points"
    STRESS = "stress"

    @property
    def repeats(self) -> bool:
        """Whether the same seed gives the same interleaving, always."""
        return self is not Engine.STRESS


class Algorithm(enum.Enum):
    PLAIN = "plain"
    PREEMPT = "preempt"
    PCT = "pct"
    YIELD = "yield"
    DELAY = "delay"


ALGORITHMS: dict[Engine, tuple[Algorithm, ...]] = {
    Engine.UNICORN: (Algorithm.PLAIN, Algorithm.PREEMPT, Algorithm.PCT, Algorithm.YIELD),
    Engine.PLUGIN: (Algorithm.PLAIN, Algorithm.PCT, Algorithm.YIELD),
    Engine.POINTS: (Algorithm.PLAIN, Algorithm.YIELD, Algorithm.DELAY),
    Engine.STRESS: (Algorithm.PLAIN, Algorithm.DELAY),
}
"""What each tier can do."""


@dataclass(frozen=True, order=False)
class Seed:
    """One interleaving. Raises SeedError for a combination that no tier has."""

    engine: Engine
    algorithm: Algorithm
    depth: int
    length: int
    seed: int

    def __post_init__(self) -> None:
        known = ALGORITHMS[self.engine]
        if self.algorithm not in known:
            words = ", ".join(algorithm.value for algorithm in known)
            raise SeedError(
                f"engine {self.engine.value} has no algorithm {self.algorithm.value!r}: {words}"
            )
        least = 0 if self.algorithm is Algorithm.PLAIN else 1
        for name, value, low, high in (
            ("depth", self.depth, least, MOST_DEPTH),
            ("length", self.length, 0, MOST),
            ("seed", self.seed, 0, MOST),
        ):
            if not low <= value <= high:
                raise SeedError(f"{name} {value}: {low} to {high} are possible")

    @classmethod
    def parse(cls, text: str) -> Seed:
        """The seed that ``str()`` has written. Raises SeedError."""
        parts = text.split(":")
        if len(parts) != 5:
            raise SeedError(
                f"{text!r} has {len(parts)} parts: engine:algorithm:depth:length:seed has 5"
            )
        engine = _choice(Engine, "engine", parts[0])
        algorithm = _choice(Algorithm, "algorithm", parts[1])
        numbers = zip(("depth", "length", "seed"), parts[2:], strict=True)
        depth, length, seed = (_number(name, part) for name, part in numbers)
        return cls(engine, algorithm, depth, length, seed)

    def __str__(self) -> str:
        parts = (self.engine.value, self.algorithm.value, self.depth, self.length, self.seed)
        return ":".join(map(str, parts))


def _choice(kind: type[_Kind], name: str, word: str) -> _Kind:
    try:
        return kind(word)
    except ValueError:
        known = ", ".join(item.value for item in kind)
        raise SeedError(f"{name} {word!r} is not one of {known}") from None


def _number(name: str, word: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise SeedError(f"{name} {word!r} is no decimal number")
    return int(word)
