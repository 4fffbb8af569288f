"""The one rewrite for GNU as: only function-local labels change, and nothing else."""

from __future__ import annotations

import pytest

from harness.toolchain.rewrite import gas_rewrite


def test_local_labels_are_named_after_their_function() -> None:
    text = (
        "one:\n.again:\n    jne .again\n    .quad .again, .again - one\ntwo:\n.again: jmp .again\n"
    )
    assert gas_rewrite(text) == (
        "one:\n.Lone.again:\n    jne .Lone.again\n    .quad .Lone.again, .Lone.again - one\n"
        "two:\n.Ltwo.again: jmp .Ltwo.again\n"
    )


def test_labels_outside_code_open_no_scope() -> None:
    text = "f:\n.data\nd: .quad 1\n.text\n.x: jmp .x\n"
    assert ".Lf.x: jmp .Lf.x" in gas_rewrite(text)
    text = "f:\n.pushsection .rodata\nd: .quad 1\n.popsection\n.x: jmp .x\n"
    assert ".Lf.x: jmp .Lf.x" in gas_rewrite(text)
    text = 'f:\n.section .init, "ax"\ng:\n.x: jmp .x\n'
    assert ".Lg.x: jmp .Lg.x" in gas_rewrite(text)


def test_macro_bodies_take_the_name_of_the_macro() -> None:
    text = ".macro WAIT\n.w\\@: jmp .w\\@\n.endm\nf:\n    CHECK .fail\n.fail:\n"
    assert gas_rewrite(text) == (
        ".macro WAIT\n.LWAIT.w\\@: jmp .LWAIT.w\\@\n.endm\nf:\n    CHECK .Lf.fail\n.Lf.fail:\n"
    )


@pytest.mark.parametrize(
    "line",
    ['    .ascii ".again"', '    .section .text.hot, "ax"', "    .long . - f", "    .text",
     "    mov eax, gs:[percpu.cpu]", "    lea rax, [rip + runqueue.lock + 4]", ".macro m a=.x",
     '    .include "a.inc"', "    .pushsection .rodata", "    .popsection"],
)  # fmt: skip
def test_everything_else_stays(line: str) -> None:
    assert gas_rewrite("f:\n" + line).split("\n")[1] == line


def test_comments_are_dropped_but_lines_kept() -> None:
    text = "f: # .x\n/* .y\n.z */ nop\n"
    assert [line.rstrip() for line in gas_rewrite(text).split("\n")] == ["f:", "", "      nop", ""]
