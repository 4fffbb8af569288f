"""Macro definitions: parameters, arguments, substitution, as GNU as does them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.toolchain.errors import AsmError, Line

_NAME = r"[A-Za-z_.$][\w.$]*"
_PARAMETER = re.compile(rf"\s*({_NAME})(?::(req|vararg))?(?:\s*=\s*(\"[^\"]*\"|[^,\s]*))?\s*,?")
_SUBSTITUTE = re.compile(rf"\\(\(\)|@|{_NAME})")
_KEYWORD = re.compile(rf"({_NAME})\s*=(?!=)\s*(.*)", re.DOTALL)
_OPERATOR_SPACE = re.compile(r"\s*([-+*/%|&^<>=!~,:])\s*")
_LOCAL = re.compile(r"(?<![\w.$\\)@])\.[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A formal argument; `default` None if there is none."""

    name: str
    required: bool
    variable: bool
    default: str | None


@dataclass(frozen=True, slots=True)
class Macro:
    """A named body with its parameters."""

    name: str
    parameters: tuple[Parameter, ...]
    body: tuple[Line, ...]
    line: Line


def parse_parameters(text: str, line: Line) -> tuple[Parameter, ...]:
    """The formal arguments behind `.macro name`."""
    parameters: list[Parameter] = []
    text = text.strip()
    position = 1 if text.startswith(",") else 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None or match.end() == position:
            hint = "write name, name=default, name:req or name:vararg"
            raise AsmError(f"bad macro parameter: {text[position:]}", line, -1, hint)
        name, mode, default = match.groups()
        if any(known.name == name for known in parameters):
            raise AsmError(f"macro parameter '{name}' appears twice", line)
        if default is not None:
            default = _unquote(default)
        parameters.append(Parameter(name, mode == "req", mode == "vararg", default))
        position = match.end()
    return tuple(parameters)


def split_arguments(text: str, limit: int = 0) -> list[str]:
    """Splits at commas outside quotes; at most `limit` pieces if that is not zero."""
    pieces: list[str] = []
    start, quote, position = 0, "", 0
    while position < len(text):
        char = text[position]
        if quote:
            if char == "\\":
                position += 1
            elif char == quote:
                quote = ""
        elif char == '"' or (char == "'" and text[position + 2 : position + 3] == "'"):
            quote = char
        elif char == "," and (not limit or len(pieces) + 1 < limit):
            pieces.append(text[start:position].strip())
            start = position + 1
        position += 1
    pieces.append(text[start:].strip())
    return [] if pieces == [""] else pieces


def bind(macro: Macro, text: str, line: Line, column: int) -> dict[str, str]:
    """The value of each parameter for an invocation with the arguments `text`."""
    parameters = macro.parameters
    variable = bool(parameters) and parameters[-1].variable
    pieces = split_arguments(text, len(parameters) if variable else 0)
    if len(pieces) > len(parameters):
        raise AsmError(
            f"macro '{macro.name}' takes {len(parameters)} arguments, not {len(pieces)}",
            line,
            column,
        )
    values: dict[str, str] = {}
    names = {parameter.name for parameter in parameters}
    for parameter, piece in zip(parameters, pieces, strict=False):
        if parameter.variable:
            values[parameter.name] = piece
            continue
        keyword = _KEYWORD.fullmatch(piece)
        if keyword and keyword[1] in names:
            name, piece = keyword[1], keyword[2]
        else:
            name = parameter.name
        if name in values:
            raise AsmError(f"argument '{name}' of '{macro.name}' given twice", line, column)
        values[name] = _argument(piece, line, column)
    for parameter in parameters:
        if not values.get(parameter.name):
            if parameter.required:
                message = f"macro '{macro.name}' needs its argument '{parameter.name}'"
                raise AsmError(message, line, column)
            values[parameter.name] = parameter.default or ""
    return values


def substitute(text: str, values: dict[str, str], counter: int) -> str:
    r"""`text` with \name, \@ and \() replaced; unknown names stay as they are."""

    def replace(match: re.Match[str]) -> str:
        word = match[1]
        if word == "()":
            return ""
        if word == "@":
            return str(counter)
        value = values.get(word)
        return match[0] if value is None else value

    return _SUBSTITUTE.sub(replace, text) if "\\" in text else text


def check_body(macro: Macro, code_words: frozenset[str]) -> None:
    r"""Dot-local labels in a macro body must be unique by \@, else no rewrite for GNU as exists."""
    for line in macro.body:
        text = re.sub(r'"(?:\\.|[^"\\])*"', '""', line.text)
        for match in _LOCAL.finditer(text):
            following = text[match.end() : match.end() + 2]
            before = text[: match.start()].strip()
            if match[0] in code_words and (not before or before.endswith(":")):
                continue
            if before.split(" ")[0] in (".section", ".pushsection") or following == "\\@":
                continue
            raise AsmError(
                f"local label '{match[0]}' in a macro body", line, match.start(),
                f"write {match[0]}\\@, so that every invocation has its own",
            )  # fmt: skip


def _unquote(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1]
    return text


def _argument(piece: str, line: Line, column: int) -> str:
    if piece[:1] == '"':
        return _unquote(piece)
    if "'" in piece or '"' in piece:
        return piece
    bare = _OPERATOR_SPACE.sub(r"\1", piece)
    depth = 0
    for char in bare:
        depth += (char in "([") - (char in ")]")
        if depth == 0 and char.isspace():
            hint = f'GNU as takes blanks for separators: write "{piece}"'
            raise AsmError(f"blank in the macro argument {piece}", line, column, hint)
    return piece
