"""Where a statement stands, and how an error about it is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One logical source line, with the way by which the assembler came to it.

    `origin` is the line that included this file (`macro` empty) or invoked the macro `macro`;
    `number` counts from 1 within `file`.
    """

    text: str
    file: str
    number: int
    origin: Line | None = None
    macro: str = ""

    def place(self) -> tuple[str, int]:
        """File and line that a debugger should show: for a macro, that of its invocation."""
        line = self
        while line.macro and line.origin is not None:
            line = line.origin
        return line.file, line.number


class AsmError(Exception):
    """A mistake in a source: what is wrong, where, and what to do instead.

    `column` counts from 0 in `line.text`.
    """

    def __init__(self, message: str, line: Line, column: int = -1, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        text = line.text
        self.column = column if column >= 0 else len(text) - len(text.lstrip())
        self.hint = hint

    def __str__(self) -> str:
        return render("error", self.message, self.line, self.column, self.hint)


def render(kind: str, message: str, line: Line, column: int, hint: str = "") -> str:
    """The message as a compiler prints it: position, source line, caret, advice, chain."""
    text = line.text.expandtabs(1).rstrip()
    out = [
        f"{line.file}:{line.number}:{column + 1}: {kind}: {message}",
        f"  {line.number:5} | {text}",
        f"        | {' ' * column}^",
    ]
    if hint:
        out.append(f"        = {hint}")
    at: Line | None = line
    while at is not None and at.origin is not None:
        how = f"in macro '{at.macro}', invoked" if at.macro else "included"
        out.append(f"  {how} at {at.origin.file}:{at.origin.number}: {at.origin.text.strip()}")
        at = at.origin
    return "\n".join(out)
