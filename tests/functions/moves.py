"""move.s: which tasks move, in which order, and what changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from harness.model import migrate as model
from harness.model.array import enqueue_task
from harness.model.constants import IdleType
from harness.model.domain import CPU, SIBLING, Domain
from harness.model.fixes import Fix, Fixes
from harness.model.migrate import Move, Pull, Verdict
from harness.model.resched import Resched, preempt_curr
from harness.model.runqueue import Runqueue
from harness.model.task import Task, idle_task
from tests.functions.agreement import agrees, corrections
from tests.functions.guest import Guest, Logged
from tests.functions.machine import Layout
from tests.functions.mirror import Mirror

SRC, DST, BESIDE, CPUS = 0, 1, 2, 3
"""The last one may be a hardware thread of the destination's core."""
TASKS = 6
NOBODY = -1
SRC_TICK, DST_TICK, HOT = 50_000_000, 70_000_123, 2_500_000
REASONS = {Verdict.RUNNING: 1, Verdict.AFFINITY: 2, Verdict.CACHE_HOT: 3}


@dataclass(frozen=True)
class Mover:
    """A task of the source."""

    prio: int
    static_prio: int
    expired: bool
    allowed: bool
    ran_ago: int
    """Nanoseconds before the source's last tick; negative for after it."""


movers = st.builds(
    Mover,
    st.sampled_from([0, 63, 64, 100, 119, 120, 120, 121, 128, 139]),
    st.sampled_from([100, 120, 139]),
    st.booleans(),
    st.sampled_from([True, True, False]),
    st.sampled_from([HOT - 1, HOT, HOT + 1, HOT * 9, 0, -1]),
)


@dataclass(frozen=True)
class Scene:
    movers: list[Mover]
    running: int
    """Which of them runs; NOBODY if the source idles."""
    dst_prio: int
    """Of the task that runs on the destination; NOBODY if that idles."""
    beside_idles: bool
    shared: bool
    """The destination's innermost domain is a core."""
    asked: bool
    """The destination has been asked to reschedule before."""
    failed: int
    limit: int
    type: IdleType
    pushes: bool
    """The source executes, not the destination."""
    expired_since: int
    best_expired: int
    jiffies: int


