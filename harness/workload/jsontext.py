"""JSON as rt-app's parser takes it: in order, with comments, repeated keys and trailing commas.

rt-app reads its files with json-c in its default, lenient mode, after a script has made repeated
keys unique by numbering them. So keys keep their order and may repeat here, `/* */` and `//`
comments and a comma before a closing bracket are skipped, strings may be in single quotes, and
`True`/`NULL` may be written in any case.
"""

from __future__ import annotations

import bisect
import re

from harness.workload.errors import WorkloadError
from harness.workload.source import ListNode, MapNode, Mark, Node, Scalar, ScalarNode

_SKIP = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")
_HEX = "[0-9a-fA-F]"
_UNICODE = re.compile(
    rf"u([dD][89abAB]{_HEX}{{2}})\\u([dD][c-fC-F]{_HEX}{{2}})|u({_HEX}{{4}})"  # a pair, or one
)
_WORD = re.compile(r"[A-Za-z]+")
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None}
_ESCAPES = {
    '"': '"',
    "'": "'",
    "\\": "\\",
    "/": "/",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}
_MAX_DEPTH = 32  # json-c's own limit


def parse_json(text: str, file: str) -> Node:
    """The tree of one JSON value. Raises WorkloadError with the place of the first thing that is
    not JSON.
    """
    return _Parser(text, file).document()


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.at = 0
        self.depth = 0
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def document(self) -> Node:
        node = self.value()
        self.skip()
        if self.at < len(self.text):
            raise self.error("expected the end of the file")
        return node

    def mark(self, at: int | None = None) -> Mark:
        position = self.at if at is None else at
        line = bisect.bisect_right(self.lines, position)
        return Mark(line, position - self.lines[line - 1] + 1)

    def error(self, reason: str, at: int | None = None) -> WorkloadError:
        mark = self.mark(at)
        position = self.at if at is None else at
        found = repr(self.text[position]) if position < len(self.text) else "the end of the file"
        return WorkloadError(
            (), f"not JSON: {reason}, found {found}", f"{self.file}:{mark.line}:{mark.column}"
        )

    def skip(self) -> None:
        blank = _SKIP.match(self.text, self.at)
        if blank:
            self.at = blank.end()

    def peek(self) -> str:
        self.skip()
        return self.text[self.at : self.at + 1]

    def take(self, wanted: str) -> None:
        if self.peek() != wanted:
            raise self.error(f"expected {wanted!r}")
        self.at += 1

    def value(self) -> Node:
        first = self.peek()
        mark = self.mark()
        if first and first in "{[":
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise self.error(f"brackets nest deeper than {_MAX_DEPTH}")
            node = self.mapping(mark) if first == "{" else self.sequence(mark)
            self.depth -= 1
            return node
        if first and first in "\"'":
            return ScalarNode(self.string(), mark)
        return ScalarNode(self.literal(), mark)

    def mapping(self, mark: Mark) -> MapNode:
        pairs: list[tuple[str, Mark, Node]] = []
        self.take("{")
        while self.peek() != "}":
            if self.peek() not in ('"', "'"):
                raise self.error("expected a key in quotes or '}'")
            key_mark = self.mark()
            key = self.string()
            self.take(":")
            pairs.append((key, key_mark, self.value()))
            if not self.more("}"):
                break
        self.take("}")
        return MapNode(tuple(pairs), mark)

    def sequence(self, mark: Mark) -> ListNode:
        items: list[Node] = []
        self.take("[")
        while self.peek() != "]":
            items.append(self.value())
            if not self.more("]"):
                break
        self.take("]")
        return ListNode(tuple(items), mark)

    def more(self, closing: str) -> bool:
        if self.peek() == ",":
            self.at += 1
            return True
        if self.peek() != closing:
            raise self.error(f"expected ',' or {closing!r}")
        return False

    def string(self) -> str:
        quote = self.text[self.at]
        start = self.at
        self.at += 1
        parts: list[str] = []
        while True:
            if self.at >= len(self.text):
                raise self.error("a string has no end", start)
            char = self.text[self.at]
            self.at += 1
            if char == quote:
                return "".join(parts)
            parts.append(self.escape() if char == "\\" else char)

    def escape(self) -> str:
        char = self.text[self.at : self.at + 1]
        unit = _UNICODE.match(self.text, self.at)
        if unit:
            self.at = unit.end()
            units = [int(digits, 16) for digits in unit.groups() if digits]
            raw = b"".join(number.to_bytes(2, "big") for number in units)
            return raw.decode("utf-16-be", errors="replace")
        if char not in _ESCAPES:
            raise self.error("expected an escape that JSON knows")
        self.at += 1
        return _ESCAPES[char]

    def literal(self) -> Scalar:
        number = _NUMBER.match(self.text, self.at)
        if number:
            self.at = number.end()
            return float(number[0]) if number[1] or number[2] else int(number[0])
        word = _WORD.match(self.text, self.at)
        if word and word[0].lower() in _WORDS:
            self.at = word.end()
            return _WORDS[word[0].lower()]
        raise self.error("expected a value")
