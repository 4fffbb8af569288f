.intel_syntax noprefix
# A well-behaved guest: text, a log line, text, the agreed status.
.include "guest.inc"
start:
    PRINT said, said_end
    EXIT EXIT_PASS

.section .rodata, "a", @progbits
said:
    .ascii "hello from the guest\n"
    .ascii "[SCHED] a note\n"
    .ascii "good bye\n"
said_end:
