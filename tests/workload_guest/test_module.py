"""The guest believes no module: what it refuses, in which words, and that it refuses what the
harness's own decoder refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.toolchain.image import Image
from harness.workload import BlobError, decode, encode, library_names, load
from harness.workload.document import parse
from harness.workload.image import Image as Decoded
from harness.workload.image import pack
from harness.workload.layout import (
    HEADER,
    INSTRUCTION,
    MASK_SIZE,
    OPERATIONS,
    TASK,
    Layout,
    Op,
    Operand,
)
from tests.kernel.image import image_path
from tests.workload.generate import workloads
from tests.workload_guest.module import Reader, RefusedError, change, sealed

FORK_ROOM = 256  # task slots beside those of the tasks that are started

SMALL = """
name: small
duration: 1s
mutexes: [m]
conditions: [c]
barriers: {b: 2}
tasks:
  one:
    policy: fifo
    priority: 5
    cpus: 0-3
    program: [lock: m, wait: {on: c, mutex: m}, unlock: m, barrier: b, timer: 1ms, wake: two,
              cpu_down: 3, cpu_up: 3]
  child: {template: true, program: [nice: 3, cpus: 2]}
  two:
    count: 2
    program: [barrier: b, fork: child, {loop: 3, do: [signal: c]}, forever: [block]]
