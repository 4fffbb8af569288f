"""What can be said about programs without running them: do they end, do they hang, do their locks
pair?
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.workload.errors import WorkloadError
from harness.workload.layout import COUNTERS, TIMERS
from harness.workload.model import (
    Barrier,
    Block,
    Broadcast,
    Exit,
    Fork,
    Lock,
    Loop,
    Path,
    Run,
    Signal,
    Sleep,
    Spin,
    Step,
    Task,
    Timer,
    Unlock,
    Wait,
    Wake,
    Workload,
    Yield,
    body_key,
    walk,
)

_GIVES_TIME = (Run, Spin, Sleep, Timer, Block, Yield, Barrier, Wait, Exit)


def check_flow(workload: Workload) -> None:
    """Raise WorkloadError for the first program that cannot work. Expects names and ranges to be
    good.
    """
    for task in workload.tasks:
        path: Path = ("tasks", task.name, "program")
        _reachable(task.program, path)
        _loops(task.program, path, 0)
        _timers(task, path)
        held = _locks(task.program, path, ())
        if held:
            raise WorkloadError(path, f"the task ends while it holds mutex {held[-1]!r}")
    _forks(workload)
    _parties(workload)
    if workload.duration is None:
        _ends(workload)


def _reachable(steps: tuple[Step, ...], path: Path) -> None:
    for index, step in enumerate(steps):
        here = (*path, index)
        if isinstance(step, Loop):
            _reachable(step.body, (*here, body_key(step)))
        if _final(step) and index + 1 < len(steps):
            what = "exit" if isinstance(step, Exit) else "a loop without end"
            raise WorkloadError(
                (*path, index + 1), f"this step is never reached: it comes after {what}"
            )


def _final(step: Step) -> bool:
    """Whether nothing can come after the step."""
    if isinstance(step, Loop):
        return step.times is None or any(_final(inner) for inner in step.body)
    return isinstance(step, Exit)


def _loops(steps: tuple[Step, ...], path: Path, depth: int) -> None:
    for index, step in enumerate(steps):
        if not isinstance(step, Loop):
            continue
        body = (*path, index, body_key(step))
        if not step.body:
            raise WorkloadError(body, "the loop is empty")
        if step.times is None and not _gives_time(step.body):
            raise WorkloadError(
                body,
                "the loop would hang its CPU: it never runs for a time, sleeps, waits or yields",
            )
        inner = depth + (step.times is not None)
        if inner > COUNTERS:
            raise WorkloadError(
                (*path, index, "loop"), f"counted loops nest deeper than {COUNTERS}"
            )
        _loops(step.body, body, inner)


def _gives_time(steps: tuple[Step, ...]) -> bool:
    return any(
        _gives_time(step.body) if isinstance(step, Loop) else isinstance(step, _GIVES_TIME)
        for step in steps
    )


def timer_names(task: Task) -> tuple[str, ...]:
    """The task's timers in the order of their first use; a timer's place is its register."""
    names = (step.name for _, step in walk(task.program, ()) if isinstance(step, Timer))
    return tuple(dict.fromkeys(names))


def _timers(task: Task, path: Path) -> None:
    names = timer_names(task)
    if len(names) > TIMERS:
        raise WorkloadError(
            path, f"{len(names)} timers ({', '.join(names)}); a task has at most {TIMERS}"
        )


def _locks(steps: tuple[Step, ...], path: Path, held: tuple[str, ...]) -> tuple[str, ...]:
    """The mutexes held after `steps`, in the order they were taken, when `held` are held before
    them.
    """
    for index, step in enumerate(steps):
        here = (*path, index)
        match step:
            case Lock(mutex=name):
                if name in held:
                    raise WorkloadError(
                        (*here, "lock"),
                        f"the task holds mutex {name!r} already and would wait for itself",
                    )
                held = (*held, name)
            case Unlock(mutex=name):
                if name not in held:
                    raise WorkloadError(
                        (*here, "unlock"), f"the task does not hold mutex {name!r} here"
                    )
                held = tuple(other for other in held if other != name)
            case Wait(mutex=str() as name) if name not in held:
                raise WorkloadError(
                    (*here, "wait"), f"the task does not hold mutex {name!r} here; lock it first"
                )
            case Exit() if held:
                raise WorkloadError(
                    (*here, "exit"), f"the task ends while it holds mutex {held[-1]!r}"
                )
            case Loop(body=body):
                after = _locks(body, (*here, body_key(step)), held)
                if after != held and not _exits(body):
                    changed = sorted(set(after) ^ set(held)) or list(held)
                    raise WorkloadError(
                        (*here, body_key(step)),
                        f"a pass through the loop changes what is held: {', '.join(changed)}",
                    )
            case _:
                continue
    return held


def _exits(steps: tuple[Step, ...]) -> bool:
    return bool(steps) and (
        isinstance(steps[-1], Exit) or (isinstance(steps[-1], Loop) and _exits(steps[-1].body))
    )


def _forks(workload: Workload) -> None:
    """Programs have no conditions, so a template that forks itself, even through others, does so
    without end.
    """
    forks = {
        task.name: [(path, step.template) for path, step in _steps(task) if isinstance(step, Fork)]
        for task in workload.tasks
    }

    def visit(name: str, chain: tuple[str, ...], path: Path) -> None:
        if name in chain:
            raise WorkloadError(path, f"endless forks: {' -> '.join([*chain, name])}")
        if name in done:
            return
        for where, template in forks[name]:
            visit(template, (*chain, name), (*where, "fork"))
        done.add(name)

    done: set[str] = set()
    for task in workload.tasks:
        visit(task.name, (), ("tasks", task.name))


def _parties(workload: Workload) -> None:
    for name, parties in workload.barriers:
        users = [
            task
            for task in workload.tasks
            if any(isinstance(step, Barrier) and step.barrier == name for _, step in _steps(task))
        ]
        arriving = sum(task.count for task in users)
        if users and arriving < parties and not any(task.template for task in users):
            raise WorkloadError(
                ("barriers", name),
                f"the barrier waits for {parties} tasks, but only {arriving} ever come to it",
            )


def _ends(workload: Workload) -> None:
    """Without a duration the run ends when every task has, so each must be able to."""
    steps = [(path, step) for task in workload.tasks for path, step in _steps(task)]
    woken = {step.task.name for _, step in steps if isinstance(step, Wake)}
    signalled = {step.condition for _, step in steps if isinstance(step, Signal | Broadcast)}
    for path, step in steps:
        match step:
            case Loop(times=None) if not _exits(step.body):
                raise WorkloadError(
                    (*path, "forever"), "the workload never ends: give it a 'duration'"
                )
            case Block() if str(path[1]) not in woken:
                raise WorkloadError(
                    path,
                    f"the workload never ends: nobody wakes {path[1]!r}; do, or give a 'duration'",
                )
            case Wait(condition=name) if name not in signalled:
                raise WorkloadError(
                    path,
                    f"the workload never ends: nobody signals {name!r}; do, or give a 'duration'",
                )
            case _:
                continue


def _steps(task: Task) -> Iterator[tuple[Path, Step]]:
    return walk(task.program, ("tasks", task.name, "program"))
