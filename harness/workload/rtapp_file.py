"""rt-app's grammar: its JSON text as tasks, phases and events, each with its place in the file.

Grammar and defaults are those of rt-app's tutorial and parser (github.com/scheduler-tools/rt-app,
doc/tutorial.txt and src/rt-app_parse_config.c). Events are recognised by how their key begins
(`run0`, `run-a`) and keep the order of the file; their keys may repeat, as its `workgen` script
allows. rt-app ignores keys it does not know; here they are refused, by name and position, as is
what the guest cannot do.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.workload.errors import suggest
from harness.workload.model import CpuSet, Policy, Sched, Span
from harness.workload.source import Cursor, MapNode

_NS_PER_US = 1_000
_NS_PER_S = 1_000_000_000
_DEFAULT_RT_PRIORITY = 10

# A key is the first of these that it begins with: `runtime` is tried before `run`.
EVENTS = (
    "lock",
    "unlock",
    "wait",
    "signal",
    "broad",
    "sync",
    "sleep",
    "runtime",
    "run",
    "timer",
    "suspend",
    "resume",
    "mem",
    "iorun",
    "yield",
    "barrier",
    "fork",
)
_LOGGING = (
    "calibration",
    "lock_pages",
    "logdir",
    "log_basename",
    "log_size",
    "ftrace",
    "gnuplot",
    "io_device",
    "mem_buffer_size",
    "cumulative_slack",
    "frag",
)
_GLOBAL_KEYS = ("duration", "default_policy", "pi_enabled", *_LOGGING)
_TASK_KEYS = ("instance", "delay", "loop", "phases", "policy", "priority", "cpus")
_PHASE_KEYS = ("loop", "policy", "priority", "cpus")
_POLICIES = {
    "SCHED_OTHER": Policy.NORMAL,
    "SCHED_FIFO": Policy.FIFO,
    "SCHED_RR": Policy.RR,
}
_UNSUPPORTED = {
    "util_min": "utilisation clamping",
    "util_max": "utilisation clamping",
    "taskgroup": "task groups",
    "membind_nodes": "NUMA binding",
    "dl-runtime": "deadline scheduling",
    "dl-period": "deadline scheduling",
    "dl-deadline": "deadline scheduling",
    "period": "deadline scheduling",
    "deadline": "deadline scheduling",
}


@dataclass(frozen=True, slots=True)
class Event:
    kind: str
    at: Cursor


@dataclass(frozen=True, slots=True)
class Phase:
    """Events, how often (None: for ever), and what changes before them (None: nothing).

    `policy` None with a `priority` keeps the policy that the task has.
    """

    at: Cursor
    loop: int | None
    policy: Policy | None
    priority: Cursor | None
    cpus: CpuSet | None
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class RtTask:
    """One entry of `tasks`; `instances` threads start with it, and it may be forked besides."""

    key: str
    at: Cursor
    instances: int
    delay_ns: int
    sched: Sched
    cpus: CpuSet | None
    loop: int | None
    phases: tuple[Phase, ...]

    @property
    def events(self) -> list[Event]:
        return [event for phase in self.phases for event in phase.events]


@dataclass(frozen=True, slots=True)
class RtFile:
    duration: Span | None
    tasks: tuple[RtTask, ...]


def read_file(root: Cursor) -> RtFile:
    """The contents of an rt-app file. Raises WorkloadError."""
    found = root.mapping(("tasks", "resources", "global"), "rt-app's object with 'tasks'")
    if "tasks" not in found:
        root.fail("'tasks' is missing")
    duration, policy = _globals(found["global"]) if "global" in found else (None, Policy.NORMAL)
    tasks = found["tasks"].mapping(what="an object of tasks")
    return RtFile(duration, tuple(_task(key, at, policy) for key, at in tasks.items()))


def _globals(at: Cursor) -> tuple[Span | None, Policy]:
    found = at.mapping(_GLOBAL_KEYS, "an object")
    duration = None
    if "duration" in found:
        seconds = found["duration"].integer("seconds")
        if seconds < -1 or seconds == 0:
            found["duration"].fail(f"a duration is -1 or at least 1 second, not {seconds}")
        duration = None if seconds == -1 else Span(seconds * _NS_PER_S)
    if "pi_enabled" in found and found["pi_enabled"].boolean():
        found["pi_enabled"].fail("not supported: priority inheritance")
    policy = read_policy(found["default_policy"]) if "default_policy" in found else Policy.NORMAL
    return duration, policy


def _task(key: str, at: Cursor, default: Policy) -> RtTask:
    found, events = _contents(at, _TASK_KEYS, "an object that describes a task")
    policy = read_policy(found["policy"]) if "policy" in found else default
    cpus = _cpus(found.get("cpus"))
    loop = _loop(found["loop"]) if "loop" in found else None
    if "phases" in found:
        if events:
            events[0].at.fail("events stand in the task or in its 'phases', not in both")
        phases = tuple(
            _phase(phase) for phase in found["phases"].mapping(what="an object of phases").values()
        )
        if not phases:
            found["phases"].fail("the task has no phase")
    else:
        _some(at, events)
        phases = (Phase(at, 1, None, None, None, events),)
    return RtTask(
        key=key,
        at=at,
        instances=_natural(found["instance"]) if "instance" in found else 1,
        delay_ns=_natural(found["delay"]) * _NS_PER_US if "delay" in found else 0,
        sched=read_sched(policy, found.get("priority")),
        cpus=cpus,
        loop=loop,
        phases=phases,
    )


def _phase(at: Cursor) -> Phase:
    found, events = _contents(at, _PHASE_KEYS, "an object that describes a phase")
    _some(at, events)
    return Phase(
        at=at,
        loop=_loop(found["loop"]) if "loop" in found else 1,
        policy=read_policy(found["policy"]) if "policy" in found else None,
        priority=found.get("priority"),
        cpus=_cpus(found.get("cpus")),
        events=events,
    )


def _some(at: Cursor, events: tuple[Event, ...]) -> None:
    if not events:
        at.fail("there is no event in it")


def _contents(
    at: Cursor, known: tuple[str, ...], what: str
) -> tuple[dict[str, Cursor], tuple[Event, ...]]:
    """The properties of a task or phase, and its events in order."""
    if not isinstance(at.node, MapNode):
        raise at.expected(what)
    found: dict[str, Cursor] = {}
    events: list[Event] = []
    for key, value in at.pairs():
        kind = next((event for event in EVENTS if key.startswith(event)), None)
        if key in _UNSUPPORTED:
            value.fail(f"not supported: {_UNSUPPORTED[key]}")
        elif key in known:
            if key in found:
                value.fail(f"{key!r} is given twice")
            found[key] = value
        elif kind in ("mem", "iorun"):
            value.fail(f"not supported: event {kind!r} (memory and device load)")
        elif kind is not None:
            events.append(Event(kind, value))
        else:
            value.fail(f"{key!r} is no event and no property{suggest(key, (*known, *EVENTS))}")
    return found, tuple(events)


def read_policy(at: Cursor) -> Policy:
    word = at.text("a policy")
    if word in ("SCHED_DEADLINE", "SCHED_IDLE", "SCHED_BATCH"):
        at.fail(f"not supported: policy {word}")
    if word not in _POLICIES:
        at.fail(f"no policy named {word!r}{suggest(word, _POLICIES)}")
    return _POLICIES[word]


def read_sched(policy: Policy, at: Cursor | None) -> Sched:
    """rt-app's `priority` is the nice value of SCHED_OTHER and the real-time priority of the
    others.
    """
    if policy is Policy.NORMAL:
        nice = 0 if at is None else at.integer("a nice value")
        if at is not None and not -20 <= nice <= 19:
            at.fail(f"the priority of SCHED_OTHER is a nice value of -20 to 19, not {nice}")
        return Sched(policy, nice=nice)
    priority = _DEFAULT_RT_PRIORITY if at is None else at.integer("a real-time priority")
    if at is not None and not 1 <= priority <= 99:
        at.fail(f"a real-time priority is 1 to 99, not {priority}")
    return Sched(policy, priority=priority)


def _cpus(at: Cursor | None) -> CpuSet | None:
    if at is None:
        return None
    return frozenset(item.integer("a CPU number") for item in at.items("a list of CPU numbers"))


def _loop(at: Cursor) -> int | None:
    times = at.integer("a number of repeats")
    if times < -1 or times == 0:
        at.fail(f"a loop is -1 (endless) or at least 1, not {times}")
    return None if times == -1 else times


def _natural(at: Cursor) -> int:
    number = at.integer()
    if number < 0:
        at.fail(f"expected 0 or more, found {number}")
    return number
