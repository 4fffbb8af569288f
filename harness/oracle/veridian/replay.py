"""Replay of policy `veridian`: every event of a log, in ``seq`` order, is applied to the model.

An *operation* carries what the guest knew when it decided. The model is run with the same inputs
and predicts the *consequences*: the events that must follow on that CPU, in order, with all their
fields. The first that differs ends the replay.

    v_schedule task=5 state=0 slice=0 ...           operation: the model compares 5 with task 6
      v_compare task=5 next=6 ... preempt=1         consequence, as predicted
      v_enqueue task=5 ring=33 nr=3 ...             consequence, as predicted
      v_pick task=5 ...                             not as predicted, V3: "v_dequeue task=6" is due

Other CPUs' events may stand between an operation and its consequences, but never one that changes
what the model used. Loads that were read without a lock come with the operation, as read.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.model.constants import State
from harness.model.veridian.queue import check_queue
from harness.oracle.divergence import Divergence
from harness.oracle.handlers import Handler, check_signatures
from harness.oracle.prediction import LawBrokenError, describe
from harness.oracle.veridian import balancing, placing, schedule, totals
from harness.oracle.veridian.laws import Law, law_of
from harness.oracle.veridian.world import CpuContext, World
from harness.trace.grammar import Event
from harness.trace.trace import Trace

POLICY = "veridian"
"""The policy, as ``hello`` names it, whose logs can be replayed."""

MAX_CPUS = 64
"""A mask of CPUs is one word."""

OPERATIONS: Mapping[str, Handler] = {
    "task_new": placing.task_new,
    "start": placing.start,
    "yield": schedule.yield_,
    "set_nice": placing.set_nice,
    "set_policy": placing.set_policy,
    "v_tick": schedule.v_tick,
    "v_schedule": schedule.v_schedule,
    "v_wake": placing.v_wake,
    "v_fork": placing.v_fork,
    "v_set_cpus": placing.v_set_cpus,
    "v_balance": balancing.v_balance,
    "v_steal": balancing.v_steal,
    "v_cpu_down": placing.v_cpu_down,
    "v_drain": placing.v_drain,
    "v_cpu_up": placing.v_cpu_up,
    "plug_refused": placing.plug_refused,
}
"""Events that carry inputs. None may come where a consequence of another one is due."""

STEPS: Mapping[str, Handler] = {
    "v_balanced": balancing.v_balanced,
    "v_victim": balancing.v_victim,
    "v_migrate": balancing.v_migrate,
    "v_migrated": balancing.v_migrated,
    "v_pick": schedule.v_pick,
    "v_kick": schedule.v_kick,
    "switch": schedule.switch,
}
"""Predicted, and mean something to the model besides."""

PLACING: Mapping[str, Handler] = {"v_find": placing.v_find, "v_place": placing.v_place}
"""Come for a task that this CPU has claimed, when all that was predicted has come."""

PREDICTED = frozenset(STEPS) | {"v_enqueue", "v_dequeue", "v_compare"}

REMARKS: Mapping[str, Handler] = {
    "v_load": placing.v_load,
    "cpu_online": schedule.cpu_online,
    "tick": schedule.tick,
    "ipi_recv": schedule.ipi_recv,
    "ipi_send": schedule.ipi_send,
    "lock": schedule.lock,
    "unlock": schedule.unlock,
    "task_free": schedule.task_free,
    "v_cpu": totals.v_cpu,
    "v_task": totals.v_task,
    "task_summary": totals.task_summary,
}
"""Further events that mean something to the model, whatever else is due on their CPU."""

_GIVEN, _RENAMED = ("world",), {"cpu": "on"}


check_signatures({**OPERATIONS, **STEPS, **PLACING, **REMARKS}, _GIVEN, _RENAMED)


class Replay:
    """Feeds events to the model; :attr:`world` is the machine after the last one."""

    def __init__(self, cpus: int, *, real: bool = False) -> None:
        self.world = World(cpus, real=real)

    def feed(self, event: Event) -> Divergence[World] | None:
        """Apply the next event in ``seq`` order; gives what is wrong with it, if anything is."""
        world = self.world
        world.acting = event.cpu
        try:
            self._bury(world.context, event)
            self._apply(world.context, event)
            world.note_brought(event)
        except LawBrokenError as broken:
            return self._divergence(broken, event)
        return None

    def _bury(self, context: CpuContext, event: Event) -> None:
        """A CPU that goes on with something else has put its dead task into their queue."""
        if context.buries is not None and event.type.name not in ("lock", "unlock"):
            self.world.ended.note_queued(context.buries, self.world.jiffies)
            context.buries = None

    def _apply(self, context: CpuContext, event: Event) -> None:
        name = event.type.name
        if name in PREDICTED:
            self._foreseen(context, event)
            handler = STEPS.get(name)
        elif name in PLACING:
            self._nothing_due(context, event)
            handler = PLACING[name]
        elif name in OPERATIONS:
            self._nothing_due(context, event)
            self._nothing_claimed(context, event)
            context.operation = name
            handler = OPERATIONS[name]
        else:
            handler = REMARKS.get(name)
        if handler is not None:
            handler(self.world, *event.values)

    def _foreseen(self, context: CpuContext, event: Event) -> None:
        self._interrupt_sent(context)
        if not context.predicted:
            self._nothing_claimed(context, event)
            if event.type.name == "v_kick":
                placing.ask_to_join(self.world, event.number("rq"))
        due = context.predicted[0] if context.predicted else None
        if due is not None and due.matches(event):
            context.predicted.popleft()
            return
        law = law_of(context.operation, due, event)
        if event.type.name == "v_pick" and due is not None and due.name == "v_pick":
            idle, chosen = event.values[0] == event.cpu, due.values[0] != event.cpu
            law = Law.P11 if idle and chosen else law
        words = "nothing" if due is None else str(due)
        raise LawBrokenError(law, f"{words} is due")

    def _nothing_due(self, context: CpuContext, event: Event) -> None:
        self._interrupt_sent(context)
        if context.predicted:
            due = context.predicted[0]
            raise LawBrokenError(law_of(context.operation, due, event), f"{due} is due")

    def _nothing_claimed(self, context: CpuContext, event: Event) -> None:
        if context.claim is not None:
            task = context.claim.task.pid
            words = f"task {task} is in no queue, and CPU {event.cpu} has not placed it"
            raise LawBrokenError(Law.C2 if context.claim.woken else Law.V3, words)

    def _interrupt_sent(self, context: CpuContext) -> None:
        if context.interrupts is not None:
            words = f"CPU {context.interrupts} was to be interrupted, and was not"
            raise LawBrokenError(Law.P8, words)

    def _divergence(self, broken: LawBrokenError, event: Event) -> Divergence[World]:
        context = self.world.contexts[event.cpu]
        due = tuple(context.predicted)
        return Divergence(
            broken.law.value, event, broken.detail, context.operation, due, self.world
        )

    def finish(self, end: Event) -> Divergence[World] | None:
        """What is missing at the end of a complete log."""
        for cpu, context in enumerate(self.world.contexts):
            if context.predicted:
                law = law_of(context.operation, context.predicted[0], None)
                broken = LawBrokenError(law, f"CPU {cpu}: {describe(context.predicted)} is missing")
                return self._divergence(broken, end)
        try:
            self._conserved()
        except LawBrokenError as broken:
            return self._divergence(broken, end)
        return None

    def _conserved(self) -> None:
        """Every task is where it belongs, and the rings are sound."""
        world = self.world
        for cpu in world.cpus:
            for words in check_queue(cpu.queue):
                raise LawBrokenError(Law.V2, f"CPU {cpu.number}: {words}")
            if len(cpu.queue) and not cpu.online:
                words = f"{len(cpu.queue)} tasks were left on offline CPU {cpu.number}"
                raise LawBrokenError(Law.C1, words)
        for p in world.tasks.values():
            lost = p.ring is None and not world.is_current(p) and p.state == State.RUNNING
            if lost and not p.idle and p.pid not in world.new:
                raise LawBrokenError(Law.C1, f"task {p.pid} is runnable, and nowhere")


def replay(trace: Trace) -> Divergence[World] | None:
    """Replay a log of policy ``veridian``; gives its first disagreement with the model.

    Of a log that is not sound, such as that of a guest that panicked, the beginning is replayed, up
    to the first event that is missing. Defects that were re-created on request (event ``bugs``) are
    found like any other. Logs of other policies, and logs without ``hello``, have nothing to
    replay: ``None``.
    """
    hello = trace.hello
    if hello is None or hello.word("policy") != POLICY:
        return None
    cpus = hello.number("cpus")
    if cpus > MAX_CPUS:
        return Divergence(Law.S10.value, hello, f"{cpus} CPUs, at most {MAX_CPUS}")
    run = Replay(cpus, real=hello.word("clock") == "real")
    for due, event in enumerate(trace.events):
        if event.seq != due or event.cpu >= cpus:
            return None
        divergence = run.feed(event)
        if divergence is not None:
            return divergence
    return run.finish(trace.events[-1]) if trace.sound else None
