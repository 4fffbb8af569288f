"""Who runs next: the algorithms that choose an interleaving, apart from what is interleaved.

A `Schedule` is asked at chosen steps of a run, and whenever the running CPU cannot go on. CPUs are
numbers from 0; a step is anything that the engine counts (tier `unicorn`: an access to shared
memory). Every choice follows from the constructor's arguments and the calls so far.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

NEVER = 1 << 62


class Schedule(Protocol):
    """What a run asks. `able` are the CPUs that can go on, at least one, ascending."""

    next_stop: int
    """The step, counted from 1, before which `at_step` wants to be asked."""

    def first(self, able: Sequence[int]) -> int:
        """Who begins."""

    def at_step(self, cpu: int, able: Sequence[int]) -> int:
        """Who does the step `next_stop`, at which `cpu` stands; moves `next_stop` on."""

    def when_stuck(self, cpu: int, able: Sequence[int]) -> int:
        """Who goes on instead of `cpu`, which waits for a lock or has nothing to do."""


class Preempt:
    """No switch but where the running CPU cannot go on, and at the given steps.

    `switches` are pairs, by ascending step: the step, and how many CPUs further on the one is that
    takes over. A switch to a CPU that cannot run then does not take place.
    """

    def __init__(self, cpus: int, first: int, switches: Sequence[tuple[int, int]] = ()) -> None:
        self._cpus, self._first = cpus, first
        self._switches = list(reversed(switches))
        self.next_stop = self._switches[-1][0] if self._switches else NEVER

    def first(self, able: Sequence[int]) -> int:
        return able[self._first % len(able)]

    def at_step(self, cpu: int, able: Sequence[int]) -> int:
        _, further = self._switches.pop()
        self.next_stop = self._switches[-1][0] if self._switches else NEVER
        chosen = (cpu + further) % self._cpus
        return chosen if chosen in able else cpu

    def when_stuck(self, cpu: int, able: Sequence[int]) -> int:
        return next((other for other in able if other > cpu), able[0])


class Pct:
    """Probabilistic concurrency testing: the CPU of the highest priority runs; at each of
    `depth` - 1 random steps out of `length` the running CPU falls below all others.

    Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs",
    ASPLOS 2010. Who waits for a lock falls, too (a liveness rule, as SKI's, OSDI 2014), or it
    would keep the holder from running.
    """

    def __init__(self, depth: int, length: int, seed: int, cpus: int) -> None:
        chance = random.Random(seed)
        order = list(range(cpus))
        chance.shuffle(order)
        self.priorities = {cpu: depth + rank for rank, cpu in enumerate(order)}
        points = sorted(chance.randint(1, max(length, 1)) for _ in range(depth - 1))
        self.changes = list(reversed(points))
        self._lowest = depth
        self.next_stop = self.changes[-1] if self.changes else NEVER

    def first(self, able: Sequence[int]) -> int:
        return max(able, key=self.priorities.__getitem__)

    def at_step(self, cpu: int, able: Sequence[int]) -> int:
        self.changes.pop()
        self.next_stop = self.changes[-1] if self.changes else NEVER
        return self.when_stuck(cpu, able)

    def when_stuck(self, cpu: int, able: Sequence[int]) -> int:
        self._lowest -= 1
        self.priorities[cpu] = self._lowest
        return self.first(able)


class Walk:
    """Any CPU that can run goes on, chosen anew at one step in `one_in` on average."""

    def __init__(self, one_in: int, seed: int) -> None:
        self._chance = random.Random(seed)
        self._one_in = one_in
        self.next_stop = self._gap()

    def _gap(self) -> int:
        return self._chance.randint(1, 2 * self._one_in - 1)

    def first(self, able: Sequence[int]) -> int:
        return self._chance.choice(able)

    def at_step(self, cpu: int, able: Sequence[int]) -> int:
        self.next_stop += self._gap()
        return self._chance.choice(able)

    def when_stuck(self, cpu: int, able: Sequence[int]) -> int:
        return self._chance.choice(able)


def numbered(number: int, depth: int, length: int, cpus: int) -> Preempt:
    """The preemptive schedule of that number: its parts are the number's digits, lowest first."""
    number, first = divmod(number, cpus)
    switches = []
    for _ in range(depth):
        number, digit = divmod(number, length * cpus)
        step, further = divmod(digit, cpus)
        switches.append((step + 1, further))
    return Preempt(cpus, first, sorted(switches))


def number_of(first: int, switches: Sequence[tuple[int, int]], length: int, cpus: int) -> int:
    """The number by which `numbered` finds that schedule. Steps are 1 to `length`."""
    number = 0
    for step, further in reversed(switches):
        number = number * length * cpus + (step - 1) * cpus + further
    return number * cpus + first
