"""Makes a failing workload small: greedily, as long as something can be left out and it still
fails with the same rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from harness.workload import Task, Workload, WorkloadError, validate
from harness.workload.model import Loop, Span, Step, walk

Fails = Callable[[Workload], bool]


def size(workload: Workload) -> tuple[int, int, int]:
    """How big a workload is: tasks, steps, and the sum of its numbers."""
    steps = [step for task in workload.tasks for _, step in walk(task.program, ())]
    numbers = sum(step.times or 0 for step in steps if isinstance(step, Loop))
    duration = workload.duration.value if workload.duration else 0
    return sum(task.count for task in workload.tasks), len(steps), numbers + duration


def shrink(workload: Workload, fails: Fails, budget: int) -> tuple[Workload, int]:
    """The smallest workload found that still fails, and the runs that took; at most `budget`.

    `fails` is asked about valid workloads only. What it says of the given one is taken for granted.
    """
    runs, progress = 0, True
    while progress:
        progress = False
        for candidate in candidates(workload):
            if runs >= budget:
                return workload, runs
            runs += 1
            if fails(candidate):
                workload, progress = candidate, True
                break
    return workload, runs


def candidates(workload: Workload) -> Iterator[Workload]:
    """Valid workloads that are smaller by one thing, the big ones first."""
    for candidate in _smaller(workload):
        tidy = _without_unused(candidate)
        try:
            validate(tidy)
        except WorkloadError:
            continue
        if size(tidy) < size(workload):
            yield tidy


def _smaller(workload: Workload) -> Iterator[Workload]:
    tasks = workload.tasks
    if workload.duration is not None and workload.duration.value > 1:
        half = Span(workload.duration.value // 2, workload.duration.unit)
        yield replace(workload, duration=half)
    for index in range(len(tasks)):
        yield replace(workload, tasks=(*tasks[:index], *tasks[index + 1 :]))
    for index, task in enumerate(tasks):
        for smaller in _smaller_tasks(task):
            yield replace(workload, tasks=(*tasks[:index], smaller, *tasks[index + 1 :]))


def _smaller_tasks(task: Task) -> Iterator[Task]:
    if task.count > 1:
        yield replace(task, count=1)
        yield replace(task, count=task.count // 2)
    for program in _smaller_programs(task.program):
        yield replace(task, program=program)


def _smaller_programs(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """A step left out, a loop replaced by its body or repeated less."""
    for index, step in enumerate(steps):
        before, after = steps[:index], steps[index + 1 :]
        if len(steps) > 1:
            yield (*before, *after)
        match step:
            case Loop(times, body):
                if times is not None:
                    yield (*before, *body, *after)
                if times is not None and times > 2:
                    yield (*before, Loop(times // 2, body), *after)
                for smaller in _smaller_programs(body):
                    yield (*before, Loop(times, smaller), *after)
            case _:
                pass


def _without_unused(workload: Workload) -> Workload:
    """The same without mutexes, conditions and barriers that nobody uses any more."""
    names: set[str] = set()
    for task in workload.tasks:
        for _, step in walk(task.program, ()):
            for name in ("mutex", "condition", "barrier"):
                value = getattr(step, name, None)
                if isinstance(value, str):
                    names.add(value)
    return replace(
        workload,
        mutexes=tuple(name for name in workload.mutexes if name in names),
        conditions=tuple(name for name in workload.conditions if name in names),
        barriers=tuple(item for item in workload.barriers if item[0] in names),
    )
