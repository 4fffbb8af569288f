"""Rules about who gets how much, of policy `o1`, read from the log alone.

P13 and P17 of the fact sheet's part C. P17 counts ticks and holds under either clock. P13 is for
the virtual one: where the host stops a CPU, its decayed load is of long ago, and others go by it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from harness.trace.grammar import Event
from harness.trace.trace import Trace

NORMAL = 0
"""`SCHED_NORMAL`, the policy of ordinary tasks."""

_DISTURBANCES = (
    *("activate", "start", "wake_new", "migrate", "drain", "cpu_down", "cpu_up", "set_cpus"),
    "schedule",
)
"""Events that leave balancing another state of the machine than it has made itself; `schedule`
where a task goes to sleep or has ended."""


def balancing_settles(trace: Trace) -> Iterator[tuple[Event, str]]:
    """P13: while nobody comes, goes, sleeps or wakes, migration threads included, balancing does
    not lead to as many tasks on each CPU as there were before: it would go on like that for ever.
    """
    if not _is_o1(trace) or not trace.hello or trace.hello.word("clock") != "virtual":
        return
    places: dict[int, int] = {}
    before: set[tuple[tuple[int, int], ...]] = set()
    route: dict[int, tuple[int, int]] = {}
    for event in trace.of("move", "moved", "enqueue", *_DISTURBANCES):
        match event.type.name:
            case "enqueue":
                places[event.number("task")] = event.number("rq")
            case "move":
                before.add(_distribution(places))
                route[event.cpu] = event.number("src"), event.number("dst")
            case "moved":
                if event.number("nr") and _distribution(places) in before:
                    words = "as many tasks are on each CPU as once before"
                    source, target = route.get(event.cpu, (-1, -1))
                    yield event, f"{words}, now that CPU {source} gives CPU {target} some"
                    before.clear()
            case "schedule":
                if leaves(event):
                    places.pop(event.number("task"), None)
                    before.clear()
            case _:
                before.clear()


def leaves(event: Event) -> bool:
    """Whether the task of a `schedule` goes to sleep or has ended."""
    return bool(event.number("state") and not event.number("preempt"))


def _distribution(places: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted(Counter(places.values()).items()))


def _is_o1(trace: Trace) -> bool:
    return trace.hello is not None and trace.hello.word("policy") == "o1"


@dataclass
class _Share:
    """What a task gets from the rotation on that began with the CPU's swap ``since``."""

    since: int
    ticks: int = 0


@dataclass
class _Rotations:
    """A CPU: its turns of the arrays, and the tasks that take part in them."""

    swaps: int = 0
    queued: set[int] = field(default_factory=set)
    shares: dict[int, _Share] = field(default_factory=dict)


_RESTARTS = (
    *("pull", "migrate", "drain", "yield", "set_nice", "set_policy"),
    *("fork", "exit", "wake_new"),
)
"""Events whose ``task`` and ``parent`` get another share from then on, or elsewhere."""


def hogs_share_alike(trace: Trace) -> Iterator[tuple[Event, str]]:
    """P17: tasks of the same nice level that stay on a CPU and always expire get the same number of
    ticks over whole turns of its arrays, give or take a slice."""
    if not _is_o1(trace):
        return
    shares = _Shares()
    for event in trace.events:
        yield from shares.follow(event)


class _Shares:
    def __init__(self) -> None:
        self._cpus: defaultdict[int, _Rotations] = defaultdict(_Rotations)
        self._nice: dict[int, int] = {}
        """Of ordinary tasks."""
        self._slice: dict[int, int] = {}
        """The last that a task was given."""

    def follow(self, event: Event) -> Iterator[tuple[Event, str]]:
        name = event.type.name
        match name:
            case "task_new" | "set_policy" | "set_nice":
                self._learn(event)
            case "enqueue":
                self._cpus[event.number("rq")].queued.add(event.number("task"))
            case "dequeue":
                self._cpus[event.number("rq")].queued.discard(event.number("task"))
            case "account":
                share = self._cpus[event.cpu].shares.get(event.number("task"))
                if share is not None:
                    share.ticks += 1
            case "expire":
                self._slice[event.number("task")] = event.number("slice")
                if not event.number("to"):
                    self._restart(event.number("task"))
            case "schedule" if leaves(event):
                self._restart(event.number("task"))
            case "swap":
                yield from self._turn(event)
        if name in _RESTARTS:
            for who in ("task", "parent"):
                if who in event.fields:
                    self._restart(event.number(who))

    def _learn(self, event: Event) -> None:
        task = event.number("task")
        if event.name == "set_nice":
            if task in self._nice:
                self._nice[task] = event.number("nice")
        elif event.number("policy") != NORMAL:
            self._nice.pop(task, None)
        elif event.name == "task_new":
            self._nice[task] = event.number("nice")

    def _restart(self, task: int) -> None:
        for cpu in self._cpus.values():
            cpu.shares.pop(task, None)

    def _turn(self, event: Event) -> Iterator[tuple[Event, str]]:
        """A turn is over: who was there for all of it has the same as its equals."""
        cpu = self._cpus[event.number("rq")]
        cpu.swaps += 1
        equals: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for task, share in cpu.shares.items():
            equals[self._nice[task], share.since].append(task)
        for (_, since), tasks in equals.items():
            least, *_, most = sorted([*tasks, *tasks], key=lambda task: cpu.shares[task].ticks)
            few, many = cpu.shares[least].ticks, cpu.shares[most].ticks
            allowed = max(self._slice.get(task, 0) for task in tasks)
            if many - few > allowed:
                words = f"task {most} gets {many} ticks on CPU {event.cpu}, task {least} {few}"
                yield event, f"{words}, in {cpu.swaps - since} turns of slices of {allowed}"
                for task in tasks:
                    del cpu.shares[task]
        for task in cpu.queued & self._nice.keys() - cpu.shares.keys():
            cpu.shares[task] = _Share(cpu.swaps)
