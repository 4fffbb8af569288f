"""priority.s, load.s, balance.s, metrics.s, messages.s, info.s, policy.s: what is computed, counted
and said."""

from __future__ import annotations

from itertools import product

from hypothesis import strategies as st

from harness.model.constants import Policy
from harness.model.veridian import balance, load
from harness.model.veridian.cpu import Cpu
from harness.model.veridian.load import LoadRead
from harness.model.veridian.pick import Algorithm
from harness.model.veridian.priority import (
    class_of,
    effective_priority,
    priority_of,
    should_preempt,
)
from harness.model.veridian.task import Task, idle_task
from tests.functions.guest import PERCPU, Guest, PanicError
from tests.functions.veridian.agreement import agrees
from tests.functions.veridian.kernel import NOT_RECREATED, Kernel
from tests.functions.veridian.memory import COUNTERS, LEAST, TIMES, Memory
from tests.functions.veridian.placing import some_scenes
from tests.functions.veridian.scenes import CPUS, STANDINGS, Scene, Standing, scenes, standings
from tests.functions.veridian.stubs import RefusedError

WAITED = (0, 1, 99, 100, 101, 1999, 2000, 2099, 2100, 1 << 33)
GARBAGE = b"\xa5"


@agrees("priority_of", given=st.tuples(st.sampled_from(Policy), st.integers(0, 99)))
def priorities(guest: Guest, policy: Policy, rt_priority: int) -> None:
    for nice in range(-20, 20):
        due = priority_of(policy, rt_priority, nice)
        assert guest.call("priority_of", int(policy), nice, rt_priority) == int(due)
        assert guest.register("rdx") == int(class_of(due))


def machine(guest: Guest, *tasks: Task) -> Memory:
    """A CPU that idles, and tasks that are nowhere."""
    guest.set_word("param_bug", 0)
    idle = Cpu(0, idle_task(0))
    return Memory(guest, [idle], [idle.idle, *tasks], 0)


@agrees("effective_priority", given=st.tuples(standings, st.integers(0, 1 << 40)))
def boosts(guest: Guest, standing: Standing, since: int) -> None:
    policy, rt_priority, nice = standing
    p = Task(40, policy=policy, nice=nice, rt_priority=rt_priority, since=since)
    memory = machine(guest, p)
    for waited in WAITED:
        found = guest.call("effective_priority", memory.at(p), since + waited)
        assert found == effective_priority(p, waited)


@agrees("should_preempt", given=st.tuples(st.sampled_from([*STANDINGS, None]),
                                          st.sampled_from([*STANDINGS, None])))  # fmt: skip
def preemptions(guest: Guest, mine: Standing | None, theirs: Standing | None) -> None:
    """None: an idle task."""
    pair = [_of(40, mine), _of(41, theirs)]
    memory = machine(guest, *pair)
    current, next = pair
    for left, waited in product((0, 1), (0, 100, 1000, 1001, 2000)):
        current.slice = left
        memory.put_task(current)
        prios = effective_priority(current, 0), effective_priority(next, waited)
        due = should_preempt(current.sched_class, prios[0], left, next.sched_class, prios[1])
        assert guest.call("should_preempt", *map(memory.at, pair), *prios) == int(due)


def _of(pid: int, standing: Standing | None) -> Task:
    if standing is None:
        p = idle_task(0)
        p.pid = pid
        return p
    policy, rt_priority, nice = standing
    return Task(pid, policy=policy, nice=nice, rt_priority=rt_priority)


@agrees("update_load", given=st.tuples(st.integers(0, 13), st.sampled_from([0, 1])))
def loads(guest: Guest, waiting: int, idle: int) -> None:
    memory = machine(guest)
    guest.store(memory.info, memory.cpu(0), "nr_running", waiting)
    guest.store(memory.info, memory.cpu(0), "idle", idle)
    guest.call("update_load", 0, memory.cpu(0))
    found = guest.load(memory.info, memory.cpu(0), "load")["load"]
    assert found == load.load_of(waiting + 1 - idle)


figures = st.integers(0, 10).map(lambda tens: 10 * tens) | st.integers(0, 100)


@agrees("balance_count", given=st.tuples(figures, figures))
def moves(guest: Guest, most: int, least: int) -> None:
    due = balance.balance_load(0b11, {0: LoadRead(0, most), 1: LoadRead(0, least)})
    assert guest.call("balance_count", due.max_load, due.min_load) == due.count
    assert guest.call("balance_count", due.min_load, due.max_load) == 0


NOTHING = Scene([], 0b11, 0, 5000, 1, Algorithm.PRIORITY, 0)
counts = st.lists(st.integers(0, 1 << 40), min_size=13, max_size=13)
every_zero = st.just([0] * 11 + [LEAST, 0])


@agrees("metrics_log_cpu", "metrics_print", "metrics_sum", "ratio", "message",
        given=st.tuples(counts | every_zero, counts | every_zero, st.booleans()))  # fmt: skip
