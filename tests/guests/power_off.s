.intel_syntax noprefix
# Switches the machine off without a verdict, through the power-management port of the `q35` chip
# set as QEMU's firmware sets it up.
.include "guest.inc"
.equ PM1A_CONTROL, 0x604
    .equ SLEEP_ENABLE_S5, 0x2000
start:
    mov dx, PM1A_CONTROL
    mov ax, SLEEP_ENABLE_S5
    out dx, ax
.wait:
    pause
    jmp .wait
