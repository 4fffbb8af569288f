"""push.s, exec.s: tasks that leave a CPU, because others idle or because they start anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from harness.model.bitmap import has_cpu
from harness.model.constants import SDFlag
from harness.model.domain import CPU, Domain, Group
from harness.model.fixes import Fix, Fixes
from harness.model.migrate import exec_domain, may_push, push_targets
from harness.model.task import Task
from tests.functions.agreement import agrees, corrections
from tests.functions.cpus import HERE, LOCK_FREE, RUNS, WAITS, Cpus
from tests.functions.guest import Guest, Logged
from tests.functions.machine import Layout

CPUS = 6
TASK = 9
JIFFIES = 123_456

partitions = st.sampled_from(
    [
        ((0b000011, (0b000001, 0b000010)), (0b001111, (0b000011, 0b001100))),
        ((0b111111, (0b000001, 0b000010, 0b111100)),),
        ((0b000011, (0b000001, 0b000010)), (0b000111, (0b000011, 0b000100)),
         (0b111111, (0b000111, 0b111000))),
    ]
)  # fmt: skip
"""Spans of domains, each with its groups, ours first."""
_BOTH = SDFlag.LOAD_BALANCE | SDFlag.BALANCE_EXEC
flags = st.sampled_from(
    [_BOTH, _BOTH, _BOTH, SDFlag.LOAD_BALANCE, SDFlag.BALANCE_EXEC | SDFlag.WAKE_IDLE]
)


def chain(
    guest: Guest, spans: Sequence[tuple[int, Sequence[int]]], kinds: Sequence[SDFlag]
) -> tuple[list[Domain], list[int]]:
    """Domains on both sides; their addresses."""
    layout, ring = (Layout.of(guest.image, f"sched_{name}") for name in ("domain", "group"))
    at = [guest.allocate(layout.size) for _ in spans]
    domains = []
    for level, ((span, masks), kind) in enumerate(zip(spans, kinds, strict=False)):
        groups = [guest.allocate(ring.size) for _ in masks]
        for here, after, mask in zip(groups, groups[1:] + groups[:1], masks, strict=True):
            guest.write(here, ring.pack({"next": after, "cpumask": mask, "cpu_power": 128}))
        parent = at[level + 1] if level + 1 < len(at) else 0
        values = {"parent": parent, "groups": groups[0], "span": span, "level": level}
        guest.write(at[level], layout.pack(values | {"flags": int(kind)}))
        parts = tuple(Group(mask, 128) for mask in masks)
        domains.append(Domain(replace(CPU, flags=kind), span, parts))
    return domains, at


@dataclass
class Pushing:
    """Stands in for what a push asks of others."""

    cpus: Cpus
    idle: int
    pulled: list[bool]
    """Whether a task is moved, one after the other."""
    gone: int
    """CPUs that are unplugged while their lock is waited for."""
    calls: list[tuple[object, ...]] = field(default_factory=list)

    def see(self) -> int:
        cpu = self.cpus.guest.register("rdi") & 0xFFFF_FFFF
        return int(has_cpu(self.idle, cpu))

    def lock(self) -> int:
        guest, cpus = self.cpus.guest, self.cpus
        assert guest.register("rdi") == cpus.queue(HERE)
        at = guest.register("rsi")
        assert cpus.owner(at) == LOCK_FREE
        cpus.lock(at, HERE)
        cpu = (at - cpus.queue(0)) // guest.runqueue.size
        online = guest.word("cpu_online_mask")
        guest.set_word("cpu_online_mask", online & ~(self.gone & 1 << cpu))
        return 0

    def move(self) -> int:
        guest, cpus = self.cpus.guest, self.cpus
        names = "rdi", "rsi", "rdx", "rcx", "r8"
        queue, src, limit, domain, kind = (guest.register(name) for name in names)
        assert src == cpus.queue(HERE)
        assert cpus.owner(queue) == HERE
        assert guest.own("op_jiffies") == JIFFIES
        moved = self.pulled[len(self.calls) % len(self.pulled)]
        self.calls.append((queue, limit & 0xFFFF_FFFF, domain, kind & 0xFFFF_FFFF))
        if moved:
            cpus.store(HERE, "nr_running", cpus.load(HERE, "nr_running") - 1)
        return int(moved)


@agrees("active_load_balance", "push_may_go_on", "push_to",
        given=st.tuples(partitions, st.lists(flags, min_size=3, max_size=3), st.integers(0, 63),
                        st.lists(st.booleans(), min_size=1, max_size=3), st.integers(1, 5),
                        st.sampled_from([63, 63, 31, 0b101011]), st.sampled_from([0, 0, 0b100]),
                        st.integers(1, 5), corrections(Fix.L11), st.booleans()))  # fmt: skip
def pushed(
    guest: Guest, spans: Sequence[tuple[int, Sequence[int]]], kinds: list[SDFlag], idle: int,
    pulled: list[bool], running: int, online: int, gone: int, asker: int, fixes: Fixes,
    logging: bool,
) -> None:  # fmt: skip
    """One task to each CPU that is seen idle, as long as there are some to give."""
    cpus = Cpus(guest, CPUS, fixes)
    cpus.copy(JIFFIES)
    rq = cpus.rqs[HERE]
    domains, at = chain(guest, spans, kinds)
    rq.domains, rq.nr_running, rq.push_cpu = tuple(domains), running, asker
    for name, value in (("sd", at[0]), ("nr_running", running), ("push_cpu", asker)):
        cpus.store(HERE, name, value)
    guest.enter(cpus.queue(HERE), cpus.mirror.task(rq.curr), HERE, 99)
    cpus.lock(cpus.queue(HERE), HERE)
    guest.set_word("cpu_online_mask", online)
    pushing = Pushing(cpus, idle, pulled, gone)
    with (
        guest.logging(on=logging),
        guest.replacing(
            cpu_and_siblings_are_idle=pushing.see,
            double_lock_balance=pushing.lock,
            move_tasks=pushing.move,
        ),
    ):
        guest.call("active_load_balance", cpus.queue(HERE))
    wanted = expected(cpus, at, Pushing(cpus, idle, pulled, gone), online)
    assert pushing.calls == wanted
    assert guest.own("op_jiffies") == JIFFIES
    assert guest.events == ([Logged("push", (HERE,)), Logged("pushed", (HERE,))] if logging else [])
    assert cpus.owner(cpus.queue(HERE)) == HERE
    cpus.lock(cpus.queue(HERE), LOCK_FREE)
    cpus.compare()


def expected(
    cpus: Cpus, at: Sequence[int], answers: Pushing, online: int
) -> list[tuple[object, ...]]:
    """The moves that are due, their counts taken on the model's side."""
    rq = cpus.rqs[HERE]
    calls: list[tuple[object, ...]] = []
    rq.stats.alb_cnt += 1
    for sd, cpu in push_targets(rq):
        if not may_push(rq):
            break
        if not has_cpu(online & answers.idle & ~answers.gone, cpu):
            continue
        moved = answers.pulled[len(calls) % len(answers.pulled)]
        calls.append((cpus.queue(cpu), 1, at[rq.domains.index(sd)], 0))
        if moved:
            rq.nr_running -= 1
            rq.stats.alb_lost += 1
            cpus.rqs[cpu].stats.alb_gained += 1
        else:
            rq.stats.alb_failed += 1
    return calls


