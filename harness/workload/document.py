"""Workloads as YAML or JSON text. The grammar, by example, is in this directory's README.md."""

from __future__ import annotations

from dataclasses import replace

import yaml

from harness.workload.errors import WorkloadError
from harness.workload.jsontext import parse_json
from harness.workload.layout import MAX_CPUS
from harness.workload.model import (
    CpuDown,
    CpuUp,
    Policy,
    Sched,
    SetCpus,
    Span,
    Task,
    Workload,
    walk,
)
from harness.workload.source import Cursor, parse_yaml, relocate
from harness.workload.steps import (
    Data,
    read_cpus,
    read_ns,
    read_policy,
    read_span,
    read_steps,
    write_steps,
)
from harness.workload.units import format_cpus, format_ns, format_span
from harness.workload.validate import validate

_KEYS = ("name", "description", "duration", "cpus", "mutexes", "conditions", "barriers", "tasks")
_TASK_KEYS = (
    "policy",
    "nice",
    "priority",
    "cpus",
    "start_cpu",
    "count",
    "delay",
    "template",
    "kernel",
    "program",
)


def parse(
    text: str, file: str = "<text>", *, json: bool = False, duration: Span | None = None
) -> Workload:
    """The workload in a YAML document, or, with `json`, in a JSON one; `duration` replaces its own.

    Raises WorkloadError with the place in `file` and the path in the document of the first thing
    wrong.
    """
    root = Cursor.root(parse_json(text, file) if json else parse_yaml(text, file), file)
    workload = _read(root)
    if duration is not None:
        workload = replace(workload, duration=duration)
    try:
        validate(workload)
    except WorkloadError as error:
        raise relocate(error, root) from None
    return workload


def dump(workload: Workload) -> str:
    """YAML text that `parse` reads back as an equal workload."""
    text: str = yaml.safe_dump(_write(workload), sort_keys=False, width=100)
    return text


def _read(root: Cursor) -> Workload:
    found = root.mapping(_KEYS, "a workload: a mapping with 'name' and 'tasks'")
    for key in ("name", "tasks"):
        if key not in found:
            root.fail(f"{key!r} is missing")
    tasks = tuple(
        _read_task(name, at) for name, at in found["tasks"].mapping(what="tasks by name").items()
    )
    return Workload(
        name=found["name"].text("the workload's name"),
        tasks=tasks,
        duration=read_span(found["duration"]) if "duration" in found else None,
        cpus=found["cpus"].integer("the number of CPUs") if "cpus" in found else cpus_named(tasks),
        mutexes=_names(found.get("mutexes")),
        conditions=_names(found.get("conditions")),
        barriers=_barriers(found.get("barriers")),
        description=found["description"].text("words") if "description" in found else "",
    )


def cpus_named(tasks: tuple[Task, ...]) -> int:
    """The number of CPUs that `tasks` speak of: one more than the highest number, as far as there
    can be.
    """
    numbers = {0}
    for task in tasks:
        numbers.update(task.cpus or (), () if task.start_cpu is None else (task.start_cpu,))
        for _, step in walk(task.program, ()):
            if isinstance(step, SetCpus):
                numbers.update(step.cpus or ())
            elif isinstance(step, CpuDown | CpuUp):
                numbers.add(step.cpu)
    return min(max(numbers) + 1, MAX_CPUS)


def _names(at: Cursor | None) -> tuple[str, ...]:
    return () if at is None else tuple(item.text("a name") for item in at.items("a list of names"))


def _barriers(at: Cursor | None) -> tuple[tuple[str, int], ...]:
    if at is None:
        return ()
    found = at.mapping(what="barriers with their numbers of parties")
    return tuple((name, parties.integer("a number of parties")) for name, parties in found.items())


def _read_task(name: str, at: Cursor) -> Task:
    found = at.mapping(_TASK_KEYS, "a task: a mapping with 'program'")
    if "program" not in found:
        at.fail("'program' is missing")
    return Task(
        name=name,
        program=read_steps(found["program"]),
        sched=_read_sched(found),
        cpus=read_cpus(found["cpus"]) if "cpus" in found else None,
        start_cpu=found["start_cpu"].integer("a CPU number") if "start_cpu" in found else None,
        count=found["count"].integer("a number of instances") if "count" in found else 1,
        delay_ns=read_ns(found["delay"]) if "delay" in found else 0,
        template="template" in found and found["template"].boolean(),
        kernel="kernel" in found and found["kernel"].boolean(),
    )


def _read_sched(found: dict[str, Cursor]) -> Sched | None:
    if not found.keys() & {"policy", "nice", "priority"}:
        return None
    policy = read_policy(found["policy"]) if "policy" in found else Policy.NORMAL
    if policy is not Policy.NORMAL and "priority" not in found:
        found["policy"].fail(f"policy {policy.name.lower()} needs a 'priority' of 0 to 99")
    return Sched(
        policy=policy,
        nice=found["nice"].integer("a nice value") if "nice" in found else 0,
        priority=found["priority"].integer("a priority") if "priority" in found else 0,
    )


def _write(workload: Workload) -> dict[str, Data]:
    data: dict[str, Data] = {"name": workload.name}
    if workload.description:
        data["description"] = workload.description
    if workload.duration is not None:
        data["duration"] = format_span(workload.duration)
    data["cpus"] = workload.cpus
    if workload.mutexes:
        data["mutexes"] = list(workload.mutexes)
    if workload.conditions:
        data["conditions"] = list(workload.conditions)
    if workload.barriers:
        data["barriers"] = dict(workload.barriers)
    data["tasks"] = {task.name: _write_task(task) for task in workload.tasks}
    return data


def _write_task(task: Task) -> dict[str, Data]:
    data: dict[str, Data] = {}
    if task.sched is not None:
        data["policy"] = task.sched.policy.name.lower()
        data["nice"] = task.sched.nice
        if task.sched.policy is not Policy.NORMAL:
            data["priority"] = task.sched.priority
    if task.cpus is not None:
        data["cpus"] = format_cpus(task.cpus)
    if task.start_cpu is not None:
        data["start_cpu"] = task.start_cpu
    if task.count != 1:
        data["count"] = task.count
    if task.delay_ns:
        data["delay"] = format_ns(task.delay_ns)
    if task.template:
        data["template"] = True
    if task.kernel:
        data["kernel"] = True
    data["program"] = write_steps(task.program)
    return data
