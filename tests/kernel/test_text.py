"""Numbers, words and lines as the guest writes them: the log and what it says to people."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.trace.event_kind import Kind
from harness.trace.grammar import Event, format_event
from harness.trace.vocabulary import VOCABULARY
from tests.kernel.kernel import Kernel
from tests.trace.logs import events_of

U64_MAX = 2**64 - 1
EDGES = sorted({0, 1, 9, 10, 11, 15, 16, 17, 99, 100, 2**63 - 1, 2**63, U64_MAX}
               | {10**n + d for n in range(1, 20) for d in (-1, 0)}
               | {16**n + d for n in range(1, 16) for d in (-1, 0)})  # fmt: skip
ROOM = 4096
GUARD = 0xEE
SAME_KERNEL = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def formatted(kernel: Kernel, function: str, value: int) -> str:
    """What a function leaves in a buffer, and not a byte more."""
    buffer = kernel.scratch(ROOM)
    kernel.write(buffer, bytes([GUARD]) * 64)
    end = kernel.call(function, buffer, value)
    left = kernel.read(buffer, 64)
    assert set(left[end - buffer :]) == {GUARD}
    return left[: end - buffer].decode()


def signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


@pytest.mark.parametrize(
    ("function", "expected"),
    [("format_unsigned", str), ("format_signed", lambda v: str(signed(v))), ("format_hex", hex)],
)
def test_numbers(kernel: Kernel, function: str, expected: object) -> None:
    assert callable(expected)
    for value in EDGES:
        assert formatted(kernel, function, value) == expected(value)


def test_words_and_build_ids(kernel: Kernel) -> None:
    assert formatted(kernel, "format_word", kernel.text("")) == ""
    assert formatted(kernel, "format_word", kernel.text("migration/12")) == "migration/12"
    data = bytes.fromhex("00f109ab" * 5)
    kernel.write(address := kernel.allocate(20), data)
    assert formatted(kernel, "format_build_id", address) == data.hex()


def arguments(kernel: Kernel, event: Event) -> list[int]:
    """The words of an event's record."""
    found = []
    for field in event.type.fields:
        value = event.fields[field.name]
        if field.kind is Kind.WORD:
            found.append(kernel.text(str(value)))
        elif field.kind is Kind.BUILD_ID:
            kernel.write(address := kernel.allocate(20), bytes.fromhex(str(value)))
            found.append(address)
        else:
            found.append(int(value) & U64_MAX)
    return found


def packed(number: int, cpu: int, seq: int, ns: int, words: list[int]) -> bytes:
    header = number | len(words) << 16 | cpu << 32
    return b"".join(word.to_bytes(8, "little") for word in (header, seq, ns, *words))


NUMBERS = {event.name: number for number, event in enumerate(VOCABULARY)}


@given(event=st.sampled_from(VOCABULARY).flatmap(events_of))
@SAME_KERNEL
def test_every_event_becomes_the_line_that_the_grammar_says(kernel: Kernel, event: Event) -> None:
    kernel.release_all()
    event = event._replace(cpu=event.cpu % 2**32)
    words = arguments(kernel, event)
    record = packed(NUMBERS[event.name], event.cpu, event.seq, event.ns, words)
    kernel.write(at := kernel.allocate(len(record)), record)
    buffer = kernel.scratch(ROOM)
    end = kernel.call("format_event", at, buffer)
    assert kernel.read(buffer, end - buffer) == format_event(event) + b"\n"


def printed(kernel: Kernel, words: str, *values: int | str) -> str:
    """What the guest prints."""
    kernel.capture_print()
    kernel.printed = ""
    given_values = [kernel.text(v) if isinstance(v, str) else v for v in values]
    kernel.call("print", kernel.text(words), *given_values)
    return kernel.printed


def test_print(kernel: Kernel) -> None:
    assert printed(kernel, "plain\n") == "plain\n"
    said = printed(kernel, "%u %d %x %s!%u\n", U64_MAX, -5, 2**63, "word", 0)
    assert said == f"{U64_MAX} -5 {hex(2**63)} word!0\n"
    assert printed(kernel, "%s%s%d", "", "x", 7) == "x7"


def test_print_shows_no_control_characters(kernel: Kernel) -> None:
    assert printed(kernel, "<%s>\n", "a\x1f\n\x7f\xff ~b") == "<a???? ~b>\n"


LENGTH = 512 - 32
"""What is printed at most, before the mark of a cut."""


@pytest.mark.parametrize("length", [LENGTH - 1, LENGTH, LENGTH + 1, 3000])
def test_print_cuts_what_is_too_long(kernel: Kernel, length: int) -> None:
    long = "0123456789" * 300
    whole = long[:length]
    expected = whole if length <= LENGTH else long[:LENGTH] + "...\n"
    assert printed(kernel, "%s", whole) == expected
    assert printed(kernel, whole) == expected


def test_print_has_room_for_a_last_number(kernel: Kernel) -> None:
    said = printed(kernel, "x" * (LENGTH - 1) + "%u\n", U64_MAX)
    assert said == "x" * (LENGTH - 1) + str(U64_MAX) + "...\n"


def test_print_needs_no_lock_in_a_panic(kernel: Kernel) -> None:
    kernel.stand_ins("console_write", "console_put")
    kernel.call("print", kernel.text("x"))
    kernel.write(kernel.addresses["panic_owner"], (1).to_bytes(4, "little"))
    kernel.call("print", kernel.text("x"))
    assert kernel.order == ["console_write", "console_put"]
