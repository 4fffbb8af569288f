.intel_syntax noprefix
# Every data directive, in numbers of every radix, and expressions of every operator.
.equ TEN, 10
.equ MASK, ~0xf
.set COUNTER, 0
.set COUNTER, COUNTER + 1
.equiv ONCE, 'A'
assigned = (3 * 4) + 1

.data
start:
    .byte 10, 0x10, 010, 0b10, 'a', '\n', '\\', '#', -1, 255, -128
    .word 0xffff, -32768, TEN * 2
    .short 1
    .value 2
    .long -1, 0xffffffff, end - start, start, start + 4, . - start, -(TEN + 2)
    .int ~0, !0, !5, TEN == 10, TEN != 10, TEN < 3, TEN >= 10, TEN && 2, 0 || 0
    .quad MASK, 0x8000000000000000, 0xffffffffffffffff, start, end - 1, 1 << 40
    .quad (-8) >> 60, -7 / 2, -7 % 3, 7 & 3, 5 | 8, 6 ^ 3, ONCE, assigned, COUNTER
    .ascii "no end", "two\t\"quoted\"\\ \101\x41\n"
    .asciz "ended"      # a comment with "quotes" and 'apostrophes
    .string "semi;colon # no comment /* neither */"
    .zero 3
    .skip 2, 0xaa
    .space 1 + 1
    .fill 3, 2, 0x1234
    .fill 2, 8, -1
    .fill 2
    .balign 8
    .align 16, 0x5a
    .p2align 5
    .p2align 4, 0x11, 3
    .byte 1
    .p2align 4, 0x11, 3
    .long outside - .
    .long . - start
    .zero LENGTH
    .zero late_end - late
end:
    .org start + 0x200, 0x77
after_org:
    .byte 1 /* a comment
    over lines */
    .byte 2
text_length:
    .ascii "hello"
.equ LENGTH, . - text_length
late:
    .quad 1
late_end:

.section .rodata
constant:
    .quad after_org, LENGTH, imported, imported + 8, constant
.section .rodata.strings, "aMS", @progbits, 1
    .asciz "merged"
.section .note.sample, "a", @note
    .long 4, 4, 1
    .asciz "abc"
    .long 7
.bss
    .balign 64
buffer:
    .zero 4096
    .skip 8
more:
    .zero 1
.section .custom, "aw", @nobits
    .zero 16
.section .trampoline, "ax", @progbits
outside:
    nop
.extern imported
.globl start, constant
.type buffer, @object
.size buffer, 4096
.type start, @object
.size start, end - start
.globl exported
.equ exported, 0x1234
.weak maybe
.text
    mov rax, offset maybe
    mov eax, exported
