"""Mutants given as patches: lines of a function and what stands in their place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.mutate.mutant import Edit, Mutant, MutationError
from harness.mutate.tree import Tree
from harness.toolchain.lexer import strip_comments


@dataclass(frozen=True)
class Patch:
    """In ``function`` of ``guest/<file>`` the instructions ``old``, which are there once and in a
    row (comments, labels' indentation and empty lines aside), become ``new``."""

    file: str
    function: str
    old: tuple[str, ...]
    new: tuple[str, ...] = ()

    def edit(self, tree: Tree, name: str) -> Edit:
        """Raises MutationError where the source is no longer like that."""
        file = f"guest/{self.file}"
        try:
            lines = strip_comments(tree.read(file)).split("\n")
        except FileNotFoundError:
            raise MutationError(f"mutant {name}: the guest has no {self.file}") from None
        first, last = self._function(lines, name)
        code = [(n, " ".join(lines[n].split())) for n in range(first, last) if lines[n].strip()]
        words = [" ".join(line.split()) for line in self.old]
        size = len(words)
        starts = [
            at
            for at in range(len(code) - size + 1)
            if [text for _, text in code[at : at + size]] == words
        ]
        if len(starts) != 1:
            raise MutationError(
                f"mutant {name}: {self.file}, {self.function}: these lines are there "
                f"{len(starts)} times, not once; change the patch in harness/mutate/sample.py:\n"
                + "\n".join(f"    {line}" for line in self.old)
            )
        begin, end = code[starts[0]][0] + 1, code[starts[0] + size - 1][0] + 1
        padding = [""] * (end - begin + 1 - len(self.new))  # lines behind it keep their numbers
        new = [line if line.endswith(":") else f"    {line}" for line in self.new]
        return Edit(file, begin, end, (*new, *padding))

    def _function(self, lines: Sequence[str], name: str) -> tuple[int, int]:
        """Index of the line that opens the function, and of the one that closes it."""
        opening = re.compile(rf"\s*(?:PUBLIC|PRIVATE|OBJECT)\s+{re.escape(self.function)}\b")
        closing = re.compile(rf"\s*END\s+{re.escape(self.function)}\s*$")
        first = next((n for n, line in enumerate(lines) if opening.match(line)), None)
        last = next((n for n, line in enumerate(lines) if closing.match(line)), None)
        if first is None or last is None:
            raise MutationError(f"mutant {name}: {self.file} has no function {self.function}")
        return first + 1, last


@dataclass(frozen=True)
class Entry:
    """A mutant of the sample: what is wrong, the rules that it breaks, how to make it."""

    name: str
    words: str
    rules: tuple[str, ...]
    patches: tuple[Patch, ...]

    def mutant(self, tree: Tree) -> Mutant:
        """Raises MutationError."""
        edits = tuple(patch.edit(tree, self.name) for patch in self.patches)
        return Mutant(self.name, self.words, edits, self.rules)
