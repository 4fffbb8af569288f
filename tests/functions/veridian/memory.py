"""What the guest has to have in memory for a machine of the model, and whether it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

from harness.model.veridian.cpu import Cpu
from harness.model.veridian.metrics import CpuMetrics
from harness.model.veridian.queue import NUM_RT_RINGS, RING_SIZE, RINGS
from harness.model.veridian.task import Task
from harness.trace.grammar import Event
from tests.functions.guest import PERCPU, Guest
from tests.functions.machine import Layout
from tests.functions.veridian.scenes import COUNT

SLOT_BYTES = 8
FREE = (1 << 32) - 1
LEAST = (1 << 64) - 1
COUNTERS = ("schedule_calls", "idle_scheduled", "context_switches", "voluntary", "load_balances",
            "task_migrations", "ipc_blocks", "ipc_wakeups", "ipis_sent")  # fmt: skip
"""The guest's names for the fields of `CpuMetrics`, in that order."""
TIMES = (
    "schedule_began",
    "switch_began",
    "scheduler_ns",
    "switch_ns",
    "switch_least",
    "switch_most",
)
LEFT_ALONE = "run_list"
"""Of a task; what it has in a list is compared with the list."""
_FIRST_TIMES = (11, 22, 333_333, 44_444, 555, 6_666)
IDLE_STATIC_PRIO = 140
MAX_TASKS = 330


@dataclass
class Extra:
    """What the model leaves out: how the guest's CPUs keep time, and steps of their protocols."""

    times: dict[str, int] = field(
        default_factory=lambda: dict(zip(TIMES, _FIRST_TIMES, strict=True))
    )
    joining: int = 0
    unlocked: int = 0


