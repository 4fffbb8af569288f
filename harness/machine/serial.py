"""The serial port's byte stream, framed into lines, in bounded memory.

    bytes of the port ──► LineReader ──► lines   (all of them, in order of arrival)
                                    └──► console (text at once, without the log)

A line that starts with `[SCHED] ` belongs to the log and never reaches the console. Everything else
is text, which the console gets as soon as it cannot be the start of a log line: a prompt has no
newline. The result depends on the bytes alone, not on how reads happened to split them.
"""

from __future__ import annotations

LOG_PREFIX = b"[SCHED] "
# The prompt of the guest's monitor. It stays on its line until somebody types, so a log line may
# follow it.
PROMPT = b"sched> "
# Ends a line that is not as the guest sent it. 0xff occurs in no sound line (and in no UTF-8 text).
CUT_MARK = b"\xff<cut: "


class LineReader:
    """Frames one run's serial output; `lines` grows, `feed` returns what the console gets."""

    def __init__(self, max_line: int = 64 << 10) -> None:
        self.lines: list[bytes] = []
        self.bytes_seen = 0
        self._max_line = max_line
        self._line = bytearray()  # the line that has not ended yet, at most max_line bytes of it
        self._left_out = 0  # bytes of it beyond that
        self._is_log = False
        self._shown = 0  # how much of it the console has
        self._console = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Takes the next bytes of the port; returns the console's share."""
        self.bytes_seen += len(data)
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._extend(piece)
            self._end_line()
        self._extend(rest)
        return self._take_console()

    def close(self) -> bytes:
        """The port has ended. A log line without its newline is marked as damaged."""
        if self._line:
            self._show(len(self._line))
            if self._is_log and not self._left_out:
                self._line += CUT_MARK + b"no newline>"
            self._store()
        return self._take_console()

    def _extend(self, piece: bytes) -> None:
        while piece:
            room = self._max_line - len(self._line)
            if room == 0:
                self._show(len(self._line))
                if not self._is_log:
                    self._console += piece
                self._left_out += len(piece)
                return
            self._line += piece[:room]
            piece = piece[room:]
            self._route()

    def _route(self) -> None:
        """Decides whether the line is log or text, and shows the text that can be nothing else."""
        if self._is_log:
            return
        if self._line.startswith(LOG_PREFIX):
            self._is_log = True
            return
        at = self._line.find(PROMPT + LOG_PREFIX)
        if at >= 0:
            self._split(at + len(PROMPT))
            return
        self._show(len(self._line) - self._undecided())

    def _split(self, at: int) -> None:
        """A log line follows the prompt at offset `at`: two lines, though one newline."""
        self._show(at)
        log = self._line[at:]
        del self._line[at:]
        self._store()
        self._line += log
        self._is_log = True

    def _undecided(self) -> int:
        """How many bytes at the end may turn out to be the start of a log line."""
        for length in range(min(len(LOG_PREFIX) - 1, len(self._line)), 0, -1):
            head = LOG_PREFIX[:length]
            if self._line == head or self._line.endswith(PROMPT + head):
                return length
        return 0

    def _show(self, end: int) -> None:
        if not self._is_log and end > self._shown:
            self._console += self._line[self._shown : end]
            self._shown = end

    def _end_line(self) -> None:
        self._show(len(self._line))
        if not self._is_log:
            self._console += b"\n"
        self._store()

    def _store(self) -> None:
        line = bytes(self._line)
        if self._left_out:
            line += CUT_MARK + b"%d bytes left out>" % self._left_out
        self.lines.append(line.removesuffix(b"\r"))
        self._line.clear()
        self._left_out = 0
        self._is_log = False
        self._shown = 0

    def _take_console(self) -> bytes:
        taken = bytes(self._console)
        self._console.clear()
        return taken
