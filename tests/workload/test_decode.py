"""What is damaged or makes no sense in the binary form is refused by name."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.workload import BlobError, Image, Workload, decode, encode, layout, load
from harness.workload.image import Instruction, Record, pack
from harness.workload.layout import HEADER, Op
from tests.workload.generate import workloads

slow = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def reseal(blob: bytearray) -> bytes:
    """The blob with a checksum that fits."""
    at = HEADER.offset("crc")
    struct.pack_into("<I", blob, at, zlib.crc32(blob[at + 4 :]))
    return bytes(blob)


class TestDamage:
    def test_every_single_byte_error_is_seen(self) -> None:
        blob = encode(load("W1"))
        for at in range(len(blob)):
            for flip in range(1, 256):
                damaged = bytearray(blob)
                damaged[at] ^= flip
                with pytest.raises(BlobError):
                    decode(bytes(damaged))

    @slow
    @given(workloads(), st.data())
    def test_a_byte_error_anywhere_is_seen(self, workload: Workload, data: st.DataObject) -> None:
        damaged = bytearray(encode(workload))
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] ^= data.draw(st.integers(1, 255))
        with pytest.raises(BlobError):
            decode(bytes(damaged))

    def test_every_truncation_and_any_trailing_byte_is_seen(self) -> None:
        blob = encode(load("W1"))
        for length in range(len(blob)):
            with pytest.raises(BlobError):
                decode(blob[:length])
        with pytest.raises(BlobError, match="total_size"):
            decode(blob + b"\0")

    @slow
    @given(workloads(), st.data())
    def test_a_resealed_blob_is_refused_or_exactly_what_it_says(
        self, workload: Workload, data: st.DataObject
    ) -> None:
        damaged = bytearray(encode(workload))
        for _ in range(data.draw(st.integers(1, 4))):
            damaged[data.draw(st.integers(16, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        blob = reseal(damaged)
        try:
            image = decode(blob)
        except BlobError:
            return
        assert pack(image) == blob

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("magic", 1, "magic is 0x1, expected 0x314c5753"),
            ("version", 2, "version is 0x2, expected 0x1"),
            ("header_size", 72, "header_size is 0x48"),
            ("task_count", 2, "the tables take 224 bytes, the blob has 288"),
            ("started_count", 2, "started_count differs"),
            ("cpus", 0, "it needs 0 CPUs"),
            ("cpus", 257, "it needs 257 CPUs"),
            ("duration_ns", 5, "the duration is given in ns and in ticks"),
            ("reserved", 1, "reserved is 0x1"),
        ],
    )
    def test_bad_headers_are_named(self, field: str, value: int, message: str) -> None:
        blob = bytearray(encode(load("W1")))
        size = next(f.size for f in HEADER.fields if f.name == field)
        at = HEADER.offset(field)
        blob[at : at + size] = value.to_bytes(size, "little")
        with pytest.raises(BlobError, match=message):
            decode(reseal(blob))


def image_with(record: dict[str, int | str] | None = None, *code: Instruction) -> bytes:
    """A one-task blob with chosen fields and instructions, whatever they are."""
    program = (*code, Instruction(Op.EXIT))
    values: dict[str, object] = {
        "name": "t",
        "policy": 0,
        "nice": 0,
        "rt_priority": 0,
        "flags": 0,
        "start_cpu": layout.CPU_ANY,
        "instance": 0,
        "program": 0,
        "length": len(program),
        "affinity": 1,
    }
    values.update(record or {})
    task = Record(**values)  # type: ignore[arg-type]
    return pack(Image(1, None, (task,), (1,), program, (2,), 1, 1))


class TestWrongContents:
    def test_the_frame_itself_is_good(self) -> None:
        assert decode(image_with()).tasks[0].name == "t"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("policy", 3),
            ("nice", 20),
            ("nice", -21),
            ("rt_priority", 1),
            ("flags", 4),
            ("start_cpu", 1),
            ("affinity", 0),
            ("program", 1),
        ],
    )
    def test_a_bad_field_of_a_task_is_named(self, field: str, value: int) -> None:
        with pytest.raises(BlobError, match=rf"task 0 \(t\): bad {field}"):
            decode(image_with({field: value}))

    @pytest.mark.parametrize("name", ["", "two words", "a" * 16])
    def test_a_bad_name_is_shown(self, name: str) -> None:
        with pytest.raises(BlobError, match="a task's name is"):
            decode(image_with({"name": name}))

    def test_a_program_has_an_end(self) -> None:
        with pytest.raises(BlobError, match="bad program"):
            decode(image_with({"length": 0}))
        with pytest.raises(BlobError, match="ends in neither EXIT nor JUMP"):
            decode(image_with({"length": 1}, Instruction(Op.YIELD)))

    def test_an_unknown_opcode_is_named(self) -> None:
        blob = bytearray(image_with())
        blob[-4 - 16] = len(Op)
        with pytest.raises(BlobError, match=f"no instruction has opcode {len(Op)}"):
            decode(reseal(blob))

    @pytest.mark.parametrize(
        ("bad", "field"),
        [
            (Instruction(Op.YIELD, a=1), "a"),
            (Instruction(Op.RUN_NS, d=0), "d"),
            (Instruction(Op.RUN_NS, d=2**63), "d"),
            (Instruction(Op.TIMER_START, a=4), "a"),
            (Instruction(Op.LOAD, a=4, d=1), "a"),
            (Instruction(Op.LOAD, d=0), "d"),
            (Instruction(Op.JUMP, c=2), "c"),
            (Instruction(Op.LOOP, c=2), "c"),
            (Instruction(Op.BLOCK, a=2), "a"),
            (Instruction(Op.WAKE, b=0), "b"),
            (Instruction(Op.WAKE, b=2), "c"),
            (Instruction(Op.WAKE, b=1, c=1), "c"),
            (Instruction(Op.WAKE, b=1, c=layout.SELF), "c"),
            (Instruction(Op.FORK, c=0), "c"),
            (Instruction(Op.FORK, c=1), "c"),
            (Instruction(Op.SET_NICE, b=2, c=layout.SELF), "c"),
            (Instruction(Op.SET_NICE, b=1, d=20), "d"),
            (Instruction(Op.SET_NICE, b=1, d=2**64 - 21), "d"),
            (Instruction(Op.SET_POLICY, a=3, b=1), "a"),
            (Instruction(Op.SET_POLICY, a=1, b=1, d=100), "d"),
            (Instruction(Op.SET_CPUS, b=1, d=1), "d"),
            (Instruction(Op.LOCK, c=1), "c"),
            (Instruction(Op.UNLOCK, c=1), "c"),
            (Instruction(Op.BARRIER, c=1), "c"),
            (Instruction(Op.WAIT, b=1), "b"),
            (Instruction(Op.WAIT, c=1), "c"),
            (Instruction(Op.SIGNAL, c=1), "c"),
            (Instruction(Op.BROADCAST, c=1), "c"),
            (Instruction(Op.CPU_DOWN, c=1), "c"),
            (Instruction(Op.CPU_UP, a=1), "a"),
            (Instruction(Op.EXEC, c=1), "c"),
        ],
        ids=lambda value: value.op.name if isinstance(value, Instruction) else value,
    )
    def test_a_bad_operand_is_named(self, bad: Instruction, field: str) -> None:
        with pytest.raises(BlobError, match=rf"instruction 0: {bad.op.name} has bad {field} = "):
            decode(image_with(None, bad))
