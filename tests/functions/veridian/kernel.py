"""A machine on both sides: a call on the one is followed on the other by what it logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.model.constants import State
from harness.model.veridian.bugs import Bug
from harness.model.veridian.cpu import Cpu
from harness.model.veridian.queue import ring_of
from harness.model.veridian.task import Task, idle_task
from harness.oracle.veridian.replay import Replay
from harness.oracle.veridian.world import CpuContext, World
from harness.trace.event_kind import Kind
from harness.trace.grammar import Event, Value, event_type
from tests.functions.guest import Guest, Logged
from tests.functions.veridian.memory import Memory
from tests.functions.veridian.scenes import COUNT, CPUS, RUNS, WAITS, Actor, Scene
from tests.functions.veridian.stubs import Stubs

FIRST_TASK, FIRST_OF_CROWD = 40, 60
SIGN, MODULUS = 1 << 63, 1 << 64
NAME_BYTES = 16
NOT_RECREATED = sum(bug.bit for bug in Bug if not bug.on_request)
"""Defects that change nothing when they are asked for."""
READERS_OF_LOADS = frozenset({"v_find", "v_balance", "v_steal"})


class Kernel:
    """The scene's machine in the model's world and in the guest's memory."""

    def __init__(self, guest: Guest, scene: Scene) -> None:
        self.guest, self.scene = guest, scene
        self.stubs = Stubs.of(guest)
        self.replay = Replay(1)
        self.world = _world(self.replay.world, scene)
        self.crowd = [self._crowded(number) for number in range(scene.crowd)]
        self.tasks = [self._task(n, actor) for n, actor in enumerate(scene.actors)]
        self.cpus = [self.world.cpus[number] for number in CPUS]
        self._start()
        known = [*(cpu.idle for cpu in self.cpus), *self.crowd, *self.tasks]
        self.memory = Memory(guest, self.cpus, known, scene.turn)
        for p, actor in zip(self.tasks, scene.actors, strict=True):
            self.memory.change_task(p, preempt_active=int(actor.preempted))
        self._globals()
        self.acting = self.world.cpus[scene.here]
        self.enter(scene.here)
        self.events: list[Event] = []
        self._by_others: dict[int, int] = {}
        """Which of the events, by position, are another CPU's."""

    def _crowded(self, number: int) -> Task:
        p = Task(FIRST_OF_CROWD + number, cpu=CPUS[0], since=self.scene.jiffies)
        self.world.tasks[p.pid] = p
        _queue(self.world.cpus[p.cpu], p)
        return p

    def _task(self, number: int, actor: Actor) -> Task:
        policy, rt_priority, nice = actor.standing
        p = Task(FIRST_TASK + number, f"t{number}", actor.cpu, policy, nice, rt_priority)
        p.state, p.allowed = State(actor.state), actor.allowed
        p.slice = actor.slice
        p.need_resched = actor.asked
        p.since = p.arrival = self.scene.jiffies - actor.age
        if actor.place == RUNS:
            p.since -= 7
        p.cpu_time, p.run_delay, p.pcnt = 100 + number, 200 + number, 300 + number
        p.voluntary, p.involuntary, p.migrations = 400 + number, 500 + number, number % 3
        p.last_cpu = CPUS[number % 2] if p.migrations else None
        self.world.tasks[p.pid] = p
        cpu = self.world.cpus[p.cpu]
        if actor.place == RUNS:
            cpu.curr = p
        elif actor.place == WAITS:
            _queue(cpu, p)
        return p

    def _start(self) -> None:
        for cpu in self.cpus:
            cpu.nr_running = len(cpu.queue)
            cpu.update_load()
            first = 1000 * (cpu.number + 1)
            names = ("calls", "idle", "switches", "voluntary", "balances", "migrations", "blocks")
            for step, name in enumerate((*names, "wakeups", "ipis")):
                setattr(cpu.metrics, name, first + 10 * step)

    def _globals(self) -> None:
        guest, scene = self.guest, self.scene
        guest.set_word("cpu_count", COUNT)
        guest.set_word("online_cpus", scene.online)
        guest.set_word("jiffies", scene.jiffies)
        guest.set_word("param_bug", NOT_RECREATED)
        at = guest.addresses["param_algorithm"]
        guest.write(at, int(scene.algorithm).to_bytes(4, "little"))
        guest.write(guest.addresses["hotplug_lock"], b"\xff" * 4)
        guest.write(guest.addresses["dispatched"], (1).to_bytes(4, "little"))

    def enter(self, cpu: int, *, in_interrupt: bool = False) -> None:
        """The next call is that CPU's."""
        self.acting = self.world.cpus[cpu]
        self.world.acting = cpu
        self.memory.enter(self.acting, self.scene.ticks, in_interrupt=in_interrupt)

    @property
    def context(self) -> CpuContext:
        return self.world.contexts[self.acting.number]

    @property
    def here(self) -> int:
        """Address of the acting CPU's cpu_info."""
        return self.memory.cpu(self.acting.number)

    def call(
        self,
        function: str,
        *arguments: int,
        allocated: int = 0,
        others: Callable[[], None] = lambda: None,
        at_lock: Callable[[int], None] = lambda at: None,
        interrupts: bool = False,
        **registers: int,
    ) -> int:
        """Calls a function and keeps what it logs. With interrupts on it has to leave them so."""
        self.guest.events.clear()
        self._by_others.clear()
        self.guest.set_word("param_loglevel", 2)
        try:
            with self.stubs.active():
                self.stubs.allocated, self.stubs.others = allocated, others
                self.stubs.at_lock = at_lock
                result = self.guest.call(
                    function, *arguments, interrupts=int(interrupts), **registers
                )
                assert self.guest.interruptible == interrupts, "interrupts"
        finally:
            self.guest.set_word("param_loglevel", 0)
            self.events = [self._event(*one) for one in enumerate(self.guest.events)]
        return result

    def quietly(
        self, function: str, *arguments: int, memory: Sequence[int] = (), **registers: int
    ) -> int:
        """The same without a log; what asks for memory gets these addresses."""
        with self.stubs.active():
            self.stubs.free = list(memory)
            return self.guest.call(function, *arguments, **registers)

    def lock(self, cpu: int) -> None:
        """Takes the lock of a CPU for a function whose callers hold it."""
        self.guest.call("spin_lock", self.memory.cpu(cpu))
        self.world.contexts[self.acting.number].locks.add(cpu)

    def unlock(self, cpu: int) -> None:
        self.guest.call("spin_unlock", self.memory.cpu(cpu))
        self.world.contexts[self.acting.number].locks.discard(cpu)

    def happens(self, cpu: int, name: str, *values: int) -> None:
        """Another CPU does something during the call."""
        self._by_others[len(self.guest.events)] = cpu
        self.guest.events.append(Logged(name, values))

    def _event(self, number: int, logged: Logged) -> Event:
        kind = event_type(logged.name)
        values: list[Value] = []
        for field, word in zip(kind.fields, logged.arguments, strict=True):
            if field.kind is Kind.WORD:
                values.append(self.guest.read(word, NAME_BYTES).partition(b"\0")[0].decode())
            else:
                signed = field.kind is Kind.SIGNED and word & SIGN
                values.append(word - MODULUS if signed else word)
        cpu = self._by_others.get(number, self.acting.number)
        return Event(0, cpu, 0, kind, tuple(values))

    def follow(self) -> None:
        """Replays what was logged. Raises AssertionError where it contradicts itself, the machine
        or the model, or where something is missing."""
        due: list[tuple[int, int, int]] = []
        for event in self.events:
            self._check_reads(event, due)
            found = self.replay.feed(event)
            assert found is None, f"{found and found.rule}: {found and found.detail} at {event}"
        assert not due, f"loads that were not read: {due}"
        context = self.context
        assert not context.predicted, f"missing: {context.predicted[0]}"
        assert context.claim is None, "a task is nowhere"
        assert context.interrupts is None, "an interrupt was announced and not sent"
        assert not context.locks, f"still locked: {context.locks}"

    def _check_reads(self, event: Event, due: list[tuple[int, int, int]]) -> None:
        """What a real machine may have read at any time has one value here."""
        fields = event.fields
        if event.name == "v_load":
            assert due and due.pop(0) == event.values, f"{event}"
        elif event.name not in ("lock", "unlock"):
            assert not due, f"loads that were not read: {due}"
        if "jiffies" in fields:
            assert fields["jiffies"] == self.scene.jiffies, f"{event}"
        if event.name in READERS_OF_LOADS:
            online = [cpu for cpu in self.cpus if cpu.online]
            assert fields["online"] == sum(1 << cpu.number for cpu in online), f"{event}"
            loaded = (cpu for cpu in online if cpu.nr_running or cpu.load)
            due += [(cpu.number, cpu.nr_running, cpu.load) for cpu in loaded]
        if event.name == "v_pick":
            assert fields["algorithm"] == self.scene.algorithm, f"{event}"

    def first(self, name: str, *values: Value) -> None:
        """The first event of that name has to say that: what the model takes from the log."""
        said = [event for event in self.events if event.name == name]
        assert said, f"no {name}"
        assert said[0].values == values, f"{said[0]}"

    def names(self) -> list[str]:
        """What was logged, locks apart."""
        return [event.name for event in self.events if event.name not in ("lock", "unlock")]

    def compare(self) -> None:
        """All memory is what the model has, and nothing is locked."""
        self.memory.compare(self.acting)
        online = sum(1 << cpu.number for cpu in self.cpus if cpu.online)
        assert self.guest.word("online_cpus") == online, "online_cpus"
        owner = self.guest.read(self.guest.addresses["hotplug_lock"], 4)
        assert owner == b"\xff" * 4, "hotplug_lock"

    def done(self) -> None:
        """Both."""
        self.follow()
        self.compare()


def _world(world: World, scene: Scene) -> World:
    """The world of a replay with many CPUs, of which a few have come up."""
    observer = world.cpus[0].observer
    absent = Cpu(COUNT, idle_task(COUNT), online=False)
    there = {number: Cpu(number, idle_task(number)) for number in CPUS}
    for number, cpu in there.items():
        cpu.observer = observer
        cpu.online = bool(scene.online >> number & 1)
    world.nr_cpus = COUNT
    world.cpus = [there.get(number, absent) for number in range(COUNT)]
    world.contexts = [CpuContext() for _ in range(COUNT)]
    world.tasks = {number: cpu.idle for number, cpu in there.items()}
    world.ticks = scene.jiffies
    return world


def _queue(cpu: Cpu, p: Task) -> None:
    """Queues without anybody being told."""
    cpu.queue.enqueue(p)
    assert p.ring == ring_of(p)
