"""The event ring and the console behind it: nothing is lost, torn, reordered, or uncounted."""

from __future__ import annotations

from random import Random

import pytest

from harness.trace.event_kind import Kind
from harness.trace.vocabulary import VOCABULARY
from tests.functions.machine import CallError
from tests.kernel.kernel import Kernel
from tests.kernel.test_text import packed

RING = 2048
HEADER = 24
SKIP = 0xFFFF
NOW = 123_456_789
LSR, DATA = 0x3FD, 0x3F8
THR_EMPTY, DATA_READY = 0x20, 0x01
FREE = 0xFFFFFFFF


@pytest.fixture
def ring(kernel: Kernel) -> Kernel:
    """A CPU with an empty ring of the least size, and its own trace_emit."""
    kernel.genuine("trace_emit")
    kernel.set_word("trace_ring_bytes", RING)
    kernel.set_percpu(0, ring=kernel.allocate(RING))
    kernel.stand_in("clock_ns", lambda *_: NOW, clobbers=("rdx",))
    return kernel


def emit(kernel: Kernel, number: int, *words: int) -> None:
    """Logs one event as EVENT does: header and arguments lie above the return address."""
    data = b"".join(word.to_bytes(8, "little") for word in (number | len(words) << 16, *words))
    kernel.call_with_stack("trace_emit", data)


@pytest.mark.parametrize("choice", range(5))
def test_a_ring_is_as_large_as_was_asked_for(kernel: Kernel, choice: int) -> None:
    kernel.stand_in("memory_alloc", lambda *_: 0x1234000)
    kernel.set_word("param_ring", choice)
    kernel.call("trace_init")
    ((size, alignment, *_),) = kernel.called("memory_alloc")
    assert (size, alignment % 8) == (RING * 4**choice, 0)
    assert kernel.number("trace_ring_bytes") == size
    assert kernel.get_percpu("ring") == 0x1234000


@pytest.mark.parametrize("on", [True, False])
def test_a_record_has_its_number_time_and_arguments(ring: Kernel, on: bool) -> None:
    ring.become(2)
    ring.set_percpu(2, ring=ring.allocate(RING))
    ring.set_word("trace_sequence", 41)
    ring.interrupts(on)
    emit(ring, 7, 1, 2**64 - 1, 3)
    start = ring.get_percpu("ring", 2)
    assert ring.read(start, HEADER + 24) == packed(7, 2, 41, NOW, [1, 2**64 - 1, 3])
    assert ring.get_percpu("ring_head", 2) == HEADER + 24
    assert ring.word("trace_sequence") == 42
    assert ring.interrupts_on == on and not any(made.interrupts for made in ring.calls)
    assert ring.clobbered() == set()


def test_what_is_drained_is_what_was_logged_in_its_order(ring: Kernel) -> None:
    """Of any sizes, for many turns of the ring."""
    lines: list[bytes] = []
    ring.stand_in("format_event", lambda at, buffer, *_: drained(ring, lines, at, buffer))
    ring.stand_in("console_write_line", lambda text, size, *_: written.append((text, size)))
    written: list[tuple[int, int]] = []
    random, logged, waiting = Random(5), [], 0
    for number in range(700):
        words = [random.getrandbits(64) for _ in range(random.randint(0, 24))]
        logged.append((number % 90, number, words))
        emit(ring, number % 90, *words)
        waiting += 1
        used = ring.get_percpu("ring_head") - ring.get_percpu("ring_tail")
        assert used <= RING
        while waiting and random.random() < 0.5:
            assert ring.call("trace_drain_one", ring.area(0)) == 1
            waiting -= 1
        waiting = len(logged) - len(lines)
    ring.call("trace_drain", ring.area(0))
    assert ring.call("trace_drain_one", ring.area(0)) == 0
    assert ring.get_percpu("ring_head") == ring.get_percpu("ring_tail")
    assert lines == [packed(n, 0, seq, NOW, words) for n, seq, words in logged]
    line = ring.area(0) + ring.percpu.fields["line"][0]
    assert written == [(line, 10 + number % 7) for number in range(700)]
    assert ring.get_percpu("dropped") == 0


def drained(kernel: Kernel, lines: list[bytes], at: int, buffer: int) -> int:
    count = int.from_bytes(kernel.read(at + 2, 2), "little")
    start = kernel.get_percpu("ring")
    assert start <= at and at + HEADER + 8 * count <= start + RING
    lines.append(kernel.read(at, HEADER + 8 * count))
    return buffer + 10 + (len(lines) - 1) % 7


@pytest.mark.parametrize("skipped", [0, 100])
def test_a_ring_is_full_when_nothing_more_fits(ring: Kernel, skipped: int) -> None:
    """To the last byte of it, and then what comes is dropped and counted."""
    ring.set_word("param_ring_full", 1)
    records = RING // 64
    for number in range(records + skipped):
        emit(ring, 3, *range(5))
        assert ring.get_percpu("dropped") == max(0, number + 1 - records)
    assert ring.get_percpu("ring_head") == RING
    assert ring.word("trace_sequence") == records, "what is dropped has no number"
    assert ring.clobbered() == set()


def test_the_end_of_a_ring_that_is_too_short_is_skipped(ring: Kernel) -> None:
    ring.set_percpu(0, ring_head=RING - 32, ring_tail=RING - 32)
    emit(ring, 3, 1, 2)
    start = ring.get_percpu("ring")
    assert ring.read(start + RING - 32, 2) == SKIP.to_bytes(2, "little")
    assert ring.read(start, HEADER + 16) == packed(3, 0, 0, NOW, [1, 2])
    assert ring.get_percpu("ring_head") == RING + HEADER + 16


def test_a_full_ring_is_drained_by_the_event_that_does_not_fit(ring: Kernel) -> None:
    lines: list[bytes] = []
    ring.stand_in("format_event", lambda at, buffer, *_: drained(ring, lines, at, buffer))
    ring.stand_ins("console_write_line")
    for number in range(40):
        emit(ring, 3, number, 0, 0, 0, 0)
        assert len(lines) == max(0, number + 1 - RING // 64)
        assert ring.clobbered() == set()
    assert ring.get_percpu("dropped") == 0


def test_no_event_before_there_is_a_ring(ring: Kernel) -> None:
    ring.set_percpu(0, ring=0)
    with pytest.raises(CallError, match="event logged before trace_init"):
        emit(ring, 3)


@pytest.mark.parametrize("panics", [False, True])
def test_a_panic_drains_without_the_lock(ring: Kernel, panics: bool) -> None:
    ring.stand_in("format_event", lambda _record, buffer, *_: buffer + 9)
    ring.stand_ins("console_write_line", "console_put")
    emit(ring, 3)
    ring.write(ring.addresses["panic_owner"], (0 if panics else FREE).to_bytes(4, "little"))
    assert ring.call("trace_drain_one", ring.area(0)) == 1
    assert ring.order[-1] == ("console_put" if panics else "console_write_line")
    line = ring.area(0) + ring.percpu.fields["line"][0]
    assert ring.calls[-1].arguments[:2] == (line, 9)


def test_another_cpus_ring_can_be_drained(ring: Kernel) -> None:
    """Into the own line, with interrupts off for a line only."""
    ring.become(1)
    ring.set_percpu(1, ring=ring.allocate(RING))
    emit(ring, 3, 5)
    emit(ring, 4, 6)
    ring.become(0)
    ring.interrupts(True)
    ring.stand_in("format_event", lambda _record, buffer, *_: buffer + 9)
    ring.stand_ins("console_write_line")
    ring.call("trace_drain", ring.area(1))
    assert ring.interrupts_on and not any(made.interrupts for made in ring.calls)
    line = ring.area(0) + ring.percpu.fields["line"][0]
    assert [arguments[:2] for arguments in ring.called("console_write_line")] == [(line, 9)] * 2


def test_the_console_waits_for_the_port_and_sends_all(kernel: Kernel) -> None:
    kernel.answers[LSR] = [0, 0x40, THR_EMPTY, 0, 0xFF - THR_EMPTY, 0xFF]
    kernel.call("console_put", kernel.text("ab\n"), 3)
    assert kernel.ports == [(DATA, value) for value in b"ab\n"]
    assert kernel.number("console_last", 1) == ord("\n")
    assert kernel.answers[LSR] == [0xFF]
    kernel.call("console_put", kernel.text("x"), 0)
    assert len(kernel.ports) == 3
    kernel.call("console_put", kernel.text("x"), 1)
    assert kernel.number("console_last", 1) == ord("x")


@pytest.mark.parametrize(
    ("function", "before", "sent"),
    [
        ("console_write", "x", b"hello\n"),
        ("console_write_line", "x", b"\nhello\n"),
        ("console_write_line", "\n", b"hello\n"),
    ],
)
@pytest.mark.parametrize("on", [True, False])
def test_whoever_writes_holds_the_lock(
    kernel: Kernel, function: str, before: str, sent: bytes, on: bool
) -> None:
    kernel.answers[LSR] = [THR_EMPTY]
    kernel.interrupts(on and function == "console_write")
    kernel.write(kernel.addresses["console_last"], before.encode())
    owners = []
    kernel.watch("console_put", lambda *_: owners.append(
        (kernel.number("console_lock"), kernel.interrupts_on)))  # fmt: skip
    kernel.call(function, kernel.text("hello\n"), 6)
    assert bytes(value for _, value in kernel.ports) == sent
    assert set(owners) == {(0, False)}
    assert kernel.number("console_lock") == FREE
    assert kernel.interrupts_on == (on and function == "console_write")


def test_a_panic_takes_the_console_from_whoever_has_it(kernel: Kernel) -> None:
    kernel.answers[LSR] = [THR_EMPTY]
    kernel.write(kernel.addresses["console_lock"], (3).to_bytes(4, "little"))
    kernel.write(kernel.addresses["console_last"], b"x")
    kernel.call("console_break_lock")
    assert kernel.number("console_lock") == FREE
    assert kernel.ports == [(DATA, ord("\n"))]


def test_a_character_that_has_come_is_read(kernel: Kernel) -> None:
    kernel.answers = {LSR: [0xFF - DATA_READY], DATA: [0xE4]}
    assert kernel.call("console_get") & 0xFFFFFFFF == 0xFFFFFFFF
    kernel.answers[LSR] = [DATA_READY]
    assert kernel.call("console_get") == 0xE4


def test_the_port_is_set_up(kernel: Kernel) -> None:
    """115200 baud, eight bits, no parity, FIFOs, no interrupts."""
    kernel.call("console_init")
    ier, dlm, fcr, lcr, mcr = 0x3F9, 0x3F9, 0x3FA, 0x3FB, 0x3FC
    assert kernel.ports == [
        (ier, 0), (lcr, 0x80), (DATA, 1), (dlm, 0), (lcr, 3), (fcr, 7), (mcr, 3),
    ]  # fmt: skip


def test_the_longest_line_fits(kernel: Kernel) -> None:
    longest = {Kind.WORD: 39, Kind.BUILD_ID: 40}
    for event in VOCABULARY:
        size = len("[SCHED]   ") + 3 * 20 + len(event.name) + len(" *00\n")
        size += sum(len(field.name) + 2 + longest.get(field.kind, 20) for field in event.fields)
        assert size <= kernel.percpu.fields["line"][1], event.name
        assert HEADER + 8 * len(event.fields) <= RING // 2
