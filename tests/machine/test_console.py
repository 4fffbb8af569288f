"""The console: pexpect over the text of the serial port, and the log past it."""

from __future__ import annotations

import io
import re
import threading

import pexpect
import pytest

from harness.machine import Ending, Machine, MachineConfig
from harness.machine.console import Console
from harness.machine.stream import ByteStream
from tests.machine.guests import Guest

EVENT = b"[SCHED] an event"


def test_conversation_with_a_guest(guest: Guest) -> None:
    with Machine.start(MachineConfig(guest("echo"))) as machine:
        console = machine.console
        console.expect_exact("sched> ")
        assert console.before == ""
        console.sendline("good morning")
        console.expect(r"you said: (\w+) (\w+)\n")
        assert isinstance(console.match, re.Match)
        assert console.match.groups() == ("good", "morning")
        console.sendline("näxt")
        assert console.expect([pexpect.TIMEOUT, "you said: näxt\n"]) == 1
        console.expect_exact("sched> ")
        console.sendline("quit")
        console.expect(pexpect.EOF)
        assert console.before == ""
        result = machine.wait()
    assert (result.ending, result.status) == (Ending.EXITED, 33)
    assert result.log == (EVENT,) * 4
    assert b"you said: good morning" in result.text


def test_a_long_log_does_not_pass_through_expect(guest: Guest) -> None:
    with Machine.start(MachineConfig(guest("lines"))) as machine:
        machine.console.expect(pexpect.EOF, timeout=None)
        assert machine.console.before == ""
        assert len(machine.wait().log) == 100_000


def test_silence_is_a_timeout(guest: Guest) -> None:
    with Machine.start(MachineConfig(guest("spin"))) as machine:
        console = machine.console
        console.expect_exact("about to")
        with pytest.raises(pexpect.TIMEOUT, match="printed nothing in time") as silence:
            console.expect("something else", timeout=0.3)
        assert r"guest console, after: ' hang\n'" in str(silence.value)
        assert console.before == " hang\n"


def test_text_before_the_end_can_still_be_read(guest: Guest) -> None:
    with Machine.start(MachineConfig(guest("pass"))) as machine:
        machine.wait()
        machine.console.expect("good bye")
        with pytest.raises(pexpect.EOF):
            machine.console.expect("more")


def test_input_to_a_guest_that_never_reads_does_not_block(guest: Guest) -> None:
    with Machine.start(MachineConfig(guest("spin"), timeout=1.0)) as machine:
        machine.console.send("x" * 1_000_000)
        assert machine.wait().ending is Ending.DEADLINE
        machine.console.send("too late, and harmless")


def test_characters_are_decoded_across_reads_and_damage_is_shown() -> None:
    stream = ByteStream()
    console = Console(stream, send=lambda data: None, timeout=10)
    console.logfile_read = io.StringIO()
    for byte in "grün \u2713 ".encode() + b"\xfe!":
        stream.write(bytes([byte]))
        console.read_nonblocking(100) if byte != ord("!") else console.expect_exact("!")
    assert console.logfile_read.getvalue() == "grün \u2713 \ufffd!"


def test_what_is_typed_can_be_copied() -> None:
    sent: list[bytes] = []
    console = Console(ByteStream(), send=sent.append)
    console.logfile_send = io.StringIO()
    console.write("ps")
    console.writelines([" ", b"-l"])
    assert console.sendline() == 1
    assert console.logfile_send.getvalue() == "ps -l\n"
    assert b"".join(sent) == b"ps -l\n"


def test_expect_wakes_up_for_text_that_comes_later() -> None:
    stream = ByteStream()
    console = Console(stream, send=lambda data: None, timeout=30)
    writer = threading.Timer(0.05, stream.write, [b"at last"])
    writer.start()
    console.expect_exact("at last")
    writer.join()
