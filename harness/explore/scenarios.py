"""Small situations in which operations of several CPUs meet: what tier `unicorn` interleaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.explore.world import Actor, Block, Call, Notify, World
from harness.model.checks import Violation

ANY_SLEEP = 3
"""States that a wake-up wakes: interruptible and uninterruptible sleep."""
LEAVE = Block("never set")
"""What a waker does that has announced it: sleeps for good."""
GOOD, BETTER, HOG = 118, 110, 125


@dataclass(frozen=True)
class Scenario:
    """Tasks that do something at the same time, and what must have come of it."""

    name: str
    words: str
    actors: tuple[Actor, ...]
    expect: Callable[[World], Iterator[Violation]]
    cpus: int = 2
    affine: bool = True
    """Whether wakers pull whom they wake to their CPU."""


def _runnable(*names: str) -> Callable[[World], Iterator[Violation]]:
    """Whoever was woken is runnable."""

    def check(world: World) -> Iterator[Violation]:
        for name in names:
            task = world.tasks[name]
            state, array = world.field(task, "state"), world.field(task, "array")
            if state or not array:
                yield Violation("C2", f"{name} was woken and is not queued (state {state})")

    return check


def _on_cpu(name: str, cpu: int) -> Callable[[World], Iterator[Violation]]:
    """The task is on the CPU that its affinity asks for."""

    def check(world: World) -> Iterator[Violation]:
        yield from _runnable(name)(world)
        if (found := world.field(world.tasks[name], "cpu")) != cpu:
            yield Violation("P3", f"{name} is on CPU {found}, which its affinity forbids")

    return check


def _wake(name: str, sync: bool = False) -> Call:
    """A `sync` waker announces that it is to sleep, and so pulls also where it is alone."""
    return Call("try_to_wake_up", (name, ANY_SLEEP, int(sync)))


def _thread(cpu: int) -> Actor:
    program = (Call("migration_thread"),)
    return Actor(f"thread{cpu}", cpu, program, running=False, prio=0, endless=True, migration=True)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "two-wakers",
        "two CPUs wake one sleeping task",
        (
            Actor("first", 0, (_wake("sleeper"),), prio=HOG),
            Actor("second", 1, (_wake("sleeper"),), prio=HOG),
            Actor("sleeper", 1, running=False, prio=GOOD),
        ),
        _runnable("sleeper"),
        affine=False,
    ),
    Scenario(
        "third-waker",
        "two CPUs wake a task that slept on a third",
        (
            Actor("first", 0, (_wake("sleeper", sync=True), LEAVE), prio=HOG, endless=True),
            Actor("second", 1, (_wake("sleeper", sync=True), LEAVE), prio=HOG, endless=True),
            Actor("sleeper", 2, running=False, prio=GOOD),
        ),
        _runnable("sleeper"),
        cpus=3,
    ),
    Scenario(
        "waker-blocker",
        "a task goes to sleep while another CPU wakes it",
        (
            Actor("waker", 0, (Notify("go", "blocker", sync=True), LEAVE), prio=HOG, endless=True),
            Actor("blocker", 1, (Block("go"),), prio=GOOD),
        ),
        _runnable("blocker"),
    ),
    Scenario(
        "wake-at-home",
        "the same, and the task is woken where it slept",
        (
            Actor("waker", 0, (Notify("go", "blocker"),), prio=HOG),
            Actor("blocker", 1, (Block("go"),), prio=GOOD),
        ),
        _runnable("blocker"),
        affine=False,
    ),
    Scenario(
        "ping-pong",
        "two tasks wake each other and sleep",
        (
            Actor("ping", 0, (Notify("a", "pong", sync=True), Block("b")), prio=GOOD),
            Actor("pong", 1, (Block("a"), Notify("b", "ping", sync=True)), prio=GOOD),
        ),
        _runnable("ping", "pong"),
    ),
    Scenario(
        "wake-affinity",
        "a running task loses its CPU while it goes to sleep and is woken",
        (
            Actor("waker", 0, (Notify("go", "moved"),), prio=HOG),
            Actor("moved", 1, (Block("go"),), prio=GOOD),
            Actor("setter", 2, (Call("set_cpus_allowed", ("moved", 1)),), prio=HOG),
            *(_thread(cpu) for cpu in range(3)),
        ),
        _on_cpu("moved", 0),
        cpus=3,
    ),
    Scenario(
        "sleeper-affinity",
        "a sleeping task gets a new affinity while another CPU wakes it",
        (
            Actor("waker", 0, (_wake("sleeper"),), prio=HOG),
            Actor("setter", 1, (Call("set_cpus_allowed", ("sleeper", 1)),), prio=GOOD),
            Actor("sleeper", 1, running=False, prio=HOG),
            *(_thread(cpu) for cpu in range(2)),
        ),
        _on_cpu("sleeper", 0),
    ),
    Scenario(
        "double-lock",
        "two CPUs take the same two locks, named in opposite order",
        tuple(
            Actor(
                f"taker{cpu}",
                cpu,
                (
                    Call("double_rq_lock", (f"rq{cpu}", f"rq{1 - cpu}")),
                    Call("double_rq_unlock", (f"rq{cpu}", f"rq{1 - cpu}")),
                ),
            )
            for cpu in range(2)
        ),
        _runnable(),
    ),
    Scenario(
        "pull-wake",
        "a sleeping task is moved to another CPU while a third wakes it",
        (
            Actor("waker", 0, (_wake("sleeper", sync=True), LEAVE), prio=HOG, endless=True),
            Actor("mover", 1, (Call("migrate_to", ("sleeper", 2)),), prio=HOG),
            Actor("sleeper", 1, running=False, prio=GOOD),
            Actor("third", 2, prio=HOG),
        ),
        _runnable("sleeper"),
        cpus=3,
    ),
    Scenario(
        "tick-wake",
        "a tick and a better task's wake-up meet on a CPU",
        (
            Actor("waker", 0, (_wake("sleeper"),), prio=HOG),
            Actor("hog", 1, (Call("scheduler_tick"), Call("scheduler_tick")), prio=HOG),
            Actor("sleeper", 1, running=False, prio=BETTER),
        ),
        _runnable("sleeper"),
        affine=False,
    ),
)


def scenario(name: str) -> Scenario:
    """The scenario of that name. Raises KeyError."""
    return next(each for each in SCENARIOS if each.name == name)