"""
SMALL_IMAGE = decode(encode(parse(SMALL)))
SMALL_BLOB = encode(parse(SMALL))
CHILD = 1  # record of the template

RECORDS = HEADER.size
CODE = RECORDS + len(SMALL_IMAGE.tasks) * TASK.size + len(SMALL_IMAGE.masks) * MASK_SIZE


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Image(image_path()) as image:
        yield Reader(image)


def test_operands_are_those_of_the_layout() -> None:
    """One byte for each of a, b, c and d of each operation."""
    kinds = [(spec.a, spec.b, spec.c, spec.d) for spec in sorted(OPERATIONS, key=lambda s: s.op)]
    with Image(image_path()) as image:
        symbol = image.symbols["workload_operands"]
        assert image.read(symbol.address, symbol.size) == bytes(sum(kinds, ()))


@pytest.mark.parametrize("name", library_names())
def test_the_library_is_accepted(reader: Reader, name: str) -> None:
    workload = load(name)
    started = sum(task.count for task in workload.tasks if not task.template)
    assert reader.read_module(encode(workload)) == started + FORK_ROOM


@settings(max_examples=100, deadline=None)
@given(workload=workloads())
def test_every_valid_workload_is_accepted(reader: Reader, workload: object) -> None:
    blob = encode(workload)  # type: ignore[arg-type]
    reader.read_module(blob)
    assert decode(blob)


def refusal(reader: Reader, blob: bytes) -> str:
    """What the guest says of a bad module, without the words that all refusals begin with."""
    with pytest.raises(RefusedError) as caught:
        reader.read_module(blob)
    start, end = "REFUSED workload: ", "\n"
    words = str(caught.value)
    assert words.startswith(start)
    assert words.endswith(end)
    return words[len(start) : -len(end)]


def crc_of(blob: bytes) -> int:
    return int.from_bytes(sealed(blob)[HEADER.offset("crc") :][:4], "little")


HEADER_REFUSALS = [
    ("magic", 0x12345678, "magic: expected 0x314c5753, found 0x12345678"),
    ("version", 2, "version: expected 1, found 2"),
    ("header_size", 32, "header size: expected 64, found 32"),
    ("total_size", 7, f"total size: expected {len(SMALL_BLOB)}, found 7"),
    ("task_count", 0, "tasks: expected at least 1, found 0"),
    ("task_count", 5, "size of all tables"),
    ("code_count", 0xFFFF_FFFF, "size of all tables"),
    ("mask_count", 0, "size of all tables"),
    ("barrier_count", 2, "size of all tables"),
    ("cpus", 0, "CPUs needed: expected 1 to 256, found 0"),
    ("cpus", 257, "CPUs needed: expected 1 to 256, found 257"),
    ("started_count", 4, "count of tasks to start: expected 3, found 4"),
    ("duration_ticks", 9, "duration in ticks beside one in ns: expected 0, found 9"),
    ("reserved", 1, "reserved word: expected 0, found 1"),
    (
        "mutex_count",
        0,
        "task 0: instruction 1: operand c: expected nothing, since there is none, found 0",
    ),
    (
        "condition_count",
        0,
        "task 0: instruction 2: operand c: expected nothing, since there is none, found 0",
    ),
]


@pytest.mark.parametrize(("field", "value", "words"), HEADER_REFUSALS)
def test_header_fields(reader: Reader, field: str, value: int, words: str) -> None:
    found = refusal(reader, change(SMALL_BLOB, HEADER, 0, field, value))
    assert found.startswith(words)


@pytest.mark.parametrize(
    ("layout", "at", "field", "value"),
    [
        (HEADER, 0, "cpus", 4), (HEADER, 0, "cpus", 256), (HEADER, 0, "duration_ns", 0),
        (HEADER, 0, "duration_ns", 2**64 - 1), (TASK, RECORDS, "policy", 2),
        (TASK, RECORDS, "nice", -20), (TASK, RECORDS, "nice", 19),
        (TASK, RECORDS, "rt_priority", 0), (TASK, RECORDS, "rt_priority", 99),
        (TASK, RECORDS, "flags", 2), (TASK, RECORDS, "start_cpu", 0),
        (TASK, RECORDS, "start_cpu", 3),
    ],
)  # fmt: skip
def test_the_bounds_themselves_are_good(
    reader: Reader, layout: Layout, at: int, field: str, value: int
) -> None:
    assert reader.read_module(change(SMALL_BLOB, layout, at, field, value))


def test_the_last_cpu_can_be_where_a_task_starts(reader: Reader) -> None:
    first = replace(SMALL_IMAGE.tasks[0], affinity=1 << 255, start_cpu=255)
    assert reader.read_module(pack(replace(SMALL_IMAGE, tasks=(first, *SMALL_IMAGE.tasks[1:]))))


def test_every_header_field_is_checked() -> None:
    """Except the duration in ns, of which every value is good."""
    checked = {field for field, _, _ in HEADER_REFUSALS} | {"crc"}
    assert {field.name for field in HEADER.fields} - checked == {"duration_ns"}


@pytest.mark.parametrize("bit", [0, 8 * 16, 8 * 500 + 3, 8 * (len(SMALL_BLOB) - 1) + 7])
def test_checksum(reader: Reader, bit: int) -> None:
    """Any bit behind the checksum, and the checksum itself."""
    start = HEADER.offset("crc")
    data = bytearray(SMALL_BLOB)
    data[start + 4 + bit // 8 if bit < 8 * (len(data) - start - 4) else -1] ^= 1 << bit % 8
    blob = bytes(data)
    stored = int.from_bytes(blob[start:][:4], "little")
    assert refusal(reader, blob) == f"CRC-32: expected {crc_of(blob):#x}, found {stored:#x}"


@pytest.mark.parametrize("size", [0, 1, 63])
def test_too_short_for_a_header(reader: Reader, size: int) -> None:
    assert refusal(reader, SMALL_BLOB[:size]) == f"size: expected at least 64 bytes, found {size}"


@pytest.mark.parametrize("size", [64, len(SMALL_BLOB) - 1, len(SMALL_BLOB) + 1])
def test_truncated_or_longer_than_it_says(reader: Reader, size: int) -> None:
    blob = (SMALL_BLOB + b"\0")[:size]
    assert refusal(reader, blob) == f"total size: expected {size}, found {len(SMALL_BLOB)}"


RECORD_REFUSALS = [
    ("policy", 3, "policy: expected 0 to 2, found 3"),
    ("nice", -21, "nice: expected -20 to 19, found -21"),
    ("nice", 20, "nice: expected -20 to 19, found 20"),
    ("rt_priority", 100, "real-time priority: expected 0 to 99, found 100"),
    ("policy", 0, "real-time priority without a real-time policy: expected 0, found 5"),
    ("flags", 4, "flags: expected 0 to 3, found 4"),
    ("start_cpu", 4, "start CPU is in the affinity: expected 1, found 0"),
    ("start_cpu", 256, "start CPU: expected 0 to 255, found 256"),
    ("length", 0, f"length of the program: expected 1 to {len(SMALL_IMAGE.code)}, found 0"),
    ("length", 99, f"length of the program: expected 1 to {len(SMALL_IMAGE.code)}, found 99"),
    (
        "program",
        0xFFFF_FFFF,
        f"first instruction: expected 0 to {len(SMALL_IMAGE.code) - SMALL_IMAGE.tasks[0].length},"
        " found 4294967295",
    ),
    ("length", 3, "instruction 2: last opcode, if not a jump: expected 0, found 22"),
]


@pytest.mark.parametrize(("field", "value", "words"), RECORD_REFUSALS)
def test_record_fields(reader: Reader, field: str, value: int, words: str) -> None:
    assert refusal(reader, change(SMALL_BLOB, TASK, RECORDS, field, value)) == f"task 0: {words}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (b"", "length of the name: expected 1 to 15, found 0"),
        (b"sixteen_letters_", "length of the name: expected 1 to 15, found 16"),
        (b"two words", "character of the name: expected 33 to 126, found 32"),
        (b"\xc3\xa9", "character of the name: expected 33 to 126, found 195"),
        (b"a\0b", "character behind the name: expected 0, found 98"),
    ],
)
def test_names(reader: Reader, name: bytes, words: str) -> None:
    blob = SMALL_BLOB[:RECORDS] + name.ljust(16, b"\0") + SMALL_BLOB[RECORDS + 16 :]
    assert refusal(reader, sealed(blob)) == f"task 0: {words}"


def test_affinity_and_parties_of_nobody(reader: Reader) -> None:
    tasks = (replace(SMALL_IMAGE.tasks[0], affinity=0), *SMALL_IMAGE.tasks[1:])
    words = refusal(reader, pack(replace(SMALL_IMAGE, tasks=tasks)))
    assert words == "task 0: affinity has a CPU: expected 1, found 0"
    words = refusal(reader, pack(replace(SMALL_IMAGE, barriers=(0,))))
    assert words == "barrier 0: parties: expected at least 1, found 0"


def test_no_tasks(reader: Reader) -> None:
    empty = Decoded(1, None, (), (), (), (), 0, 0)
    assert refusal(reader, pack(empty)) == "tasks: expected at least 1, found 0"


def test_opcode(reader: Reader) -> None:
    """The message names the record and the instruction within its program."""
    two = SMALL_IMAGE.tasks[2].program
    at = CODE + (two + 1) * INSTRUCTION.size
    words = refusal(reader, change(SMALL_BLOB, INSTRUCTION, at, "opcode", len(Op)))
    last = len(Op) - 1
    assert words == f"task 2: instruction 1: opcode: expected 0 to {last}, found {len(Op)}"


@pytest.mark.parametrize(
    ("op", "field", "value", "words"),
    [
        (Op.WAKE, "c", CHILD, "templates among the tasks that it names: expected 0, found 1"),
        (Op.WAKE, "b", 3, "operand b (tasks from c on): expected 1 to 2, found 3"),
        (Op.FORK, "c", 0, "templates that it forks: expected 1, found 0"),
        (Op.SET_NICE, "b", 2, "operand b (for the task itself): expected 1, found 2"),
        (Op.SET_NICE, "d", 20, "operand d: expected -20 to 19, found 20"),
        (Op.WAIT, "b", 1, "operand b: expected 0, found 1"),
    ],
)
def test_operands_that_depend_on_others(
    reader: Reader, op: Op, field: str, value: int, words: str
) -> None:
    number = next(i for i, instruction in enumerate(SMALL_IMAGE.code) if instruction.op == op)
    blob = change(SMALL_BLOB, INSTRUCTION, CODE + number * INSTRUCTION.size, field, value)
    assert refusal(reader, blob).endswith(words)


FIELDS = [(HEADER, 0, field.name) for field in HEADER.fields if field.name != "crc"]
FIELDS += [
    (TASK, RECORDS + number * TASK.size, field.name)
    for number in range(len(SMALL_IMAGE.tasks))
    for field in TASK.fields
    if not field.code
]
FIELDS += [
    (INSTRUCTION, CODE + number * INSTRUCTION.size, field.name)
    for number in range(len(SMALL_IMAGE.code))
    for field in INSTRUCTION.fields
]


@settings(max_examples=1000, deadline=None)
@given(data=st.data())
def test_guest_and_harness_agree_on_what_is_damaged(reader: Reader, data: st.DataObject) -> None:
    """One or two numbers of a good module become something else, often something small."""
    blob = SMALL_BLOB
    for _ in range(data.draw(st.integers(1, 2))):
        layout, at, name = data.draw(st.sampled_from(FIELDS))
        blob = change(blob, layout, at, name, data.draw(_numbers(layout, name)))
    try:
        image = decode(blob)
    except BlobError:
        with pytest.raises(RefusedError):
            reader.read_module(blob)
        return
    assume(all(image.barriers))  # of which the harness believes any number of parties
    assert reader.read_module(blob) == sum(not task.template for task in image.tasks) + FORK_ROOM


def _numbers(layout: Layout, name: str) -> st.SearchStrategy[int]:
    (field,) = (field for field in layout.fields if field.name == name)
    most = 256**field.size - 1
    small = st.integers(0, min(most, 30))
    return small | st.integers(most - min(most, 30), most) | st.integers(0, most)


def test_all_kinds_of_operands_are_in_the_fields() -> None:
    """The agreement above is about every kind of operand but for those with a test of their own."""
    kinds = set()
    for spec in OPERATIONS:
        if any(instruction.op == spec.op for instruction in SMALL_IMAGE.code):
            kinds |= {spec.a, spec.b, spec.c, spec.d}
    assert set(Operand) - kinds == {Operand.POLICY, Operand.PRIORITY}
