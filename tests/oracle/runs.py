"""Runs of the model's machine for the tests of the replay."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from hypothesis import strategies as st

from harness.model.constants import WAKE_ANY, Policy, State
from harness.model.domain import Topology
from harness.model.fixes import NO_FIXES, Fixes
from harness.model.task import Task
from harness.trace.trace import Trace
from tests.oracle.machine import Machine

Action = tuple[str, int, int]
"""What is done, on which CPU, and a number that means something else to each action."""

ACTIONS = (
    *("jiffy",) * 3,
    *("wake",) * 3,
    *("sleep", "uninterruptible") * 2,
    *("create", "fork", "clone", "exit", "yield", "nice", "policy", "cpus", "about"),
    *("sync", "irq", "exec", "dropped"),
)

MAX_CPUS = 4

actions = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, MAX_CPUS - 1), st.integers(0, 255)),
    max_size=60,
)


def drive(machine: Machine, todo: Sequence[Action]) -> Trace:
    """Do it all, on machines of fewer CPUs on those that there are."""
    for name, cpu, number in todo:
        act(machine, name, cpu % len(machine.rqs), number)
    return machine.finish()


def act(machine: Machine, name: str, cpu: int, number: int) -> None:
    someone = _ordinary(machine, number)
    match name:
        case "jiffy":
            for _ in range(1 + number % 30):
                machine.jiffy()
        case "sleep":
            machine.sleep(cpu)
        case "uninterruptible":
            machine.sleep(cpu, State.UNINTERRUPTIBLE)
        case "about":
            machine.about_to_sleep(cpu)
        case "create":
            machine.acting = cpu
            machine.create(number % len(machine.rqs), nice=number % 40 - 20)
            machine.settle()
        case "fork" | "clone":
            machine.fork(cpu, clone_vm=name == "clone")
        case "exit":
            machine.exit(cpu)
        case "exec":
            machine.exec(cpu)
        case "yield":
            machine.yield_(cpu)
        case _ if someone is not None:
            _to_another(machine, name, cpu, number, someone)


def _to_another(machine: Machine, name: str, cpu: int, number: int, p: Task) -> None:
    match name:
        case "wake":
            machine.wake(cpu, p)
        case "sync":
            machine.wake(cpu, p, sync=machine.running(cpu) is not None)
        case "irq":
            machine.wake(cpu, p, irq=True)
        case "dropped":
            machine.when_dropped = partial(wake_meanwhile, machine, p)
        case "nice":
            machine.nice(cpu, p, number % 40 - 20)
        case "policy":
            policy = Policy(number % 3)
            machine.set_policy(cpu, p, policy, 1 + number % 98 if policy else 0)
        case "cpus":
            everywhere = (1 << len(machine.rqs)) - 1
            machine.set_cpus(cpu, p, 1 + number % everywhere)


def wake_meanwhile(machine: Machine, p: Task) -> None:
    """CPU 0 wakes a task while another CPU has let its lock go."""
    if machine.tasks.get(p.pid) is p:
        machine.acting = 0
        machine.wake_now(p, WAKE_ANY)


def _ordinary(machine: Machine, number: int) -> Task | None:
    """Some task that is neither an idle task nor a migration thread."""
    found = [p for p in machine.tasks.values() if p.rt_priority != 99]
    return found[number % len(found)] if found else None


def busy_run(cpus: int = 2, jiffies: int = 260) -> Machine:
    """Hogs of several nice levels, a real-time task, sleepers, forks and exits."""
    machine = Machine(cpus)
    tasks = [machine.create(n % cpus, nice=nice) for n, nice in enumerate((0, 0, 5, -5, 19))]
    machine.settle()
    fifo = machine.create(0, policy=Policy.RR, rt_priority=10)
    machine.settle()
    for n in range(jiffies):
        machine.jiffy()
        cpu = n % cpus
        if n % 7 == 0:
            machine.sleep(cpu)
        alive = [p for p in (*tasks, fifo) if machine.tasks.get(p.pid) is p]
        if n % 11 == 0 and alive:
            machine.wake((cpu + 1) % cpus, alive[n % len(alive)], irq=n % 2 == 0)
        if n % 25 == 0:
            machine.fork(cpu, clone_vm=n % 2 == 0)
        if n % 30 == 0:
            machine.exit(cpu)
        if n % 13 == 0:
            machine.yield_(cpu)
    return machine


def unbalanced_run(
    topology: Topology, fixes: Fixes = NO_FIXES, jiffies: int = 260, hz: int = 1000
) -> Machine:
    """All hogs start on CPU 0, a third of them pinned there; sleepers keep other CPUs idling.

    Later the pinned ones are let go, one after the other.
    """
    machine = Machine(topology.nr_cpus, hz, topology, fixes)
    everywhere = (1 << topology.nr_cpus) - 1
    pinned = [machine.create(0, nice=n % 2, allowed=1) for n in range(topology.nr_cpus)]
    for n in range(2 * topology.nr_cpus):
        machine.create(0, nice=2 + n % 3, allowed=everywhere)
    machine.settle()
    sleepers = [machine.create(cpu) for cpu in range(topology.nr_cpus)]
    machine.settle()
    for n in range(jiffies):
        machine.jiffy()
        cpu = n % topology.nr_cpus
        if n % 3 == 0:
            machine.sleep(cpu)
        sleeper = sleepers[n // 5 % len(sleepers)]
        if n % 5 == 0:
            machine.wake(cpu, sleeper)
        if n > jiffies // 2 and n % 3 == 0 and pinned:
            machine.set_cpus(0, pinned.pop(0), everywhere)
        if n % 2 == 0:
            machine.yield_(0)
        if n % 19 == 0:
            machine.exec(cpu)
        if n % 23 == 0:
            machine.when_dropped = partial(wake_meanwhile, machine, sleeper)
    return machine
