.intel_syntax noprefix
# Branches at the limits of their short form, to every kind of symbol.
.extern imported
.extern concealed
.hidden concealed
.globl visible
.weak replaceable
.hidden private_global
.globl private_global
.text
visible:
    jmp visible
    jne visible
    call visible
    jmp replaceable
    call replaceable
    jmp private_global
    call private_global
    call helper
    jmp helper
    jmp imported
    jne imported
    call imported
    call concealed
    jmp elsewhere
    call elsewhere
    lea rax, [rip + visible]
    lea rax, [rip + helper + 4]
    lea rax, [rip + replaceable]
    lea rax, [rip + elsewhere]
    loop .short
    jrcxz .short
    jecxz .short
.short:
replaceable:
    nop
private_global:
    nop
helper:
    jmp .exactly127
    .zero 127, 0x90
.exactly127:
    jmp .exactly128
    .zero 128, 0x90
.exactly128:
backwards:
    .zero 126, 0x90
    jmp backwards
backwards2:
    .zero 127, 0x90
    jmp backwards2
chain:
    # Each of these is short only while the next one is.
    je .end
    .zero 123, 0x90
    je .far
    .zero 120, 0x90
.end:
    .balign 16, 0xcc
    jne chain
    .zero 130, 0x90
.far:
    ret
.section .text.other, "ax"
elsewhere:
    jmp helper
    call visible
    loop elsewhere
    .quad elsewhere, helper, visible, replaceable, imported
    .long visible - ., helper - ., imported - .
    jmp 0x1000
