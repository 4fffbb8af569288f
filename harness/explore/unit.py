"""Tier `unicorn`: a scenario's operations under one schedule, run on the real machine code.

What a CPU is to do follows from the task that it runs: the rest of its operation, then the next of
its program, and between two operations whatever an interrupt has asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.explore.scenarios import Scenario
from harness.explore.schedules import Pct, Preempt, Schedule, Walk, number_of, numbered
from harness.explore.seed import Algorithm, Engine, Seed
from harness.explore.smp import GuestFailure, Smp, Stop
from harness.explore.snapshot import Snapshot
from harness.explore.world import Actor, Block, Call, Notify, World
from harness.model.checks import Violation
from harness.model.constants import State
from harness.toolchain.image import Image

_WAKES = 3
MOST_STOPS = 2_000
"""Turns of a run; a correct scenario takes far fewer."""


@dataclass(frozen=True)
class Broken:
    """What a run has shown: the rule, where, and in words."""

    rule: str
    place: str
    words: str


@dataclass(frozen=True)
class UnitRun:
    """One schedule's outcome: the steps that it took and what is wrong."""

    steps: int
    broken: tuple[Broken, ...]


def schedule_of(seed: Seed, cpus: int) -> Schedule:
    """The schedule that a seed of this tier stands for."""
    match seed.algorithm:
        case Algorithm.PCT:
            return Pct(seed.depth, seed.length, seed.seed, cpus)
        case Algorithm.YIELD:
            return Walk(seed.depth, seed.seed)
        case Algorithm.PREEMPT:
            return numbered(seed.seed, seed.depth, max(seed.length, 1), cpus)
        case _:
            return Preempt(cpus, seed.seed)


class Bench:
    """A scenario set up on an image, to be run again and again."""

    def __init__(self, image: Image, scenario: Scenario) -> None:
        self.scenario = scenario
        self.smp = Smp(image, scenario.cpus)
        self.world = World(self.smp, scenario.actors, scenario.affine)
        self._actors = {self.world.tasks[actor.name]: actor for actor in scenario.actors}
        self._judged: dict[bytes, tuple[Violation, ...]] = {}

    def replay(self, seed: Seed) -> UnitRun:
        """The run that a seed stands for."""
        return self.run(schedule_of(seed, self.scenario.cpus))

    def every_preemption(self) -> Iterator[Seed]:
        """Seeds of all schedules with one preemption: at each step of the run that begins with
        each CPU and has none, to each other CPU."""
        cpus = self.scenario.cpus
        for first in range(cpus):
            length = self.run(Preempt(cpus, first)).steps
            for step in range(1, length + 1):
                for further in range(1, cpus):
                    number = number_of(first, [(step, further)], length, cpus)
                    yield Seed(Engine.UNICORN, Algorithm.PREEMPT, 1, length, number)

    def run(self, schedule: Schedule) -> UnitRun:
        """One run. The same schedule gives the same run."""
        self.smp.reset()
        turns = _Turns(self, schedule)
        broken: list[Broken] = []
        try:
            turns.run()
        except GuestFailure as failure:
            broken.append(Broken(failure.rule, failure.place, failure.words))
        else:
            broken += [Broken(v.rule, self.scenario.name, v.words) for v in self._judge(turns)]
        return UnitRun(self.smp.steps, tuple(broken))

    def _judge(self, turns: _Turns) -> tuple[Violation, ...]:
        unfinished = tuple(sorted(turns.unfinished()))
        key = self.world.state_bytes() + repr(unfinished).encode()
        if key not in self._judged:
            found = [*Snapshot(self.world).violations(), *self.scenario.expect(self.world)]
            found += [Violation("C1", f"{name} never finishes") for name in unfinished]
            self._judged[key] = tuple(found)
        return self._judged[key]

    def actor(self, task: int) -> Actor | None:
        """Who a task is; None for an idle task."""
        return self._actors.get(task)


