"""The rules that a workload obeys, whoever wrote it: names, ranges, references, and programs that
can end.

`validate` raises one `WorkloadError` whose path is the path in a document, also for workloads made
in Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.workload.errors import WorkloadError, suggest
from harness.workload.flow import check_flow
from harness.workload.layout import MAX_CPUS, MAX_RECORDS, NAME_SIZE
from harness.workload.model import (
    Barrier,
    Block,
    Broadcast,
    CpuDown,
    CpuSet,
    CpuUp,
    Fork,
    Lock,
    Loop,
    Path,
    Policy,
    Run,
    Sched,
    Select,
    SetCpus,
    SetNice,
    SetPolicy,
    Signal,
    Sleep,
    Span,
    Spin,
    Step,
    Task,
    TaskRef,
    Timer,
    Unlock,
    Wait,
    Wake,
    Workload,
    walk,
)
from harness.workload.units import MAX_TIME

MAX_COUNT = 0xFFFF  # the largest 16-bit index and count of the binary form
MAX_LOOP = 0xFFFF_FFFF

_TASK_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.+~-]*\Z")
_NAME = re.compile(r"[!-~]{1,63}\Z")


def validate(workload: Workload) -> None:
    """Raise WorkloadError for the first rule that `workload` breaks."""
    if not _NAME.match(workload.name):
        raise WorkloadError(("name",), "a name is 1 to 63 printable characters without blanks")
    _between(workload.cpus, 1, MAX_CPUS, ("cpus",), "the number of CPUs")
    if workload.duration is not None:
        _span(workload.duration, ("duration",))
    _resources(workload)
    _tasks(workload)
    context = _Context(workload)
    for task in workload.tasks:
        context.check_task(task)
    check_flow(workload)


def _between(value: int, low: int, high: int, path: Path, what: str) -> None:
    if not low <= value <= high:
        raise WorkloadError(path, f"{what} is {low} to {high}, not {value}")


def _span(span: Span, path: Path) -> None:
    if span.value < 1:
        raise WorkloadError(path, "a time must be longer than 0")
    _between(span.value, 1, MAX_TIME, path, f"a time in {span.unit.value}")


def _resources(workload: Workload) -> None:
    for kind, names in (
        ("mutexes", workload.mutexes),
        ("conditions", workload.conditions),
        ("barriers", tuple(name for name, _ in workload.barriers)),
    ):
        if len(names) > MAX_COUNT - 1:
            raise WorkloadError((kind,), f"at most {MAX_COUNT - 1} {kind}, not {len(names)}")
        for index, name in enumerate(names):
            path: Path = (kind, name) if kind == "barriers" else (kind, index)
            if not _NAME.match(name):
                raise WorkloadError(path, "a name is 1 to 63 printable characters without blanks")
            if name in names[:index]:
                raise WorkloadError(path, f"{name!r} is declared twice")
    for name, parties in workload.barriers:
        _between(parties, 2, MAX_COUNT, ("barriers", name), "the number of parties of a barrier")


def _tasks(workload: Workload) -> None:
    """Names and counts of tasks; their contents come later, when every name is known to be good."""
    if not any(not task.template for task in workload.tasks):
        raise WorkloadError(
            ("tasks",), "no task is started: give at least one that is not a template"
        )
    seen: set[str] = set()
    for task in workload.tasks:
        path: Path = ("tasks", task.name)
        if not _TASK_NAME.match(task.name):
            raise WorkloadError(
                path, "a task name is a letter followed by letters, digits and any of _.+~-"
            )
        if task.name in seen:
            raise WorkloadError(path, f"two tasks are named {task.name!r}")
        seen.add(task.name)
        _between(task.count, 1, MAX_RECORDS, (*path, "count"), "the number of instances")
        longest = len(instance_name(task, task.count - 1))
        if longest > NAME_SIZE - 1:
            room = NAME_SIZE - 1 - (longest - len(task.name))
            why = f" with {task.count} instances" if task.count > 1 else ""
            raise WorkloadError(path, f"the name is too long: {room} characters at most{why}")
    total = sum(task.count for task in workload.tasks)
    if total > MAX_RECORDS:
        raise WorkloadError(("tasks",), f"at most {MAX_RECORDS} tasks and templates, not {total}")


def instance_name(task: Task, instance: int) -> str:
    """The name the guest knows an instance by: `hog`, or `hog/2` when there are several."""
    return task.name if task.count == 1 else f"{task.name}/{instance}"


class _Context:
    """The names of one workload, and the checks of single tasks and steps against them."""

    def __init__(self, workload: Workload) -> None:
        self.cpus = workload.cpus
        self.tasks = {task.name: task for task in workload.tasks}
        self.mutexes = workload.mutexes
        self.conditions = workload.conditions
        self.barriers = tuple(name for name, _ in workload.barriers)

    def check_task(self, task: Task) -> None:
        path: Path = ("tasks", task.name)
        if task.template and task.count != 1:
            raise WorkloadError((*path, "count"), "a template is not started, so it has no count")
        if task.template and task.kernel:
            raise WorkloadError((*path, "kernel"), "a forked task is of its parent's kind")
        if task.template and task.start_cpu is not None:
            raise WorkloadError(
                (*path, "start_cpu"), "a forked task starts on the CPU of its parent"
            )
        if task.sched is not None:
            _sched(task.sched, path)
        self.cpu_set(task.cpus, (*path, "cpus"))
        self.start_cpu(task, (*path, "start_cpu"))
        _between(task.delay_ns, 0, MAX_TIME, (*path, "delay"), "a delay in ns")
        if not task.program:
            raise WorkloadError(
                (*path, "program"), "the program is empty; to end at once write [exit]"
            )
        for where, step in walk(task.program, (*path, "program")):
            self.check_step(task, step, where)

    def cpu_set(self, cpus: CpuSet | None, path: Path) -> None:
        if cpus is None:
            return
        if not cpus:
            raise WorkloadError(path, "the set of CPUs is empty")
        for number in sorted(cpus):
            self.cpu(number, path)

    def cpu(self, number: int, path: Path) -> None:
        if not 0 <= number < self.cpus:
            raise WorkloadError(
                path,
                f"CPU {number} is not one of the workload's {self.cpus} (from 0; see 'cpus')",
            )

    def start_cpu(self, task: Task, path: Path) -> None:
        if task.start_cpu is None:
            return
        self.cpu(task.start_cpu, path)
        if task.cpus is not None and task.start_cpu not in task.cpus:
            raise WorkloadError(path, f"CPU {task.start_cpu} is not in the task's own 'cpus'")

    def check_step(self, task: Task, step: Step, path: Path) -> None:
        match step:
            case Run(span=span):
                _span(span, (*path, "run"))
            case Sleep(span=span):
                _span(span, (*path, "sleep"))
            case Spin(ns=ns):
                _span(Span(ns), (*path, "spin"))
            case Timer(period_ns=ns):
                _span(Span(ns), (*path, "timer"))
            case Block() if task.template:
                raise WorkloadError(
                    (*path, "block"),
                    "no step can wake a forked task by name: let it wait on a condition",
                )
            case Wake(task=ref):
                self.reference(ref, task, (*path, "wake"))
                if ref.name == task.name and (task.count == 1 or ref.which is Select.SAME):
                    raise WorkloadError((*path, "wake"), "a task cannot wake itself: it is awake")
            case Fork(template=name):
                self.template(name, (*path, "fork"))
            case SetNice(nice=nice, task=ref):
                _between(nice, -20, 19, (*path, "nice"), "nice")
                self.reference(ref, task, (*path, "nice"))
            case SetPolicy(policy=policy, priority=priority, task=ref):
                _priority(policy, priority, (*path, "policy"))
                self.reference(ref, task, (*path, "policy"))
            case SetCpus(cpus=cpus, task=ref):
                self.cpu_set(cpus, (*path, "cpus"))
                self.reference(ref, task, (*path, "cpus"))
            case CpuDown(cpu=number):
                self.cpu(number, (*path, "cpu_down"))
            case CpuUp(cpu=number):
                self.cpu(number, (*path, "cpu_up"))
            case Loop(times=int() as times):
                _between(times, 1, MAX_LOOP, (*path, "loop"), "the repeat count of a loop")
            case _:
                self.check_resource(step, path)

    def check_resource(self, step: Step, path: Path) -> None:
        match step:
            case Lock(mutex=name):
                _known("mutex", name, self.mutexes, (*path, "lock"))
            case Unlock(mutex=name):
                _known("mutex", name, self.mutexes, (*path, "unlock"))
            case Barrier(barrier=name):
                _known("barrier", name, self.barriers, (*path, "barrier"))
            case Wait(condition=name, mutex=mutex):
                _known("condition", name, self.conditions, (*path, "wait"))
                if mutex is not None:
                    _known("mutex", mutex, self.mutexes, (*path, "wait", "mutex"))
            case Signal(condition=name):
                _known("condition", name, self.conditions, (*path, "signal"))
            case Broadcast(condition=name):
                _known("condition", name, self.conditions, (*path, "broadcast"))
            case _:
                return

    def reference(self, ref: TaskRef | None, user: Task, path: Path) -> None:
        if ref is None:
            return
        _known("task", ref.name, self.tasks, path)
        target = self.tasks[ref.name]
        if target.template:
            raise WorkloadError(
                path, f"{ref.name!r} is a template: its copies have no name to reach them by"
            )
        if isinstance(ref.which, int) and not 0 <= ref.which < target.count:
            raise WorkloadError(path, f"{ref.name!r} has {target.count} instances, numbered from 0")
        if ref.which in (Select.SAME, Select.NEXT) and (
            user.template or user.count != target.count
        ):
            raise WorkloadError(
                path,
                f"/{ref.which.value} needs as many instances of {user.name!r} as of {ref.name!r}"
                f" ({target.count})",
            )

    def template(self, name: str, path: Path) -> None:
        _known("task", name, self.tasks, path)
        if not self.tasks[name].template:
            raise WorkloadError(
                path, f"{name!r} is not a template: give it 'template: true' to fork it"
            )


def _sched(sched: Sched, path: Path) -> None:
    _between(sched.nice, -20, 19, (*path, "nice"), "nice")
    _priority(sched.policy, sched.priority, (*path, "priority"))


def _priority(policy: Policy, priority: int, path: Path) -> None:
    if policy is Policy.NORMAL:
        if priority != 0:
            raise WorkloadError(
                path, "a normal task has no real-time priority; use nice, or policy fifo or rr"
            )
        return
    _between(priority, 0, 99, path, "a real-time priority")


def _known(kind: str, name: str, names: Iterable[str], path: Path) -> None:
    known = list(names)
    if name not in known:
        raise WorkloadError(path, f"no {kind} named {name!r}{suggest(name, known)}")