def totals(guest: Guest, mine: list[int], theirs: list[int], counted: bool) -> None:
    """Those of two CPUs; the boot CPU adds them up in words."""
    kernel = Kernel(guest, NOTHING)
    guest.set_word("cpu_count", 2)
    names = (*COUNTERS, "scheduler_ns", "switch_ns", "switch_least", "switch_most")
    for number, values in ((0, mine), (1, theirs)):
        for name, value in zip(names, values, strict=True):
            guest.store(kernel.memory.info, kernel.memory.cpu(number), name, value)
    kernel.acting.metrics.switches = mine[2] + (not counted)
    kernel.enter(0)
    try:
        kernel.call("metrics_log_cpu")
    except PanicError as words:
        assert str(words) == "the scheduler has counted other switches than its CPU", str(words)
        assert not counted
        return
    assert counted
    kernel.first("v_cpu", *mine[: len(COUNTERS)])
    sums = [a + b for a, b in zip(mine, theirs, strict=True)]
    said = dict(zip(names, sums, strict=True))
    said |= {"switch_least": min(mine[11], theirs[11]), "switch_most": max(mine[12], theirs[12])}
    assert kernel.stubs.lines == list(report(said))


def report(said: dict[str, int]) -> list[str]:
    """VeridianOS's block of metrics."""
    s = said
    average = s["switch_ns"] // (s["context_switches"] or LEAST)
    least = 0 if s["switch_least"] == LEAST else s["switch_least"]
    spent = s["scheduler_ns"] * 100 // (s["scheduler_ns"] + s["switch_ns"] or LEAST)
    idle = s["idle_scheduled"] * 100 // (s["schedule_calls"] or LEAST)
    kept = s["context_switches"] - s["voluntary"]
    lines = [
        "Scheduler Metrics:",
        f"  Context switches: {s['context_switches']}, {s['voluntary']} of them voluntary,"
        f" {kept % (1 << 64)} not",
        f"  Switch latency ns: {average} on average, {least} to {s['switch_most']}",
        f"  Scheduler overhead: {spent} percent",
        f"  Schedule calls: {s['schedule_calls']}, {idle} percent of them to the idle task",
        f"  Load balances: {s['load_balances']}, task migrations: {s['task_migrations']}",
        f"  IPC blocks: {s['ipc_blocks']}, wakeups: {s['ipc_wakeups']}",
    ]
    return [f"[SCHED] {line}" for line in lines]


@agrees("metrics_log_task", given=st.tuples(some_scenes))
def totals_of_tasks(guest: Guest, scene: Scene) -> None:
    kernel = Kernel(guest, scene)
    p = kernel.tasks[0]
    kernel.call("metrics_log_task", kernel.memory.at(p))
    assert [event.name for event in kernel.events] == ["v_task", "task_summary"]
    kernel.done()


@agrees("cpu_info_init", "vtask_init", given=st.tuples(scenes(0), st.sampled_from(CPUS)))
def new_cpus(guest: Guest, scene: Scene, number: int) -> None:
    """Whatever was there before."""
    kernel = Kernel(guest, scene)
    memory = kernel.memory
    cpu = Cpu(number, idle_task(number))
    place = CPUS.index(number)
    memory.cpus = [cpu if n == place else other for n, other in enumerate(kernel.cpus)]
    memory.tasks[place] = cpu.idle
    at = memory.at(cpu.idle)
    memory.enter(cpu, 0)
    guest.store(memory.percpu, PERCPU, "runqueue", 0)
    guest.write(memory.cpu(number), GARBAGE * memory.info.size)
    guest.write(memory.known(cpu.idle), GARBAGE * memory.vtask.size)
    for name in ("prio", "time_slice", "static_prio", "cpus_allowed"):
        guest.store(guest.task, at, name, 0x5A5A5A5A)
    online = 0b10 if number != 1 else 0b1
    guest.set_word("online_cpus", online)
    kernel.quietly("cpu_info_init")
    extra = memory.extra[number]
    extra.times = dict.fromkeys(TIMES, 0) | {"switch_least": LEAST}
    found = guest.load(memory.percpu, PERCPU, "runqueue")["runqueue"]
    assert found == memory.cpu(number)
    assert guest.word("online_cpus") == online | 1 << number
    memory.compare(cpu)


@agrees("veridian_ready", given=st.tuples(st.sampled_from([0, NOT_RECREATED, 2])))
def begins(guest: Guest, bugs: int) -> None:
    """What it says at its start."""
    kernel = Kernel(guest, NOTHING)
    guest.set_word("param_bug", bugs)
    kernel.call("veridian_ready", interrupts=True)
    guest.set_word("param_bug", 0)
    assert [event.values for event in kernel.events] == ([(bugs,)] if bugs else [])
    assert kernel.stubs.lines == [f"[SCHED] {line}" for line in START]


