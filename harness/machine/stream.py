"""Bytes handed from the thread that reads the serial port to the thread that uses the console."""

from __future__ import annotations

import threading


class ByteStream:
    """A pipe within the process, as large as its writer lets it become."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._bytes = bytearray()
        self._ended = False

    def write(self, data: bytes) -> None:
        with self._ready:
            self._bytes += data
            self._ready.notify_all()

    def end(self) -> None:
        """No more bytes will come."""
        with self._ready:
            self._ended = True
            self._ready.notify_all()

    def read(self, size: int, timeout: float | None) -> bytes:
        """Up to `size` bytes, as soon as there is one.

        Raises TimeoutError when none came within `timeout` seconds (None: no bound), EOFError at
        the end.
        """
        with self._ready:
            if not self._ready.wait_for(lambda: self._bytes or self._ended, timeout):
                raise TimeoutError
            if not self._bytes:
                raise EOFError
            data = bytes(self._bytes[:size])
            del self._bytes[:size]
            return data
