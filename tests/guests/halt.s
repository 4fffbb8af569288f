.intel_syntax noprefix
# Halts with interrupts on where no interrupt will come: both interrupt controllers are masked.
.include "guest.inc"
.equ PIC1_MASK, 0x21
.equ PIC2_MASK, 0xa1
start:
    mov al, 0xff
    out PIC1_MASK, al
    out PIC2_MASK, al
    sti
.wait:
    hlt
    jmp .wait
