"""Comments away, then words, numbers, strings and signs."""

from __future__ import annotations

import re
from typing import NamedTuple

from harness.toolchain.errors import AsmError, Line

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<name>[A-Za-z_.$][\w.$]*)
    | (?P<number>\d\w*)
    | (?P<char>'(?:\\.|[^'\\])'?)
    | (?P<string>"(?:\\.|[^"\\])*")
    | (?P<op><<|>>|==|!=|<>|<=|>=|&&|\|\||[-+*/%&|^~!()\[\],:@<>=])
    )""",
    re.VERBOSE,
)
_COMMENT = re.compile(r""""(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])'?|\#[^\n]*|/\*(?s:.*?)(?:\*/|\Z)""")
_ESCAPE = re.compile(r"\\([0-7]{1,3}|x[0-9A-Fa-f]+|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\\": "\\", '"': '"', "'": "'"}
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]+|0[bB][01]+|0[0-7]*|[1-9][0-9]*")

MASK64 = (1 << 64) - 1


class Token(NamedTuple):
    """`kind` is name, number, string or op; `value` an int for numbers, else text."""

    kind: str
    value: str | int
    column: int


def signed64(value: int) -> int:
    """`value` modulo 2**64, as two's complement."""
    value &= MASK64
    return value - (1 << 64) if value >> 63 else value


def strip_comments(text: str) -> str:
    """`text` (one or more lines) with comments blanked out, so that columns stay right."""

    def blank(match: re.Match[str]) -> str:
        found = match[0]
        if found[0] in "\"'":
            return found
        return re.sub(r"[^\n]", " ", found)

    if "#" not in text and "/*" not in text:
        return text
    return _COMMENT.sub(blank, text)


def tokenize(line: Line, start: int = 0) -> list[Token]:
    """The tokens of `line` from column `start` on.

    Raises AsmError at the first character that starts no token.
    """
    text = line.text
    tokens: list[Token] = []
    position, end = start, len(text.rstrip())
    match_at = _TOKEN.match
    while position < end:
        match = match_at(text, position)
        if match is None:
            raise _bad_character(line, position)
        kind = match.lastgroup or ""
        column = match.start(kind)
        word = match[kind]
        if kind == "number":
            tokens.append(Token("number", _number(word, line, column), column))
        elif kind == "char":
            tokens.append(Token("number", _char(word, line, column), column))
        else:
            tokens.append(Token(kind, word, column))
        position = match.end()
    return tokens


def string_bytes(literal: str) -> bytes:
    """The bytes of a quoted string, escapes as GNU as reads them."""

    def replace(match: re.Match[str]) -> str:
        word = match[1]
        if word[0] in "01234567":
            return chr(int(word, 8) & 255)
        if word[0] == "x" and len(word) > 1:
            return chr(int(word[1:], 16) & 255)
        return _ESCAPES.get(word, word)

    body = literal[1:-1]
    if body.isascii():
        return _ESCAPE.sub(replace, body).encode("latin-1")
    raw = body.encode("utf-8").decode("latin-1")
    return _ESCAPE.sub(replace, raw).encode("latin-1")


def _number(word: str, line: Line, column: int) -> int:
    if not _NUMBER.fullmatch(word):
        hint = "numbers are 10, 0x1f, 0b101 or 017"
        if re.fullmatch(r"\d+[bf]", word):
            hint = "there are no numeric labels: write .name: inside a function"
        raise AsmError(f"'{word}' is not a number", line, column, hint)
    if word[:2] in ("0x", "0X"):
        value = int(word, 16)
    elif word[:2] in ("0b", "0B"):
        value = int(word, 2)
    else:
        value = int(word, 8 if word[0] == "0" else 10)
    if value > MASK64:
        raise AsmError(f"{word} does not fit in 64 bits", line, column)
    return signed64(value)


def _char(word: str, line: Line, column: int) -> int:
    body = word[1:-1] if len(word) > 2 and word.endswith("'") else word[1:]
    if body.startswith("\\"):
        if body[1] not in _ESCAPES:
            raise AsmError(f"unknown escape {body}", line, column)
        return ord(_ESCAPES[body[1]])
    return ord(body)


def _bad_character(line: Line, position: int) -> AsmError:
    rest = line.text[position:].lstrip()
    column = len(line.text) - len(rest) if rest else position
    if rest.startswith('"'):
        return AsmError("string without closing quote", line, column)
    if rest.startswith(";"):
        return AsmError("';' does not separate statements", line, column, "one statement a line")
    if rest.startswith("\\"):
        return AsmError(
            "'\\' outside a macro, or no such macro argument",
            line,
            column,
            "check the argument name",
        )
    return AsmError(f"unexpected character {rest[0]!r}", line, column)
