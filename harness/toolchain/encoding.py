"""The assembler's side of the Keystone process: batches, deadlines, and who was to blame."""

from __future__ import annotations

import atexit
import contextlib
import marshal
import os
import select
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WORKER = Path(__file__).with_name("worker.py")
Request = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Template:
    """An encoded instruction and where its displacement and immediate are (size 0: absent)."""

    code: bytes
    mnemonic: str
    modrm: int
    disp: tuple[int, int]
    imm: tuple[int, int]
    operands: tuple[tuple[Any, ...], ...]


class KeystoneMissingError(OSError):
    """Keystone does not even encode `nop`: it is not installed, or does not run here."""


class WorkerDiedError(Exception):
    """The Keystone process ended or exceeded its deadline during a batch."""


class Encoder:
    """Encodes statements in a child process; remembers every answer.

    `deadline` is in seconds of wall time for one batch without an answer; the child's own limit
    on processor time (worker.CPU_LIMIT) normally acts first.
    """

    def __init__(self, deadline: float = 60.0, command: list[str] | None = None) -> None:
        self._deadline = deadline
        self._command = command or [sys.executable, "-P", "-s", str(_WORKER)]
        self._process: subprocess.Popen[bytes] | None = None
        self._cache: dict[Request, Template | str] = {}

    def start(self) -> None:
        """Starts the child early, so that it loads its libraries while the caller parses."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
            atexit.register(self.close)

    def close(self) -> None:
        """Ends the child, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        atexit.unregister(self.close)
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def encode(self, requests: list[Request]) -> list[Template | str]:
        """The answers in order: a template, or the words of Keystone's refusal.

        A statement that makes Keystone hang or exit is refused in words too, and only that one.
        Raises KeystoneMissingError if nothing can be encoded at all.
        """
        cache = self._cache
        new = [request for request in dict.fromkeys(requests) if request not in cache]
        if new:
            try:
                cache.update(zip(new, self._exchange(new), strict=True))
            except WorkerDiedError:
                self._probe()
                for request in new:
                    cache[request] = self._alone(request)
        return [cache[request] for request in requests]

    def _probe(self) -> None:
        try:
            self._exchange([(64, "nop")])
        except WorkerDiedError as death:
            message = f"Keystone does not run: {death}\n(make sets up what is missing)"
            raise KeystoneMissingError(message) from None

    def _alone(self, request: Request) -> Template | str:
        try:
            return self._exchange([request])[0]
        except WorkerDiedError as death:
            return f"Keystone cannot encode this: {death}"

    def _exchange(self, batch: list[Request]) -> list[Template | str]:
        self.start()
        process = self._process
        assert process is not None and process.stdin and process.stdout and process.stderr
        payload = marshal.dumps(batch)
        try:
            process.stdin.write(struct.pack("<I", len(payload)))
            view = memoryview(payload)
            while view:
                view = view[process.stdin.write(view) :]
            limit = time.monotonic() + self._deadline
            (size,) = struct.unpack("<I", self._read(process, 4, limit))
            answers = marshal.loads(self._read(process, size, limit))
        except TimeoutError:
            process.kill()
            raise self._died("no answer within the deadline") from None
        except (BrokenPipeError, EOFError):
            # It is about to end by itself: wait for its status.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            raise self._died("") from None
        return [_template(answer) for answer in answers]

    def _died(self, why: str) -> WorkerDiedError:
        process = self._process
        assert process is not None and process.stderr is not None
        status = process.wait()
        words = os.read(process.stderr.fileno(), 4096).decode("utf-8", "replace").strip()
        self.close()
        return WorkerDiedError(why or _cause(status, words))

    @staticmethod
    def _read(process: subprocess.Popen[bytes], size: int, limit: float) -> bytes:
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        parts, missing = [], size
        while missing:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, limit - time.monotonic()))
            if not ready:
                raise TimeoutError
            part = os.read(descriptor, missing)
            if not part:
                raise EOFError
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


def _cause(status: int, words: str) -> str:
    if status < 0:
        return f"it was ended by signal {-status} (a loop without end, or a crash)"
    return words.replace("LLVM ERROR: ", "") or f"it ended with status {status}"


def _template(answer: Any) -> Template | str:
    if isinstance(answer, str):
        return answer
    code, mnemonic, modrm, disp_at, disp_size, imm_at, imm_size, operands = answer
    return Template(
        code, mnemonic, modrm, (disp_at, disp_size), (imm_at, imm_size), tuple(operands)
    )
