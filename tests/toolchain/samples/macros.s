.intel_syntax noprefix
# Macros, repetition and conditions, with local labels in all of them.
.include "sample.inc"

.macro PUSH_ALL first:req, rest:vararg
    push \first
    .ifnb \rest
    PUSH_ALL \rest
    .endif
.endm

.macro DEFAULTS a=1, b=2, c="rax"
    mov \c, \a + \b
.endm

.macro WAIT_FOR address
.wait\@:
    pause
    cmp dword ptr [\address], 0
    jne .wait\@
.endm

.macro ENTRY number, name
entry_\name\()_\number:
    push \number
    .exitm
    ud2
.endm

.macro CHECK value, where
    .if \value > 10
        .if \value > 100
            jmp \where
        .else
            jne \where
        .endif
    .elseif \value == 10
        je \where
    .else
        nop
    .endif
.endm

.macro OUTER name
    .macro INNER_\name
        inc e\name
    .endm
.endm

.text
.globl first
first:
    PUSH_ALL rax, rbx, [rdi + 8], r12
    DEFAULTS
    DEFAULTS b=20
    DEFAULTS 7, c=rcx
    DEFAULTS "5 + 6", 1, "rdx"
    WAIT_FOR rdi
    WAIT_FOR "rsi + 8"
    CHECK 5, .out
    CHECK 10, .out
    CHECK 50, .out
    CHECK 500, .out
    OUTER ax
    INNER_ax
.out:
    ret

second:
    .rept 3
    nop
    .rept 2
    cli
    .endr
    .endr
    .irp register, rax, rbx, rcx
    xor \register, \register
    .endr
    .irpc digit, 123
    mov eax, \digit
    .endr
    jmp .out
    .ifdef SAMPLE_INC
    mov ecx, SAMPLE_VALUE
    .endif
    .ifndef NOT_DEFINED
    mov ecx, 2
    .else
    .error "never"
    .endif
    .ifc abc, abc
    mov ecx, 3
    .endif
    .ifnc abc, abd
    mov ecx, 4
    .endif
    .ifb
    mov ecx, 5
    .endif
    .if 0
    .include "does_not_exist.inc"
    this is not even a statement ;
    .if 1
    .endif
    .endif
.out:
    ret

.set number, 0
.rept 4
    .byte number
    .set number, number + 1
.endr
