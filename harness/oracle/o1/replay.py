"""Replay: every event of a log, in ``seq`` order, is applied to the model.

An *operation* carries what the guest knew when it decided. The model is run with the same inputs
and predicts the *consequences*: the events that must follow on that CPU, in order, with all their
fields. The first that differs ends the replay, for from there on the two machines are different
ones.

    account task=5 ... slice=1          operation: the model ends the slice of task 5
      dequeue task=5 prio=120 ...       consequence, as predicted
      expire task=5 to=1 slice=100      consequence, as predicted
      requeue task=5 prio=120 ...       not as predicted, P10: "enqueue task=5 ..." is due

Other CPUs' events may stand between an operation and its consequences, but never one that changes
what the model used: the guest draws ``seq`` under the lock that protects it. What was read of other
CPUs without a lock comes with the operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.model.checks import check_runqueue, check_system
from harness.model.domain import Level, Topology
from harness.oracle.divergence import Divergence
from harness.oracle.handlers import Handler, check_signatures
from harness.oracle.o1 import (
    balance,
    domain,
    fork,
    hotplug,
    migrate,
    move,
    push,
    reads,
    schedule,
    stats,
    tick,
    wake,
)
from harness.oracle.o1.domain import DomainsDue, levels_for
from harness.oracle.o1.laws import Law, law_of
from harness.oracle.o1.world import CpuContext, World
from harness.oracle.prediction import LawBrokenError, describe
from harness.trace.grammar import Event, event_type
from harness.trace.trace import Trace

POLICY = "o1"
"""The policy, as ``hello`` names it, whose logs can be replayed."""

MAX_CPUS, MIN_HZ = 1024, 10
"""What the model of a machine can be built for."""

CHECK_EVERY = 128
"""Operations of a CPU between two checks of its run queue's structure."""

OPERATIONS: Mapping[str, Handler] = {
    "account": tick.account,
    "cpu_load": tick.cpu_load,
    "schedule": schedule.schedule,
    "yield": schedule.yield_,
    "set_nice": schedule.set_nice,
    "set_policy": schedule.set_policy,
    "set_cpus": migrate.set_cpus,
    "migrate": migrate.migrate,
    "wake": wake.wake,
    "place": wake.place,
    "wake_idle": wake.wake_idle,
    "wake_moved": wake.wake_moved,
    "activate": wake.activate,
    "task_new": fork.task_new,
    "start": fork.start,
    "fork": fork.fork,
    "wake_new": fork.wake_new,
    "exit": fork.exit_,
    "cpu_down": hotplug.cpu_down,
    "drain": hotplug.drain,
    "cpu_dead": hotplug.cpu_dead,
    "cpu_up": hotplug.cpu_up,
    "plug_refused": hotplug.plug_refused,
    "fixes": balance.fixes,
    "balance": balance.balance,
    "busiest_group": balance.busiest_group,
    "busiest_queue": balance.busiest_queue,
    "double_lock": move.double_lock,
    "move": move.move,
    "moved": move.moved,
    "push_request": move.push_request,
    "balanced": balance.balanced,
    "push": push.push,
    "pushed": push.pushed,
    "exec": push.exec_,
    "exec_to": push.exec_to,
}
"""Events that carry inputs. None may come where a consequence of another one is due."""

CONSEQUENCES = (
    *("dequeue", "enqueue", "requeue", "expire", "resched", "swap", "pick", "switch"),
    *("skip", "pull"),
)
STEPS = (
    *("place", "wake_idle", "wake_moved", "activate"),
    *("busiest_group", "busiest_queue", "double_lock", "move", "moved", "push_request"),
    *("balanced", "pushed", "exec_to"),
)
FOLLOWING = frozenset(CONSEQUENCES + STEPS)
"""Events that only come when they were predicted; steps are operations besides."""

REMARKS: Mapping[str, Handler] = {
    "domain": domain.domain,
    "group": domain.group,
    "attach": domain.attach,
    "resched": schedule.resched,
    "load": reads.load,
    "tick": tick.tick,
    "ipi_recv": tick.ipi_recv,
    "task_free": fork.task_free,
    "schedstat": stats.schedstat,
    "schedstat_domain": stats.schedstat_domain,
    "schedstat_moves": stats.schedstat_moves,
    "uninterruptible": stats.uninterruptible,
    "task_summary": stats.task_summary,
}
"""Further events that mean something to the model, whatever else is due on their CPU."""

CLOCKED: Mapping[str, int] = {
    name: [field.name for field in event_type(name).fields].index("now")
    for name in ("account", "schedule", "activate", "fork")
}
"""Operations that have just read the clock of their CPU, and the position of that field."""

LOCKS = ("lock", "unlock")
"""Events that may come between reading something and logging it."""

