"""Replay of what a CPU read of others without their locks: could it have been that?"""

from __future__ import annotations

from harness.model.bitmap import cpus
from harness.model.constants import SDFlag
from harness.model.load import LoadRead
from harness.oracle.o1.laws import Law
from harness.oracle.o1.world import World
from harness.oracle.prediction import LawBrokenError


def load(world: World, cpu: int, rq: int, cpu_load: int, nr: int) -> None:
    """What was read of a run queue, to be used by what comes next."""
    world.rq(rq)
    if not cpu_load and not nr:
        raise LawBrokenError(Law.K2, f"CPU {cpu} logs that CPU {rq} has no load")
    balancing = world.contexts[cpu].balancing
    if balancing.attempt is None and balancing.exec_in is None:
        raise LawBrokenError(Law.K2, f"CPU {cpu} reads the load of CPU {rq} for nothing")
    check_length(world, cpu, rq, nr)
    check_load(world, cpu, rq, cpu_load)
    balancing.reads.pending.append((rq, LoadRead(cpu_load, nr)))


def check_load(world: World, cpu: int, rq: int, cpu_load: int) -> None:
    """A decayed load that a CPU has just read of a run queue."""
    loads = world.hints.loads(rq, world.hints.heard[cpu])
    if loads is not None and cpu_load not in loads:
        had = ", ".join(map(str, sorted(loads)))
        raise LawBrokenError(Law.A10, f"CPU {rq} is read with load {cpu_load}, it had {had}")


def check_length(world: World, cpu: int, rq: int, nr: int) -> None:
    """A number of tasks that a CPU has just read of a run queue."""
    between = world.hints.running(rq, world.hints.heard[cpu])
    if between is not None and not between[0] <= nr <= between[1]:
        had = f"{between[0]} to {between[1]}"
        raise LawBrokenError(Law.A10, f"CPU {rq} is read with {nr} tasks, it had {had}")


def check_idle(world: World, cpu: int, other: int, idle: bool) -> None:
    """Whether a CPU has just seen another, and its siblings, run their idle tasks."""
    seen = [world.hints.idle(sibling, world.hints.heard[cpu]) for sibling in core_of(world, other)]
    possible = all(True in states for states in seen) if idle else any(False in s for s in seen)
    if not possible:
        words = "idle, which it was not" if idle else "busy, which it was not"
        raise LawBrokenError(Law.A10, f"CPU {other} is seen {words}")


def core_of(world: World, cpu: int) -> list[int]:
    """The hardware threads of a CPU's core."""
    span = 1 << cpu
    for sd in world.rqs[cpu].domains[:1]:
        if sd.has(SDFlag.SHARE_CPUPOWER):
            span = sd.span
    return list(cpus(span))


def check_tick(world: World, cpu: int, rq: int, now: int) -> None:
    """The time of a run queue's last tick, as a CPU has just read it."""
    if now > world.contexts[cpu].ns:
        raise LawBrokenError(Law.P16, f"the last tick of CPU {rq} was at {now}, which is to come")
    earliest = world.hints.last_tick(rq, world.hints.heard[cpu])
    if now < earliest:
        words = f"was not at {now}: it has ticked at {earliest}"
        raise LawBrokenError(Law.P16, f"the last tick of CPU {rq} {words}")


def all_used(world: World, cpu: int) -> None:
    """Every load that was read was needed, in that order; what was not logged was 0."""
    reads = world.contexts[cpu].balancing.reads
    for rq, _ in reads.pending:
        raise LawBrokenError(Law.P12, f"CPU {cpu} reads the load of CPU {rq} out of turn")
    for rq in reads.silent:
        loads, between = world.hints.loads(rq, reads.since), world.hints.running(rq, reads.since)
        if (loads and 0 not in loads) or (between and between[0] > 0):
            raise LawBrokenError(Law.A10, f"CPU {rq} is read without load, it had some")
    reads.begin(world.hints.now)