START = (
    "Initializing scheduler with bootstrap task...",
    "Scheduler initialized with bootstrap task",
    "x86_64 timer configured for preemptive scheduling",
    "Starting scheduler execution",
    "Entering idle loop",
)


@agrees("info_tables_init", "veridian_init_cpu", "cpu_info_init",
        given=st.tuples(st.sampled_from([1, 2, 64]), st.integers(1, 500),
                        st.sampled_from(CPUS)))  # fmt: skip
def tables(guest: Guest, cpus: int, tasks: int, number: int) -> None:
    """Every CPU sets itself up, the boot CPU what all have in common as well."""
    kernel = Kernel(guest, NOTHING)
    kernel.enter(number)
    where = [kernel.memory.cpu(0), kernel.memory.known(idle_task(0))]
    for name, value in (("apic_count", cpus), ("task_count", tasks)):
        guest.write(guest.addresses[name], value.to_bytes(4, "little"))
    if number == 0:
        guest.set_word("cpu_infos", 0)
        guest.set_word("vtasks", 0)
    kernel.quietly("veridian_init_cpu", memory=where)
    sizes = [kernel.memory.info.size * cpus, kernel.memory.vtask.size * tasks]
    line = 64
    assert kernel.stubs.requests == ([(size, line) for size in sizes] if number == 0 else [])
    assert [guest.word("cpu_infos"), guest.word("vtasks")] == where
    assert guest.word("online_cpus") >> number & 1


@agrees("veridian_init_cpu", given=st.tuples(st.integers(65, 255)))
def too_many_cpus(guest: Guest, cpus: int) -> None:
    """A mask has no bits for them."""
    kernel = Kernel(guest, NOTHING)
    guest.write(guest.addresses["apic_count"], cpus.to_bytes(4, "little"))
    try:
        kernel.quietly("veridian_init_cpu")
    except RefusedError:
        words = f"it schedules up to 64 CPUs, there are {cpus}"
        assert kernel.stubs.lines == [f"REFUSED policy=veridian: {words}"]
    else:
        raise AssertionError("it starts")


@agrees("task_end", given=st.tuples(some_scenes))
def burials(guest: Guest, scene: Scene) -> None:
    kernel = Kernel(guest, scene)
    at = kernel.memory.at(kernel.tasks[0])
    kernel.quietly("task_end", at)
    assert kernel.stubs.buried == [at]
    kernel.compare()


@agrees("info_lock_both", "info_lock", "info_unlock",
        given=st.tuples(scenes(2), st.permutations(CPUS)))  # fmt: skip
def pairs_of_locks(guest: Guest, scene: Scene, order: list[int]) -> None:
    """The lower address first, whoever is named first."""
    kernel = Kernel(guest, scene)
    first, second = order[:2]
    kernel.call("info_lock_both", kernel.memory.cpu(first), kernel.memory.cpu(second))
    taken = [(event.name, event.number("rq")) for event in kernel.events]
    assert taken == [("lock", cpu) for cpu in sorted((first, second))]
    for cpu in (first, second):
        kernel.call("info_unlock", kernel.memory.cpu(cpu))
        assert [(event.name, event.values) for event in kernel.events] == [("unlock", (cpu,))]
    kernel.compare()


@agrees("task_info_lock", given=st.tuples(some_scenes, st.sampled_from(CPUS)))
def moving_tasks(guest: Guest, scene: Scene, to: int) -> None:
    """A task that goes elsewhere while its CPU's lock is waited for."""
    kernel = Kernel(guest, scene)
    p, memory = kernel.tasks[0], kernel.memory
    at, asked = memory.at(p), p.cpu

    def moves(_: int) -> None:
        guest.store(guest.task, at, "cpu", to)

    found = kernel.call("task_info_lock", at, at_lock=moves)
    assert found == memory.cpu(to)
    assert guest.register("rdi") == at
    taken = [(event.name, event.number("rq")) for event in kernel.events]
    gave_back = [("lock", asked), ("unlock", asked)] if asked != to else []
    assert taken == [*gave_back, ("lock", to)]
    kernel.call("info_unlock", found)
    guest.store(guest.task, at, "cpu", asked)
    kernel.compare()


@agrees("message_cannot_run", "message", "message_no_affinity", given=st.tuples(some_scenes))
def warnings(guest: Guest, scene: Scene) -> None:
    kernel = Kernel(guest, scene)
    p = kernel.tasks[0]
    kernel.quietly("message_cannot_run", kernel.memory.at(p))
    words = f"Warning: Task {p.pid} cannot run on CPU {p.cpu} due to affinity mask"
    assert kernel.stubs.lines == [f"[SCHED] {words}"]
    kernel.quietly("message_no_affinity", kernel.memory.at(p))
    assert kernel.stubs.lines == [f"[SCHED] Warning: Task {p.pid} has no valid CPU affinity!"]
    kernel.compare()
