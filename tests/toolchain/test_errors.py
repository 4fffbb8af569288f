"""One clear message for every mistake, and no object file behind it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.toolchain.assemble import assemble
from harness.toolchain.encoding import Encoder
from harness.toolchain.errors import AsmError

Failure = Callable[..., str]

# What is wrong -> lines, and words that the message must contain (what, and what to do).
MISTAKES: dict[str, tuple[list[str], list[str]]] = {
    "unknown mnemonic": (["    mvo eax, 1"], ["unknown instruction 'mvo'", "spelling"]),
    "undefined symbol": (["    call nowhere"], ["undefined symbol 'nowhere'", ".extern nowhere"]),
    "undefined in data": ([".data", "    .quad 1, nowhere"], ["undefined symbol 'nowhere'"]),
    "undefined local": (["f:", "    jmp .out"], ["undefined local label '.out'"]),
    "duplicate label": (["f:", "f:"], ["'f' is defined twice", "bad.s:2"]),
    "duplicate local": (["f:", ".a:", ".a:"], ["'.a' is defined twice"]),
    "label and constant": (["f:", ".equ f, 1"], ["'f' is defined twice"]),
    "loop out of range": (["f: .zero 200", "    loop f"], ["out of range", "-128..127"]),
    "jrcxz elsewhere": ([".extern g", "    jrcxz g"], ["out of range", "short form"]),
    "oversized immediate": (["    mov al, 256"], ["0x100 does not fit in 8 bits", "wider"]),
    "immediate not sign-extended": (["    and rax, 0xffffffff"], ["does not fit", "sign"]),
    "oversized byte": (["    .byte 256"], ["0x100 does not fit in 1 bytes"]),
    "oversized late": (["    .byte b - a", "a: .zero 300", "b:"], ["0x12c does not fit in 8 bits"]),
    "oversized displacement": (["    mov eax, [rdi + 0x80000000]"], ["does not fit", "register"]),
    "number too big": (["    .quad 0x10000000000000000"], ["does not fit in 64 bits"]),
    "not a number": (["    mov eax, 0x1g"], ["'0x1g' is not a number"]),
    "numeric label": (["1:", "    jmp 1b"], ["numeric labels do not exist"]),
    "operands do not match": (["    mov eax, rcx"], ["'mov' does not take eax, rcx"]),
    "size unknown": (["    mov [rdi], 5"], ["how many bytes", "dword ptr"]),
    "size unknown for inc": (["    inc [rdi]"], ["how many bytes"]),
    "bare address": (["f: mov eax, f"], ["not a constant yet", "offset"]),
    "constant defined late": (["    mov eax, LATE", ".equ LATE, 1"], ["not a constant", "earlier"]),
    "register as index": (["    mov eax, [rax + rsp*2]"], ["'rsp' cannot be an index"]),
    "three registers": (["    mov eax, [rax + rcx + rdx]"], ["at most two registers"]),
    "scale of 3": (["    mov eax, [rax*3]"], ["scale 3", "1, 2, 4 and 8"]),
    "label difference unparenthesised": (
        ["a: nop", "b: mov eax, [rdi + b - a]"], ["parentheses", "(a - b)"]),
    "mixed operators": (["    mov eax, 1 | 2 + 4"], ["group this differently", "parentheses"]),
    "shift and plus": (["    mov eax, 1 << 2 + 1"], ["group this differently"]),
    "division by zero": (["    mov eax, 1 / 0"], ["division by zero"]),
    "semicolon": (["    nop ; nop"], ["';' does not separate", "one statement a line"]),
    "unclosed string": (['    .ascii "abc'], ["without closing quote"]),
    "unclosed bracket": (["    mov eax, [rdi"], ["']' is missing"]),
    "unclosed parenthesis": (["    mov eax, (1 + 2"], ["')' is missing"]),
    "left over": (["    ret 8 9"], ["unexpected '9'"]),
    "unknown directive": (["    .frobnicate 1"], ["unknown directive '.frobnicate'"]),
    "unknown section flag": (['.section x, "aq"'], ["unknown section flag 'q'", "known:"]),
    "section changed": (['.section x, "a"', '.section x, "aw"'], ["other attributes", "bad.s:2"]),
    "data in bss": ([".bss", "    .quad 1"], ["section .bss holds no data", ".zero"]),
    "code in bss": ([".bss", "    nop"], ["cannot hold instructions"]),
    "popsection alone": ([".popsection"], ["without .pushsection"]),
    "pushsection left open": ([".pushsection .data"], ["without .popsection"]),
    "if without endif": ([".if 1", "    nop"], ["has no .endif"]),
    "endif alone": ([".endif"], [".endif without .if"]),
    "else twice": ([".if 1", ".else", ".else", ".endif"], [".else after .else"]),
    "condition not constant": ([".extern x", ".if x", ".endif"], ["must be a constant"]),
    "macro without end": ([".macro m", "    nop"], [".endm is missing"]),
    "endm alone": ([".endm"], [".endm without .macro"]),
    "rept without end": ([".rept 2", "    nop"], [".endr is missing"]),
    "negative rept": ([".rept -1", ".endr"], ["cannot repeat this -1 times"]),
    "macro twice": ([".macro m", ".endm", ".macro M", ".endm"], ["defined twice", "ignore case"]),
    "macro argument missing": ([".macro m a:req", ".endm", "    m"], ["needs its argument 'a'"]),
    "too many arguments": ([".macro m a", ".endm", "    m 1, 2"], ["takes 1 arguments, not 2"]),
    "blank in argument": ([".macro m a", ".endm", "    m byte ptr"], ["blank in", "write \"byte"]),
    "unknown argument": ([".macro m a", "    mov eax, \\b", ".endm", "    m 1"], ["argument name"]),
    "local label in macro": ([".macro m", ".x: jmp .x", ".endm"], ["local label '.x'", ".x\\@"]),
    "endless macro": ([".macro m", "    m", ".endm", "    m"], ["nested too deeply"]),
    "local without function": (["    jmp .x"], ["outside any function"]),
    "user error": (['.error "not today"'], ["not today"]),
    "missing include": (['.include "no.inc"'], ["cannot find 'no.inc'", "searched:"]),
    "org backwards": (["    .zero 8", "    .org 4"], ["moves backwards"]),
    "negative space": (["a: .zero a - b - 1", "b:"], ["negative"]),
    "size that depends on itself": (["a:", "    .zero b - a + 1", "b:"], ["depends on itself"]),
    "alignment": (["    .balign 12"], ["power of two"]),
    "wide gap in code": (["    .balign 4096"], ["fill", "0xcc"]),
    "symbol defined by itself": ([".equ a, b", ".equ b, a", "    .quad a"], ["by itself"]),
    "two sections": (["a: nop", ".data", "b: .quad a - b + a"], ["cannot be relocated"]),
    "product of labels": (["a: nop", "    .quad a * 2"], ["cannot be relocated"]),
    "globl without definition": ([".globl ghost"], ["'ghost'", ".extern"]),
    "lock": (["    lock mov [rdi], eax"], ["cannot be locked"]),
    "lock register": (["    lock add eax, 1"], ["cannot be locked"]),
    "rep": (["    rep add eax, 1"], ["cannot be repeated"]),
    "prefix alone": (["    rep"], ["same line"]),
    "far jump in 64-bit code": (["    jmp 8:0x1000"], ["no direct far jump"]),
    "nop with operand": (["    nop dword ptr [rax]"], ["'nop' takes no operand"]),
    "bad type": ([".type f, @routine"], ["unknown symbol type", "@function"]),
    "size of nothing": ([".extern g", ".size f, . - g", "f:"], ["size of 'f'"]),
    "sub-register address": (["    mov eax, [al]"], ["cannot be part of an address"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_told_with_place_and_advice(name: str, failure: Failure) -> None:
    lines, words = MISTAKES[name]
    message = failure(*lines)
    first = message.split("\n")[0]
    assert "/bad.s:" in first and ": error: " in first
    for word in words:
        assert word in message
    assert message.split("\n")[2].rstrip().endswith("^"), "a caret points at the place"


def test_message_has_line_column_source_and_caret(failure: Failure) -> None:
    message = failure("f:", "    mov eax, ecx", "    add eax, 99 / (5 - 5)   # why not", "    ret")
    place, source, caret, *_ = message.split("\n")
    assert "bad.s:4:17: error: division by zero" in place
    assert source == "      4 |     add eax, 99 / (5 - 5)"
    assert source.index("/") == caret.index("^")


def test_chain_through_include_and_macro(failure: Failure, tmp_path: Path) -> None:
    (tmp_path / "inner.inc").write_text(".macro BAD what\n    mov \\what, 1\n.endm\n")
    (tmp_path / "outer.inc").write_text('# one\n.include "inner.inc"\n')
    message = failure('.include "outer.inc"', "f:", "    BAD 5")
    assert "inner.inc:2:5: error:" in message
    assert "in macro 'BAD', invoked at" in message and "bad.s:4: BAD 5" in message


def test_error_in_included_file_names_the_includer(failure: Failure, tmp_path: Path) -> None:
    (tmp_path / "a.inc").write_text("    nop\n    nonsense\n")
    message = failure('.include "a.inc"')
    assert "a.inc:2:5: error: unknown instruction 'nonsense'" in message
    assert "included at" in message and "bad.s:2" in message


def test_circular_include_shows_the_circle(failure: Failure, tmp_path: Path) -> None:
    (tmp_path / "a.inc").write_text('.include "b.inc"\n')
    (tmp_path / "b.inc").write_text('.include "a.inc"\n')
    message = failure('.include "a.inc"')
    assert "circular include of 'a.inc'" in message
    assert "a.inc -> " in message and "b.inc -> " in message


def test_source_without_intel_syntax_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    source = tmp_path / "x.s"
    source.write_text("mov eax, 1\n")
    with pytest.raises(AsmError, match="AT&T") as caught:
        assemble(source, encoder)
    assert ".intel_syntax noprefix" in str(caught.value)


def test_source_that_is_not_utf8(encoder: Encoder, tmp_path: Path) -> None:
    source = tmp_path / "x.s"
    source.write_bytes(b"nop\n# \xff\n")
    with pytest.raises(AsmError, match="not UTF-8") as caught:
        assemble(source, encoder)
    assert "x.s:2:" in str(caught.value)


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.toolchain.assemble", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_command_writes_object_and_dependencies(tmp_path: Path) -> None:
    source, target = tmp_path / "x.s", tmp_path / "deep" / "x.o"
    (tmp_path / "c.inc").write_text(".equ C, 5\n")
    source.write_text('.intel_syntax noprefix\n.include "c.inc"\nmov eax, C + D\n')
    rule = tmp_path / "x.d"
    result = command(source, "-o", target, "-I", tmp_path, "-D", "D=0x10", "-MD", rule)
    assert (result.returncode, result.stderr) == (0, "")
    assert target.read_bytes()[:4] == b"\x7fELF"
    assert rule.read_text() == f"{target}: {source} {tmp_path / 'c.inc'}\n"


@pytest.mark.parametrize("text", ["nonsense\n", "call nowhere\n", "add ah, r8b\n", '.error "x"\n'])
def test_command_leaves_no_object_behind_an_error(text: str, tmp_path: Path) -> None:
    source, target = tmp_path / "x.s", tmp_path / "x.o"
    source.write_text(".intel_syntax noprefix\n" + text)
    target.write_bytes(b"stale")
    result = command(source, "-o", target)
    assert result.returncode == 1
    assert result.stderr.count("error:") == 1
    assert not target.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["x.s"]


def test_command_without_source_says_so(tmp_path: Path) -> None:
    result = command(tmp_path / "none.s", "-o", tmp_path / "x.o")
    assert result.returncode == 1 and "none.s" in result.stderr
    assert "Traceback" not in result.stderr
