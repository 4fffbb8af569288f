"""The decoded binary form: what the guest sees of a workload, field by field.

`pack` and `unpack` are inverse. `unpack` believes nothing: it refuses a blob whose size, version,
checksum or any index is wrong, as the guest must.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

from harness.workload import layout
from harness.workload.layout import HEADER, INSTRUCTION, MASK_SIZE, TASK, Op, Operand
from harness.workload.model import Span, Unit


class BlobError(ValueError):
    """A blob that is not a workload, is damaged, or was written for another version."""


@dataclass(frozen=True, slots=True)
class Instruction:
    op: Op
    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0  # as an unsigned 64-bit number


@dataclass(frozen=True, slots=True)
class Record:
    """One instance of a task, or one template. `affinity` is a bit set; `program` counts
    instructions.
    """

    name: str
    policy: int
    nice: int
    rt_priority: int
    flags: int
    start_cpu: int
    instance: int
    program: int
    length: int
    affinity: int

    @property
    def template(self) -> bool:
        return bool(self.flags & layout.TASK_TEMPLATE)


@dataclass(frozen=True, slots=True)
class Image:
    """A whole blob. `masks` are bit sets of CPUs, `barriers` numbers of parties."""

    cpus: int
    duration: Span | None
    tasks: tuple[Record, ...]
    masks: tuple[int, ...]
    code: tuple[Instruction, ...]
    barriers: tuple[int, ...]
    mutex_count: int
    condition_count: int

    def program(self, record: Record) -> tuple[Instruction, ...]:
        return self.code[record.program : record.program + record.length]


def pack(image: Image) -> bytes:
    """The bytes of an image. Raises struct.error for a number that does not fit its field."""
    body = b"".join(
        [
            *(_pack_record(record) for record in image.tasks),
            *(mask.to_bytes(MASK_SIZE, "little") for mask in image.masks),
            *(INSTRUCTION.struct.pack(i.op, i.a, i.b, i.c, i.d) for i in image.code),
            *(struct.pack("<I", parties) for parties in image.barriers),
        ]
    )
    ns, ticks = _split(image.duration)
    counts = (len(image.tasks), len(image.code), len(image.masks))
    resources = (image.mutex_count, image.condition_count, len(image.barriers), image.cpus)
    started = sum(not record.template for record in image.tasks)
    total = HEADER.size + len(body)
    fields = [
        layout.MAGIC,
        layout.VERSION,
        HEADER.size,
        total,
        0,
        *counts,
        *resources,
        started,
        ns,
        ticks,
        0,
    ]
    covered = HEADER.struct.pack(*fields)[_CRC_END:] + body
    fields[4] = zlib.crc32(covered)
    return HEADER.struct.pack(*fields) + body


_CRC_END = HEADER.offset("crc") + 4


def _split(duration: Span | None) -> tuple[int, int]:
    if duration is None:
        return 0, 0
    return (duration.value, 0) if duration.unit is Unit.NS else (0, duration.value)


def _pack_record(record: Record) -> bytes:
    return TASK.struct.pack(
        record.name.encode("ascii"),
        record.policy,
        record.nice,
        record.rt_priority,
        record.flags,
        record.start_cpu,
        record.instance,
        record.program,
        record.length,
        record.affinity.to_bytes(MASK_SIZE, "little"),
    )


def unpack(blob: bytes) -> Image:
    """The image in `blob`. Raises BlobError that names the first thing wrong with it."""
    header = _header(blob)
    at = HEADER.size
    tables: list[bytes] = []
    for count, size in (
        (header["task_count"], TASK.size),
        (header["mask_count"], MASK_SIZE),
        (header["code_count"], INSTRUCTION.size),
        (header["barrier_count"], layout.PARTIES_SIZE),
    ):
        tables.append(blob[at : at + count * size])
        at += count * size
    if at != len(blob):
        raise BlobError(f"the tables take {at} bytes, the blob has {len(blob)}")
    tasks, masks, code, barriers = tables
    image = Image(
        cpus=header["cpus"],
        duration=_join(header["duration_ns"], header["duration_ticks"]),
        tasks=tuple(_record(fields) for fields in TASK.struct.iter_unpack(tasks)),
        masks=tuple(
            int.from_bytes(masks[i : i + MASK_SIZE], "little")
            for i in range(0, len(masks), MASK_SIZE)
        ),
        code=tuple(_instruction(fields) for fields in INSTRUCTION.struct.iter_unpack(code)),
        barriers=tuple(parties for (parties,) in struct.iter_unpack("<I", barriers)),
        mutex_count=header["mutex_count"],
        condition_count=header["condition_count"],
    )
    if header["started_count"] != sum(not record.template for record in image.tasks):
        raise BlobError("started_count differs from the records that are not templates")
    _check(image)
    return image


def _header(blob: bytes) -> dict[str, int]:
    if len(blob) < HEADER.size:
        raise BlobError(f"{len(blob)} bytes are too few for a header of {HEADER.size}")
    values = HEADER.struct.unpack_from(blob)
    header = dict(zip((field.name for field in HEADER.fields), values, strict=True))
    for name, wanted in (
        ("magic", layout.MAGIC),
        ("version", layout.VERSION),
        ("header_size", HEADER.size),
        ("total_size", len(blob)),
        ("crc", zlib.crc32(blob[_CRC_END:])),
        ("reserved", 0),
    ):
        if header[name] != wanted:
            raise BlobError(f"{name} is 0x{header[name]:x}, expected 0x{wanted:x}")
    return header


def _join(ns: int, ticks: int) -> Span | None:
    if ns and ticks:
        raise BlobError("the duration is given in ns and in ticks")
    if ticks:
        return Span(ticks, Unit.TICKS)
    return Span(ns) if ns else None


def _record(fields: tuple[Any, ...]) -> Record:
    name: bytes
    name, policy, nice, rt_priority, flags, start_cpu, instance, program, length, affinity = fields
    word = name.rstrip(b"\0")
    if len(word) == layout.NAME_SIZE or not word or not all(0x21 <= byte <= 0x7E for byte in word):
        raise BlobError(f"a task's name is {name!r}")
    return Record(
        name=word.decode("ascii"),
        policy=policy,
        nice=nice,
        rt_priority=rt_priority,
        flags=flags,
        start_cpu=start_cpu,
        instance=instance,
        program=program,
        length=length,
        affinity=int.from_bytes(affinity, "little"),
    )


def _instruction(fields: tuple[int, ...]) -> Instruction:
    opcode, a, b, c, d = fields
    try:
        return Instruction(Op(opcode), a, b, c, d)
    except ValueError:
        raise BlobError(f"no instruction has opcode {opcode}") from None


def _check(image: Image) -> None:
    if not 1 <= image.cpus <= layout.MAX_CPUS:
        raise BlobError(f"it needs {image.cpus} CPUs")
    for index, record in enumerate(image.tasks):
        where = f"task {index} ({record.name})"
        _check_record(image, record, where)
        program = image.program(record)
        for number, instruction in enumerate(program):
            _check_operands(image, instruction, len(program), f"{where}, instruction {number}")


def _check_record(image: Image, record: Record, where: str) -> None:
    good = {
        "policy": record.policy <= 2,
        "nice": -20 <= record.nice <= 19,
        "rt_priority": record.rt_priority <= (99 if record.policy else 0),
        "flags": record.flags <= layout.TASK_TEMPLATE | layout.TASK_KERNEL,
        "start_cpu": record.start_cpu == layout.CPU_ANY
        or bool(record.affinity >> record.start_cpu & 1),
        "affinity": record.affinity != 0,
        "program": record.length > 0 and record.program + record.length <= len(image.code),
    }
    for name, holds in good.items():
        if not holds:
            raise BlobError(f"{where}: bad {name}")
    if image.code[record.program + record.length - 1].op not in (Op.EXIT, Op.JUMP):
        raise BlobError(f"{where}: the program ends in neither EXIT nor JUMP")


_SPECS = {spec.op: spec for spec in layout.OPERATIONS}


def _check_operands(image: Image, instruction: Instruction, length: int, where: str) -> None:
    spec = _SPECS[instruction.op]
    for name, kind in (("a", spec.a), ("b", spec.b), ("c", spec.c), ("d", spec.d)):
        value: int = getattr(instruction, name)
        if not _operand_ok(image, instruction, kind, value, length):
            raise BlobError(f"{where}: {instruction.op.name} has bad {name} = {value}")


def _operand_ok(
    image: Image, instruction: Instruction, kind: Operand, value: int, length: int
) -> bool:
    limits = {
        Operand.NONE: 1,
        Operand.FLAG: 2,
        Operand.TIMER: layout.TIMERS,
        Operand.COUNTER: layout.COUNTERS,
        Operand.LABEL: length,
        Operand.MUTEX: image.mutex_count,
        Operand.CONDITION: image.condition_count,
        Operand.BARRIER: len(image.barriers),
        Operand.MASK: len(image.masks),
        Operand.POLICY: 3,
        Operand.PRIORITY: 100,
        Operand.CPU: image.cpus,
    }
    if kind in limits:
        return value < limits[kind]
    match kind:
        case Operand.TIME | Operand.COUNT:
            return 1 <= value < 1 << 63
        case Operand.MUTEX_OR_NONE:
            return value == layout.NO_MUTEX or value < image.mutex_count
        case Operand.NICE:
            return value <= 19 or value >= 2**64 - 20
        case Operand.TEMPLATE:
            return value < len(image.tasks) and image.tasks[value].template
        case Operand.TARGET if value == layout.SELF:
            return instruction.b == 1
        case Operand.TASK | Operand.TARGET:
            named = image.tasks[value : value + instruction.b]
            return len(named) == instruction.b and not any(record.template for record in named)
        case _:
            return value >= 1  # TASKS: checked in full together with the first of them