class Memory:
    """Room in a guest for some CPUs and tasks. The latest takes all of it."""

    def __init__(self, guest: Guest, cpus: Sequence[Cpu], tasks: Sequence[Task], turn: int) -> None:
        self.guest, self.cpus, self.tasks = guest, cpus, list(tasks)
        image = guest.image
        self.info, self.ring = Layout.of(image, "cpu_info"), Layout.of(image, "ring")
        self.vtask, self.percpu = Layout.of(image, "vtask"), Layout.of(image, "percpu")
        guest.release_all()
        self._infos = guest.allocate(self.info.size * COUNT)
        self._vtasks = guest.allocate(self.vtask.size * MAX_TASKS)
        self._at: dict[int, int] = {}
        self._written: dict[int, bytes] = {}
        guest.set_word("cpu_infos", self._infos)
        guest.set_word("vtasks", self._vtasks)
        self.extra = {cpu.number: Extra() for cpu in cpus}
        self.leaving: set[int] = set()
        """Tasks that their CPU is to hand over."""
        for p in self.tasks:
            self._at[p.pid] = guest.allocate(guest.task.size)
        for p in self.tasks:
            self.put_task(p)
        for cpu in cpus:
            self.put_cpu(cpu, turn)

    def at(self, p: Task | int) -> int:
        """Address of a task, or of that with a number."""
        return self._at[p if isinstance(p, int) else p.pid]

    def cpu(self, number: int) -> int:
        """Address of a CPU's cpu_info."""
        return self._infos + self.info.size * number

    def known(self, p: Task) -> int:
        """Address of what the policy knows about a task besides."""
        return self._vtasks + self.vtask.size * p.pid

    def rings(self, cpu: Cpu, ring: int) -> int:
        return self.cpu(cpu.number) + self.info.fields["rings"][0] + ring * self.ring.size

    def add(self, p: Task) -> int:
        """Room for one more task, with nothing in it but its number."""
        self.tasks.append(p)
        self._at[p.pid] = self.guest.allocate(self.guest.task.size)
        self._written[p.pid] = self.guest.task.pack({"id": p.pid})
        self.guest.write(self._at[p.pid], self._written[p.pid])
        self.guest.write(self.known(p), b"\xa5" * self.vtask.size)
        return self._at[p.pid]

    def put_task(self, p: Task) -> None:
        """Writes a task as the model has it."""
        values = {"run_list": 0x77 << 64 | 0x66, "timestamp": 5, "last_ran": 6}
        self._written[p.pid] = self.guest.task.pack(values | self._task_values(p))
        self.guest.write(self.at(p), self._written[p.pid])
        self.guest.write(self.known(p), self.vtask.pack(self._known_values(p)))

    def _task_values(self, p: Task) -> dict[str, int]:
        nice = IDLE_STATIC_PRIO - 120 if p.idle else p.nice
        home = None if p.ring is None else self.rings(self._home(p), p.ring)
        return {
            "id": p.pid,
            "state": int(p.state),
            "cpu": p.cpu,
            "need_resched": int(p.need_resched),
            "array": home or 0,
            "prio": int(p.priority),
            "static_prio": 120 + nice,
            "policy": int(p.policy),
            "rt_priority": p.rt_priority,
            "time_slice": p.slice,
            "cpus_allowed": p.allowed,
            "nvcsw": p.voluntary,
            "nivcsw": p.involuntary,
            "sched_cpu_time": p.cpu_time,
            "sched_run_delay": p.run_delay,
            "sched_pcnt": p.pcnt,
            "sched_last_arrival": p.arrival,
        }

    def _home(self, p: Task) -> Cpu:
        return next(cpu for cpu in self.cpus if cpu.number == p.cpu)

    def _known_values(self, p: Task) -> dict[str, int]:
        return {
            "class": int(p.sched_class),
            "ring": -1 if p.ring is None else p.ring,
            "last_cpu": -1 if p.last_cpu is None else p.last_cpu,
            "leaving": int(p.pid in self.leaving),
            "since": p.since,
            "migrations": p.migrations,
        }

    def _cpu_values(self, cpu: Cpu) -> dict[str, int]:
        queue, extra = cpu.queue, self.extra[cpu.number]
        counted = (getattr(cpu.metrics, one.name) for one in fields(CpuMetrics))
        return {
            "cpu": cpu.number,
            "lock": FREE,
            "online": int(cpu.online),
            "idle": int(cpu.is_idle),
            "joining": extra.joining,
            "started": 1,
            "unlocked": extra.unlocked,
            "curr": self.at(cpu.curr),
            "idle_task": self.at(cpu.idle),
            "nr_running": cpu.nr_running,
            "load": cpu.load,
            "rt_bitmap": queue.rt_bitmap,
            "normal_bitmap": queue.normal_bitmap,
            "idle_flag": int(queue.idle_flag),
            **dict(zip(COUNTERS, counted, strict=True)),
            **extra.times,
        }

    def put_cpu(self, cpu: Cpu, turn: int) -> None:
        """Writes a CPU as the model has it; every ring begins with that slot."""
        data = bytearray(self.info.pack(self._cpu_values(cpu)))
        empty = self.ring.pack({"head": turn, "tail": turn})
        for number, ring in enumerate(cpu.queue.rings):
            start = self.rings(cpu, number) - self.cpu(cpu.number)
            content = self._ring(cpu, number, turn) if len(ring) else empty
            data[start : start + self.ring.size] = content
        self.guest.write(self.cpu(cpu.number), bytes(data))

    def _ring(self, cpu: Cpu, number: int, turn: int) -> bytes:
        """A ring that begins with that slot, and the links of the list behind it."""
        tasks = [self.at(p) for p in cpu.queue.rings[number]]
        inside, behind = tasks[:RING_SIZE], tasks[RING_SIZE:]
        values = {"head": turn, "tail": (turn + len(inside)) % RING_SIZE, "count": len(inside)}
        values |= {"overflowed": len(behind)}
        if behind:
            values |= {"overflow_first": behind[0], "overflow_last": behind[-1]}
        for at, after in zip(behind, [*behind, 0][1:], strict=False):
            self.guest.store(self.guest.task, at, "run_list", after)
        slots = dict(
            zip(((turn + step) % RING_SIZE for step in range(RING_SIZE)), inside, strict=False)
        )
        values["slots"] = sum(at << 8 * SLOT_BYTES * slot for slot, at in slots.items())
        return self.ring.pack(values)

    def enter(self, cpu: Cpu, ticks: int, *, in_interrupt: bool = False) -> None:
        """Makes the calling CPU that one."""
        values = {"self": PERCPU, "runqueue": self.cpu(cpu.number), "cpu": cpu.number}
        values |= {"curr": self.at(cpu.curr), "idle": self.at(cpu.idle), "ticks": ticks}
        values |= {"switches": cpu.metrics.switches, "irq_depth": int(in_interrupt)}
        self.guest.write(PERCPU, self.percpu.pack(values))

    def compare(self, acting: Cpu) -> None:
        """Raises AssertionError, naming what differs from the model."""
        for cpu in self.cpus:
            self._compare_cpu(cpu)
        for p in self.tasks:
            self._compare_task(p)
        found = self.guest.load(self.percpu, PERCPU, "curr", "switches", "cpu")
        assert found["curr"] == self.at(acting.curr), "the task that runs"
        assert found["switches"] == acting.metrics.switches, "switches of the CPU"
        assert found["cpu"] == acting.number

    def _compare_cpu(self, cpu: Cpu) -> None:
        data = self.guest.read(self.cpu(cpu.number), self.info.size)
        values = self._cpu_values(cpu)
        _same(f"CPU {cpu.number}", self.info, data, values)
        assert values["rt_bitmap"] < 1 << NUM_RT_RINGS
        for number in range(RINGS):
            start = self.rings(cpu, number) - self.cpu(cpu.number)
            due = [self.at(p) for p in cpu.queue.rings[number]]
            where = f"ring {number} of CPU {cpu.number}"
            ring = data[start : start + self.ring.size]
            if due:
                self._compare_ring(where, ring, due)
            else:
                self._compare_empty(where, ring)

    def _compare_empty(self, where: str, data: bytes) -> None:
        rest = self.ring.fields["count"][0]
        assert data[:4] == data[4:8], f"{where}: head and tail"
        assert int.from_bytes(data[:4], "little") < RING_SIZE, f"{where}: head"
        assert data[rest:] == bytes(len(data) - rest), f"{where} is not empty"

    def _compare_ring(self, where: str, data: bytes, due: list[int]) -> None:
        names = ("head", "tail", "count", "overflowed", "overflow_first", "overflow_last")
        ring = self.ring.unpack(data, names)
        behind = due[RING_SIZE:]
        assert ring["count"] == min(len(due), RING_SIZE), f"{where}: count"
        assert ring["overflowed"] == len(behind), f"{where}: overflowed"
        assert ring["head"] < RING_SIZE, f"{where}: head"
        assert ring["tail"] == (ring["head"] + ring["count"]) % RING_SIZE, f"{where}: tail"
        ends = (behind[0], behind[-1]) if behind else (0, 0)
        assert (ring["overflow_first"], ring["overflow_last"]) == ends, f"{where}: list"
        slots = data[self.ring.fields["slots"][0] :]
        wanted = bytearray(len(slots))
        for step, at in enumerate(due[:RING_SIZE]):
            place = (ring["head"] + step) % RING_SIZE * SLOT_BYTES
            wanted[place : place + SLOT_BYTES] = at.to_bytes(SLOT_BYTES, "little")
        assert slots == wanted, f"{where}: slots"
        assert list(self._listed(ring["overflow_first"])) == behind, f"{where}: list"

    def _listed(self, task: int) -> Iterator[int]:
        """The list behind a ring."""
        for _ in range(MAX_TASKS):
            if not task:
                return
            yield task
            task = self.word(task, "run_list") & LEAST

    def word(self, task: int, name: str) -> int:
        """A field of a task by its address."""
        return self.guest.load(self.guest.task, task, name)[name]

    def _compare_task(self, p: Task) -> None:
        layout = self.guest.task
        data = self.guest.read(self.at(p), layout.size)
        before = layout.unpack(self._written[p.pid], layout.fields)
        values = before | self._task_values(p)
        values = {name: value for name, value in values.items() if name != LEFT_ALONE}
        _same(f"task {p.pid}", layout, data, values)
        known = self.guest.read(self.known(p), self.vtask.size)
        _same(f"task {p.pid}", self.vtask, known, self._known_values(p))

    def expect_task(self, pid: int, **values: int) -> None:
        """From now on a task has to have that in fields that the model leaves out."""
        data = self.guest.task.unpack(self._written[pid], self.guest.task.fields)
        self._written[pid] = self.guest.task.pack(data | values)

    def change_task(self, p: Task, **values: int) -> None:
        """Writes fields that the model leaves out."""
        self.expect_task(p.pid, **values)
        for name, value in values.items():
            self.guest.store(self.guest.task, self.at(p), name, value)

    def follow_times(self, cpu: Cpu, clock: Sequence[int], events: Sequence[Event]) -> None:
        """Passes of schedule() on a CPU have read the clock: when they began, when they had
        decided, and after a switch."""
        times, read = self.extra[cpu.number].times, list(clock)
        reads = Counter(event.name for event in events)
        due = reads["v_schedule"] + reads["v_pick"] + reads["switch"]
        assert len(read) == due, "how often the clock was read"
        for event in events:
            if event.name == "v_schedule":
                times["schedule_began"] = read.pop(0)
            elif event.name == "v_pick":
                times["switch_began"] = picked = read.pop(0)
                times["scheduler_ns"] += picked - times["schedule_began"]
            elif event.name == "switch":
                self.expect_task(event.number("prev"), last_ran=times["switch_began"])
                self.expect_task(event.number("next"), timestamp=times["switch_began"])
                self.time_switch(cpu, read.pop(0))

    def time_switch(self, cpu: Cpu, now: int) -> None:
        """A switch is over."""
        times = self.extra[cpu.number].times
        took = (now - times["switch_began"]) % (1 << 64)
        times["switch_ns"] += took
        times["switch_least"] = min(times["switch_least"], took)
        times["switch_most"] = max(times["switch_most"], took)


def _same(what: str, layout: Layout, data: bytes, values: Mapping[str, int]) -> None:
    found, wanted = layout.unpack(data, values), layout.unpack(layout.pack(values), values)
    differ = {name: (found[name], wanted[name]) for name in values if found[name] != wanted[name]}
    assert not differ, f"{what}: fields (guest, model): {differ}"
