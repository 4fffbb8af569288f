"""balance.s: what follows from what an attempt finds.

The search itself and the move are other subjects: what they answer is given here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from harness.model import balance as model
from harness.model.constants import IdleType, SDFlag, State
from harness.model.domain import Domain
from harness.model.fixes import Fix, Fixes
from harness.model.migrate import Move, Pull, Skip, Verdict
from harness.model.task import Task
from tests.functions.agreement import agrees, corrections
from tests.functions.attempts import BUSIEST, JIFFIES, LEVEL, Bench, Level, levels
from tests.functions.cpus import HERE, LOCK_FREE
from tests.functions.guest import Guest, Logged
from tests.functions.machine import U64, StandIn

ANY = int(State.INTERRUPTIBLE | State.UNINTERRUPTIBLE)


@dataclass(frozen=True)
class Outcome:
    """What search and move answer, and what of it changes meanwhile."""

    found: model.Found
    imbalance: int
    nr_running: int
    moved: int
    pinned: bool
    asked: bool
    """The busiest CPU's migration thread has been asked to push before."""


outcomes = st.builds(
    Outcome,
    st.sampled_from([*model.Found, *[model.Found.BUSIEST] * 4]),
    st.integers(1, 3),
    st.sampled_from([0, 1, 2, 2, 3]),
    st.sampled_from([0, 0, 0, 1, 2]),
    st.booleans(),
    st.booleans(),
)


class Attempt:
    """Stands in for search, move and wake-up."""

    def __init__(self, bench: Bench, outcome: Outcome, idle: IdleType) -> None:
        self.bench, self.outcome, self.idle = bench, outcome, idle
        self.calls: list[str] = []
        self.queue = bench.cpus.queue(BUSIEST if outcome.found is model.Found.BUSIEST else HERE)

    def own(self) -> bool:
        """Whether this CPU holds its run queue's lock."""
        return self.bench.cpus.owner(self.bench.cpus.queue(HERE)) == HERE

    def group(self) -> int:
        guest = self.bench.guest
        kind = guest.register("rdx") & 0xFFFF_FFFF
        found = guest.register("rdi"), guest.register("rsi") & 0xFFFF_FFFF, kind
        assert found == (self.bench.at[0], HERE, int(self.idle))
        assert self.own()
        if self.outcome.found is model.Found.NO_GROUP:
            guest.write(guest.register("rcx"), bytes(8))
            return 0
        guest.write(guest.register("rcx"), self.outcome.imbalance.to_bytes(8, "little"))
        return self.bench.groups[1]

    def busiest(self) -> int:
        assert self.bench.guest.register("rdi") == self.bench.groups[1]
        return 0 if self.outcome.found is model.Found.NO_QUEUE else self.queue

    def double_lock(self) -> int:
        guest = self.bench.guest
        assert self.own()
        assert guest.register("rdi") == self.bench.cpus.queue(HERE)
        assert guest.register("rsi") == self.queue
        self.bench.cpus.lock(self.queue, HERE)
        self.calls.append("lock")
        return 0

    def move(self) -> tuple[int, int]:
        guest, cpus = self.bench.guest, self.bench.cpus
        assert self.own() and cpus.owner(self.queue) == HERE
        ends = guest.register("rdi"), guest.register("rsi")
        assert ends == (cpus.queue(HERE), self.queue)
        number = guest.register("rdx"), guest.register("rcx"), guest.register("r8") & 0xFFFF_FFFF
        assert number == (self.outcome.imbalance, self.bench.at[0], int(self.idle))
        newly = self.idle == IdleType.NEWLY_IDLE
        assert guest.own("op_jiffies") == JIFFIES + 7 * newly
        self.calls.append("move")
        return self.outcome.moved, int(moved(self.outcome).all_pinned)

    def wake(self) -> int:
        guest = self.bench.guest
        arguments = (
            guest.register("rdi"),
            guest.register("rsi"),
            guest.register("rdx") & 0xFFFF_FFFF,
        )
        assert arguments == (self.bench.thread, ANY, 0)
        self.bench.cpus.check_unlocked()
        self.calls.append("wake")
        return 1


def moved(outcome: Outcome) -> Move:
    """What move_tasks gives in the model."""
    p = Task(1)
    pulls = tuple(Pull(p, False, None) for _ in range(outcome.moved))
    kept = Verdict.AFFINITY if outcome.pinned else Verdict.CACHE_HOT
    return Move(pulls, (Skip(p, kept),))


def followed(
    bench: Bench, outcome: Outcome, idle: IdleType, fixes: Fixes
) -> tuple[Move, list[str]]:
    """The attempt on the model's side: the move, and what is called for it."""
    sd, newly = bench.domains[0], idle == IdleType.NEWLY_IDLE
    busiest = bench.cpus.rqs[BUSIEST]
    search = model.Search(outcome.found, outcome.imbalance, BUSIEST)
    model.begin_load_balance(sd, idle, search, fixes)
    if outcome.found is not model.Found.BUSIEST:
        if not newly:
            model.back_off(sd, fixes)
        return Move(), []
    asks = not newly or Fix.L05 in fixes
    calls = [] if asks and outcome.nr_running <= 1 else ["lock", "move"]
    move = moved(outcome) if calls else Move()
    if newly:
        sd.stats.lb[idle].lb_failed += not move.pulls
    elif model.finish_load_balance(sd, idle, move, busiest, HERE):
        calls.append("wake")
    return move, calls


