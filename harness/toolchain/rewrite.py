r"""The one rewrite that makes a guest source valid for GNU as.

A label that begins with a dot and a letter belongs to the function around it, that is, to the last
label without a dot that was written before it in a code section. GNU as knows no such scope, so

    .retry          in function `lock_acquire` becomes    .Llock_acquire.retry
    .retry\@        in the body of macro `WAIT` becomes   .LWAIT.retry\@

wherever it is defined or used. Nothing else changes. Inside a macro body a local label must end in
\@ (our assembler insists), so the name of the macro is scope enough.
"""

from __future__ import annotations

import re

from harness.toolchain.lexer import strip_comments

_LABEL = re.compile(r"\s*([A-Za-z_$][\w.$\\@()]*)\s*:(?!:)")
_LOCAL = re.compile(r"(?<![\w.$\\)@])\.([A-Za-z_][\w\\@()]*)")
_STRING = re.compile(r'"(?:\\.|[^"\\])*"')
_DIRECTIVE = re.compile(r"\s*(?:[\w.$\\@()]+\s*:\s*)*(\.[A-Za-z_]\w*)(?=\s|$)(?!\s*:)")
_SECTION = re.compile(r'\s*"?([^\s,"]+)"?\s*(?:,\s*"([^"]*)")?')
_MACRO = re.compile(r"\s*\.macro\s+([\w.$]+)", re.IGNORECASE)


class _Sections:
    """Tracks whether code is being written, as far as the text tells."""

    def __init__(self) -> None:
        self._executable = {".text": True}
        self._current = self._previous = ".text"
        self._stack: list[tuple[str, str]] = []

    @property
    def in_code(self) -> bool:
        """Whether the current section holds code."""
        name = self._current
        return self._executable.get(name, name.startswith(".text."))

    def directive(self, word: str, rest: str) -> None:
        """Follows .text, .section, .pushsection, .popsection and .previous."""
        if word in (".text", ".data", ".bss"):
            self._enter(word)
        elif word in (".section", ".pushsection"):
            match = _SECTION.match(rest)
            if match is None:
                return
            if word == ".pushsection":
                self._stack.append((self._current, self._previous))
            if match[2] is not None:
                self._executable[match[1]] = "x" in match[2]
            self._enter(match[1])
        elif word == ".popsection" and self._stack:
            self._current, self._previous = self._stack.pop()
        elif word == ".previous":
            self._enter(self._previous)

    def _enter(self, name: str) -> None:
        self._previous, self._current = self._current, name


def gas_rewrite(text: str) -> str:
    """`text` with every function-local label spelled so that GNU as keeps it apart."""
    out = []
    sections = _Sections()
    function = macro = ""
    for line in strip_comments(text).split("\n"):
        match = _MACRO.match(line)
        if match:
            macro = match[1]
        label = _LABEL.match(line)
        if label and not macro and sections.in_code:
            function = label[1]
        directive = _DIRECTIVE.match(line)
        word = directive[1].lower() if directive else ""
        if directive and not macro:
            sections.directive(word, line[directive.end() :])
        start = directive.end() if directive else 0
        if word not in (".section", ".pushsection", ".include", ".macro"):
            line = line[:start] + _rewrite(line[start:], macro or function)
        if word == ".endm":
            macro = ""
        out.append(line)
    return "\n".join(out)


def _rewrite(text: str, scope: str) -> str:
    if re.search(r"\\[\w.$]+$", scope):
        scope += "\\()"
    out = []
    position = 0
    for quoted in _STRING.finditer(text):
        out.append(_LOCAL.sub(lambda m: f".L{scope}.{m[1]}", text[position : quoted.start()]))
        out.append(quoted[0])
        position = quoted.end()
    out.append(_LOCAL.sub(lambda m: f".L{scope}.{m[1]}", text[position:]))
    return "".join(out)
