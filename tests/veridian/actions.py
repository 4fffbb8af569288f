"""Random runs of the machine that is made of the model."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from harness.model.constants import Policy, State
from harness.model.veridian.pick import Algorithm
from harness.model.veridian.task import Task
from tests.veridian.kernel import Kernel

MAX_CPUS = 4

Step = tuple[str, int, int, int]
"""What happens, on which CPU, to which task, and a number more."""

steps = st.tuples(
    st.deferred(lambda: st.sampled_from(["jiffy", *_ACTIONS])),
    st.integers(0, MAX_CPUS - 1),
    st.integers(0, 30),
    st.integers(0, 1000),
)
runs = st.tuples(
    st.integers(1, MAX_CPUS), st.sampled_from(list(Algorithm)), st.lists(steps, max_size=60)
)


def play(cpus: int, algorithm: Algorithm, taken: list[Step]) -> Kernel:
    """The machine after those steps; what is impossible at its moment does nothing."""
    kernel = Kernel(cpus, algorithm)
    for _ in range(2):
        kernel.create(0)
    for name, cpu, which, number in taken:
        known = list(kernel.tasks.values())
        p = known[which % len(known)] if known else None
        _ACTIONS[name](kernel, cpu % cpus, p, number)
    return kernel


def _create(kernel: Kernel, cpu: int, p: Task | None, number: int) -> None:
    kernel.acting = 0
    if not kernel.cpus[cpu].online:
        return
    if number % 5 == 0:
        kernel.create(cpu, policy=Policy.FIFO, rt_priority=number % 100)
    else:
        kernel.create(cpu, nice=number % 40 - 20)


def _wake(kernel: Kernel, cpu: int, p: Task | None, number: int) -> None:
    if p is not None:
        kernel.wake(cpu, p)


def _nice(kernel: Kernel, cpu: int, p: Task | None, number: int) -> None:
    if p is not None:
        kernel.nice(cpu, p, number % 40 - 20)


def _set_cpus(kernel: Kernel, cpu: int, p: Task | None, number: int) -> None:
    if p is not None:
        kernel.set_cpus(cpu, p, number % ((1 << len(kernel.cpus)) - 1) + 1)


def _down(kernel: Kernel, cpu: int, p: Task | None, number: int) -> None:
    if cpu and kernel.cpus[cpu].online:
        kernel.cpu_down(cpu)


def _up(kernel: Kernel, cpu: int, p: Task | None, number: int) -> None:
    if not kernel.cpus[cpu].online:
        kernel.cpu_up(cpu)


_ACTIONS: dict[str, Callable[[Kernel, int, Task | None, int], object]] = {
    "jiffy": lambda kernel, cpu, p, number: kernel.jiffy(),
    "jiffies": lambda kernel, cpu, p, number: kernel.jiffy(number % 150),
    "create": _create,
    "fork": lambda kernel, cpu, p, number: kernel.fork(cpu),
    "sleep": lambda kernel, cpu, p, number: kernel.sleep(cpu),
    "doze": lambda kernel, cpu, p, number: kernel.about_to_sleep(cpu),
    "wake": _wake,
    "end": lambda kernel, cpu, p, number: kernel.end(cpu),
    "yield": lambda kernel, cpu, p, number: kernel.yield_(cpu),
    "nice": _nice,
    "set_cpus": _set_cpus,
    "down": _down,
    "up": _up,
}


def places(kernel: Kernel, p: Task) -> list[str]:
    """Everywhere that a task is; a sound machine has it in exactly one place."""
    found = [f"asleep in state {int(p.state)}"] if p.ring is None and p.state else []
    for cpu in kernel.cpus:
        found += [f"runs on CPU {cpu.number}"] if cpu.curr is p else []
        found += [f"waits on CPU {cpu.number}" for other in cpu.queue.tasks() if other is p]
    runs_about_to_sleep = len(found) == 2 and p.state != State.RUNNING
    return found[1:] if runs_about_to_sleep and found[1].startswith("runs") else found
