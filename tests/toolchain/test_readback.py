"""Every encoding is read back: what Keystone or Capstone get wrong becomes an error, not code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.toolchain.assemble import assemble
from harness.toolchain.encoding import Encoder, Request, Template
from harness.toolchain.errors import AsmError


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        # Keystone drops the index and shortens the address.
        ([".code16", "mov ax, [esi*4 + 0x1000]"], "encodes the address differently"),
        # Capstone reads these as MMX registers; nobody needs them in 16-bit code.
        ([".code16", "pxor xmm6, xmm1"], "encodes register xmm1, xmm6 differently"),
    ],
)
def test_known_mistakes_of_keystone_are_caught(
    lines: list[str], words: str, failure: Callable[..., str]
) -> None:
    assert words in failure(*lines)


class Lying(Encoder):
    """An encoder whose answers for one statement are changed on the way."""

    def __init__(self, victim: str, change: Callable[[Template], Template]) -> None:
        super().__init__()
        self.victim, self.change = victim, change

    def encode(self, requests: list[Request]) -> list[Template | str]:
        """As Encoder does, but for the victim."""
        answers = super().encode(requests)
        for number, (request, answer) in enumerate(zip(requests, answers, strict=True)):
            if request[1].startswith(self.victim) and isinstance(answer, Template):
                answers[number] = self.change(answer)
        return answers


def _other_operand(number: int, operand: tuple[object, ...]) -> Callable[[Template], Template]:
    def change(template: Template) -> Template:
        operands = list(template.operands)
        operands[number] = operand
        return replace(template, operands=tuple(operands))

    return change


LIES: list[tuple[str, str, Callable[[Template], Template], str]] = [
    ("mov eax, ecx", "mov eax, ecx", _other_operand(1, ("r", "edx")), "register ecx"),
    ("mov eax, [rdi + 8]", "mov", _other_operand(1, ("m", "", "rdi", "", 1, 9, 4)), "the address"),
    ("mov eax, [rdi + rcx]", "mov", _other_operand(1, ("m", "", "rdi", "riz", 1, 0, 4)),
     "the address"),
    ("mov eax, [rdi + rcx*4]", "mov", _other_operand(1, ("m", "", "rdi", "rcx", 8, 0, 4)),
     "the address"),
    ("add eax, 10", "add", _other_operand(1, ("i", 16, 4)), "does not fit"),
    ("mov rax, offset g", "mov", lambda t: replace(t, imm=(2, 4)), "no room for an address"),
    ("mov rax, [rip + g]", "mov", lambda t: replace(t, disp=(0, 0)), "no room for an address"),
    ("mov eax, ecx", "mov", lambda t: replace(t, mnemonic="", operands=()), "register"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "victim", "change", "words"), LIES)
def test_an_encoding_that_says_something_else_is_refused(
    statement: str,
    victim: str,
    change: Callable[[Template], Template],
    words: str,
    tmp_path: Path,
) -> None:
    source = tmp_path / "x.s"
    source.write_text(f".intel_syntax noprefix\n.extern g\n{statement}\n")
    encoder = Lying(victim, change)
    with pytest.raises(AsmError, match=words):
        assemble(source, encoder)
    encoder.close()
