"""rt-app's JSON files, read as they are, as far as the guest can do what they say.

What becomes what: `run` is CPU time, `runtime` time on the clock, `suspend` and `resume` a wait on
and a broadcast of a condition of that name (so a resume that finds nobody waiting is lost), `sync`
a signal and then a wait. A barrier has as many parties as there are references to it. Phases become
loops. See `rtapp_file` for the grammar.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from harness.workload.document import cpus_named
from harness.workload.errors import WorkloadError, suggest
from harness.workload.jsontext import parse_json
from harness.workload.layout import NAME_SIZE
from harness.workload.model import (
    Barrier,
    Broadcast,
    CpuSet,
    Fork,
    Lock,
    Loop,
    Path,
    Policy,
    Run,
    SetCpus,
    SetNice,
    SetPolicy,
    Signal,
    Sleep,
    Span,
    Spin,
    Step,
    Task,
    Timer,
    Unlock,
    Wait,
    Workload,
    Yield,
)
from harness.workload.rtapp_file import Event, Phase, RtFile, RtTask, read_file, read_sched
from harness.workload.source import Cursor, MapNode
from harness.workload.validate import validate

_NS_PER_US = 1_000
_NAME = re.compile(r"[!-~]{1,63}\Z")


def is_rtapp(text: str, file: str) -> bool:
    """Whether JSON text looks like rt-app's: no `name`, and `tasks` without a `program`."""
    root = Cursor.root(parse_json(text, file), file)
    if not isinstance(root.node, MapNode):
        return False
    found = dict(root.pairs())
    if "name" in found or "tasks" not in found or not isinstance(found["tasks"].node, MapNode):
        return False
    tasks = [task for _, task in found["tasks"].pairs() if isinstance(task.node, MapNode)]
    return not any(key == "program" for task in tasks for key, _ in task.pairs())


def parse(
    text: str, file: str = "<text>", *, name: str = "rt-app", duration: Span | None = None
) -> Workload:
    """The workload in an rt-app file; `duration` replaces the file's own.

    Raises WorkloadError, with the path and place in the file, for anything that is not rt-app's
    grammar, that is not supported, or that could not work.
    """
    root = Cursor.root(parse_json(text, file), file)
    return _Importer(root, read_file(root), name, duration).workload()


class _Importer:
    """Tasks of the file become tasks of a workload; `origins` remembers which event each step came
    from.
    """

    def __init__(self, root: Cursor, contents: RtFile, name: str, duration: Span | None) -> None:
        self.root = root
        self.name = name
        self.duration = duration or contents.duration
        self.tasks = {task.key: task for task in contents.tasks}
        self.resources = _Resources()
        self.names: dict[str, str] = {}
        self.origins: dict[Path, Cursor] = {}

    def workload(self) -> Workload:
        for task in self.tasks.values():
            self.names[task.key] = self.short_name(task)
            self.resources.scan(task)
        self.resources.check(self.tasks)
        tasks = tuple(made for task in self.tasks.values() for made in self.make(task))
        workload = Workload(
            name=self.name,
            tasks=tasks,
            duration=self.duration,
            cpus=cpus_named(tasks),
            mutexes=tuple(self.resources.mutexes),
            conditions=tuple(self.resources.conditions),
            barriers=tuple(self.resources.real_barriers().items()),
        )
        try:
            validate(workload)
        except WorkloadError as error:
            raise self.locate(error) from None
        return workload

    def short_name(self, task: RtTask) -> str:
        """The guest's names are short; rt-app's need not be."""
        suffix = len(f"/{task.instances - 1}") if task.instances > 1 else 0
        name = task.key[: NAME_SIZE - 1 - suffix]
        for key, other in self.names.items():
            if other == name:
                task.at.fail(
                    f"its first {len(name)} characters are those of {key!r}; rename one of them"
                )
        return name

    def template_name(self, key: str) -> str:
        """A task that starts by itself and is forked too needs a template of another name."""
        return (
            f"{self.names[key][: NAME_SIZE - 2]}+" if self.tasks[key].instances else self.names[key]
        )

    def make(self, task: RtTask) -> list[Task]:
        forked = task.key in self.resources.forks
        cpus, placed = _TaskProgram(task, self).build(forked)
        made: list[Task] = []
        if task.instances:
            made.append(
                Task(
                    self.names[task.key], (), task.sched, cpus, None, task.instances, task.delay_ns
                )
            )
        if forked:
            name = self.template_name(task.key)
            made.append(Task(name, (), task.sched, cpus, delay_ns=task.delay_ns, template=True))
        return [
            replace(one, program=self.settle(placed, ("tasks", one.name, "program")))
            for one in made
        ]

    def settle(self, placed: list[_Placed], path: Path) -> tuple[Step, ...]:
        steps: list[Step] = []
        for index, one in enumerate(placed):
            here = (*path, index)
            self.origins[here] = one.at
            if one.body is None:
                steps.append(one.step)
            else:
                times = one.step.times if isinstance(one.step, Loop) else None
                body = self.settle(one.body, (*here, "forever" if times is None else "do"))
                steps.append(Loop(times, body))
        return tuple(steps)

    def locate(self, error: WorkloadError) -> WorkloadError:
        """An error of the workload as one of the file: at the event, or the nearest thing around
        it.
        """
        for length in range(len(error.path), 0, -1):
            if error.path[:length] in self.origins:
                return self.origins[error.path[:length]].error(error.reason)
        for key, name in self.names.items():
            if error.path[:1] == ("tasks",) and error.path[1:2] in (
                (name,),
                (self.template_name(key),),
            ):
                return self.tasks[key].at.error(error.reason)
        return self.root.error(error.reason)


