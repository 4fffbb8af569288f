"""busiest.s: the busiest group and queue, from loads that other CPUs may be changing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from harness.model import balance as model
from harness.model.constants import IdleType
from harness.model.domain import CPU, Domain, Group
from harness.model.fixes import NO_FIXES, Fix, Fixes
from harness.model.load import LoadRead
from tests.functions.agreement import agrees, corrections
from tests.functions.guest import Guest, Logged
from tests.functions.machine import Layout

MAX_CPUS = 8
GARBAGE = 0x5A5A_0000_0000
"""In the upper half of arguments that have but a lower one."""
HERE, THERE = 0, 1

powers = st.sampled_from([128, 140, 113, 145, 64, 256, 512])
reads = st.builds(
    LoadRead,
    st.sampled_from([0, 1, 64, 100, 126, 127, 128, 129, 143, 144, 160, 255, 256, 384]),
    st.integers(0, 3),
) | st.integers(0, 12).map(lambda tasks: LoadRead(128 * tasks, tasks))
idles = st.sampled_from(IdleType)


@dataclass(frozen=True)
class Shape:
    """Groups of a domain with the loads of their CPUs, in order."""

    groups: tuple[tuple[int, tuple[LoadRead, ...]], ...]
    own: int
    """Which of them the asking CPU is in."""
    pct: int

    def domain(self) -> Domain:
        groups, first = [], 0
        for power, loads in self.groups:
            groups.append(Group((1 << len(loads)) - 1 << first, power))
            first += len(loads)
        turned = tuple(groups[self.own :] + groups[: self.own])
        return Domain(replace(CPU, imbalance_pct=self.pct), (1 << first) - 1, turned)

    def loads(self) -> list[LoadRead]:
        return [load for _, loads in self.groups for load in loads]


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    one_to_three = st.lists(reads, min_size=1, max_size=3).map(tuple)
    groups = draw(st.lists(st.tuples(powers, one_to_three), min_size=1, max_size=4))
    while sum(len(loads) for _, loads in groups) > MAX_CPUS:
        groups.pop()
    pct = draw(st.sampled_from([125, 110, 100]))
    return Shape(tuple(groups), draw(st.integers(0, len(groups) - 1)), pct)


class Recorder:
    """Reads loads for the model, and notes what the guest has to log of them."""

    def __init__(self, loads: Sequence[LoadRead] | Mapping[int, LoadRead]) -> None:
        self.loads = loads
        self.events: list[Logged] = []

    def __call__(self, cpu: int) -> LoadRead:
        load = self.loads[cpu]
        if load.cpu_load or load.nr_running:
            self.events.append(Logged("load", (cpu, load.cpu_load, load.nr_running)))
        return load


class Bench:
    """A domain and its CPUs' loads in the guest's memory."""

    def __init__(self, guest: Guest, sd: Domain, loads: Sequence[LoadRead]) -> None:
        self.guest, self.sd = guest, sd
        guest.release_all()
        table = guest.allocate(guest.runqueue.size * MAX_CPUS)
        guest.set_word("runqueues", table)
        for cpu, load in enumerate(loads):
            at = table + guest.runqueue.size * cpu
            guest.store(guest.runqueue, at, "cpu_load", load.cpu_load)
            guest.store(guest.runqueue, at, "nr_running", load.nr_running)
        self.table = table
        self.groups = self._put_groups()
        layout = Layout.of(guest.image, "sched_domain")
        values = {"groups": self.groups[0], "imbalance_pct": sd.parameters.imbalance_pct}
        self.domain = guest.allocate(layout.size)
        guest.write(self.domain, layout.pack(values | {"span": sd.span}))
        guest.events.clear()

    def _put_groups(self) -> list[int]:
        layout = Layout.of(self.guest.image, "sched_group")
        at = [self.guest.allocate(layout.size) for _ in self.sd.groups]
        for address, after, group in zip(at, at[1:] + at[:1], self.sd.groups, strict=True):
            values = {"next": after, "cpumask": group.cpumask, "cpu_power": group.cpu_power}
            self.guest.write(address, layout.pack(values))
        return at

    def group(self, cpu: int, idle: int) -> tuple[Group | None, int]:
        """What find_busiest_group answers."""
        imbalance = self.guest.allocate(8)
        arguments = (self.domain, cpu | GARBAGE, idle | GARBAGE, imbalance)
        found = self.guest.call("find_busiest_group", *arguments)
        tasks = int.from_bytes(self.guest.read(imbalance, 8), "little")
        assert found == 0 or found in self.groups, "not a group"
        return (self.sd.groups[self.groups.index(found)] if found else None), tasks

    def queue(self, group: Group) -> int | None:
        """The CPU that find_busiest_queue answers."""
        address = self.groups[self.sd.groups.index(group)]
        found = self.guest.call("find_busiest_queue", address)
        return (found - self.table) // self.guest.runqueue.size if found else None


def agree(guest: Guest, shape: Shape, idle: IdleType, fixes: Fixes = NO_FIXES) -> None:
    """Both functions give what the model gives, after the same reads in the same order."""
    guest.configure(1000, 1, fixes)
    sd, read = shape.domain(), Recorder(shape.loads())
    bench = Bench(guest, sd, shape.loads())
    own = sd.groups[0].cpumask.bit_length() - 1
    wanted = model.find_busiest_group(sd, own, idle, read, fixes)
    assert bench.group(own, idle) == wanted
    for group in sd.groups:
        assert bench.queue(group) == model.find_busiest_queue(group, read)
    for cpu in range(len(shape.loads())):
        guest.call("read_load", cpu | GARBAGE)
        assert LoadRead(guest.register("rdi"), guest.register("rsi")) == read(cpu)
    assert guest.events == (read.events if guest.word("param_loglevel") else [])


FUNCTIONS = (
    "find_busiest_group",
    "search_groups",
    "search_imbalance",
    "find_busiest_queue",
    "read_load",
)


@agrees(*FUNCTIONS, given=st.tuples(shapes(), idles, corrections(Fix.L07), st.booleans()))
def searches(guest: Guest, shape: Shape, idle: IdleType, fixes: Fixes, logging: bool) -> None:
    if not logging:
        agree(guest, shape, idle, fixes)
        return
    with guest.logging():
        agree(guest, shape, idle, fixes)


@agrees("find_busiest_group", "search_groups", "search_imbalance",
        given=st.tuples(st.integers(0, 12), idles))  # fmt: skip
def pull_law(guest: Guest, ours: int, idle: IdleType) -> None:
    """Two CPUs of equal power with so many tasks each, and around the load of one."""
    loads = [LoadRead(128 * tasks, tasks) for tasks in range(2 * ours + 3)]
    for theirs in [*loads, LoadRead(127, 2), LoadRead(129, 2), LoadRead(130, 2)]:
        groups = tuple((128, (load,)) for load in (LoadRead(128 * ours, ours), theirs))
        agree(guest, Shape(groups, HERE, 125), idle)
    for load in (382, 383, 384):
        # Far apart, and yet less than a task from the average.
        loads = [LoadRead(128, 1), LoadRead(load, 3), LoadRead(64, 1)]
        agree(guest, Shape(tuple((128, (read,)) for read in loads), HERE, 125), idle)
    for load in (375, 378, 381, 384):
        # The average is 125 to 128 above us, where a whole task begins.
        loads = [LoadRead(0, 0), LoadRead(load, 3), LoadRead(0, 0)]
        agree(guest, Shape(tuple((128, (read,)) for read in loads), HERE, 125), idle)


_EXACT = st.sampled_from([(113, 64, 218), (113, 145, 126), (113, 128, 145), (128, 145, 144)])
"""Powers that do not divide the square of one task's load: the quotient's last unit decides."""


@agrees("search_gains_power", "search_imbalance",
        given=st.one_of(*[st.tuples(powers, powers, st.integers(0, 400))] * 6, _EXACT).flatmap(
            lambda case: st.tuples(*map(st.just, case), corrections(Fix.L07))))  # fmt: skip
def gained_power(guest: Guest, bp: int, tp: int, theirs: int, fixes: Fixes) -> None:
    """Around every border: our load that makes the difference is not far from these."""
    guest.configure(1000, 1, fixes)
    for ours in {0, 1, theirs // 2, theirs * 3 // 4, *range(max(theirs - 48, 0), theirs, 4)}:
        both = [
            model.GroupLoad(Group(1 << number, power), -(-load * power // 128))
            for number, load, power in ((HERE, ours, tp), (THERE, theirs, bp))
        ]
        arguments = (both[THERE].average, both[HERE].average, 0, 0, bp, tp)
        wanted = model._gains_power(both[THERE], both[HERE], fixes)
        assert guest.call("search_gains_power", *arguments) == wanted
