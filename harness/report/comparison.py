"""The same workload under several policies, side by side: figures read off the logs.

==========  ======================================================================================
work        ticks that found a task running, of all ticks of all CPUs, in percent
operations  switches to a task (not to an idle task) per second of guest time
wait        time from the moment that a task is queued to the one that it runs, in us: mean and
            greatest; that a task is moved meanwhile does not end its wait, the last tick does
fairness    Jain's index of the ticks that equal tasks got, (sum x)^2 / (n sum x^2): 1 is even, 1/n
            is all for one. Equal: instances of one group (hog/0, hog/1, ...), and forks of one
            template, once they were queued. The least of all groups that had 10 ticks a task and
            more
migrations  times that a task is queued or run on another CPU than before
switches    of all CPUs
idle        ticks on which a CPU idled while tasks waited on some CPU, in percent of all ticks
==========  ======================================================================================

Times are the guest's. Under the virtual clock a guest's own work takes time, too: what a policy
logs more than another costs it some of the throughput.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from rich.box import SIMPLE_HEAD
from rich.table import Table

from harness.trace.grammar import Event
from harness.trace.trace import Trace

LEAST_TICKS = 10
"""Ticks a task that a group must have had for its fairness to mean anything."""

_QUEUED = ("enqueue", "v_enqueue")


@dataclass(frozen=True)
class Figures:
    """What one run came to; times in ns of the guest."""

    policy: str
    outcome: str
    duration: int
    ticks: int
    work_ticks: int
    runs: int
    waits: int
    wait_total: int
    wait_max: int
    fairness: float | None
    """``None`` where no group had enough to run."""
    migrations: int
    switches: int
    idle_while_waiting: int

    @property
    def work_percent(self) -> float:
        return 100 * self.work_ticks / self.ticks if self.ticks else 0.0

    @property
    def operations(self) -> float:
        """Per second."""
        return self.runs * 1e9 / self.duration if self.duration else 0.0

    @property
    def wait_mean(self) -> float:
        """Nanoseconds."""
        return self.wait_total / self.waits if self.waits else 0.0

    @property
    def idle_percent(self) -> float:
        return 100 * self.idle_while_waiting / self.ticks if self.ticks else 0.0

    def as_json(self) -> dict[str, object]:
        """All figures, those of the table too."""
        derived = ("work_percent", "operations", "wait_mean", "idle_percent")
        return {**asdict(self), **{name: round(getattr(self, name), 3) for name in derived}}


@dataclass
class _Reading:
    """A log on its way through."""

    current: dict[int, int] = field(default_factory=dict)
    """The task that runs, by CPU; before its first switch that is the idle task."""
    since: dict[int, int] = field(default_factory=dict)
    """When tasks that are queued and do not run began to wait, in ns."""
    last_cpu: dict[int, int] = field(default_factory=dict)
    group: dict[int, str] = field(default_factory=dict)
    got: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    """Ticks by group and life of a task: numbers are used again."""
    life: Counter[int] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)
    wait_max: int = 0
    last_tick: int = 0

    def begin(self, event: Event) -> None:
        task = event.number("task")
        self.life[task] += 1
        self.last_cpu.pop(task, None)
        self.group[task] = event.word("name").partition("/")[0]

    def tick(self, event: Event, idle: frozenset[int]) -> None:
        self.totals["ticks"] += 1
        self.last_tick = event.ns
        task = self.current.get(event.cpu, event.cpu)
        if task not in idle:
            self.totals["work"] += 1
            self.grant(task, 1)
        elif self.since:
            self.totals["idle"] += 1

    def switch(self, event: Event, idle: frozenset[int]) -> None:
        prev, task = event.number("prev"), event.number("next")
        self.current[event.cpu] = task
        self.totals["switches"] += 1
        if prev not in idle and not event.number("voluntary"):
            self.since[prev] = event.ns
        if task in idle:
            return
        self.totals["runs"] += 1
        self.place(task, event.cpu)
        self.wait(event.ns - self.since.pop(task, event.ns))

    def queue(self, event: Event) -> None:
        task = event.number("task")
        self.grant(task, 0)
        self.place(task, event.number("rq"))
        if task not in self.current.values():
            self.since.setdefault(task, event.ns)

    def finish(self) -> None:
        """Who waits still has waited for the rest of the run."""
        for since in self.since.values():
            self.wait(max(self.last_tick - since, 0))

    def place(self, task: int, cpu: int) -> None:
        self.totals["migrations"] += self.last_cpu.get(task, cpu) != cpu
        self.last_cpu[task] = cpu

    def grant(self, task: int, ticks: int) -> None:
        self.got[self.group.get(task, str(task))][task << 32 | self.life[task]] += ticks

    def wait(self, waited: int) -> None:
        self.totals["waits"] += 1
        self.totals["waited"] += waited
        self.wait_max = max(self.wait_max, waited)


def figures(trace: Trace, outcome: str = "") -> Figures:
    """Read the figures of a run off its log; raises ``ValueError`` for one without ``hello``."""
    hello = trace.hello
    if hello is None:
        raise ValueError("the log does not say who wrote it")
    idle = frozenset(range(hello.number("cpus")))
    seen = _Reading()
    for event in trace.events:
        _read(seen, event, idle)
    seen.finish()
    first, last = trace.events[0].ns, max(event.ns for event in trace.events)
    return Figures(
        policy=hello.word("policy"),
        outcome=outcome,
        duration=last - first,
        ticks=seen.totals["ticks"],
        work_ticks=seen.totals["work"],
        runs=seen.totals["runs"],
        waits=seen.totals["waits"],
        wait_total=seen.totals["waited"],
        wait_max=seen.wait_max,
        fairness=fairness(seen.got.values()),
        migrations=seen.totals["migrations"],
        switches=seen.totals["switches"],
        idle_while_waiting=seen.totals["idle"],
    )


def _read(seen: _Reading, event: Event, idle: frozenset[int]) -> None:
    name = event.type.name
    if name == "task_new":
        seen.begin(event)
    elif name == "tick":
        seen.tick(event, idle)
    elif name == "switch":
        seen.switch(event, idle)
    elif name in _QUEUED:
        seen.queue(event)


def jain(shares: Iterable[int]) -> float:
    """Jain's index of fairness; 1 for nobody, as for everybody the same."""
    values = list(shares)
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def fairness(groups: Iterable[Mapping[int, int]]) -> float | None:
    """The least index of the groups that had enough; ``None`` if none had."""
    found = [
        jain(ticks.values())
        for ticks in groups
        if len(ticks) > 1 and sum(ticks.values()) >= LEAST_TICKS * len(ticks)
    ]
    return min(found, default=None)


_ROWS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("verdict", lambda f: f.outcome),
    ("work, % of ticks", lambda f: f"{f.work_percent:.1f}"),
    ("runs per second", lambda f: f"{f.operations:.0f}"),
    ("wait, mean us", lambda f: f"{f.wait_mean / 1000:.1f}"),
    ("wait, max us", lambda f: f"{f.wait_max / 1000:.1f}"),
    ("fairness, least", lambda f: "-" if f.fairness is None else f"{f.fairness:.3f}"),
    ("migrations", lambda f: str(f.migrations)),
    ("switches", lambda f: str(f.switches)),
    ("idle while work waited, %", lambda f: f"{f.idle_percent:.1f}"),
)


def comparison_table(runs: Sequence[Figures]) -> Table:
    """One column for each run."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for run in runs:
        table.add_column(run.policy, justify="right")
    for heading, cell in _ROWS:
        table.add_row(heading, *(cell(run) for run in runs))
    return table