def logged(bench: Bench, before: Domain, outcome: Outcome, idle: IdleType, fixes: Fixes,
           moved: int, pushes: list[Logged]) -> list[Logged]:  # fmt: skip
    """Every event of an attempt."""
    found, none = outcome.found, U64
    state = JIFFIES, before.balance_interval, before.nr_balance_failed, before.last_balance
    events = [Logged("balance", (LEVEL, int(idle), *state))]
    if found is model.Found.NO_GROUP:
        events.append(Logged("busiest_group", (0, 0)))
    else:
        events.append(Logged("busiest_group", (0b1100, outcome.imbalance)))
    reads = idle != IdleType.NEWLY_IDLE or Fix.L05 in fixes
    if found is model.Found.BUSIEST:
        nr_running = outcome.nr_running if reads else none
        events.append(Logged("busiest_queue", (BUSIEST, nr_running)))
    elif found is not model.Found.NO_GROUP:
        events.append(Logged("busiest_queue", (HERE if found is model.Found.SELF else none, none)))
    sd = bench.domains[0]
    end = Logged("balanced", (LEVEL, moved, sd.balance_interval, sd.nr_balance_failed))
    return [*events, *pushes, end]


@agrees("load_balance", "load_balance_newidle", "balance_search", "balance_take", "balance_settle",
        "balance_ask_to_push", "balance_back_off", "balance_log_end",
        given=st.tuples(levels, outcomes, st.sampled_from(IdleType),
                        corrections(Fix.L01, Fix.L02, Fix.L03, Fix.L05, Fix.L16),
                        st.booleans()))  # fmt: skip
def attempted(
    guest: Guest, level: Level, outcome: Outcome, idle: IdleType, fixes: Fixes, logging: bool
) -> None:
    """Counters, interval and failures after it, who is asked to push, and which locks are held
    when others are called."""
    bench = Bench(guest, [level], fixes)
    newly = idle == IdleType.NEWLY_IDLE
    busiest = bench.cpus.rqs[BUSIEST]
    busiest.nr_running, busiest.active_balance = outcome.nr_running, outcome.asked
    bench.cpus.store(BUSIEST, "nr_running", outcome.nr_running)
    bench.cpus.store(BUSIEST, "active_balance", int(outcome.asked))
    bench.cpus.store(BUSIEST, "push_cpu", 77)
    attempt = Attempt(bench, outcome, idle)
    before = level.domain()
    if newly:
        bench.cpus.lock(bench.cpus.queue(HERE), HERE)
    stand_ins: dict[str, StandIn] = {
        "find_busiest_group": attempt.group,
        "find_busiest_queue": attempt.busiest,
        "double_lock_balance": attempt.double_lock,
        "move_tasks": attempt.move,
        "try_to_wake_up": attempt.wake,
    }
    with guest.logging(on=logging), guest.replacing(**stand_ins):
        if newly:
            found = guest.call("load_balance_newidle", bench.at[0])
            assert attempt.own()
            bench.cpus.lock(bench.cpus.queue(HERE), LOCK_FREE)
        else:
            found = guest.call("load_balance", bench.at[0], int(idle) | 0x5A5A_0000_0000)
    move, calls = followed(bench, outcome, idle, fixes)
    assert (found, attempt.calls) == (len(move.pulls), calls)
    assert bench.cpus.load(BUSIEST, "active_balance") == busiest.active_balance
    pushed = busiest.active_balance and not outcome.asked
    assert bench.cpus.load(BUSIEST, "push_cpu") == (HERE if pushed else 77)
    asked = Logged("push_request", (BUSIEST, int(outcome.asked)))
    too_often = bench.domains[0].nr_balance_failed == level.tries < before.nr_balance_failed + 1
    failed = outcome.found is model.Found.BUSIEST and not newly and not move.pulls
    spared = outcome.pinned and bool(calls) and Fix.L01 in fixes
    pushes = [asked] if failed and too_often and not spared else []
    wanted = logged(bench, before, outcome, idle, fixes, len(move.pulls), pushes)
    assert guest.events == (wanted if logging else [])
    bench.compare()


@agrees("balance_settle", "balance_back_off", "load_balance",
        given=st.tuples(st.sampled_from([255, 256, 257, 511, 512, 513, 600]),
                        st.sampled_from([frozenset({Fix.L01}), frozenset({Fix.L01, Fix.L03})]),
                        st.booleans()))  # fmt: skip
def pinned(guest: Guest, interval: int, fixes: Fixes, logging: bool) -> None:
    """Tasks that may not come at all: ever more seldom, within limits."""
    level = Level(SDFlag.LOAD_BALANCE, 1, 1, interval, 4, 0)
    outcome = Outcome(model.Found.BUSIEST, 1, 2, 0, pinned=True, asked=False)
    attempted(guest, level, outcome, IdleType.NOT_IDLE, fixes, logging)


@agrees("load_balance", "load_balance_newidle", "balance_search", "balance_back_off",
        given=st.tuples(levels, outcomes, st.sampled_from(IdleType),
                        st.sampled_from([model.Found.NO_GROUP, model.Found.SELF]),
                        corrections(Fix.L02, Fix.L03, Fix.L16), st.booleans()))  # fmt: skip
def nothing_found(
    guest: Guest, level: Level, outcome: Outcome, idle: IdleType, found: model.Found,
    fixes: Fixes, logging: bool,
) -> None:  # fmt: skip
    """No group, or our own CPU: look less often."""
    attempted(guest, level, replace(outcome, found=found), idle, fixes, logging)
