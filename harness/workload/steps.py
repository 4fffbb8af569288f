"""The text form of program steps: one step is a word, or a mapping with one key that says what it
does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from harness.workload.errors import suggest
from harness.workload.model import (
    Barrier,
    Block,
    Broadcast,
    CpuDown,
    CpuSet,
    CpuUp,
    Exec,
    Exit,
    Fork,
    Lock,
    Loop,
    Policy,
    Run,
    Select,
    SetCpus,
    SetNice,
    SetPolicy,
    Signal,
    Sleep,
    Span,
    Spin,
    Step,
    TaskRef,
    Timer,
    Unit,
    Unlock,
    Wait,
    Wake,
    Yield,
)
from harness.workload.source import Cursor, ListNode, MapNode
from harness.workload.units import format_cpus, format_ns, format_span, parse_cpus, parse_span

Data: TypeAlias = str | int | bool | list["Data"] | dict[str, "Data"]

_REF = re.compile(r"([^/\s]+)(?:/([0-9]{1,5}|same|next))?\Z")


def read_span(at: Cursor) -> Span:
    text = at.text("a time such as 10ms or '3 ticks'")
    try:
        return parse_span(text)
    except ValueError as error:
        raise at.error(str(error)) from None


def read_ns(at: Cursor) -> int:
    span = read_span(at)
    if span.unit is not Unit.NS:
        at.fail("ticks cannot be used here; write ns, us, ms or s")
    return span.value


def read_cpus(at: Cursor) -> CpuSet | None:
    """`2`, `[0, 2]`, `'0-3,8'` or `all` (None)."""
    if isinstance(at.node, ListNode):
        return frozenset(item.integer("a CPU number") for item in at.items())
    if not _is_text(at):
        return frozenset({at.integer("2, [0, 2], '0-3,8' or all")})
    try:
        return parse_cpus(at.text())
    except ValueError as error:
        raise at.error(str(error)) from None


def _is_text(at: Cursor) -> bool:
    return isinstance(getattr(at.node, "value", None), str)


def read_policy(at: Cursor) -> Policy:
    word = at.text("a policy")
    names = [policy.name.lower() for policy in Policy]
    if word not in names:
        at.fail(f"no policy named {word!r}{suggest(word, names)}")
    return Policy[word.upper()]


def read_ref(at: Cursor) -> TaskRef:
    text = at.text("the name of a task")
    match = _REF.match(text)
    if match is None:
        at.fail(f"{text!r} is not a task; write worker, worker/2, worker/same or worker/next")
    if match[2] is None:
        return TaskRef(match[1])
    return TaskRef(match[1], int(match[2]) if match[2].isdigit() else Select(match[2]))


def read_steps(at: Cursor) -> tuple[Step, ...]:
    return tuple(read_step(item) for item in at.items("a list of steps"))


def read_step(at: Cursor) -> Step:
    if _is_text(at):
        return _word(at)
    found = at.mapping(what="a step")
    if not found:
        at.fail("the step is empty")
    if "loop" in found or "do" in found:
        return _loop(at)
    (word, value), *more = found.items()
    if word not in _READERS:
        value.fail(f"no step named {word!r}{suggest(word, [*_READERS, 'loop', *_WORDS])}")
    if more:
        more[0][1].fail(
            f"a step has one key, not {word!r} and {more[0][0]!r}; begin each step with its own '-'"
        )
    return _READERS[word](value)


_WORDS: dict[str, Step] = {
    "block": Block(),
    "yield": Yield(),
    "exec": Exec(),
    "exit": Exit(),
}


def _word(at: Cursor) -> Step:
    word = at.text()
    if word in _WORDS:
        return _WORDS[word]
    if word in _READERS or word == "loop":
        at.fail(f"step {word!r} needs a value, as in '{word}: ...'")
    raise at.error(f"no step named {word!r}{suggest(word, [*_WORDS, *_READERS, 'loop'])}")


def _loop(at: Cursor) -> Step:
    found = at.mapping(["loop", "do"])
    if "loop" not in found:
        found["do"].fail("'do' needs 'loop' with the number of repeats beside it")
    if "do" not in found:
        found["loop"].fail(
            "'loop' needs 'do' with the steps to repeat beside it; an endless loop is 'forever'"
        )
    return Loop(found["loop"].integer("the number of repeats"), read_steps(found["do"]))


def _timer(at: Cursor) -> Step:
    if not isinstance(at.node, MapNode):
        return Timer(read_ns(at))
    found = at.mapping(["period", "name", "mode"])
    _need(at, found, "period")
    absolute = "mode" in found and _choice(found["mode"], ("relative", "absolute")) == "absolute"
    name = found["name"].text("the timer's name") if "name" in found else "timer"
    return Timer(read_ns(found["period"]), name, absolute)


def _block(at: Cursor) -> Step:
    return Block(_choice(at, ("interruptible", "uninterruptible")) == "uninterruptible")


def _wake(at: Cursor) -> Step:
    if not isinstance(at.node, MapNode):
        return Wake(read_ref(at))
    found = at.mapping(["task", "sync"])
    return Wake(read_ref(_need(at, found, "task")), "sync" in found and found["sync"].boolean())


def _fork(at: Cursor) -> Step:
    if not isinstance(at.node, MapNode):
        return Fork(at.text("the name of a template"))
    found = at.mapping(["task", "thread"])
    name = _need(at, found, "task").text("the name of a template")
    return Fork(name, "thread" in found and found["thread"].boolean())


def _nice(at: Cursor) -> Step:
    value, ref, _ = _change(at)
    return SetNice(value.integer("a nice value"), ref)


def _cpus(at: Cursor) -> Step:
    value, ref, _ = _change(at)
    return SetCpus(read_cpus(value), ref)


def _policy(at: Cursor) -> Step:
    value, ref, found = _change(at, "priority")
    policy = read_policy(value)
    if policy is not Policy.NORMAL and "priority" not in found:
        word = policy.name.lower()
        value.fail(f"policy {word} needs a priority, as in {{to: {word}, priority: 50}}")
    priority = found["priority"].integer("a priority") if "priority" in found else 0
    return SetPolicy(policy, priority, ref)


def _change(at: Cursor, *more: str) -> tuple[Cursor, TaskRef | None, dict[str, Cursor]]:
    """A change of the task's own attribute, or `{to: value, task: other}`."""
    if not isinstance(at.node, MapNode):
        return at, None, {}
    found = at.mapping(["to", "task", *more])
    ref = read_ref(found["task"]) if "task" in found else None
    return _need(at, found, "to"), ref, found


