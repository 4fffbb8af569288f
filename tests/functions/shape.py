"""topology.s, group.s, domain.s, domain_check.s: from what CPUID says to every CPU's domains."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from hypothesis import strategies as st
from unicorn import x86_const as x86

from harness.model.constants import SDFlag
from harness.model.domain import Domain, Group, Topology, build_domains, domain_errors
from tests.functions.agreement import agrees
from tests.functions.cpus import Cpus
from tests.functions.guest import Guest, Logged, PanicError
from tests.functions.machine import PAGE, Layout

MOST, USUAL = 64, 16
CACHE_LINE = 64
PARAMETERS = ("flags", "min_interval", "max_interval", "busy_factor", "imbalance_pct",
              "cache_hot_time", "cache_nice_tries")  # fmt: skip
LEAVES = ("levels", "three levels", "no levels", "cores", "no cores", "old", "single")
RESERVED = 0xA5A5_A500
"""In the upper part of a register whose lower bits mean something."""

_USUAL = st.builds(
    Topology, st.sampled_from([1, 1, 2, 3]), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3)
).filter(lambda shape: shape.nr_cpus <= USUAL)
_LARGE = [Topology(2, 2, 4, 2), Topology(1, MOST), Topology(1, 1, 33), Topology(1, 1, 1, 8)]
shapes = st.one_of(*[_USUAL] * 15, st.sampled_from(_LARGE))


def bits_for(count: int) -> int:
    """In which so many can be numbered."""
    return (count - 1).bit_length()


@dataclass(frozen=True)
class Hardware:
    """A machine, and how its processors tell of it."""

    shape: Topology
    leaves: str
    spare: tuple[int, int]
    """Bits more than are needed of a thread's and a core's number; only leaf 0xB can say so."""

    @property
    def seen(self) -> Topology:
        """As far as the leaves tell: without leaf 4 every CPU of a package is a core, and without
        a count it is a package."""
        shape = self.shape
        if self.leaves in ("no cores", "old"):
            return replace(shape, cores=shape.cores * shape.threads, threads=1)
        if self.leaves == "single":
            return replace(
                shape, sockets=shape.sockets * shape.cores * shape.threads, cores=1, threads=1
            )
        return shape

    @property
    def bits(self) -> tuple[int, int]:
        """Of a thread's number, and of that with the core's."""
        seen = self.seen
        thread, core = bits_for(seen.threads), bits_for(seen.cores)
        if "levels" in self.leaves and self.leaves != "no levels":
            thread, core = thread + self.spare[0], core + self.spare[1]
        return thread, thread + core

    def apic_ids(self) -> Iterator[int]:
        seen, (thread_bits, package_bits) = self.seen, self.bits
        for cpu in range(seen.nr_cpus):
            core, thread = divmod(cpu, seen.threads)
            package, core = divmod(core, seen.cores)
            yield package << package_bits | core << thread_bits | thread

    def cpuid(self, leaf: int, number: int) -> tuple[int, int, int, int]:
        """eax, ebx, ecx, edx."""
        seen = self.seen
        most = {"old": 3, "single": 3, "cores": 4, "no cores": 10}.get(self.leaves, 0xB)
        if leaf == 0:
            return most, *b"Gen"
        if leaf == 1:
            count = seen.cores * seen.threads
            several = 0 if self.leaves == "single" else 1 << 28
            return 0x806E9, (count if several else 99) << 16 | 0x0A00_0807, 3, several | 0x789_FBFF
        if leaf == 4 <= most:
            kind = 0 if self.leaves == "no cores" else 1
            cores = 60 if number else seen.cores
            return cores - 1 << 26 | 0x1C100 | kind, 7, 8, 9
        if leaf == 0xB <= most:
            return self._level(number)
        return 0x0C00_0101, 2, 0x100, 3  # as real ones answer: with something else

    def _level(self, number: int) -> tuple[int, int, int, int]:
        thread_bits, package_bits = self.bits
        levels = [(thread_bits, 1), (package_bits, 2)]
        if self.leaves == "three levels":
            levels.insert(1, (thread_bits, 5))
        if self.leaves == "no levels" or number >= len(levels):
            return 0, 0, number, 0
        shift, kind = levels[number]
        return shift | RESERVED, 4, kind << 8 | number | RESERVED << 16 & 0xFFFF_0000, 0


@st.composite
def hardware(draw: st.DrawFn) -> Hardware:
    shape = draw(shapes)
    leaves = draw(st.sampled_from(LEAVES))
    spare = draw(st.tuples(st.integers(0, 1), st.integers(0, 1)))
    machine = Hardware(shape, leaves, spare)
    return machine if max(machine.apic_ids()) < 255 else replace(machine, spare=(0, 0))


class Board:
    """That machine before the domains are built; nothing in memory that is handed out is 0."""

    def __init__(self, guest: Guest, machine: Hardware, node_step: int) -> None:
        self.guest, self.seen = guest, machine.seen
        self.checked: list[tuple[int, int]] = []
        self.cpus = Cpus(guest, self.seen.nr_cpus)
        self.cpus.copy(jiffies=4711)
        ids = list(machine.apic_ids())
        at = guest.addresses
        guest.write(at["apic_ids"], bytes(ids))
        guest.write(at["apic_count"], len(ids).to_bytes(4, "little"))
        per_node = self.seen.nr_cpus // self.seen.nodes
        for cpu, apic in enumerate(ids):
            node = cpu // per_node * node_step
            guest.write(at["apic_nodes"] + 4 * apic, node.to_bytes(4, "little"))
        for name, size in (("domain_outermost", 8 * MOST), ("domain_innermost", 8 * MOST),
                           ("topology_thread_bits", 4), ("topology_package_bits", 4)):  # fmt: skip
            guest.write(at[name], bytes(size))

    def allocate(self) -> int:
        size, alignment = (self.guest.register(name) for name in ("rdi", "rsi"))
        assert size <= PAGE
        assert alignment in (8, CACHE_LINE)
        at = self.guest.allocate(size)
        self.guest.write(at, b"\xa5" * size)
        return at

    def check(self) -> None:
        self.checked.append((self.guest.register("rdi"), self.guest.register("rsi")))

    def publish(self) -> None:
        assert not self.guest.interruptible
        assert len(self.checked) == self.seen.nr_cpus, "not before all are known to be right"

    def chain(self, cpu: int) -> list[dict[str, int]]:
        """The domains of a CPU, with all that is in them."""
        layout = Layout.of(self.guest.image, "sched_domain")
        found: list[dict[str, int]] = []
        at = self.cpus.load(cpu, "sd")
        while at:
            found.append(self.guest.load(layout, at))
            assert len(found) <= MOST
            at = found[-1]["parent"]
        return found

    def groups(self, first: int) -> list[Group]:
        found: list[Group] = []
        layout, at = Layout.of(self.guest.image, "sched_group"), first
        while not found or at != first:
            group = self.guest.load(layout, at)
            found.append(Group(group["cpumask"], group["cpu_power"]))
            assert len(found) <= MOST
            at = group["next"]
        return found


@contextmanager
def answering(
    guest: Guest, cpuid: Callable[[int, int], tuple[int, int, int, int]]
) -> Iterator[None]:
    """Within it the CPU says that of itself."""

    def answer() -> None:
        leaf, number = (guest.register(name) & 0xFFFF_FFFF for name in ("rax", "rcx"))
        guest.answer(dict(zip(("rax", "rbx", "rcx", "rdx"), cpuid(leaf, number), strict=True)))

    with guest.executing(x86.UC_X86_INS_CPUID, answer):
        yield


def logged(chains: Sequence[Sequence[Domain]]) -> list[Logged]:
    """What the guest has to log of all domains; names instead of their addresses."""
    events = []
    for cpu, chain in enumerate(chains):
        for level, sd in enumerate(chain):
            values = [int(getattr(sd.parameters, name)) for name in PARAMETERS]
            name = sd.parameters.name
            events.append(
                Logged("domain", (cpu, level, hash(name), sd.span, *values, sd.last_balance))
            )
            events += [Logged("group", (group.cpumask, group.cpu_power)) for group in sd.groups]
    return events + [Logged("attach", (cpu,)) for cpu in range(len(chains))]


def named(guest: Guest, event: Logged) -> Logged:
    if event.name != "domain":
        return event
    of, level, name, *rest = event.arguments
    text = guest.read(name, 16).partition(b"\0")[0].decode(errors="replace")
    return Logged("domain", (of, level, hash(text), *rest))


def spans(shape: Topology, cpu: int) -> Iterator[int]:
    """CPUs that share a thread, a core, a package, a node, all with this one."""
    sizes = [1, shape.threads, shape.cores, shape.sockets, shape.nodes]
    size = 1
    for factor in sizes:
        size *= factor
        yield ((1 << size) - 1) << cpu // size * size


@agrees("sched_domains_init", "domain_level_exists", "domain_row", "domain_build_level",
        "domain_new", "domain_check_all", "domain_log_all", "domain_log", "domain_publish",
        "groups_start", "group_ring", "group_note",
        "topology_read", "topology_span", "topology_key", "topology_differs", "topology_bits",
        "topology_bits_of_counts", "bits_for",
        given=st.tuples(hardware(), st.sampled_from([1, 3]), st.booleans()))  # fmt: skip
def built(guest: Guest, machine: Hardware, node_step: int, logging: bool) -> None:
    """Whatever the machine is like and however it tells."""
    board = Board(guest, machine, node_step)
    levels = board.seen.levels()
    chains = [build_domains(levels, cpu, 4711) for cpu in range(board.seen.nr_cpus)]
    with (
        guest.logging(on=logging),
        guest.replacing(memory_alloc=board.allocate, srat_read=lambda: None),
        guest.watching(domain_check=board.check, rq_lock=board.publish),
        answering(guest, machine.cpuid),
    ):
        guest.call("sched_domains_init", interrupts=1)
    for cpu, chain in enumerate(chains):
        found_chain = board.chain(cpu)
        assert len(found_chain) == len(chain)
        for level, (found, sd) in enumerate(zip(found_chain, chain, strict=True)):
            values = {name: int(getattr(sd.parameters, name)) for name in PARAMETERS}
            values |= {"span": sd.span, "level": level, "last_balance": 4711, "balance_interval": 1}
            rest = found.keys() - values.keys() - {"parent", "groups"}
            assert {name: found[name] for name in values} == values
            assert not any(found[name] for name in rest)
            assert tuple(board.groups(found["groups"])) == sd.groups
        for kind, span in enumerate(spans(board.seen, cpu)):
            assert guest.call("topology_span", kind, cpu) == span
    innermost = [board.cpus.load(cpu, "sd") for cpu in range(len(chains))]
    assert board.checked == list(enumerate(innermost))
    board.cpus.check_unlocked()
    found_events = [named(guest, event) for event in guest.events]
    assert found_events == (logged(chains) if logging else [])


FAULTS = (
    "none",
    "flags",
    "outside",
    "elsewhere",
    "not own",
    "empty",
    "powerless",
    "overlapping",
    "less",
)


def damaged(chain: Sequence[Domain], cpu: int, number: int, fault: str) -> list[Domain]:
    """The chain with one of its domains spoilt."""
    sd = chain[number]
    first, *rest = sd.groups
    parameters, span, groups = sd.parameters, sd.span, sd.groups
    if fault == "flags":
        parameters = replace(parameters, flags=parameters.flags & ~SDFlag.LOAD_BALANCE)
    elif fault == "outside":
        span |= 1 << 63
        groups = (Group(first.cpumask | 1 << 63, first.cpu_power), *rest)
    elif fault == "elsewhere":
        span &= ~(1 << cpu)
    elif fault == "not own":
        groups = (*rest, first)
    elif fault == "empty":
        groups = (*groups, Group(0, 128))
    elif fault == "powerless":
        groups = (*groups[:-1], Group(groups[-1].cpumask, 0))
    elif fault == "overlapping":
        groups = (*groups, groups[-1])
    elif fault == "less":
        span |= 1 << 62
    spoilt = Domain(parameters, span, tuple(groups))
    return [*chain[:number], spoilt, *chain[number + 1 :]]


def put_chain(guest: Guest, chain: Sequence[Domain]) -> int:
    """Writes domains and groups; the address of the innermost."""
    domain, group = (Layout.of(guest.image, f"sched_{name}") for name in ("domain", "group"))
    at = [guest.allocate(domain.size) for _ in chain]
    for level, (address, sd) in enumerate(zip(at, chain, strict=True)):
        ring = [guest.allocate(group.size) for _ in sd.groups]
        for here, after, one in zip(ring, ring[1:] + ring[:1], sd.groups, strict=True):
            values = {"next": after, "cpumask": one.cpumask, "cpu_power": one.cpu_power}
            guest.write(here, group.pack(values))
        values = {"parent": at[level + 1] if level + 1 < len(at) else 0, "groups": ring[0]}
        values |= {"span": sd.span, "level": level, "flags": int(sd.parameters.flags)}
        guest.write(address, domain.pack(values))
    return at[0]


def complaint(cpu: int, chain: Sequence[Domain]) -> str | None:
    """The first of them, in the guest's words, which name no masks."""
    for words in domain_errors(cpu, chain):
        shorter = re.sub(r" 0x[0-9a-f]+", "", words)
        return "sched_domain: " + shorter.replace("spans but its groups cover",
                                                  "spans other CPUs than its groups")  # fmt: skip
    return None


