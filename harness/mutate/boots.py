"""The boots among which a campaign chooses those that reach a change."""

from __future__ import annotations

from pathlib import Path

from harness.coverage.scenario import OWN, Scenario, extra

_SIZES: tuple[tuple[str | None, int], ...] = (
    ("W1", 1), ("W2", 1), ("W3", 2), ("W4", 4), ("W5", 4), ("W5-all", 4), ("W6", 1), ("W7", 4),
    ("W8", 2), ("W9", 1), ("W9", 2), ("W10", 2), ("W11", 1), ("mixed", 2), ("hotplug", 4),
    (None, 1), (None, 4),
)  # fmt: skip
"""Every workload on the machine on which it means most."""

_WIDE = str(Path(__file__).with_name("workloads") / "wide.yaml")
"""CPUs whose bit is in the upper half of a mask. Nothing else goes through other code for that,
so the lines that a boot executes do not show its worth."""

_EMPTIED = str(OWN / "emptied.yaml")


def boots(policy: str) -> tuple[Scenario, ...]:
    """Boots of a policy that a mutant has to survive."""
    usual = [Scenario(workload, cpus, policy) for workload, cpus in _SIZES]
    usual.append(Scenario(_WIDE, 34, policy, hz=100))
    # Whose turn it is is left to the seed wherever CPUs may overtake each other.
    races = (("race", "yield"), ("race_one_in", "4"))
    usual += [Scenario(workload, 4, policy, params=races) for workload in ("W7", "hotplug")]
    if policy != "o1":
        return (*usual, *extra(policy))
    locks = [Scenario("W8", 4, params=(("loglevel", "2"),)), Scenario("W3", 4, clock="real")]
    clocks = [Scenario("W9", 1, hz=250), Scenario("W1", 1, hz=100)]
    shapes = [Scenario(_EMPTIED, 4, hz=100, topology="4x1")]
    return (*usual, *extra(policy), *locks, *clocks, *shapes)
