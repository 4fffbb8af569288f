.intel_syntax noprefix
# Faults three deep: an invalid instruction with an empty interrupt table.
.include "guest.inc"
start:
    lidt [no_idt]
    ud2

.section .rodata, "a", @progbits
    .balign 8
no_idt:
    .word 0
    .long 0
