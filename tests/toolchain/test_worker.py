"""Keystone hangs, exits or is killed: the statement is named, and nothing else suffers."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from harness.toolchain.build import ROOT
from harness.toolchain.encoding import Encoder, KeystoneMissingError, Template

# Keystone 0.9.2 ends its process for this: LLVM reports a fatal error and calls exit(1).
EXITS = (64, "add ah, r8b")

# A stand-in for the worker that misbehaves on chosen statements and else answers "nop".
MISBEHAVING = """
import marshal, os, signal, struct, sys
while len(header := sys.stdin.buffer.read(4)) == 4:
    batch = marshal.loads(sys.stdin.buffer.read(struct.unpack("<I", header)[0]))
    for mode, text in batch:
        if text == "hang":
            while True: signal.pause()
        if text == "spin":
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.2)
            while True: pass
        if text == "exit": os._exit(7)
        if text == "crash": os.kill(os.getpid(), signal.SIGSEGV)
        if text == "half":
            os.write(1, struct.pack("<I", 1000) + b"x" * 10); os._exit(0)
    reply = marshal.dumps([(b"\\x90", "nop", 0, 0, 0, 0, 0, [])] * len(batch))
    sys.stdout.buffer.write(struct.pack("<I", len(reply)) + reply)
    sys.stdout.buffer.flush()
"""


def misbehaving(deadline: float = 30.0) -> Encoder:
    return Encoder(deadline, [sys.executable, "-c", MISBEHAVING])


def test_statement_that_makes_keystone_exit_is_named_and_its_neighbours_live(
    encoder: Encoder,
) -> None:
    before, bad, after = encoder.encode([(64, "mov eax, 0x1"), EXITS, (64, "ret")])
    assert isinstance(before, Template) and before.code == bytes.fromhex("b801000000")
    assert isinstance(bad, str) and "high byte register" in bad
    assert isinstance(after, Template) and after.code == b"\xc3"


@pytest.mark.parametrize(
    ("kind", "words"),
    [("spin", "signal 26"), ("exit", "status 7"), ("crash", "signal 11"), ("half", "status 0")],
)
def test_misbehaviour_is_pinned_to_its_statement(kind: str, words: str) -> None:
    encoder = misbehaving()
    good, bad, other = encoder.encode([(64, "a"), (64, kind), (64, "b")])
    encoder.close()
    assert isinstance(good, Template) and isinstance(other, Template)
    assert isinstance(bad, str) and words in bad


def test_hang_without_using_the_processor_ends_at_the_deadline() -> None:
    encoder = misbehaving(deadline=1.0)
    good, bad = encoder.encode([(64, "a"), (64, "hang")])
    encoder.close()
    assert isinstance(good, Template)
    assert bad == "Keystone cannot encode this: no answer within the deadline"


def test_worker_killed_from_outside_is_replaced() -> None:
    encoder = Encoder()
    encoder.encode([(64, "nop")])
    process = encoder._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (answer,) = encoder.encode([(64, "ret")])
    encoder.close()
    assert isinstance(answer, Template) and answer.code == b"\xc3"


def test_the_real_worker_stops_itself_when_a_statement_takes_too_long(tmp_path: Path) -> None:
    """The limit on processor time is in the worker: it holds even if the parent is gone."""
    script = tmp_path / "slow.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from harness.toolchain import worker\n"
        "worker.CPU_LIMIT = 0.2\n"
        "def answer(self, mode, text):\n"
        "    while text == 'spin': pass\n"
        "    return 'refused'\n"
        "worker.Engines.answer = answer\n"
        "worker.Engines.__init__ = lambda self: None\n"
        "worker.serve()\n"
    )
    encoder = Encoder(command=[sys.executable, str(script)])
    assert encoder.encode([(64, "a"), (64, "spin")])[0] == "refused"
    answer = encoder.encode([(64, "spin")])[0]
    encoder.close()
    assert isinstance(answer, str) and f"signal {int(signal.SIGVTALRM)}" in answer


def test_identical_statements_are_asked_once() -> None:
    encoder = misbehaving()
    first = encoder.encode([(64, "a")] * 1000)
    encoder.close()
    assert all(answer is first[0] for answer in first)


def test_keystone_that_never_runs_is_one_error_and_not_one_for_each_statement() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such library')"]
    encoder = Encoder(command=command)
    with pytest.raises(KeystoneMissingError, match="does not run: no such library"):
        encoder.encode([(64, f"mov eax, {number:#x}") for number in range(1000)])
    encoder.close()
