"""Counts what the scheduler's operations cost in instructions, by how many tasks are queued.

    python -m tests.bench.instructions

Every figure is counted exactly, in Unicorn, on the linked image. Beside them stand the same
operations in C (queue.c, `gcc -O2`) and what constant time replaced: a search of all tasks.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.boot import default_image
from harness.model.constants import NS_PER_SECOND, Constants
from harness.model.runqueue import Runqueue
from harness.model.task import Task, idle_task
from harness.toolchain.image import Image
from tests.functions.guest import Guest
from tests.functions.machine import Machine
from tests.functions.mirror import LINK_BYTES, Mirror

TASKS = (1, 10, 100, 500, 1000)
HZ = 1000
OWN_PRIO = 120
"""Of the task that is measured; the best there is, so that it is the one that runs."""

BITMAP_AT = 8
"""In the array of queue.c."""

SOURCE = Path(__file__).with_name("queue.c")
COMPILER = "gcc"
OPTIONS = ("-O2", "-ffreestanding", "-mgeneral-regs-only", "-fcf-protection=none", "-fno-pie",
           "-no-pie", "-static", "-nostdlib", "-Wl,--build-id=none,-e,0")  # fmt: skip

QUEUE, FIND, SEARCH = "enqueue and dequeue", "find first bit", "search of one list of all tasks"
Counts = dict[str, int]
Spread = Callable[[int], int]


def shared(_: int) -> int:
    """Priorities of the other tasks: all in the list of the one that is measured."""
    return OWN_PRIO


def spread(number: int) -> int:
    """Or all in other lists."""
    return OWN_PRIO + 1 + number % 19


class GuestQueue:
    """A run queue of the guest with some tasks; the last one put in it is running."""

    def __init__(self, guest: Guest, tasks: int, prio_of: Spread) -> None:
        k = guest.configure(HZ, 1)
        self._guest = guest
        self._mirror = Mirror(guest, 1, tasks + 1)
        idle = idle_task(0, pid=tasks)
        idle.need_resched = False
        self._queue = self._mirror.put_runqueue(Runqueue(0, k, idle, nr_running=tasks))
        self._array = self._mirror.array(Runqueue(0, k, idle), 0)
        self._task = self._put(tasks - 1, OWN_PRIO, k)
        for number in range(tasks - 1):
            guest.call("enqueue_task_at", self._put(number, prio_of(number), k), self._array, 1)

    def _put(self, pid: int, prio: int, k: Constants) -> int:
        """A task in no list, with half of the greatest bonus and a slice that does not end."""
        p = Task(pid, prio=prio, static_prio=prio, sleep_avg=NS_PER_SECOND // 2, time_slice=99)
        return self._mirror.put_task(p)

    def counts(self) -> Counts:
        """Instructions by operation. The measured task stays the best, and runs on."""
        guest = self._guest
        enqueue = guest.count("enqueue_task_at", self._task, self._array, 1)
        bitmap = self._array + guest.array.fields["bitmap"][0]
        found = {FIND: guest.count("sched_find_first_bit", bitmap)}
        self._run()
        found["schedule()"] = guest.count("schedule")
        found["scheduler_tick()"] = guest.count("scheduler_tick")
        dequeue = guest.count("dequeue_task", self._task, self._array)
        return {QUEUE: enqueue + dequeue} | found

    def _run(self) -> None:
        """Makes the head of the measured task's list the one that runs, as it is the best."""
        guest = self._guest
        head = self._array + guest.array.fields["queue"][0] + LINK_BYTES * OWN_PRIO
        link = int.from_bytes(guest.read(head, 8), "little")
        current = link - guest.task.fields["run_list"][0]
        guest.store(guest.runqueue, self._queue, "curr", current)
        guest.enter(self._queue, current)


class CompiledQueue:
    """The same in C."""

    def __init__(self, machine: Machine, tasks: int, prio_of: Spread) -> None:
        machine.release_all()
        self._machine = machine
        self._array = machine.allocate(machine.word("array_bytes"))
        self._list = machine.allocate(16)
        machine.call("array_init", self._array)
        machine.call("list_init", self._list)
        self._task = self._put(OWN_PRIO)
        for number in range(tasks - 1):
            machine.call("enqueue_task", self._put(prio_of(number)), self._array, 1)
        for number in range(tasks):
            machine.call("list_add", self._put(prio_of(number)), self._list)

    def _put(self, prio: int) -> int:
        task = self._machine.allocate(self._machine.word("task_bytes"))
        self._machine.call("task_init", task, prio)
        return task

    def counts(self) -> Counts:
        """Instructions by operation."""
        machine = self._machine
        enqueue = machine.count("enqueue_task", self._task, self._array, 1)
        found = {FIND: machine.count("sched_find_first_bit", self._array + BITMAP_AT)}
        dequeue = machine.count("dequeue_task", self._task, self._array)
        found[SEARCH] = machine.count("list_best", self._list)
        return {QUEUE: enqueue + dequeue} | found


def compile_queue(directory: Path) -> Path | None:
    """queue.c as an image; None where there is no compiler. Raises CalledProcessError."""
    if shutil.which(COMPILER) is None:
        return None
    output = directory / "queue.elf"
    subprocess.run([COMPILER, *OPTIONS, "-o", str(output), str(SOURCE)], check=True)
    return output


def measure_guest(image: Image, numbers: Sequence[int], prio_of: Spread) -> list[Counts]:
    """Counts for each number of queued tasks."""
    guest = Guest(image)
    return [GuestQueue(guest, number, prio_of).counts() for number in numbers]


def measure_compiled(image: Image, numbers: Sequence[int], prio_of: Spread) -> list[Counts]:
    """Likewise for an image that compile_queue made."""
    machine = Machine(image)
    return [CompiledQueue(machine, number, prio_of).counts() for number in numbers]


def table(numbers: Sequence[int], **measured: list[Counts]) -> Table:
    """A row for each operation, a column for each number of tasks."""
    shown = Table(title="Instructions by number of queued tasks", title_justify="left")
    shown.add_column("operation")
    shown.add_column("in")
    for number in numbers:
        shown.add_column(f"{number:,}", justify="right")
    for language, counts in measured.items():
        for name in counts[0] if counts else ():
            shown.add_row(name, language, *(f"{count[name]:,}" for count in counts))
    return shown


def main() -> int:
    """The command line; returns the exit status."""
    with Image(default_image()) as image:
        assembly = measure_guest(image, TASKS, spread)
    with tempfile.TemporaryDirectory() as directory:
        path = compile_queue(Path(directory))
        compiled: list[Counts] = []
        if path is None:
            print(f"no {COMPILER} here: C is left out", file=sys.stderr)
        else:
            with Image(path) as image:
                compiled = measure_compiled(image, TASKS, spread)
    Console().print(table(TASKS, assembly=assembly, C=compiled))
    return 0


if __name__ == "__main__":
    sys.exit(main())