@agrees("domain_check", "domain_fault", "domain_panic", "domain_append",
        given=st.tuples(shapes, st.integers(0, MOST - 1), st.integers(0, 2),
                        st.sampled_from(FAULTS), st.sampled_from(FAULTS)))  # fmt: skip
def checked(guest: Guest, shape: Topology, cpu: int, number: int, fault: str, other: str) -> None:
    """A chain that is right passes, a spoilt one ends the run with the first complaint."""
    Cpus(guest, 1).copy()
    cpu %= shape.nr_cpus
    chain: Sequence[Domain] = build_domains(shape.levels(), cpu)
    for which, what in ((number, fault), (number + 1, other)):
        chain = damaged(chain, cpu, which % len(chain), what)
    found = None
    try:
        guest.call("domain_check", cpu, put_chain(guest, chain))
    except PanicError as panic:
        found = str(panic)
    wanted = complaint(cpu, chain)
    assert (found or "").removesuffix(" ") == (wanted or "")


rows = st.lists(st.sampled_from([1, 2, 3, 1 << 63]), min_size=MOST, max_size=MOST)


@agrees("topology_differs",
        given=st.tuples(st.integers(1, MOST), rows, st.none() | st.integers(0, MOST - 1),
                        st.sampled_from([(0, 1), (1, 4), (4, 2), (3, 3)])))  # fmt: skip
def told_apart(
    guest: Guest, count: int, row: list[int], other: int | None, kinds: tuple[int, int]
) -> None:
    """By any CPU that there is, and by no other."""
    changed = [mask ^ 4 if cpu == other else mask for cpu, mask in enumerate(row)]
    guest.write(guest.addresses["apic_count"], count.to_bytes(4, "little"))
    for kind, masks in zip(kinds, (row, changed), strict=True):
        data = b"".join(mask.to_bytes(8, "little") for mask in masks)
        guest.write(guest.addresses["topology_spans"] + len(data) * kind, data)
    differs = other is not None and other < count and kinds[0] != kinds[1]
    assert guest.call("topology_differs", *kinds) == int(differs)
