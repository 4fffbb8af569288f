"""The events that a guest can log, and the assembler include made from them.

This is the only place where an event is defined.  The parser reads :data:`VOCABULARY`; the
guest's assembler reads what ``python -m harness.trace.vocabulary -o events.inc`` writes.
To add an event, add one line to :data:`VOCABULARY`.
"""

from __future__ import annotations

import argparse
import enum
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PROTOCOL = 1
"""Version of the log format, the ``proto`` field of ``hello``."""

MAX_FIELDS = 24
"""Most fields one event may have: the guest's binary record is that long."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Kind(enum.Enum):
    """How one 64-bit argument of an event is printed."""

    UNSIGNED = "u"
    """Unsigned decimal."""
    SIGNED = "d"
    """Signed decimal."""
    HEX = "x"
    """``0x`` and lower-case hexadecimal digits without leading zeros."""
    WORD = "s"
    """The argument is the address of a NUL-terminated printable word without blanks."""
    BUILD_ID = "b"
    """The argument is the address of a 20-byte build id, printed as 40 hexadecimal digits."""


@dataclass(frozen=True)
class Field:
    """One ``key=value`` of an event line."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class EventType:
    """One kind of event.

    ``signature`` lists the fields in the order of the line as ``name:kind``, separated by blanks,
    ``kind`` being the letter of a :class:`Kind`.
    """

    name: str
    doc: str
    signature: str = ""

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The fields in the order of the line; raises ``ValueError`` on a bad signature."""
        fields = []
        for item in self.signature.split():
            name, colon, kind = item.partition(":")
            if not colon or not _NAME.fullmatch(name):
                raise ValueError(f"event {self.name}: field {item!r} is not name:kind")
            fields.append(Field(name, Kind(kind)))
        return tuple(fields)


VOCABULARY: tuple[EventType, ...] = (
    EventType(
        "hello",
        "first line of every log: who speaks, and how this run was configured",
        "proto:u build:b policy:s cpus:u hz:u clock:s seed:u",
    ),
    EventType("cpus_found", "where the number of CPUs was learnt from", "source:s count:u"),
    EventType("timer", "the calibrated clocks", "tsc_khz:u lapic_khz:u count:u"),
    EventType("cpu_online", "this CPU is up", "apic:u"),
    EventType("tick", "a local timer tick, numbered from 1 on each CPU", "n:u"),
    EventType("ipi_send", "an inter-processor interrupt leaves", "to:u vector:x"),
    EventType("ipi_recv", "an inter-processor interrupt arrives", "vector:x"),
    EventType("ipi_latency", "one-way time of an interrupt in ns", "to:u ns:u halted:u"),
    EventType("mark", "a numbered mark: flood of the log on request", "n:u"),
    EventType(
        "task_new",
        "a task exists; parent: who forked it, -1 for nobody",
        "task:u name:s cpu:u policy:u nice:d rt_priority:u allowed:x mm:u parent:d now:u",
    ),
    EventType("start", "a task that nobody forked becomes runnable", "task:u rq:u jiffies:u"),
    EventType(
        "switch",
        "the CPU changes from one task to another; voluntary: prev gave it up itself",
        "prev:u next:u voluntary:u",
    ),
    # What the O(1) scheduler does. `rq` is the run queue concerned, by CPU; `array` is 0 for the
    # active and 1 for the expired one at that moment. Events without further explanation follow
    # from the operation before them on the same CPU.
    EventType("dequeue", "a task leaves its list", "task:u rq:u prio:u array:u"),
    EventType(
        "enqueue",
        "a task enters a list; at: 0 tail, 1 head, 2 right before its parent",
        "task:u rq:u prio:u array:u at:u",
    ),
    EventType("requeue", "a task goes to the tail of its list", "task:u rq:u prio:u array:u"),
    EventType(
        "account",
        "operation: scheduler_tick for the running task; slice: jiffies that it had left",
        "task:u now:u jiffies:u slice:u",
    ),
    EventType(
        "expire",
        "a slice ended; to: the array it goes to, with its new prio and slice; since: jiffies of"
        " the first expiry since the swap; best: best expired priority before this one",
        "task:u to:u prio:u slice:u interactive:u starving:u since:u best:u",
    ),
    EventType(
        "resched",
        "a CPU is asked to reschedule; was: it had been asked before",
        "task:u rq:u was:u polling:u ipi:u",
    ),
    EventType(
        "schedule",
        "operation: schedule() begins; task: the one that runs, with its state and sleep average",
        "task:u now:u jiffies:u state:u preempt:u sleep_avg:u",
    ),
    EventType("swap", "active and expired array change places", "rq:u"),
    EventType(
        "pick", "the next task, its list, and how many are runnable", "task:u prio:u running:u"
    ),
    EventType(
        "wake",
        "operation: a wake-up looks at a task; queued, current: whether it is either",
        "task:u rq:u mask:u state:u queued:u current:u sync:u",
    ),
    EventType(
        "place",
        "operation: a woken task's CPU is chosen, from what was read of its own and of this one",
        "task:u to:u load:u nr:u this_load:u this_nr:u last_tick:u",
    ),
    EventType(
        "wake_moved",
        "operation: the wake-up looks again, on the run queue that it moved the task to",
        "task:u rq:u state:u queued:u",
    ),
    EventType(
        "activate",
        "operation: a woken task is queued; the last ticks translate now between CPUs",
        "task:u rq:u now:u jiffies:u irq:u this_tick:u rq_tick:u",
    ),
    EventType("fork", "operation: the child takes half the slice", "task:u child:u now:u"),
    EventType(
        "wake_new",
        "operation: a forked task becomes runnable",
        "task:u parent:u rq:u jiffies:u clone_vm:u this_tick:u rq_tick:u",
    ),
    EventType(
        "exit",
        "operation: a task ends and gives its slice back; parent: -1 if gone",
        "task:u parent:d rq:u",
    ),
    EventType("task_free", "an ended task's slot and stack may be used again", "task:u jiffies:u"),
    EventType("yield", "operation: sched_yield", "task:u jiffies:u"),
    EventType("set_nice", "operation: set_user_nice", "task:u rq:u nice:d jiffies:u"),
    EventType(
        "set_policy",
        "operation: sched_setscheduler",
        "task:u rq:u policy:u rt_priority:u jiffies:u",
    ),
    EventType("set_cpus", "operation: set_cpus_allowed", "task:u rq:u allowed:x"),
    EventType(
        "migrate",
        "operation: a migration thread takes a request; result: 0 moved, 1 gone, 2 not allowed",
        "task:u src:u dst:u result:u queued:u src_tick:u dst_tick:u",
    ),
    EventType("cpu_load", "operation: the decayed load changed", "nr:u load:u"),
    EventType("lock", "a run queue's lock is taken; how: 0 waited, 1 tried", "rq:u how:u"),
    EventType("unlock", "a run queue's lock is released", "rq:u"),
    EventType(
        "task_summary",
        "totals of a task in jiffies, before the end",
        "task:u cpu_time:u run_delay:u pcnt:u nvcsw:u nivcsw:u",
    ),
    EventType(
        "schedstat",
        "counters of a run queue, schedstat version 10, before the end",
        "yld_both_empty:u yld_act_empty:u yld_exp_empty:u yld_cnt:u sched_noswitch:u sched_switch:u"
        " sched_cnt:u sched_goidle:u alb_cnt:u alb_gained:u alb_lost:u alb_failed:u ttwu_cnt:u"
        " ttwu_moved:u ttwu_attempts:u wunt_cnt:u wunt_moved:u smt_cnt:u sbe_cnt:u cpu_time:u"
        " run_delay:u pcnt:u",
    ),
    EventType("cpu_summary", "totals of one CPU, before the end", "ticks:u ipis:u switches:u"),
    EventType("end", "last line of every log: totals of the run", "events:u dropped:u result:s"),
)
"""Every event; the position is the event's number in the guest."""


