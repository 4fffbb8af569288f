"""The guest's assembly as statements of functions, as far as changing them needs it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from harness.toolchain.lexer import strip_comments

_FUNCTION = re.compile(r"(?:PUBLIC|PRIVATE)\s+(\w+)$")
_END = re.compile(r"END\s+\w+$")
_LABEL = re.compile(r"[.\w]+:$")
_STATEMENT = re.compile(r"((?:(?:lock|rep|repe|repne)\s+)*[a-z][a-z0-9]*)(?:\s+(.*))?$")
_OPENING = re.compile(r"\.(?:macro|if\w*|rept|irp|irpc)\b")
_CLOSING = re.compile(r"\.(?:endm|endif|endr)\b")


@dataclass(frozen=True)
class Statement:
    """One instruction. ``line`` counts from 1; ``number`` counts the function's instructions, so
    that it stays when something changes elsewhere."""

    function: str
    number: int
    line: int
    mnemonic: str
    """With its prefixes, such as ``lock cmpxchg``."""
    operands: tuple[str, ...]
    after_label: bool
    """Whether it can be reached other than from the one before it."""

    @property
    def text(self) -> str:
        return f"{self.mnemonic} {', '.join(self.operands)}".strip()


def statements(text: str) -> Iterator[Statement]:
    """Every instruction of every function. Macro uses, and what stands in a macro or, within a
    function, under a condition, are left out; whole functions under a condition are not."""
    function, number, after_label = "", 0, True
    hidden: list[bool] = []
    for line, words in enumerate(map(str.strip, strip_comments(text).split("\n")), start=1):
        if _OPENING.match(words):
            hidden.append(bool(function) or not words.startswith(".if"))
        elif _CLOSING.match(words):
            hidden.pop()
        elif any(hidden):
            continue
        elif match := _FUNCTION.match(words):
            function, number = match[1], 0
        elif _END.match(words):
            function = ""
        elif _LABEL.match(words):
            after_label = True
        elif words and function and (match := _STATEMENT.match(words)):
            number += 1
            operands = split_operands(match[2] or "")
            yield Statement(function, number, line, match[1], operands, after_label)
            after_label = False


def split_operands(text: str) -> tuple[str, ...]:
    """Operands, separated by the commas outside brackets."""
    parts = re.split(r",\s*(?![^\[]*\])", text)
    return tuple(part.strip() for part in parts if part.strip())


def is_memory(operand: str) -> bool:
    return "[" in operand