scenes = st.builds(
    Scene,
    st.lists(movers, max_size=TASKS),
    st.integers(NOBODY, TASKS - 1),
    st.sampled_from([NOBODY, NOBODY, 64, 119, 120, 121, 139]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([False, False, True]),
    st.integers(0, 3),
    st.sampled_from([0, 1, 2, 3, 100]),
    st.sampled_from(IdleType),
    st.booleans(),
    st.sampled_from([0, 5]),
    st.sampled_from([140, 110, 120]),
    st.integers(1, 1 << 33),
)


class Bench:
    """A source and a destination on both sides."""

    def __init__(self, guest: Guest, scene: Scene, fixes: Fixes) -> None:
        self.guest, self.scene = guest, scene
        k = guest.configure(1000, CPUS, fixes)
        self.rqs = [Runqueue(cpu, k, idle_task(cpu, pid=40 + cpu)) for cpu in range(CPUS)]
        self.src, self.dst, self.beside = self.rqs
        self.mirror = Mirror(guest, CPUS, 48)
        self.tasks = [self._task(n, mover) for n, mover in enumerate(scene.movers)]
        self._set_up()
        self._copy()

    def _task(self, number: int, mover: Mover) -> Task:
        p = Task(number, prio=mover.prio, static_prio=mover.static_prio, cpu=SRC)
        p.cpus_allowed = 0b111 if mover.allowed else 0b101
        p.last_ran, p.timestamp = SRC_TICK - mover.ran_ago, SRC_TICK - 999 * number
        return p

    def _set_up(self) -> None:
        scene = self.scene
        self.src.timestamp_last_tick, self.dst.timestamp_last_tick = SRC_TICK, DST_TICK
        self.src.nr_running = len(self.tasks)
        if 0 <= scene.running < len(self.tasks):
            self.src.curr = self.tasks[scene.running]
        if scene.dst_prio != NOBODY:
            self.dst.curr = Task(38, cpu=DST, prio=scene.dst_prio)
        self.dst.curr.need_resched = scene.asked
        if not scene.beside_idles:
            self.beside.curr = Task(39, cpu=BESIDE)
        self.dst.expired_timestamp = scene.expired_since
        self.dst.best_expired_prio = scene.best_expired
        self.sd = Domain(CPU, 0b111, (), nr_balance_failed=scene.failed)
        innermost = SIBLING if scene.shared else replace(CPU, cache_hot_time=0)
        self.dst.domains = (Domain(innermost, 0b110, ()),)

    def _copy(self) -> None:
        guest, mirror = self.guest, self.mirror
        for rq in self.rqs:
            mirror.put_runqueue(rq)
        self.address = [mirror.put_task(p) for p in self.tasks]
        for p, mover in zip(self.tasks, self.scene.movers, strict=True):
            array = self.src.expired if mover.expired else self.src.active
            at = mirror.array(self.src, self.src.arrays.index(array))
            guest.call("enqueue_task_at", self.address[p.pid], at, 0)
            enqueue_task(p, array, 0)
        self.domain = self._put_domain(self.sd)
        at = self._put_domain(self.dst.domains[0])
        guest.store(guest.runqueue, mirror.runqueue(self.dst), "sd", at)
        here = self.src if self.scene.pushes else self.dst
        guest.enter(mirror.runqueue(here), mirror.task(here.curr), here.cpu, self.scene.jiffies)
        guest.events.clear()

    def _put_domain(self, sd: Domain) -> int:
        layout, parameters = Layout.of(self.guest.image, "sched_domain"), sd.parameters
        values = {name: getattr(parameters, name) for name in ("cache_hot_time", "flags")}
        values |= {"cache_nice_tries": parameters.cache_nice_tries, "level": 1, "span": sd.span}
        values["nr_balance_failed"] = sd.nr_balance_failed
        at = self.guest.allocate(layout.size)
        self.guest.write(at, layout.pack({name: int(value) for name, value in values.items()}))
        return at

    def move(self) -> tuple[int, int]:
        """What move_tasks answers: tasks moved, and whether affinity alone kept the others."""
        mirror, scene = self.mirror, self.scene
        ends = mirror.runqueue(self.dst), mirror.runqueue(self.src)
        garbage = 0x5A5A_0000_0000
        moved = self.guest.call(
            "move_tasks", *ends, scene.limit, self.domain, int(scene.type) | garbage
        )
        return moved, self.guest.register("rdx")

    def compare(self) -> None:
        for rq in self.rqs:
            self.mirror.compare_runqueue(rq)
            for number, array in enumerate(rq.arrays):
                self.mirror.compare_array(self.mirror.array(rq, number), array)
            self.mirror.compare_task(rq.curr)
        for p in self.tasks:
            self.mirror.compare_task(p)


def expected(bench: Bench) -> tuple[Move, list[Logged]]:
    """The move on the model's side, and what the guest has to log of it."""
    scene, idle = bench.scene, model.cpu_and_siblings_are_idle(bench.rqs, DST)
    head = (SRC, DST, 1, scene.limit, scene.type, idle, scene.failed, SRC_TICK, DST_TICK)
    events = [Logged("move", (*head, scene.jiffies))]
    cpu = SRC if scene.pushes else DST
    steps = []
    was = bench.dst.curr.need_resched
    for step in model.move_steps(
        bench.dst, bench.src, scene.limit, bench.sd, scene.type, cpu, scene.jiffies, dst_idle=idle
    ):
        steps.append(step)
        if isinstance(step, Pull):
            events.extend(pulled(bench, step, was))
            was = bench.dst.curr.need_resched
        else:
            events.append(Logged("skip", (step.task.pid, REASONS[step.reason])))
    move = Move.of(steps)
    return move, [*events, Logged("moved", (len(move.pulls),))]


def pulled(bench: Bench, pull: Pull, was: bool) -> Iterator[Logged]:
    p, array = pull.task, int(pull.expired)
    yield Logged("pull", (p.pid, array))
    yield Logged("dequeue", (p.pid, SRC, p.prio, array))
    yield Logged("enqueue", (p.pid, DST, p.prio, array, 0))
    if pull.resched is not None:
        sent = int(pull.resched is Resched.IPI)
        yield Logged("resched", (bench.dst.curr.pid, DST, int(was), 0, sent))


def agree(guest: Guest, scene: Scene, fixes: Fixes) -> None:
    bench = Bench(guest, scene, fixes)
    found = bench.move()
    move, events = expected(bench)
    assert found == (len(move.pulls), _pinned(move))
    bench.compare()
    assert guest.events == (events if guest.word("param_loglevel") else [])


def _pinned(move: Move) -> int:
    """Whether affinity alone kept what was looked at and stays, the running task apart."""
    reasons = {skip.reason for skip in move.skipped} - {Verdict.RUNNING}
    return int(reasons == {Verdict.AFFINITY})


@agrees("move_tasks", "move_begin", "move_consider", "can_migrate_task", "pull_task",
        "pull_record_expiry", "cpu_and_siblings_are_idle",
        given=st.tuples(scenes, corrections(Fix.L08, Fix.L10), st.booleans()))  # fmt: skip
def moves(guest: Guest, scene: Scene, fixes: Fixes, logging: bool) -> None:
    if not logging:
        agree(guest, scene, fixes)
        return
    with guest.logging():
        agree(guest, scene, fixes)


@agrees("can_migrate_task", "pull_task", "cpu_and_siblings_are_idle",
        given=st.tuples(scenes, corrections(Fix.L08, Fix.L10), st.booleans()))  # fmt: skip
def single_steps(guest: Guest, scene: Scene, fixes: Fixes, expired: bool) -> None:
    """Each function by itself; a task is pulled from whichever array it is in."""
    bench = Bench(guest, scene, fixes)
    idle = model.cpu_and_siblings_are_idle(bench.rqs, DST)
    # The third argument is none: what is in its register must not matter.
    assert guest.call("cpu_and_siblings_are_idle", DST, 0, 1 << BESIDE) == idle
    src = bench.mirror.runqueue(bench.src)
    for p, at in zip(bench.tasks, bench.address, strict=True):
        verdict = model.can_migrate_task(p, bench.src, DST, bench.sd, scene.asked)
        arguments = (at, src, DST, bench.domain, int(scene.asked), SRC_TICK)
        assert guest.call("can_migrate_task", *arguments) == REASONS.get(verdict, 0)
    if bench.tasks:
        pull(bench, fixes, expired)


def pull(bench: Bench, fixes: Fixes, expired: bool) -> None:
    """pull_task, on both sides, of the task that was queued last."""
    scene, mirror, p = bench.scene, bench.mirror, bench.tasks[-1]
    array = bench.src.expired if scene.movers[-1].expired else bench.src.active
    target = bench.dst.expired if expired else bench.dst.active
    ends = mirror.runqueue(bench.src), mirror.runqueue(bench.dst)
    bench.guest.call("pull_task", bench.address[-1], *ends, int(expired), SRC_TICK, DST_TICK)
    model.pull_task(p, bench.src, array, bench.dst, target, scene.jiffies)
    if not (expired and Fix.L10 in fixes and not bench.dst.is_idle):
        preempt_curr(p, bench.dst, SRC if scene.pushes else DST)
    bench.compare()


@agrees("pull_task", "pull_record_expiry",
        given=st.tuples(scenes, movers, corrections(Fix.L08, Fix.L10)))  # fmt: skip
def pulled_into_expired(guest: Guest, scene: Scene, mover: Mover, fixes: Fixes) -> None:
    """Onto a CPU that idles, or runs a better or a worse task; after others have expired or not."""
    for running, best in ((NOBODY, 140), (64, 120), (139, 110)):
        here = replace(scene, movers=[mover], dst_prio=running, best_expired=best, asked=False)
        pull(Bench(guest, here, fixes), fixes, True)
