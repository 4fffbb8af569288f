"""The guest's interactive monitor, driven with pexpect.

The console sees the text of the serial port only; the log goes past it, so `expect` never scans it.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from pexpect.exceptions import EOF, TIMEOUT
from pexpect.spawnbase import SpawnBase

from harness.machine.stream import ByteStream

_SHOWN_CHARACTERS = 2000

if TYPE_CHECKING:
    _Base = SpawnBase[str]
else:
    _Base = SpawnBase  # generic in its type stubs only


class _Sink(Protocol):
    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


class Console(_Base):
    """A pexpect object over a running machine, in UTF-8; bytes that are none become U+FFFD."""

    def __init__(
        self, stream: ByteStream, send: Callable[[bytes], None], timeout: float = 30.0
    ) -> None:
        super().__init__(timeout=timeout, encoding="utf-8", codec_errors="replace")
        self._characters = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stream = stream
        self._send = send
        self.delayafterread = None  # the stream already gathers what comes together
        self.closed = False
        self.name = "<guest console>"

    def __str__(self) -> str:
        """Part of pexpect's messages."""
        return f"guest console, after: {str(self.before)[-_SHOWN_CHARACTERS:]!r}"

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> str:
        """Text as soon as there is some; pexpect's own calls are built on this one.

        `timeout` in seconds, -1 for the console's default. Raises pexpect's TIMEOUT and EOF.
        """
        try:
            data = self._stream.read(size, self.timeout if timeout == -1 else timeout)
        except TimeoutError:
            raise TIMEOUT("the guest printed nothing in time") from None
        except EOFError:
            self.flag_eof = True
            raise EOF("the guest's serial port has ended") from None
        text = self._characters.decode(data)
        self._copy(text, self.logfile_read)
        return text

    def send(self, s: str | bytes) -> int:
        """Types `s`; returns the number of bytes."""
        data = s.encode() if isinstance(s, str) else s
        self._copy(data.decode(errors="replace"), self.logfile_send)
        self._send(data)
        return len(data)

    def sendline(self, s: str | bytes = "") -> int:
        """Types `s` and the Enter key."""
        return self.send(s) + self.send("\n")

    def write(self, s: str | bytes) -> None:
        self.send(s)

    def writelines(self, sequence: Iterable[str | bytes]) -> None:
        for s in sequence:
            self.send(s)

    def _copy(self, text: str, one_way: _Sink | None) -> None:
        for sink in (self.logfile, one_way):
            if sink is not None:
                sink.write(text)
                sink.flush()
