"""The generic mutator: what it reads of a source, and what each operator makes of a statement."""

from __future__ import annotations

import pytest

from harness.mutate.generic import mutants_of, negated
from harness.mutate.mutant import Mutant
from harness.mutate.source import Statement, split_operands, statements

FILE = "guest/sched/some.s"
SOURCE = """\
.intel_syntax noprefix
# A comment with mov eax, 1.
.macro TWICE x
    add \\x, \\x
.endm
.section .text
PUBLIC first
first:
    FRAME
    push rbx
    mov rbx, rdi                # kept
    cmp dword ptr [rbx + 8], LIMIT
    jae .done
    lock inc qword ptr [rdi + rcx * 8]
    mov qword ptr [rbx + task.state], 1
    mov rdi, rbx
    call rq_unlock
.done:
    pop rbx
    UNFRAME
    ret
END first

PRIVATE second
second:
.ifdef CHECK
    nop
.endif
    cmp eax, edx
    je .same
    EVENT_AT 1, tick, [rbx + 8]
.same:
    sub rax, qword ptr [rdi]
    ret
END second
"""


CHECKED = """\
.ifdef CHECK
.macro LEAVE
    pop rax
.endm
PRIVATE third
third:
    inc eax
    .ifdef MORE
    dec eax
    .endif
    LEAVE
    ret
END third
.endif
"""


def found(operator: str, function: str | None = None) -> dict[str, Mutant]:
    mutants = mutants_of(FILE, SOURCE, function)
    return {m.id.rsplit(":", 1)[0]: m for m in mutants if m.id.endswith(f":{operator}")}


def change(mutant: Mutant) -> list[tuple[str, str]]:
    """The lines that differ, before and after."""
    before, after = SOURCE.split("\n"), mutant.applied(FILE, SOURCE).split("\n")
    assert len(before) <= len(after)
    return [
        (a.strip(), b.strip())
        for a, b in zip(before, after, strict=False)
        if a.strip() != b.strip()
    ]


def test_instructions_of_functions_are_statements_and_nothing_else_is() -> None:
    read = list(statements(SOURCE))
    assert [(s.function, s.number, s.mnemonic) for s in read if s.function == "second"] == [
        ("second", 1, "cmp"),
        ("second", 2, "je"),
        ("second", 3, "sub"),
        ("second", 4, "ret"),
    ]
    first = [s.text for s in read if s.function == "first"]
    assert first[1] == "mov rbx, rdi"
    assert first[4] == "lock inc qword ptr [rdi + rcx * 8]"
    assert len(first) == 10
    lines = SOURCE.split("\n")
    assert all(s.mnemonic.split()[-1] in lines[s.line - 1] for s in read)


def test_a_statement_behind_a_label_can_be_reached_otherwise() -> None:
    behind = [s.text for s in statements(SOURCE) if s.after_label]
    assert behind == ["push rbx", "pop rbx", "cmp eax, edx", "sub rax, qword ptr [rdi]"]


def test_operands_are_split_outside_brackets() -> None:
    assert split_operands("eax, [rdi + 8], 3") == ("eax", "[rdi + 8]", "3")
    assert split_operands("gs:[percpu.cpu]") == ("gs:[percpu.cpu]",)
    assert split_operands("") == ()


@pytest.mark.parametrize(
    ("mnemonic", "opposite"),
    [
        ("je", "jne"), ("jz", "jnz"), ("ja", "jbe"), ("jae", "jb"), ("jg", "jle"), ("jl", "jge"),
        ("js", "jns"), ("jc", "jnc"), ("cmovb", "cmovae"), ("cmovnz", "cmovz"), ("setle", "setg"),
        ("setp", "setnp"),
    ],
)  # fmt: skip
def test_a_condition_is_negated_and_back(mnemonic: str, opposite: str) -> None:
    assert negated(mnemonic) == opposite
    assert negated(opposite) == mnemonic


@pytest.mark.parametrize("mnemonic", ["jmp", "call", "mov", "bsf", "seto_", "lock cmpxchg"])
def test_what_has_no_condition_is_not_negated(mnemonic: str) -> None:
    assert negated(mnemonic) is None


def test_negate() -> None:
    negate = found("negate")
    assert set(negate) == {"some.s:first:4", "some.s:second:2"}
    assert change(negate["some.s:first:4"]) == [("jae .done", "jb .done")]


def test_drop_leaves_no_line_but_keeps_the_numbers() -> None:
    drop = found("drop")
    assert change(drop["some.s:first:2"]) == [("mov rbx, rdi                # kept", "")]
    assert "some.s:first:10" not in drop, "ret stays"
    assert drop["some.s:first:1"].label == drop["some.s:first:9"].label == "stack"
    assert not drop["some.s:first:2"].label


def test_swap() -> None:
    swap = found("swap")
    assert change(swap["some.s:first:2"])[0][1] == "mov rdi, rbx"
    assert change(swap["some.s:second:3"])[0][1] == "sub qword ptr [rdi], rax"
    assert "some.s:first:3" not in swap, "a constant cannot come first"
    assert "some.s:second:1" not in swap, "equality does not know an order"


def test_off_by_one() -> None:
    assert change(found("plus1")["some.s:first:3"])[0][1] == ("cmp dword ptr [rbx + 8], LIMIT + 1")
    assert change(found("minus1")["some.s:first:3"])[0][1] == ("cmp dword ptr [rbx + 8], LIMIT - 1")
    assert set(found("minus1")) == {"some.s:first:3"}
    assert set(found("plus1")) == {"some.s:first:3", "some.s:first:6"}


def test_unlock() -> None:
    [(_, after)] = change(found("unlock")["some.s:first:5"])
    assert after == "inc qword ptr [rdi + rcx * 8]"


def test_publish_moves_a_store_behind_the_call_that_tells_of_it() -> None:
    [mutant] = found("publish").values()
    lines = [line.strip() for line in mutant.applied(FILE, SOURCE).split("\n") if line.strip()]
    call = lines.index("call rq_unlock")
    assert lines[call + 1] == "mov qword ptr [rbx + task.state], 1"
    assert lines.count("mov qword ptr [rbx + task.state], 1") == 1


def test_a_function_can_be_chosen() -> None:
    assert {m.id.split(":")[1] for m in mutants_of(FILE, SOURCE, "second")} == {"second"}
    assert mutants_of(FILE, SOURCE, "third") == []


def test_ids_are_unique_and_stay_when_another_function_changes() -> None:
    before = [m.id for m in mutants_of(FILE, SOURCE)]
    assert len(set(before)) == len(before)
    longer = SOURCE.replace("    FRAME\n", "    FRAME\n    mov eax, 1\n", 1)
    after = [m.id for m in mutants_of(FILE, longer)]
    assert [i for i in before if ":second:" in i] == [i for i in after if ":second:" in i]


def test_statements_know_their_text() -> None:
    statement = Statement("f", 1, 1, "lock cmpxchg", ("[rdi]", "eax"), False)
    assert statement.text == "lock cmpxchg [rdi], eax"


def test_functions_of_the_checked_guest_are_changed_too() -> None:
    assert [(s.function, s.text) for s in statements(CHECKED)] == [
        ("third", "inc eax"), ("third", "ret"),
    ]  # fmt: skip
