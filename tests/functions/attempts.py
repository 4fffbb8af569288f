"""rebalance.s, idle_balance of balance.s: when a CPU looks for work, and in which domains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from harness.model import balance as model
from harness.model.constants import Constants, IdleType, SDFlag, State
from harness.model.domain import CPU, Domain, Group
from harness.model.fixes import Fix, Fixes
from harness.model.load import decayed_load
from harness.model.task import Task
from tests.functions.agreement import agrees, corrections
from tests.functions.cpus import HERE, Cpus
from tests.functions.guest import Guest, Logged
from tests.functions.machine import U64, Layout

CPUS, BUSIEST = 4, 2
ANY = int(State.INTERRUPTIBLE | State.UNINTERRUPTIBLE)
COUNTERS = ("lb_cnt", "lb_failed", "lb_imbalance", "lb_nobusyq", "lb_nobusyg")
JIFFIES = 100_000
LEVEL = 3

flags = st.sampled_from(
    [SDFlag.LOAD_BALANCE | SDFlag.BALANCE_NEWIDLE] * 3
    + [SDFlag.LOAD_BALANCE, SDFlag.BALANCE_NEWIDLE, SDFlag.WAKE_AFFINE]
)


@dataclass(frozen=True)
class Level:
    """A domain as an attempt finds it."""

    flags: SDFlag
    busy_factor: int
    tries: int
    interval: int
    failed: int
    ago: int
    """Jiffies since the last attempt."""

    def domain(self) -> Domain:
        kind = replace(CPU, flags=self.flags, busy_factor=self.busy_factor,
                       cache_nice_tries=self.tries, min_interval=3, max_interval=6)  # fmt: skip
        ring = (Group(0b0011, 256), Group(0b1100, 256))
        return Domain(kind, 0b1111, ring, JIFFIES - self.ago, self.interval, self.failed)


levels = st.builds(
    Level,
    flags,
    st.sampled_from([1, 2, 3]),
    st.integers(0, 2),
    st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 12, 300, 511, 512, 600]),
    st.integers(0, 5),
    st.integers(-1, 20),
)


class Bench:
    """This CPU with its domains, on both sides; nothing else of the machine matters."""

    def __init__(self, guest: Guest, chain: Sequence[Level], fixes: Fixes, cpu: int = HERE) -> None:
        self.guest = guest
        self.cpus = Cpus(guest, CPUS, fixes)
        self.domains = [level.domain() for level in chain]
        self.rq = self.cpus.rqs[cpu]
        self.rq.domains = tuple(self.domains)
        self.cpus.copy(JIFFIES + 7)
        self.layout = Layout.of(guest.image, "sched_domain")
        self.at = [guest.allocate(self.layout.size) for _ in chain]
        self.groups = self._put_groups()
        for number, sd in enumerate(self.domains):
            self._put(number, sd)
        self.cpus.store(cpu, "sd", self.at[0] if self.at else 0)
        guest.set_word("cpu_online_mask", (1 << CPUS) - 1)
        guest.enter(self.cpus.queue(cpu), self.cpus.mirror.task(self.rq.curr), cpu, JIFFIES)
        self.thread = self.cpus.mirror.task(Task(33))
        self.cpus.store(BUSIEST, "migration_thread", self.thread)
        guest.events.clear()

    def _put_groups(self) -> list[int]:
        layout = Layout.of(self.guest.image, "sched_group")
        at = [self.guest.allocate(layout.size) for _ in range(2)]
        for here, after, mask in zip(at, at[::-1], (0b0011, 0b1100), strict=True):
            self.guest.write(here, layout.pack({"next": after, "cpumask": mask, "cpu_power": 256}))
        return at

    def _put(self, number: int, sd: Domain) -> None:
        names = ("flags", "min_interval", "max_interval", "busy_factor", "imbalance_pct",
                 "cache_hot_time", "cache_nice_tries")  # fmt: skip
        values = {name: int(getattr(sd.parameters, name)) for name in names}
        values |= {"parent": self.at[number + 1] if number + 1 < len(self.at) else 0}
        values |= {"groups": self.groups[0], "span": sd.span, "level": LEVEL + number}
        values |= {name: getattr(sd, name) for name in CHANGING}
        self.guest.write(self.at[number], self.layout.pack(values))

    def compare(self) -> None:
        """Domains and run queues; every lock is free."""
        self.cpus.compare()
        for at, sd in zip(self.at, self.domains, strict=True):
            found = self.guest.load(self.layout, at)
            assert [found[name] for name in CHANGING] == [getattr(sd, name) for name in CHANGING]
            counts = [getattr(stats, name) for stats in sd.stats.lb for name in COUNTERS]
            words = [found["lb"] >> 64 * n & U64 for n in range(len(counts))]
            assert words == counts, "attempts by idle type"


CHANGING = ("last_balance", "balance_interval", "nr_balance_failed")


@agrees("rebalance_tick", "update_cpu_load", "balance_interval",
        given=st.tuples(st.lists(levels, max_size=3), st.sampled_from(list(IdleType)[:2]),
                        st.lists(st.integers(0, 2), min_size=3, max_size=3), st.integers(0, 3),
                        st.booleans(), st.tuples(st.integers(0, 3), st.integers(0, 400)),
                        st.sampled_from([1000, 100, 250]), corrections(Fix.L04),
                        st.booleans()))  # fmt: skip
def ticks(
    guest: Guest, chain: list[Level], idle: IdleType, taken: list[int], cpu: int, offline: bool,
    load: tuple[int, int], hz: int, fixes: Fixes, logging: bool,
) -> None:  # fmt: skip
    """The load figure ages; domains whose time has come are balanced, each with what is known by
    then, unless the CPU is offline."""
    bench = Bench(guest, chain, fixes, cpu)
    k = guest.configure(hz, CPUS, fixes)
    nr_running, cpu_load = load
    bench.rq.nr_running, bench.rq.cpu_load = nr_running, cpu_load
    for name, value in zip(("nr_running", "cpu_load"), load, strict=True):
        bench.cpus.store(cpu, name, value)
    if offline:
        guest.set_word("cpu_online_mask", 0b1111 & ~(1 << cpu))
    found: list[tuple[int, int]] = []

    def balance() -> int:
        found.append((guest.register("rdi"), guest.register("rsi")))
        assert len(found) <= len(chain)
        return taken[len(found) - 1]

    garbage = 0x5A5A_0000_0000
    queue = bench.cpus.queue(cpu)
    with guest.logging(on=logging), guest.replacing(load_balance=balance):
        guest.enter(queue, bench.cpus.mirror.task(bench.rq.curr), cpu, 99)
        guest.call("rebalance_tick", queue, int(idle) | garbage, JIFFIES)
    assert guest.own("op_jiffies") == JIFFIES
    bench.rq.cpu_load = decayed_load(cpu_load, nr_running)
    wanted = []
    for at, sd in zip(bench.at, bench.domains, strict=True) if not offline else ():
        if not sd.has(SDFlag.LOAD_BALANCE):
            continue
        if model.balance_due(sd, idle, JIFFIES, cpu, CPUS, replace(k, fixes=fixes)):
            wanted.append((at, int(idle)))
            idle = IdleType.NOT_IDLE if taken[len(wanted) - 1] else idle
    assert [(at, kind & 0xFFFF_FFFF) for at, kind in found] == wanted
    aged = [Logged("cpu_load", (nr_running, bench.rq.cpu_load))]
    changed = logging and bench.rq.cpu_load != cpu_load
    assert guest.events == (aged if changed else [])
    bench.compare()


@agrees("balance_interval",
        given=st.tuples(st.sampled_from([11, 13, 100, 333, 1000]), st.integers(1, 3),
                        st.sampled_from([0, 1, 2, 77, 91, 999, 1000, 1001, 1999, 2000]),
                        st.sampled_from(list(IdleType)[:2])))  # fmt: skip
def intervals(guest: Guest, hz: int, factor: int, interval: int, idle: IdleType) -> None:
    """Rounded up to whole jiffies, whatever a jiffy is."""
    level = Level(SDFlag.LOAD_BALANCE, factor, 0, interval, 0, 0)
    bench = Bench(guest, [level], frozenset())
    guest.set_word("param_hz", hz)
    found = guest.call("balance_interval", r12=bench.at[0], r14=int(idle))
    guest.set_word("param_hz", bench.cpus.k.hz)
    assert found == model.balance_interval(bench.domains[0], idle, Constants(hz))


@agrees("idle_balance", given=st.tuples(st.lists(levels, max_size=3),
                                        st.lists(st.booleans(), min_size=3, max_size=3),
                                        st.booleans()))  # fmt: skip
def out_of_work(guest: Guest, chain: list[Level], taken: list[bool], offline: bool) -> None:
    """Ever wider, among the domains that take part, until there is some."""
    bench = Bench(guest, chain, frozenset())
    if offline:
        guest.set_word("cpu_online_mask", 0b1110)
    found: list[int] = []

    def balance() -> int:
        found.append(guest.register("rdi"))
        assert len(found) <= len(chain)
        return int(taken[len(found) - 1])

    with guest.replacing(load_balance_newidle=balance):
        guest.call("idle_balance", bench.cpus.queue(HERE))
    wanted: list[int] = []
    for at, sd in zip(bench.at, bench.domains, strict=True) if not offline else ():
        if sd.has(SDFlag.BALANCE_NEWIDLE):
            wanted.append(at)
            if taken[len(wanted) - 1]:
                break
    assert found == wanted
    bench.compare()
