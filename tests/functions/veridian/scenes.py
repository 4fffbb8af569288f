"""Machines in the middle of something: tasks that run, wait and sleep on CPUs that come and go."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from harness.model.constants import Policy
from harness.model.veridian.pick import Algorithm

CPUS = (0, 1, 34)
"""The CPUs that there are; one has its bit in the upper half of a mask."""
COUNT = 35
EVERYWHERE = (1 << 64) - 1
SOMEWHERE = sum(1 << cpu for cpu in CPUS)
RUNS, WAITS, SLEEPS = "runs", "waits", "sleeps"

Standing = tuple[Policy, int, int]
"""Policy, real-time priority, nice value."""

NORMALS: list[Standing] = [(Policy.NORMAL, 0, nice) for nice in (-20, -12, -3, 0, 0, 9, 19)]
STANDINGS: list[Standing] = [
    (Policy.FIFO, 99, 0),
    (Policy.RR, 40, 0),
    (Policy.FIFO, 1, -5),
    *NORMALS,
]


@dataclass(frozen=True)
class Actor:
    """A task as a call finds it."""

    standing: Standing
    cpu: int
    place: str
    state: int
    """Of one that sleeps; of one that runs or waits, what it was about to do."""
    allowed: int
    age: int
    """Jiffies since it began to wait, or to run."""
    slice: int
    asked: bool
    """To reschedule."""
    preempted: bool


@dataclass(frozen=True)
class Scene:
    actors: list[Actor]
    online: int
    here: int
    """The CPU that executes."""
    jiffies: int
    ticks: int
    algorithm: Algorithm
    turn: int
    """The slot with which every ring begins."""
    crowd: int = 0
    """That many more tasks wait on the first CPU, in one ring, before all others."""


cpus = st.sampled_from(CPUS)
standings = st.sampled_from(STANDINGS)
subsets = st.sets(cpus).map(lambda chosen: sum(1 << cpu for cpu in chosen))
masks = st.just(EVERYWHERE) | subsets | subsets.map(lambda mask: mask | 1 << 40)
ages = st.sampled_from([0, 1, 99, 100, 101, 500, 1000, 1999, 2000, 2100, 4000])
actors = st.builds(
    Actor,
    standings,
    cpus,
    st.sampled_from([RUNS, WAITS, WAITS, SLEEPS]),
    st.sampled_from([0, 0, 0, 1, 2]),
    masks,
    ages,
    st.sampled_from([0, 1, 2, 10]),
    st.booleans(),
    st.booleans(),
)
online_masks = st.sampled_from([SOMEWHERE] * 4) | subsets.map(lambda mask: mask | 1)


def scenes(most: int = 6, crowds: st.SearchStrategy[int] | None = None) -> st.SearchStrategy[Scene]:
    """Machines with up to so many tasks."""
    return st.builds(
        Scene,
        st.lists(actors, max_size=most),
        online_masks,
        cpus,
        st.sampled_from([5000, 1 << 33]) | st.integers(5000, 1 << 40),
        st.sampled_from([1, 9, 10, 99, 100, 110, 1 << 33]),
        st.sampled_from([Algorithm.PRIORITY, Algorithm.PRIORITY, Algorithm.ROUND_ROBIN]),
        st.sampled_from([0, 1, 253, 255]),
        st.just(0) if crowds is None else crowds,
    ).map(sound)


crowds = st.sampled_from([0, 0, 0, 254, 255, 256, 257, 259])
"""Around what a ring has room for."""


def sound(scene: Scene) -> Scene:
    """The same, but for what cannot be: two tasks run on a CPU, one waits where it may not."""
    taken: set[int] = set()
    kept = []
    for actor in scene.actors:
        online = bool(scene.online >> actor.cpu & 1)
        if actor.place == RUNS and actor.cpu in taken:
            actor = replace(actor, place=WAITS)
        if actor.place == WAITS and not online:
            actor = replace(actor, place=SLEEPS)
        if actor.place == WAITS:
            actor = replace(actor, allowed=actor.allowed | 1 << actor.cpu, asked=False)
            if actor.state:
                actor = replace(actor, preempted=True)
        if actor.place == SLEEPS:
            actor = replace(actor, state=actor.state or 1, asked=False, preempted=False)
        if actor.place == RUNS:
            taken.add(actor.cpu)
            actor = replace(actor, preempted=False)
        kept.append(actor)
    return replace(scene, actors=kept)
