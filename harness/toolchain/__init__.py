r"""Assembler, builder and image reader of the guest.

    python -m harness.toolchain.assemble SRC.s -o OUT.o [-I DIR]... [-D NAME=VALUE]... [-MD DEPS]
    python -m harness.toolchain.build [-o IMAGE] [-D NAME=VALUE]... [-I DIR]... [OBJECT]...

`build.build_guest` and `build.build_image` are the same for Python; `image.Image` reads the result.

How an object is made
=====================

Keystone encodes single instructions and nothing else; everything around them is done here:

    source.py, macros.py     includes, macros, repetition, conditions: one line at a time
    lexer.py, expression.py  numbers, strings, integer expressions
    assembler.py             labels, constants, which section, which width of code
    directives.py            data, sections, symbol attributes
    operands.py, select.py   an instruction -> the text that Keystone gets (its errors: select.py)
    branches.py              relative jumps and calls, short and near
    encoding.py, worker.py   the Keystone process: batches, limits, who was to blame
    readback.py              the code against the statement, by Capstone; fields that stay open
    layout.py, padding.py    sizes, branch relaxation, alignment
    relocate.py              values into fields, the rest into relocations
    dwarf.py, elf.py,        line table and ELF file
    objectfile.py

A value that is not known yet is encoded as a stand-in; Capstone says where it went, and the bytes
there must be the stand-in. Then the field gets the value, or a relocation.

The dialect
===========

GNU as, Intel syntax. A source begins with `.intel_syntax noprefix`; one statement a line; `#` and
`/* */` are comments. Names may contain dots (`runqueue.lock`).

Numbers are 10, 0x1f, 017, 0b11, 'c'. Operators group as GNU as groups them: (* / % << >>), then
(& | ^), then (+ -), then comparisons (true is -1), then &&, then ||. Where C groups differently
parentheses are demanded. `.` is the current address.

A label that begins with a dot and a letter (`.retry:`) belongs to the function around it: the last
other label written in a code section, outside macros. In a macro body it ends in \@. This is
the one thing that GNU as does not know, and `rewrite.gas_rewrite` spells it out for it.

Directives:
  .include  .macro .endm .exitm .purgem  .rept .irp .irpc .endr  .error .warning
  .if .ifdef .ifndef .ifb .ifnb .ifc .ifnc .ifeq .ifne .ifgt .ifge .iflt .ifle .elseif .else .endif
  .text .data .bss .section .pushsection .popsection .previous
  .globl .global .weak .local .extern .hidden .type .size  .equ .set .equiv  name = value
  .byte .word .short .value .hword .2byte .long .int .4byte .quad .8byte .ascii .asciz .string
  .zero .skip .space .fill .align .balign .p2align .org  .code16 .code32 .code64

Stricter than GNU as, each with its message: an undefined symbol must be declared `.extern`; an
operand that is a bare label needs `offset` or brackets; a number must fit (GNU as cuts it off with
a warning); memory without any size is refused; a wide gap in code, and any in 16-bit code, needs
its fill; macro arguments with blanks are quoted; no `;`, no numeric labels, no AT&T syntax. In
16-bit code SSE and scaled registers without a base are refused: Keystone gets them wrong.

The objects are those of GNU as byte for byte, section for section, relocation for relocation; the
three differences that are left stand in tests/toolchain/gnu.py (`differences`) with their reasons.
"""