class _Turns:
    """The course of one run."""

    def __init__(self, bench: Bench, schedule: Schedule) -> None:
        self._smp, self._world, self._bench = bench.smp, bench.world, bench
        self._schedule = schedule
        self._cpus = range(bench.scenario.cpus)
        self._inside = dict.fromkeys(self._cpus, False)
        """Whether a CPU is in the middle of an operation."""
        self._kicked = dict.fromkeys(self._cpus, False)
        """Whether an interrupt is on its way to it."""
        current = {self._current(cpu) for cpu in self._cpus}
        self._suspended = set(bench.world.names) - current
        """Tasks that, when they have a CPU again, come back from something that is no operation."""
        self._done = dict.fromkeys(bench.world.names, 0)
        """Operations that each task has behind it."""
        self._flags: set[str] = set()
        self._waiting: set[int] = set()
        """CPUs that wait for a lock and have not been let run since."""
        self._futile = 0

    def run(self) -> None:
        """Raises GuestFailure."""
        able = self._able()
        cpu = self._schedule.first(able)
        for _ in range(MOST_STOPS):
            if not self._inside[cpu] and not self._begin(cpu):
                able = self._able()
                if not able:
                    return
                cpu = self._schedule.when_stuck(cpu, able)
                continue
            self._smp.stop_at(self._schedule.next_stop)
            stop = self._smp.go_on(cpu)
            following = self._after(cpu, stop)
            if following is None:
                return
            cpu = following
        raise GuestFailure("K7", self._bench.scenario.name, f"no end after {MOST_STOPS} turns")

    def _after(self, cpu: int, stop: Stop) -> int | None:
        if stop is Stop.WAITS:
            return self._waits(cpu)
        self._futile = 0
        self._waiting.clear()
        if stop is Stop.STEP:
            return self._schedule.at_step(cpu, self._able())
        if stop is Stop.SENDS:
            self._kicked[self._smp.target(cpu)] = True
            return cpu
        self._ends(cpu)
        able = self._able()
        if cpu in able:
            return cpu
        return self._schedule.when_stuck(cpu, able) if able else None

    def _waits(self, cpu: int) -> int:
        self._waiting.add(cpu)
        able = [other for other in self._able() if other not in self._waiting]
        if not able:
            self._futile += 1
            if self._futile > 1:
                words = f"CPUs {', '.join(map(str, sorted(self._waiting)))} wait for locks for ever"
                raise GuestFailure("K7", self._smp.waiting_place(cpu), words)
            self._waiting.clear()
            able = self._able()
        return self._schedule.when_stuck(cpu, able)

    def _able(self) -> list[int]:
        return [cpu for cpu in self._cpus if self._inside[cpu] or self._has_work(cpu)]

    def _current(self, cpu: int) -> int:
        return self._smp.field(cpu, "curr")

    def _has_work(self, cpu: int) -> bool:
        if self._kicked[cpu]:
            return True
        task = self._current(cpu)
        actor = self._bench.actor(task)
        return actor is not None and self._done[task] < len(actor.program)

    def _begin(self, cpu: int) -> bool:
        """Starts what the CPU is to do next; whether there is anything."""
        task = self._current(cpu)
        kicked, self._kicked[cpu] = self._kicked[cpu], False
        if kicked and self._world.field(task, "need_resched"):
            self._reschedule(cpu, task)
            return True
        actor = self._bench.actor(task)
        while actor is not None and self._done[task] < len(actor.program):
            if self._start(cpu, task, actor.program[self._done[task]]):
                return True
            self._done[task] += 1
        return False

    def _start(self, cpu: int, task: int, op: Call | Block | Notify) -> bool:
        """Enters an operation; False if there is nothing to call for it."""
        match op:
            case Call(function, arguments):
                self._enter(cpu, task, function, *map(self._value, arguments))
            case Notify(flag, target, sync):
                self._flags.add(flag)
                address = self._world.tasks[target]
                self._enter(cpu, task, "try_to_wake_up", address, _WAKES, int(sync))
            case Block(flag):
                if flag in self._flags:
                    return False
                self._world.set_field(task, "state", State.INTERRUPTIBLE)
                self._enter(cpu, task, "schedule")
        return True

    def _value(self, argument: int | str) -> int:
        if isinstance(argument, int):
            return argument
        if argument in self._world.tasks:
            return self._world.tasks[argument]
        return self._world.queue(int(argument.removeprefix("rq")))

    def _enter(self, cpu: int, task: int, function: str, *arguments: int) -> None:
        address = self._smp.image.address(function)
        self._smp.enter(cpu, self._world.stack_top(task), address, *arguments)
        self._inside[cpu] = True

    def _reschedule(self, cpu: int, task: int) -> None:
        idle = self._bench.actor(task) is None
        self._suspended.add(task)
        self._enter(cpu, task, "schedule" if idle else "preempt_schedule")

    def _ends(self, cpu: int) -> None:
        """The CPU's task, perhaps another one than at the start, has come to an operation's end."""
        self._inside[cpu] = False
        task = self._current(cpu)
        others = [self._current(other) for other in self._cpus if other != cpu]
        if task in others:
            words = f"{self._world.names[task]} runs on CPU {cpu} and on another"
            raise GuestFailure("S9", self._bench.scenario.name, words)
        self._finish(task)
        if self._world.field(task, "need_resched"):
            self._reschedule(cpu, task)

    def _finish(self, task: int) -> None:
        if task in self._suspended:
            self._suspended.discard(task)
            return
        actor = self._bench.actor(task)
        if actor is None or self._done[task] >= len(actor.program):
            return
        op = actor.program[self._done[task]]
        if not isinstance(op, Block) or op.flag in self._flags:
            self._done[task] += 1

    def unfinished(self) -> list[str]:
        """Tasks that have not done all they were to do, and do not wait for a CPU either."""
        current = {self._current(cpu) for cpu in self._cpus}
        found = []
        for actor in self._bench.scenario.actors:
            task = self._world.tasks[actor.name]
            queued = self._world.field(task, "array") and task not in current
            if not (actor.endless or queued or self._done[task] >= len(actor.program)):
                found.append(actor.name)
        return found