def check(vocabulary: Sequence[EventType]) -> None:
    """Raise ``ValueError`` where a vocabulary cannot be printed or parsed without ambiguity."""
    seen: set[str] = set()
    for event in vocabulary:
        if not _NAME.fullmatch(event.name):
            raise ValueError(f"event {event.name!r}: not a lower-case word")
        if event.name in seen:
            raise ValueError(f"event {event.name}: defined twice")
        seen.add(event.name)
        names = [field.name for field in event.fields]
        if len(names) > MAX_FIELDS:
            raise ValueError(f"event {event.name}: {len(names)} fields, at most {MAX_FIELDS}")
        if len(set(names)) != len(names):
            raise ValueError(f"event {event.name}: two fields of one name")


def assembler_include(vocabulary: Sequence[EventType] = VOCABULARY) -> str:
    """The GNU as include for the guest: one number per event, and the table to print them by.

    ``EVENT_TABLE`` expands, once, to ``event_table``: EV_COUNT pairs of addresses (name, fields).
    A field is a format byte and the text before its value; FMT_end ends the list.
    """
    check(vocabulary)
    return "\n".join(_include_lines(vocabulary)) + "\n"


def _include_lines(vocabulary: Sequence[EventType]) -> Iterator[str]:
    yield "# Made by python -m harness.trace.vocabulary; edit harness/trace/vocabulary.py instead."
    yield ""
    yield ".equ FMT_end, 0"
    for number, kind in enumerate(Kind, start=1):
        yield f".equ FMT_{kind.value}, {number}"
    yield ""
    yield f".equ LOG_PROTOCOL, {PROTOCOL}"
    yield f".equ EV_MAX_FIELDS, {MAX_FIELDS}"
    for number, event in enumerate(vocabulary):
        yield f".equ EV_{event.name}, {number}"
    yield f".equ EV_COUNT, {len(vocabulary)}"
    yield ""
    yield ".macro EVENT_TABLE"
    yield "    .globl event_table"
    yield "    .balign 8"
    yield "event_table:"
    for number in range(len(vocabulary)):
        yield f"    .quad ev_{number}_name, ev_{number}_fields"
    for number, event in enumerate(vocabulary):
        yield f"ev_{number}_name:"
        yield f'    .asciz "{event.name}"'
        yield f"ev_{number}_fields:"
        for field in event.fields:
            yield f"    .byte FMT_{field.kind.value}"
            yield f'    .asciz " {field.name}="'
        yield "    .byte FMT_end"
    yield ".endm"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the include; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.trace.vocabulary",
        description="Write the guest's event numbers and format table as an assembler include.",
    )
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: print)")
    output: Path | None = parser.parse_args(arguments).output
    text = assembler_include()
    if output is None:
        sys.stdout.write(text)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