_GIVEN, _RENAMED = ("world", "cpu"), {"cpu": "on", "from": "chosen"}


check_signatures({**OPERATIONS, **REMARKS}, _GIVEN, _RENAMED)


class Replay:
    """Feeds events to the model; :attr:`world` is the machine after the last one."""

    def __init__(
        self,
        levels: Sequence[Level],
        cpus: int,
        hz: int,
        *,
        real: bool = False,
        check_every: int = CHECK_EVERY,
    ) -> None:
        self.world = World(cpus, hz, DomainsDue(levels, cpus), real=real)
        self._check_every = check_every

    def feed(self, event: Event) -> Divergence[World] | None:
        """Apply the next event in ``seq`` order; gives what is wrong with it, if anything is."""
        name = event.type.name
        world = self.world
        context = world.contexts[event.cpu]
        world.hints.now = event.seq
        try:
            if name in CLOCKED:
                self._check_clock(context, event)
            if name not in LOCKS:
                context.ns = event.ns
            handler = OPERATIONS.get(name)
            if name in FOLLOWING or (handler is not None and context.predicted):
                self._foreseen(context, event)
            if handler is not None:
                self._operate(context, handler, event)
            elif remark := REMARKS.get(name):
                remark(world, event.cpu, *event.values)
        except LawBrokenError as broken:
            predicted = tuple(context.predicted)
            return Divergence(
                broken.law.value, event, broken.detail, context.operation, predicted, world
            )
        if name not in LOCKS:  # a lock is taken after the read that is why it is taken
            world.hints.heard[event.cpu] = event.seq
            context.ticks = world.ticks
        return None

    def _check_clock(self, context: CpuContext, event: Event) -> None:
        """What an operation read as the present lies between the last event and its own."""
        now = event.values[CLOCKED[event.type.name]]
        if not context.ns <= int(now) <= event.ns:
            due = f"{context.ns} to {event.ns}"
            raise LawBrokenError(Law.P16, f"CPU {event.cpu} reads the time {now}, {due} is due")

    def _operate(self, context: CpuContext, handler: Handler, event: Event) -> None:
        context.operation = event.type.name
        self.world.predicted = context.predicted
        self.world.hints.operation_begins(event.cpu)
        handler(self.world, event.cpu, *event.values)
        self.world.hints.operation_done(event.cpu)
        context.operations += 1
        if context.operations >= self._check_every:
            context.operations = 0
            for found in check_runqueue(self.world.rqs[event.cpu]):
                raise LawBrokenError(Law[found.rule], found.words)

    def _foreseen(self, context: CpuContext, event: Event) -> None:
        due = context.predicted[0] if context.predicted else None
        if due is not None and due.matches(event):
            context.predicted.popleft()
            return
        law = law_of(context.operation, due, event)
        if event.type.name == "pick" and due is not None and due.name == "pick":
            idle, chosen = event.values[0] == event.cpu, due.values[0] != event.cpu
            law = Law.P11 if idle and chosen else law
        words = "nothing" if due is None else str(due)
        raise LawBrokenError(law, f"{words} is due")

    def finish(self, end: Event) -> Divergence[World] | None:
        """What is missing at the end of a complete log."""
        for cpu, context in enumerate(self.world.contexts):
            if context.predicted:
                law = law_of(context.operation, context.predicted[0], None)
                detail = f"CPU {cpu}: {describe(context.predicted)} is missing"
                predicted = tuple(context.predicted)
                return Divergence(law.value, end, detail, context.operation, predicted, self.world)
        idle = {rq.idle for rq in self.world.rqs}
        tasks = [p for p in self.world.tasks.values() if p not in idle]
        for found in check_system(self.world.rqs, tasks):
            return Divergence(Law[found.rule].value, end, found.words, world=self.world)
        return None


def replay(
    trace: Trace, topology: Topology | None = None, *, check_every: int = CHECK_EVERY
) -> Divergence[World] | None:
    """Replay a log of policy ``o1``; gives its first disagreement with the model.

    ``topology`` is how the machine's CPUs share cores and packages; without it the log is believed.
    Logs of other policies, and logs without ``hello``, have nothing to replay: ``None``.
    """
    hello = trace.hello
    if hello is None or hello.word("policy") != POLICY:
        return None
    cpus, hz = hello.number("cpus"), hello.number("hz")
    if cpus > MAX_CPUS or hz < MIN_HZ:
        words = f"{cpus} CPUs, at most {MAX_CPUS}, at {hz} Hz, at least {MIN_HZ}"
        return Divergence(Law.S10.value, hello, words)
    real = hello.word("clock") == "real"
    run = Replay(levels_for(trace, topology, cpus), cpus, hz, real=real, check_every=check_every)
    for event in trace.events:
        divergence = run.feed(event)
        if divergence is not None:
            return divergence
    return run.finish(trace.events[-1])
