"""A wake-up call for a thread that waits in a selector."""

from __future__ import annotations

import contextlib
import os
import threading


class Wakeup:
    """`fd` becomes readable when any thread calls `set`, which also works after `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def set(self) -> None:
        with self._lock:
            if not self._closed:
                os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self.fd)
