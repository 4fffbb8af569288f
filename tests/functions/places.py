"""wake.s, wake_idle.s, exec.s: where a task that wakes or starts a new program goes.

Some CPUs have their bit in the upper half of a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from harness.model.bitmap import has_cpu
from harness.model.constants import SCHED_LOAD_SCALE, SDFlag
from harness.model.domain import CPU, Domain
from harness.model.load import LoadRead
from harness.model.migrate import find_idlest_cpu
from harness.model.task import Task
from harness.model.wake import Placement, PlaceReason, place, wake_idle
from tests.functions.agreement import agrees
from tests.functions.busiest import Recorder, reads
from tests.functions.guest import Guest, Logged
from tests.functions.machine import Layout

CPUS = (0, 1, 32, 35)
COUNT = 36
TASK = 7
LAST_TICK = 70_000_000
EVERY = sum(1 << cpu for cpu in CPUS)

cpu_numbers = st.sampled_from(CPUS)
masks = st.sets(cpu_numbers).map(lambda chosen: sum(1 << cpu for cpu in chosen)) | st.just(EVERY)
mostly_every = st.sampled_from([EVERY] * 4) | masks
half_loads = st.builds(LoadRead, st.sampled_from([63, 64, 64, 65]), st.integers(0, 1))
loads = reads | half_loads


@dataclass(frozen=True)
class Level:
    """A domain of the CPU in question; its span has that CPU anyway."""

    flags: int
    imbalance_pct: int
    cache_hot_time: int
    span: int

    def domain(self, cpu: int) -> Domain:
        parameters = replace(
            CPU,
            flags=SDFlag(self.flags),
            imbalance_pct=self.imbalance_pct,
            cache_hot_time=self.cache_hot_time,
        )
        return Domain(parameters, self.span | 1 << cpu, ())


def chain(*flags: SDFlag, least: int = 0) -> st.SearchStrategy[list[Level]]:
    """Some domains, each with flags that are among these."""
    return st.lists(
        st.builds(
            Level,
            st.sampled_from([int(flag) for flag in flags]),
            st.sampled_from([125, 110, 100]),
            st.sampled_from([0, 2_500_000, 10_000_000]),
            mostly_every,
        ),
        min_size=least,
        max_size=3,
    )


_ALONE = SDFlag.WAKE_IDLE | SDFlag.SHARE_CPUPOWER
_BOTH = SDFlag.WAKE_AFFINE | SDFlag.WAKE_BALANCE
_OTHER = SDFlag.LOAD_BALANCE
wake_levels = chain(_BOTH, _BOTH | _OTHER, _OTHER, SDFlag.WAKE_AFFINE, SDFlag.WAKE_BALANCE,
                    SDFlag.WAKE_BALANCE, _ALONE | _OTHER)  # fmt: skip
idle_levels = st.tuples(
    chain(
        _ALONE,
        _ALONE | SDFlag.WAKE_AFFINE,
        SDFlag.SHARE_CPUPOWER,
        SDFlag.WAKE_IDLE,
        SDFlag.WAKE_IDLE | _OTHER,
        _OTHER,
        SDFlag.SHARE_CPUPOWER | _OTHER,
        least=1,
    ),
    chain(SDFlag.WAKE_IDLE, SDFlag.WAKE_IDLE | SDFlag.LOAD_BALANCE, SDFlag.LOAD_BALANCE),
).map(lambda parts: parts[0][:1] + parts[1])


class Bench:
    """Run queues of a few CPUs among many, the domains of one of them, and a task."""

    def __init__(self, guest: Guest, cpu: int, levels: Sequence[Level]) -> None:
        self.guest = guest
        guest.release_all()
        self.table = guest.allocate(guest.runqueue.size * COUNT)
        guest.write(self.table, bytes(guest.runqueue.size * COUNT))
        guest.set_word("runqueues", self.table)
        guest.write(guest.addresses["apic_count"], COUNT.to_bytes(4, "little"))
        for number in range(COUNT):
            self.store(number, "cpu", number)
            self.store(number, "timestamp_last_tick", LAST_TICK)
        self.layout = Layout.of(guest.image, "sched_domain")
        self.domains = [level.domain(cpu) for level in levels]
        self.at = [guest.allocate(self.layout.size) for _ in levels]
        for number, (at, sd) in enumerate(zip(self.at, self.domains, strict=True)):
            self._put_domain(at, number, sd)
        self.store(cpu, "sd", self.at[0] if levels else 0)
        self.task = guest.allocate(guest.task.size)
        guest.events.clear()

    def _put_domain(self, at: int, number: int, sd: Domain) -> None:
        parameters = sd.parameters
        values = {
            "parent": self.at[number + 1] if number + 1 < len(self.at) else 0,
            "span": sd.span,
            "level": number,
            "flags": int(parameters.flags),
            "imbalance_pct": parameters.imbalance_pct,
            "cache_hot_time": parameters.cache_hot_time,
        }
        self.guest.write(at, self.layout.pack(values))

    def store(self, cpu: int, field: str, value: int) -> None:
        self.guest.store(self.guest.runqueue, self.queue(cpu), field, value)

    def queue(self, cpu: int) -> int:
        return self.table + self.guest.runqueue.size * cpu

    def load(self, cpu: int, read: LoadRead) -> None:
        self.store(cpu, "cpu_load", read.cpu_load)
        self.store(cpu, "nr_running", read.nr_running)

    def put_task(self, p: Task) -> None:
        values = {"id": p.pid, "cpu": p.cpu, "cpus_allowed": p.cpus_allowed}
        self.guest.write(self.task, self.guest.task.pack(values | {"last_ran": p.last_ran}))

    def online(self, mask: int) -> None:
        self.guest.set_word("cpu_online_mask", mask)

    def accepted(self) -> list[tuple[int, int]]:
        """Tasks that each domain has taken, by reason."""
        names = "ttwu_wake_affine", "ttwu_wake_balance"
        found = [self.guest.load(self.layout, at, *names) for at in self.at]
        return [(one[names[0]], one[names[1]]) for one in found]


@dataclass(frozen=True)
class Waking:
    """A task of some CPU that another one wakes."""

    cpu: int
    here: int
    allowed: int
    online: int
    ran_ago: int
    theirs: LoadRead
    ours: LoadRead
    sync: bool
    levels: list[Level]


wakings = st.builds(
    Waking,
    cpu_numbers,
    cpu_numbers,
    mostly_every,
    mostly_every,
    st.sampled_from([0, 2_500_000, 10_000_000]).flatmap(
        lambda hot: st.sampled_from([hot - 1, hot, hot + 1])
    ),
    loads,
    loads,
    st.booleans(),
    wake_levels,
)


def _counts(placement: Placement, domains: Sequence[Domain]) -> list[tuple[int, int]]:
    affine = placement.reason is PlaceReason.AFFINE
    return [(int(sd is placement.domain and affine),
             int(sd is placement.domain and not affine)) for sd in domains]  # fmt: skip


def _about(scene: Waking, off: int) -> LoadRead:
    """A load of ours that is just as far from the other as the first domain accepts."""
    pct = scene.levels[0].imbalance_pct
    border = 100 * scene.theirs.source // (pct + (pct - 100) // 2)
    return LoadRead(max(border + SCHED_LOAD_SCALE * scene.sync + off, 0), 0)


@agrees("wake_place", "wake_domain_accepts",
        given=st.tuples(wakings, st.none() | st.integers(-1, 1), st.booleans()))  # fmt: skip
def placed(guest: Guest, scene: Waking, off: int | None, logging: bool) -> None:
    """The CPU, the domain that counts it, and what the log says was read; anywhere, or near the
    border of a domain."""
    theirs = scene.theirs
    ours = scene.ours if off is None or not scene.levels else _about(scene, off)
    bench = Bench(guest, scene.here, scene.levels)
    p = Task(TASK, cpu=scene.cpu, last_ran=LAST_TICK - scene.ran_ago, cpus_allowed=scene.allowed)
    bench.put_task(p)
    bench.online(scene.online)
    bench.load(scene.here, ours)
    bench.load(scene.cpu, theirs)
    if scene.cpu == scene.here:
        ours = theirs
    guest.enter(bench.queue(scene.here), bench.task, scene.here)
    with guest.logging(on=logging):
        shared = {"rbx": bench.task, "r12": bench.queue(scene.cpu), "r14": int(scene.sync)}
        found = guest.call("wake_place", **shared)
    wanted = place(p, scene.here, bench.domains, LAST_TICK, theirs, ours,
                   sync=scene.sync, online=scene.online)  # fmt: skip
    assert found == wanted.cpu
    assert bench.accepted() == _counts(wanted, bench.domains)
    looked = wanted.reason not in (PlaceReason.LOCAL, PlaceReason.NOT_ALLOWED)
    loads = [n for read in (theirs, ours) for n in (read.cpu_load, read.nr_running)]
    if not looked:
        loads = [0] * len(loads)
    event = Logged("place", (TASK, wanted.cpu, *loads, LAST_TICK))
    assert guest.events == ([event] if logging else [])


@agrees("wake_idle", "idle_mask",
        given=st.tuples(cpu_numbers, mostly_every, masks, mostly_every,
                        st.just([]) | idle_levels, st.booleans()))  # fmt: skip
def idle_neighbour(
    guest: Guest, cpu: int, allowed: int, idle: int, online: int, levels: list[Level],
    logging: bool,
) -> None:  # fmt: skip
    """An idle CPU near the one that was chosen."""
    bench = Bench(guest, cpu, levels)
    p = Task(TASK, cpus_allowed=allowed)
    bench.put_task(p)
    bench.online(online)
    for number in range(COUNT):
        bench.store(number, "curr", bench.task)
        bench.store(number, "idle", bench.task if has_cpu(idle, number) else 0)
    with guest.logging(on=logging):
        found = guest.call("wake_idle", cpu, rbx=bench.task)
    if not bench.domains or not bench.domains[0].has(SDFlag.SHARE_CPUPOWER):
        assert (found, guest.events) == (cpu, [])
        return
    wanted = wake_idle(cpu, p, bench.domains, idle & online)
    assert found == wanted
    event = Logged("wake_idle", (TASK, cpu, wanted, idle & online))
    assert guest.events == ([event] if logging else [])


@agrees("wake_idle", given=st.tuples(cpu_numbers, st.integers(1, 3), st.booleans()))
def idle_further_out(guest: Guest, cpu: int, depth: int, any_idle: bool) -> None:
    """Where the inner domains have none."""
    inner = [Level(int(_ALONE), 125, 0, 0)] * depth
    levels = [*inner, Level(int(SDFlag.WAKE_IDLE), 125, 0, EVERY)]
    idle = EVERY & ~(1 << cpu) if any_idle else 0
    idle_neighbour(guest, cpu, EVERY, idle, EVERY, levels, True)


@agrees("find_idlest_cpu", given=st.tuples(
    cpu_numbers, mostly_every, mostly_every, wake_levels.filter(bool),
    st.tuples(loads, loads, loads, loads), st.none() | st.integers(-1, 1)))  # fmt: skip
def idlest(
    guest: Guest,
    here: int,
    allowed: int,
    online: int,
    levels: list[Level],
    loads: tuple[LoadRead, ...],
    off: int | None,
) -> None:
    """The CPU with the least to do, ours among equals or where it is hardly better."""
    bench = Bench(guest, here, levels)
    p = Task(TASK, cpu=here, cpus_allowed=allowed)
    bench.put_task(p)
    bench.online(online)
    found = dict(zip(CPUS, loads, strict=True))
    least = min(load.target for cpu, load in found.items() if cpu != here)
    if off is not None:
        # Around what makes another CPU clearly better.
        half = (bench.domains[0].parameters.imbalance_pct - 100) // 2
        border = least * (100 + half) // 100 - SCHED_LOAD_SCALE
        found[here] = LoadRead(max(border + off, 0), 99)
    for cpu, load in found.items():
        bench.load(cpu, load)
    wanted = find_idlest_cpu(p, here, bench.domains[0], read := Recorder(found), online)
    with guest.logging():
        assert guest.call("find_idlest_cpu", bench.task, here, bench.at[0]) == wanted
    assert guest.events == read.events


@agrees("wake_place", given=st.tuples(wakings, half_loads, half_loads))
def half_a_task(guest: Guest, scene: Waking, theirs: LoadRead, ours: LoadRead) -> None:
    """Where neither CPU has more to do."""
    placed(guest, replace(scene, theirs=theirs, ours=ours, sync=False), None, True)


@agrees("wake_place", "wake_domain_accepts",
        given=st.tuples(wakings.filter(lambda scene: scene.cpu != scene.here),
                        st.sampled_from([125, 110, 100]), st.integers(128, 999),
                        st.integers(-1, 1), st.booleans()))  # fmt: skip
def clearly_less(guest: Guest, scene: Waking, pct: int, load: int, off: int, other: bool) -> None:
    """Where a domain begins to take tasks for balance."""
    flags = SDFlag.WAKE_BALANCE | (_OTHER if other else SDFlag.WAKE_IDLE)
    levels = [Level(int(flags), pct, 0, EVERY)]
    scene = replace(scene, allowed=EVERY, online=EVERY, levels=levels, theirs=LoadRead(load, 9))
    placed(guest, scene, off, True)
