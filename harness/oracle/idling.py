"""P11 of the fact sheet's part C, of policy `o1`, read from the log alone: no CPU idles for long
while another one of its domains has a task to give.

That each attempt at balancing is right, and made when it is due, is for the replay. This rule says
that they come to something, of logs that nobody can replay too. It counts the idle CPU's own ticks,
at which it tries. A busy host may let a CPU tick and do nothing else: the rule is for the virtual
clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.model.bitmap import cpus
from harness.oracle.fairness import leaves
from harness.trace.grammar import Event
from harness.trace.trace import Trace

SD_LOAD_BALANCE = 1
"""The flag of a domain in which CPUs balance."""
LOAD_TICKS = 16
"""Ticks in which a decayed load, halved at each, becomes the present one from whatever it was."""
OVERSHOOT = 2
"""An interval that doubles may become nearly twice the longest that is meant (defect L03)."""
MORE_FAILURES = 3
"""Attempts that may fail for hot caches beyond `cache_nice_tries`, until caches do not count."""


@dataclass(frozen=True)
class _Domain:
    """A CPU's domain, in which it is decidable that an idle CPU is to get something."""

    span: int
    groups: tuple[int, ...]
    patience: int
    """Ticks after which it must have got it."""

    def gives(self, cpu: int, machine: _Machine) -> Iterator[int]:
        """CPUs that have a task for an idle one, if whichever is chosen has one.

        Between single CPUs the one with two tasks or more has one to give to one that has none;
        between groups, where there are two of the same size and the own one is all idle.
        """
        own = next((group for group in self.groups if group >> cpu & 1), 0)
        single = all(group.bit_count() == 1 for group in self.groups)
        halves = len(self.groups) == 2 and len({group.bit_count() for group in self.groups}) == 1
        if not single and not (halves and all(map(machine.idle, cpus(own)))):
            return
        rich = [other for other in machine.rich if (self.span & ~own) >> other & 1]
        if all(machine.has_for(cpu, other) for other in rich):
            yield from rich


class _Machine:
    """Who is queued where, who runs, and who may run where."""

    def __init__(self) -> None:
        self.queued: defaultdict[int, set[int]] = defaultdict(set)
        self.offline: set[int] = set()
        self.rich: dict[int, int] = {}
        """CPUs with two tasks or more, and since which event that is so."""
        self._current: dict[int, int] = {}
        self._places: dict[int, int] = {}
        self._allowed: dict[int, int] = {}

    def idle(self, cpu: int) -> bool:
        runs = self._current.get(cpu, cpu)
        return runs == cpu and not self.queued[cpu] and cpu not in self.offline

    def has_for(self, cpu: int, other: int) -> bool:
        """Whether a task waits there that may run on another CPU."""
        waiting = self.queued[other] - {self._current.get(other, other)}
        return any(self._allowed.get(task, 0) >> cpu & 1 for task in waiting)

    def follow(self, event: Event) -> None:
        match event.type.name:
            case "task_new" | "set_cpus":
                self._allowed[event.number("task")] = event.number("allowed")
            case "drain" if event.number("reset"):
                self._allowed[event.number("task")] = -1
            case "switch":
                self._current[event.cpu] = event.number("next")
            case "enqueue":
                self._leave(event.number("task"))
                self._places[event.number("task")] = event.number("rq")
                self.queued[event.number("rq")].add(event.number("task"))
                if len(self.queued[event.number("rq")]) > 1:
                    self.rich.setdefault(event.number("rq"), event.seq)
            case "schedule" if leaves(event):
                self._leave(event.number("task"))
            case "cpu_down":
                self.offline.add(event.number("rq"))
            case "cpu_up":
                self.offline.discard(event.number("rq"))

    def _leave(self, task: int) -> None:
        cpu = self._places.pop(task, None)
        if cpu is not None:
            self.queued[cpu].discard(task)
            if len(self.queued[cpu]) < 2:
                self.rich.pop(cpu, None)


@dataclass
class _Wait:
    """A CPU idles and could have got a task from another one."""

    since: int
    """Since which event that one has tasks to give."""
    ticks: int = 0


def nobody_idles_beside_work(trace: Trace) -> Iterator[tuple[Event, str]]:
    """P11: an idle CPU gets a task within some attempts at balancing, if there is one for it."""
    hello = trace.hello
    if hello is None or hello.word("policy") != "o1" or hello.word("clock") != "virtual":
        return
    domains = _domains(trace, hello.number("hz"))
    machine = _Machine()
    waits: defaultdict[int, dict[int, _Wait]] = defaultdict(dict)
    for event in trace.events:
        machine.follow(event)
        if event.type.name == "switch":
            waits[event.cpu].clear()
        elif event.type.name == "tick":
            yield from _tick(event, machine, domains.get(event.cpu, ()), waits[event.cpu])


def _tick(
    event: Event, machine: _Machine, domains: Sequence[_Domain], waits: dict[int, _Wait]
) -> Iterator[tuple[Event, str]]:
    cpu = event.cpu
    givers: dict[int, int] = {}
    for domain in domains if machine.idle(cpu) else ():
        for other in domain.gives(cpu, machine):
            givers.setdefault(other, domain.patience)
    for other in waits.keys() - givers:
        del waits[other]
    for other, patience in givers.items():
        if other not in waits or waits[other].since != machine.rich[other]:
            waits[other] = _Wait(machine.rich[other])
        wait = waits[other]
        wait.ticks += 1
        if wait.ticks > patience:
            has = f"CPU {other} has {len(machine.queued[other])} tasks, one of them for it"
            yield event, f"CPU {cpu} idles for {wait.ticks} ticks while {has}"
            wait.ticks = 0


def _domains(trace: Trace, hz: int) -> Mapping[int, Sequence[_Domain]]:
    """Those of each CPU, the innermost first, in which it balances."""
    found: defaultdict[int, list[_Domain]] = defaultdict(list)
    announced: list[Event] = []
    for event in trace.of("domain", "group"):
        if event.name == "domain":
            announced = [event]
            continue
        announced.append(event)
        domain, *groups = announced
        masks = tuple(group.number("cpus") for group in groups)
        complete = sum(masks) == domain.number("span")
        if complete and domain.number("flags") & SD_LOAD_BALANCE:
            patience = _patience(domain, hz)
            found[domain.number("of")].append(_Domain(domain.number("span"), masks, patience))
    return found


def _patience(domain: Event, hz: int) -> int:
    """Ticks until loads are read as they are, until the next attempt then, and for attempts that
    fail, which come one after the other."""
    shortest, longest = (
        max(-(-domain.number(f"{name}_interval") * hz // 1000), 1) for name in ("min", "max")
    )
    failures = domain.number("cache_nice_tries") + MORE_FAILURES
    return LOAD_TICKS + OVERSHOOT * longest + failures * shortest
