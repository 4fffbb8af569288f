.intel_syntax noprefix
# Talks for ever.
.include "guest.inc"
start:
    PRINT said, said_end
    jmp start

.section .rodata, "a", @progbits
said:
    .ascii "[SCHED] and another thing\n"
said_end:
