"""Small changes anywhere in the assembly: one operator, one statement, one mutant.

========  ==========================================================================
negate    the opposite condition of a jump, ``setcc`` or ``cmovcc``
drop      the instruction is missing (``push`` and ``pop``: labelled ``stack``)
swap      the two operands change places
plus1     a constant one greater; ``minus1``: one less, where it is compared with
unlock    without the ``lock`` prefix
publish   a store comes after the call that announces it: an interrupt, an unlock
========  ==========================================================================

An id is ``file:function:number:operator`` with the number of the instruction in its function.
Frames and ``ret`` are left alone: without them nothing runs, and every test would notice. Operands
of a comparison for equality are not swapped: that changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise, takewhile

from harness.mutate.mutant import Edit, Mutant, without_repeats
from harness.mutate.source import Statement, is_memory, statements

_CONDITIONAL = re.compile(r"(j|set|cmov)(n?)(a|ae|b|be|c|e|g|ge|l|le|o|p|s|z)$")
_OPPOSITE = {
    "a": "be", "ae": "b", "b": "ae", "be": "a", "g": "le", "ge": "l", "l": "ge", "le": "g",
}  # fmt: skip
_SYMMETRIC = re.compile(r"(?:j|set|cmov)n?[ez]$")
_SWAPPABLE = frozenset({"mov", "cmp", "add", "sub", "and", "or", "xor"})
_COUNTED = frozenset({"mov", "cmp", "add", "sub", "imul", "shl", "shr", "and", "test"})
_KEPT = frozenset({"ret", "nop", "iretq", "hlt"})
_STACK = frozenset({"push", "pop", "pushfq", "popfq"})
_CONSTANT = re.compile(r"[\w.()+\-*/ ]+$")
_REGISTER = re.compile(
    r"(?:[re]?(?:[abcd]x|[sd]i|[sb]p)|[abcd][lh]|[sd]il|[sb]pl|r(?:8|9|1[0-5])[dwb]?)$"
)
_STABLE = re.compile(r"gs:|(?:\[\s*(?:rbx|rbp|r12|r13|r14|r15|rip)\b)")
_KEPT_BY_CALLS = re.compile(r"(?:r?bx|ebx|r1[2-5]d?|-?\w*[A-Z0-9_]+)$")
_ANNOUNCES = frozenset(
    {"ipi_send", "resched_task", "preempt_curr", "rq_unlock", "spin_unlock", "double_rq_unlock"}
)
_NEAR = 6
"""Statements between a store and the call that announces it."""


def mutants_of(file: str, text: str, function: str | None = None) -> list[Mutant]:
    """Every mutant of a source, such as ``guest/sched/core.s``, or of one function of it."""
    found = list(statements(text))
    chosen = [s for s in found if function is None or s.function == function]
    idle = {a for a, b in pairwise(found) if a.mnemonic == "cmp" and _SYMMETRIC.match(b.mnemonic)}
    made = [
        mutant
        for s in chosen
        for mutant in _of_statement(file, s)
        if not (s in idle and mutant.id.endswith(":swap"))
    ]
    made += _published_late(file, chosen)
    return without_repeats(made)


def _of_statement(file: str, statement: Statement) -> Iterator[Mutant]:
    for name, operator in _OPERATORS.items():
        changed = operator(statement)
        if changed is not None:
            yield _mutant(file, statement, name, changed)


def _mutant(file: str, statement: Statement, operator: str, changed: str) -> Mutant:
    words = f"'{statement.text}' becomes '{changed}'" if changed else f"no '{statement.text}'"
    label = "stack" if statement.mnemonic in _STACK else ""
    edit = Edit(file, statement.line, statement.line, (f"    {changed}",) if changed else ("",))
    return Mutant(_id(file, statement, operator), words, (edit,), label=label)


def _id(file: str, statement: Statement, operator: str) -> str:
    stem = file.removeprefix("guest/sched/")
    return f"{stem}:{statement.function}:{statement.number}:{operator}"


def negated(mnemonic: str) -> str | None:
    """The mnemonic with the opposite condition, ``None`` for one without a condition."""
    match = _CONDITIONAL.match(mnemonic)
    if match is None:
        return None
    stem, no, condition = match.groups()
    if no:
        return stem + condition
    return stem + _OPPOSITE.get(condition, f"n{condition}")


def _negate(statement: Statement) -> str | None:
    mnemonic = negated(statement.mnemonic)
    return None if mnemonic is None else replace(statement, mnemonic=mnemonic).text


def _drop(statement: Statement) -> str | None:
    return None if statement.mnemonic in _KEPT else ""


def _swap(statement: Statement) -> str | None:
    first, second, *rest = (*statement.operands, "", "")
    if statement.mnemonic not in _SWAPPABLE or any(rest[:-2]) or not second:
        return None
    if first == second or not (is_memory(second) or _REGISTER.match(second)):
        return None
    return replace(statement, operands=(second, first)).text


def _constant(statement: Statement) -> str | None:
    if statement.mnemonic not in _COUNTED or len(statement.operands) < 2:
        return None
    last = statement.operands[-1]
    if is_memory(last) or _REGISTER.match(last) or not _CONSTANT.match(last):
        return None
    return last


def _plus1(statement: Statement) -> str | None:
    constant = _constant(statement)
    return None if constant is None else _with_constant(statement, f"{constant} + 1")


def _minus1(statement: Statement) -> str | None:
    constant = _constant(statement)
    if constant is None or statement.mnemonic != "cmp":
        return None
    return _with_constant(statement, f"{constant} - 1")


def _with_constant(statement: Statement, constant: str) -> str:
    return replace(statement, operands=(*statement.operands[:-1], constant)).text


def _unlock(statement: Statement) -> str | None:
    if not statement.mnemonic.startswith("lock "):
        return None
    return replace(statement, mnemonic=statement.mnemonic.removeprefix("lock ")).text


_OPERATORS: dict[str, Callable[[Statement], str | None]] = {
    "negate": _negate,
    "drop": _drop,
    "swap": _swap,
    "plus1": _plus1,
    "minus1": _minus1,
    "unlock": _unlock,
}


def _published_late(file: str, chosen: Sequence[Statement]) -> Iterator[Mutant]:
    """Stores moved behind the call that tells somebody of them."""
    for position, store in enumerate(chosen):
        near = chosen[position + 1 : position + 1 + _NEAR]
        straight = takewhile(partial(_follows, store), near)
        call = next((s for s in straight if s.mnemonic == "call"), None)
        if call is None or call.operands[0] not in _ANNOUNCES or not _can_wait(store):
            continue
        edits = (
            Edit(file, store.line, store.line, ("",)),
            Edit(file, call.line, call.line, (f"    {call.text}", f"    {store.text}")),
        )
        words = f"'{store.text}' only after '{call.text}'"
        yield Mutant(_id(file, store, "publish"), words, edits, label="order")


def _follows(store: Statement, statement: Statement) -> bool:
    """Whether it is executed after the one before it, and only then."""
    jumps = statement.mnemonic.startswith("j")
    return statement.function == store.function and not statement.after_label and not jumps


def _can_wait(store: Statement) -> bool:
    """Whether a call in between changes neither where it stores nor what."""
    if store.mnemonic != "mov" or not is_memory(store.operands[0]):
        return False
    return bool(_STABLE.search(store.operands[0]) and _KEPT_BY_CALLS.match(store.operands[1]))