def _wait(at: Cursor) -> Step:
    if not isinstance(at.node, MapNode):
        return Wait(at.text("the name of a condition"))
    found = at.mapping(["on", "mutex"])
    condition = _need(at, found, "on").text("the name of a condition")
    return Wait(condition, found["mutex"].text("the name of a mutex") if "mutex" in found else None)


def _need(at: Cursor, found: dict[str, Cursor], key: str) -> Cursor:
    if key not in found:
        at.fail(f"{key!r} is missing")
    return found[key]


def _choice(at: Cursor, words: tuple[str, ...]) -> str:
    word = at.text(" or ".join(words))
    if word not in words:
        at.fail(f"expected {' or '.join(words)}, found {word!r}")
    return word


_READERS: dict[str, Callable[[Cursor], Step]] = {
    "run": lambda at: Run(read_span(at)),
    "spin": lambda at: Spin(read_ns(at)),
    "sleep": lambda at: Sleep(read_span(at)),
    "timer": _timer,
    "block": _block,
    "wake": _wake,
    "fork": _fork,
    "nice": _nice,
    "cpus": _cpus,
    "policy": _policy,
    "lock": lambda at: Lock(at.text("the name of a mutex")),
    "unlock": lambda at: Unlock(at.text("the name of a mutex")),
    "barrier": lambda at: Barrier(at.text("the name of a barrier")),
    "wait": _wait,
    "signal": lambda at: Signal(at.text("the name of a condition")),
    "broadcast": lambda at: Broadcast(at.text("the name of a condition")),
    "cpu_down": lambda at: CpuDown(at.integer("a CPU number")),
    "cpu_up": lambda at: CpuUp(at.integer("a CPU number")),
    "forever": lambda at: Loop(None, read_steps(at)),
}

STEP_WORDS = ("loop", *_WORDS, *(word for word in _READERS if word not in _WORDS))


def write_steps(steps: tuple[Step, ...]) -> list[Data]:
    """Steps as plain data that `read_steps` reads back."""
    return [_write_timing(step) for step in steps]


def _write_timing(step: Step) -> Data:
    match step:
        case Run(span=span):
            return {"run": format_span(span)}
        case Spin(ns=ns):
            return {"spin": format_ns(ns)}
        case Sleep(span=span):
            return {"sleep": format_span(span)}
        case Timer(period_ns=ns, name=name, absolute=absolute):
            mode = "absolute" if absolute else "relative"
            return {"timer": {"period": format_ns(ns), "name": name, "mode": mode}}
        case Loop(times=None, body=body):
            return {"forever": write_steps(body)}
        case Loop(times=int() as times, body=body):
            return {"loop": times, "do": write_steps(body)}
        case Yield():
            return "yield"
        case Exec():
            return "exec"
        case Exit():
            return "exit"
        case Block(uninterruptible=uninterruptible):
            return {"block": "uninterruptible"} if uninterruptible else "block"
        case _:
            return _write_other(step)


def _write_other(step: Step) -> Data:
    match step:
        case Wake(task=ref, sync=sync):
            return {"wake": {"task": _write_ref(ref), "sync": True} if sync else _write_ref(ref)}
        case Fork(template=name, thread=thread):
            return {"fork": {"task": name, "thread": True} if thread else name}
        case SetNice(nice=nice, task=ref):
            return {"nice": _write_change(nice, ref)}
        case SetPolicy(policy=policy, priority=priority, task=ref):
            more: dict[str, Data] = {} if policy is Policy.NORMAL else {"priority": priority}
            return {"policy": _write_change(policy.name.lower(), ref, more)}
        case SetCpus(cpus=cpus, task=ref):
            return {"cpus": _write_change(format_cpus(cpus), ref)}
        case Lock(mutex=name):
            return {"lock": name}
        case Unlock(mutex=name):
            return {"unlock": name}
        case Barrier(barrier=name):
            return {"barrier": name}
        case Wait(condition=name, mutex=mutex):
            return {"wait": name if mutex is None else {"on": name, "mutex": mutex}}
        case Signal(condition=name):
            return {"signal": name}
        case Broadcast(condition=name):
            return {"broadcast": name}
        case CpuDown(cpu=cpu):
            return {"cpu_down": cpu}
        case CpuUp(cpu=cpu):
            return {"cpu_up": cpu}
        case _:
            raise AssertionError(f"no text for {step!r}")


def _write_ref(ref: TaskRef) -> str:
    if ref.which is Select.ALL:
        return ref.name
    return f"{ref.name}/{ref.which if isinstance(ref.which, int) else ref.which.value}"


def _write_change(value: Data, ref: TaskRef | None, more: dict[str, Data] | None = None) -> Data:
    if ref is None and not more:
        return value
    target: dict[str, Data] = {} if ref is None else {"task": _write_ref(ref)}
    return {"to": value, **target, **(more or {})}
