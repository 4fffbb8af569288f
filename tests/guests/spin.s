.intel_syntax noprefix
# A silent hang with interrupts off: one line, then nothing for ever.
.include "guest.inc"
start:
    PRINT said, said_end
    cli
.wait:
    pause
    jmp .wait

.section .rodata, "a", @progbits
said:
    .ascii "about to hang\n"
said_end:
