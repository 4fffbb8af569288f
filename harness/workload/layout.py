"""The binary form of a workload: the one source of its layout, for the encoder and for the guest.

    header   64 bytes                    `wl.*`
    tasks    task_count  x 64 bytes      `wltask.*`   a record an instance or template
    masks    mask_count  x 32 bytes      256-bit CPU sets, least significant word first
    code     code_count  x 16 bytes      `wlinstr.*`  programs; tasks that run the same share it
    barriers barrier_count x 4 bytes     number of parties, u32

Little-endian, no padding, each table behind the one before. A record's program is `length`
instructions from instruction `program` of the code table; jump targets count from the program's
first instruction. A program ends in EXIT or JUMP, so that an interpreter never runs off its end.

`harness.workload.abi` writes all of it as assembler constants.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

MAGIC = int.from_bytes(b"SWL1", "little")
VERSION = 1

NAME_SIZE = 16  # bytes, with at least one NUL
MAX_CPUS = 256
MAX_RECORDS = 0xFFFF
COUNTERS = 4  # loop counters of a task: how deep counted loops nest
TIMERS = 4  # timers of a task
MASK_SIZE = MAX_CPUS // 8
PARTIES_SIZE = 4

CPU_ANY = 0xFFFF  # wltask.start_cpu: the guest chooses
SELF = 0xFFFF_FFFF  # wlinstr.c as a task: the one that runs the instruction
NO_MUTEX = 0xFFFF  # wlinstr.b of WAIT

TASK_TEMPLATE = 1  # wltask.flags: not started, only forked
TASK_KERNEL = 2  # wltask.flags: no address space of its own

WAKE_SYNC = 1  # wlinstr.a of WAKE
FORK_THREAD = 1  # wlinstr.a of FORK

_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a structure: `size` bytes, an unsigned number, or `code` for what is not."""

    name: str
    size: int
    doc: str
    code: str = ""

    @property
    def format(self) -> str:
        return self.code or _FORMATS[self.size]


@dataclass(frozen=True, slots=True)
class Layout:
    """A packed little-endian structure; `prefix` begins its symbols in the guest."""

    prefix: str
    fields: tuple[Field, ...]

    @property
    def struct(self) -> struct.Struct:
        return struct.Struct("<" + "".join(field.format for field in self.fields))

    @property
    def size(self) -> int:
        return self.struct.size

    def offset(self, name: str) -> int:
        """Where a field begins, in bytes. Raises KeyError for a field that does not exist."""
        offset = 0
        for field in self.fields:
            if field.name == name:
                return offset
            offset += field.size
        raise KeyError(name)


HEADER = Layout(
    "wl",
    (
        Field("magic", 4, "'SWL1'"),
        Field("version", 2, "1"),
        Field("header_size", 2, "64"),
        Field("total_size", 4, "bytes of the whole blob"),
        Field("crc", 4, "CRC-32 (zlib, IEEE 802.3) of every byte behind this field"),
        Field("task_count", 4, "records, templates included"),
        Field("code_count", 4, "instructions"),
        Field("mask_count", 4, "CPU sets"),
        Field("mutex_count", 2, "mutexes, all free at the start"),
        Field("condition_count", 2, "conditions"),
        Field("barrier_count", 2, "barriers"),
        Field("cpus", 2, "CPUs needed at least"),
        Field("started_count", 4, "records that are not templates"),
        Field("duration_ns", 8, "end after so many ns; 0: no such limit"),
        Field(
            "duration_ticks",
            8,
            "end after so many ticks; 0: no such limit. Both 0: when every task has exited",
        ),
        Field("reserved", 8, "0"),
    ),
)

TASK = Layout(
    "wltask",
    (
        Field("name", NAME_SIZE, "printable ASCII without blanks, NUL padded", f"{NAME_SIZE}s"),
        Field("policy", 1, "0 normal, 1 FIFO, 2 RR"),
        Field("nice", 1, "signed, -20..19", "b"),
        Field("rt_priority", 1, "0..99 for FIFO and RR, kernel level 99 - rt_priority; else 0"),
        Field("flags", 1, "WL_TASK_*"),
        Field("start_cpu", 2, "or WL_CPU_ANY"),
        Field("instance", 2, "number among the instances of one task, from 0"),
        Field("program", 4, "index of the first instruction"),
        Field("length", 4, "instructions"),
        Field(
            "affinity",
            MASK_SIZE,
            "256-bit set of allowed CPUs; all ones: every CPU",
            f"{MASK_SIZE}s",
        ),
    ),
)

INSTRUCTION = Layout(
    "wlinstr",
    (
        Field("opcode", 1, "WL_OP_*"),
        Field("a", 1, "small operand"),
        Field("b", 2, "count or second index"),
        Field("c", 4, "index"),
        Field("d", 8, "time, count or number"),
    ),
)

LAYOUTS = (HEADER, TASK, INSTRUCTION)


class Op(IntEnum):
    """Opcodes; what each does is in `OPERATIONS`."""

    EXIT = 0
    RUN_NS = 1
    RUN_TICKS = 2
    SPIN_NS = 3
    SLEEP_NS = 4
    SLEEP_TICKS = 5
    TIMER_START = 6
    TIMER_RELATIVE = 7
    TIMER_ABSOLUTE = 8
    BLOCK = 9
    WAKE = 10
    YIELD = 11
    FORK = 12
    SET_NICE = 13
    SET_POLICY = 14
    SET_CPUS = 15
    LOAD = 16
    LOOP = 17
    JUMP = 18
    LOCK = 19
    UNLOCK = 20
    BARRIER = 21
    WAIT = 22
    SIGNAL = 23
    BROADCAST = 24
    CPU_DOWN = 25
    CPU_UP = 26
    EXEC = 27


class Operand(IntEnum):
    """What an operand field holds, which is what a decoder checks; NONE fields are 0."""

    NONE = 0
    FLAG = 1
    TIME = 2
    TIMER = 3
    COUNTER = 4
    COUNT = 5
    TASK = 6
    TEMPLATE = 7
    TASKS = 8
    TARGET = 9
    MUTEX = 10
    MUTEX_OR_NONE = 11
    CONDITION = 12
    BARRIER = 13
    MASK = 14
    POLICY = 15
    NICE = 16
    PRIORITY = 17
    LABEL = 18
    CPU = 19


@dataclass(frozen=True, slots=True)
class Operation:
    op: Op
    doc: str
    a: Operand = Operand.NONE
    b: Operand = Operand.NONE
    c: Operand = Operand.NONE
    d: Operand = Operand.NONE


_TASKS = "records c .. c+b-1 that still live, or the task itself when c = WL_SELF (b = 1)"

OPERATIONS: tuple[Operation, ...] = (
    Operation(Op.EXIT, "end the task"),
    Operation(
        Op.RUN_NS,
        "be the running task for d ns in all; time off the CPU does not count",
        d=Operand.TIME,
    ),
    Operation(Op.RUN_TICKS, "be the running task at d local timer ticks", d=Operand.TIME),
    Operation(
        Op.SPIN_NS,
        "be busy until the clock has advanced by d ns, on the CPU or not",
        d=Operand.TIME,
    ),
    Operation(Op.SLEEP_NS, "sleep, interruptibly, for d ns", d=Operand.TIME),
    Operation(Op.SLEEP_TICKS, "sleep, interruptibly, for d ticks", d=Operand.TIME),
    Operation(Op.TIMER_START, "timer[a] = now", a=Operand.TIMER),
    Operation(
        Op.TIMER_RELATIVE,
        "timer[a] += d; sleep until timer[a]; if that has passed: timer[a] = now, no sleep",
        a=Operand.TIMER,
        d=Operand.TIME,
    ),
    Operation(
        Op.TIMER_ABSOLUTE,
        "timer[a] += d; sleep until timer[a], not at all if that has passed",
        a=Operand.TIMER,
        d=Operand.TIME,
    ),
    Operation(
        Op.BLOCK,
        "if the wake token is set, clear it; else sleep until woken, a = 0 interruptibly,"
        " 1 uninterruptibly",
        a=Operand.FLAG,
    ),
    Operation(
        Op.WAKE,
        "for each of records c .. c+b-1 that still lives, ascending: end its BLOCK, or set its"
        " wake token if it is in none; a = WL_WAKE_SYNC: a sync wake-up",
        a=Operand.FLAG,
        b=Operand.TASKS,
        c=Operand.TASK,
    ),
    Operation(Op.YIELD, "sched_yield"),
    Operation(
        Op.FORK,
        "create a task that runs template c and has everything else, WL_TASK_KERNEL too, as its"
        " parent has it; a = WL_FORK_THREAD: CLONE_VM",
        a=Operand.FLAG,
        c=Operand.TEMPLATE,
    ),
    Operation(
        Op.SET_NICE,
        "set_user_nice(d as signed) of " + _TASKS,
        b=Operand.TASKS,
        c=Operand.TARGET,
        d=Operand.NICE,
    ),
    Operation(
        Op.SET_POLICY,
        "sched_setscheduler(policy a, rt_priority d) of " + _TASKS,
        a=Operand.POLICY,
        b=Operand.TASKS,
        c=Operand.TARGET,
        d=Operand.PRIORITY,
    ),
    Operation(
        Op.SET_CPUS,
        "set_cpus_allowed(mask d of the mask table) of " + _TASKS,
        b=Operand.TASKS,
        c=Operand.TARGET,
        d=Operand.MASK,
    ),
    Operation(Op.LOAD, "counter[a] = d, at least 1", a=Operand.COUNTER, d=Operand.COUNT),
    Operation(
        Op.LOOP, "if --counter[a] != 0: go to instruction c", a=Operand.COUNTER, c=Operand.LABEL
    ),
    Operation(Op.JUMP, "go to instruction c", c=Operand.LABEL),
    Operation(
        Op.LOCK, "take mutex c, sleeping uninterruptibly while another task has it", c=Operand.MUTEX
    ),
    Operation(
        Op.UNLOCK,
        "release mutex c and wake the task that has waited longest for it",
        c=Operand.MUTEX,
    ),
    Operation(
        Op.BARRIER,
        "sleep, interruptibly, until all parties of barrier c have come; the last one wakes the"
        " others",
        c=Operand.BARRIER,
    ),
    Operation(
        Op.WAIT,
        "sleep, interruptibly, on condition c; mutex b, unless WL_NO_MUTEX, is released before and"
        " taken after, with no signal lost in between",
        b=Operand.MUTEX_OR_NONE,
        c=Operand.CONDITION,
    ),
    Operation(
        Op.SIGNAL,
        "wake the task that has waited longest on condition c, if any",
        c=Operand.CONDITION,
    ),
    Operation(
        Op.BROADCAST,
        "wake every task that waits on condition c, longest first",
        c=Operand.CONDITION,
    ),
    Operation(
        Op.CPU_DOWN,
        "unplug CPU c; nothing happens to CPU 0, and to one that is unplugged",
        c=Operand.CPU,
    ),
    Operation(Op.CPU_UP, "plug CPU c in; nothing happens to one that is plugged in", c=Operand.CPU),
    Operation(Op.EXEC, "sched_exec"),
)

CONSTANTS: tuple[tuple[str, int, str], ...] = (
    ("WL_MAGIC", MAGIC, "'SWL1'"),
    ("WL_VERSION", VERSION, ""),
    ("WL_MAX_CPUS", MAX_CPUS, ""),
    ("WL_NAME_SIZE", NAME_SIZE, "bytes, with at least one NUL"),
    ("WL_COUNTERS", COUNTERS, "u64 loop counters of a task"),
    ("WL_TIMERS", TIMERS, "u64 timers of a task"),
    ("WL_MASK_SIZE", MASK_SIZE, "bytes of a CPU set"),
    ("WL_PARTIES_SIZE", PARTIES_SIZE, "bytes of an entry of the barrier table"),
    ("WL_CRC_START", HEADER.offset("crc") + 4, "first byte that the CRC covers"),
    ("WL_CPU_ANY", CPU_ANY, "wltask.start_cpu: the guest chooses"),
    ("WL_SELF", SELF, "wlinstr.c as a task: the one that runs the instruction"),
    ("WL_NO_MUTEX", NO_MUTEX, "wlinstr.b of WAIT"),
    ("WL_TASK_TEMPLATE", TASK_TEMPLATE, "wltask.flags: not started, only forked"),
    ("WL_TASK_KERNEL", TASK_KERNEL, "wltask.flags: no address space of its own"),
    ("WL_WAKE_SYNC", WAKE_SYNC, "wlinstr.a of WAKE"),
    ("WL_FORK_THREAD", FORK_THREAD, "wlinstr.a of FORK"),
)