@agrees("sched_exec", "exec_domain",
        given=st.tuples(partitions, st.lists(flags, min_size=3, max_size=3), st.integers(0, 2),
                        st.integers(0, 5), st.integers(0, 3), st.booleans()))  # fmt: skip
def started_anew(
    guest: Guest, spans: Sequence[tuple[int, Sequence[int]]], kinds: list[SDFlag], depth: int,
    target: int, others: int, logging: bool,
) -> None:  # fmt: skip
    """In the widest domain that takes part; the search and the request are given."""
    cpus = Cpus(guest, CPUS)
    p = cpus.place(Task(TASK, cpu=HERE), RUNS)
    for number in range(others):
        cpus.place(Task(TASK + 1 + number, cpu=HERE), WAITS)
    cpus.copy()
    rq = cpus.rqs[HERE]
    domains, at = chain(guest, spans[:depth], kinds)
    rq.domains = tuple(domains)
    cpus.store(HERE, "sd", at[0] if at else 0)
    online_lock = guest.addresses["cpu_online_lock"]
    calls: list[tuple[object, ...]] = []

    def search() -> int:
        assert cpus.owner(cpus.queue(HERE)) == cpus.owner(online_lock) == HERE
        task, cpu, domain = (guest.register(name) for name in ("rdi", "rsi", "rdx"))
        calls.append(("search", task, cpu & 0xFFFF_FFFF, domain))
        return target

    def request() -> int:
        assert (cpus.owner(cpus.queue(HERE)), cpus.owner(online_lock)) == (HERE, LOCK_FREE)
        assert not guest.interruptible
        calls.append(("request", *(guest.register(name) for name in ("rbx", "r12", "r14"))))
        room = guest.register("rdi"), Layout.of(guest.image, "migration").size
        guest.write(room[0], bytes(byte ^ 0xFF for byte in guest.read(*room)))
        cpus.lock(cpus.queue(HERE), LOCK_FREE)
        guest.enable_interrupts()
        return 0

    with (
        guest.logging(on=logging),
        guest.replacing(find_idlest_cpu=search, migration_request=request),
    ):
        guest.call("sched_exec", interrupts=1)
    running = rq.nr_running
    sd = exec_domain(rq, running)
    wanted: list[tuple[object, ...]] = []
    level = (1 << 64) - 1 if sd is None else domains.index(sd)
    events = [Logged("exec", (TASK, HERE, running, level))]
    if sd is not None:
        wanted.append(("search", cpus.at[TASK], HERE, at[level]))
        events.append(Logged("exec_to", (TASK, target)))
        if target != HERE:
            wanted.append(("request", cpus.at[TASK], cpus.queue(HERE), target))
            rq.stats.smt_cnt += 1
    assert calls == wanted
    assert guest.events == (events if logging else [])
    assert guest.interruptible
    assert cpus.task_field(p, "cpu") == HERE
    layout = Layout.of(guest.image, "sched_domain")
    for number, address in enumerate(at):
        found = guest.load(layout, address, "sbe_attempts", "sbe_pushed")
        ours = sd is not None and number == level
        assert found == {"sbe_attempts": int(ours), "sbe_pushed": int(ours and target != HERE)}
    cpus.compare()
