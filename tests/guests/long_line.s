.intel_syntax noprefix
# A log line of 200,000 bytes, a line of text as long, and the start of a log line without its end.
.include "guest.inc"
.equ LENGTH, 200000

.macro FILL
    mov ecx, LENGTH
    mov edx, COM1
    mov al, 'x'
.fill_next\@:
    out dx, al
    dec ecx
    jnz .fill_next\@
    mov al, 10
    out dx, al
.endm

start:
    PRINT prefix, prefix_end
    FILL
    FILL
    PRINT prefix, prefix_end
    EXIT EXIT_PASS

.section .rodata, "a", @progbits
prefix:
    .ascii "[SCHED] "
prefix_end:
