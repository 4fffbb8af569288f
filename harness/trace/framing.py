"""Bytes in, lines out, with bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

LINE_LIMIT = 4096
"""Longest line, newline included, that a log may have."""

_CHUNK = 1 << 16


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a byte stream, each with its newline.

    Two kinds of line come without one: the last, when the stream ends inside it, and an overlong
    line, of which the first :data:`LINE_LIMIT` bytes are given and the rest is passed over.
    """
    tail = b""
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        if len(tail) < LINE_LIMIT:
            tail += first[:LINE_LIMIT]
        if not others:
            continue
        yield _line(tail)
        yield from map(_line, others[:-1])
        tail = others[-1][:LINE_LIMIT]
    if tail:
        yield tail[:LINE_LIMIT]


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a saved log; raises ``OSError``."""
    with path.open("rb") as stream:
        yield from split_lines(iter(lambda: stream.read(_CHUNK), b""))


def _line(body: bytes) -> bytes:
    return body + b"\n" if len(body) < LINE_LIMIT else body[:LINE_LIMIT]