@dataclass(slots=True)
class _Resources:
    """What events name: it comes into being by being named."""

    mutexes: dict[str, None] = field(default_factory=dict)
    conditions: dict[str, None] = field(default_factory=dict)
    barriers: dict[str, int] = field(default_factory=dict)
    forks: dict[str, Cursor] = field(default_factory=dict)
    barrier_users: list[tuple[str, Cursor]] = field(default_factory=list)
    timers: list[tuple[str, RtTask, Cursor]] = field(default_factory=list)

    def scan(self, task: RtTask) -> None:
        for event in task.events:
            match event.kind:
                case "lock" | "unlock":
                    self.mutexes[_name(event.at)] = None
                case "wait" | "sync":
                    condition, mutex = _condition(event.at)
                    self.conditions[condition] = None
                    self.mutexes[mutex] = None
                case "signal" | "broad" | "suspend" | "resume":
                    self.conditions[_channel(event, task)] = None
                case "barrier":
                    name = _name(event.at)
                    self.barriers[name] = self.barriers.get(name, 0) + task.instances
                    self.barrier_users.append((task.key, event.at))
                case "fork":
                    self.forks.setdefault(event.at.text("the name of a task"), event.at)
                case "timer":
                    self.timers.append((_timer(event.at)[0], task, event.at))
                case _:
                    continue

    def check(self, tasks: dict[str, RtTask]) -> None:
        for name, at in self.forks.items():
            if name not in tasks:
                at.fail(f"no task named {name!r}{suggest(name, tasks)}")
        for key, at in self.barrier_users:
            if key in self.forks:
                at.fail(
                    "a task that is forked cannot use a barrier: nobody could tell how many come"
                )
        owners: dict[str, str] = {}
        for name, task, at in self.timers:
            if name.startswith("unique"):
                continue
            several = task.instances + (task.key in self.forks) > 1
            if several or owners.setdefault(name, task.key) != task.key:
                at.fail(f"not supported: several tasks share timer {name!r}; name it 'unique...'")

    def real_barriers(self) -> dict[str, int]:
        """Those with more than one party; at the others nobody ever waits."""
        return {name: parties for name, parties in self.barriers.items() if parties > 1}


@dataclass(frozen=True, slots=True)
class _Placed:
    """A step and the part of the file it stands for; `body` replaces that of a loop."""

    at: Cursor
    step: Step
    body: list[_Placed] | None = None


class _TaskProgram:
    """The program of one task: its phases, each a loop, inside the loop of the task."""

    def __init__(self, task: RtTask, importer: _Importer) -> None:
        self.task = task
        self.importer = importer
        self.absolute = {name for name, absolute, _ in self.timers() if absolute}

    def timers(self) -> list[tuple[str, bool, int]]:
        return [_timer(event.at) for event in self.task.events if event.kind == "timer"]

    def build(self, forked: bool) -> tuple[CpuSet | None, list[_Placed]]:
        """The CPUs that the task starts with, and its steps."""
        phases = self.task.phases
        moving = any(phase.cpus is not None for phase in phases)
        steps: list[_Placed] = []
        for phase in phases:
            cpus = self.task.cpus if phase.cpus is None else phase.cpus
            if moving and cpus is None and forked:
                phase.at.fail(
                    "not supported: a phase without 'cpus' after one with, in a task that is forked"
                )
            if moving:
                steps.append(_Placed(phase.at, SetCpus(cpus)))
            steps += [_Placed(phase.at, step) for step in self.schedule(phase)]
            steps += _loop(phase.at, phase.loop, [self.event(event) for event in phase.events])
        first = self.task.cpus if phases[0].cpus is None else phases[0].cpus
        return first, _loop(self.task.at, self.task.loop, [steps])

    def schedule(self, phase: Phase) -> list[Step]:
        """A phase that names a policy or a priority changes it; else it stays as it is."""
        if phase.policy is None and phase.priority is None:
            return []
        named = {other.policy for other in self.task.phases if other.policy is not None}
        if phase.policy is None and named - {self.task.sched.policy}:
            phase.at.fail(
                "not supported: 'priority' without 'policy' where other phases change the policy"
            )
        sched = read_sched(
            self.task.sched.policy if phase.policy is None else phase.policy, phase.priority
        )
        if sched.policy is not Policy.NORMAL:
            return [SetPolicy(sched.policy, sched.priority)]
        change: list[Step] = [SetNice(sched.nice)]
        if (named | {self.task.sched.policy}) != {Policy.NORMAL}:
            change.insert(0, SetPolicy(Policy.NORMAL))
        return change

    def event(self, event: Event) -> list[_Placed]:
        return [_Placed(event.at, step) for step in self.steps(event)]

    def steps(self, event: Event) -> list[Step]:
        at = event.at
        match event.kind:
            case "run" | "runtime" | "sleep":
                ns = _microseconds(at)
                return [_TIMED[event.kind](ns)] if ns else []
            case "timer":
                name, _, ns = _timer(at)
                return [Timer(ns, name, name in self.absolute)]
            case "lock":
                return [Lock(_name(at))]
            case "unlock":
                return [Unlock(_name(at))]
            case "wait":
                return [Wait(*_condition(at))]
            case "sync":
                condition, mutex = _condition(at)
                return [Signal(condition), Wait(condition, mutex)]
            case "signal":
                return [Signal(_name(at))]
            case "broad" | "resume":
                return [Broadcast(_name(at))]
            case "suspend":
                return [Wait(_channel(event, self.task))]
            case "barrier":
                name = _name(at)
                return [Barrier(name)] if name in self.importer.resources.real_barriers() else []
            case "fork":
                return [Fork(self.importer.template_name(at.text()), thread=True)]
            case _:
                return [Yield()]


_TIMED: dict[str, Callable[[int], Step]] = {
    "run": lambda ns: Run(Span(ns)),
    "runtime": Spin,
    "sleep": lambda ns: Sleep(Span(ns)),
}


def _loop(at: Cursor, times: int | None, parts: list[list[_Placed]]) -> list[_Placed]:
    body = [step for part in parts for step in part]
    return body if times == 1 else [_Placed(at, Loop(times, ()), body)]


def _microseconds(at: Cursor) -> int:
    value = at.integer("microseconds")
    if value < 0:
        at.fail(f"a time cannot be {value}")
    return value * _NS_PER_US


def _name(at: Cursor) -> str:
    name = at.text("a name")
    if not _NAME.match(name):
        at.fail(f"{name!r} is not a name of 1 to 63 printable characters without blanks")
    return name


def _channel(event: Event, task: RtTask) -> str:
    """The condition of an event. `suspend` may leave it empty and then means the task's own."""
    if event.kind == "suspend" and event.at.text("a name") == "":
        return task.key
    return _name(event.at)


def _condition(at: Cursor) -> tuple[str, str]:
    found = at.mapping(("ref", "mutex"), "an object with 'ref' and 'mutex'")
    for key in ("ref", "mutex"):
        if key not in found:
            at.fail(f"{key!r} is missing")
    return _name(found["ref"]), _name(found["mutex"])


def _timer(at: Cursor) -> tuple[str, bool, int]:
    """A timer's name, whether it is absolute, and its period in ns."""
    found = at.mapping(("ref", "period", "mode"), "an object with 'ref' and 'period'")
    if "period" not in found:
        at.fail("'period' is missing")
    ns = _microseconds(found["period"])
    if ns == 0:
        found["period"].fail("a period must be longer than 0")
    mode = found["mode"].text("a mode") if "mode" in found else "relative"
    if mode not in ("relative", "absolute"):
        found["mode"].fail(f"a mode is relative or absolute, not {mode!r}")
    return (_name(found["ref"]) if "ref" in found else "unknown"), mode == "absolute", ns
