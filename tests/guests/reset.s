.intel_syntax noprefix
# Resets the machine as a guest does that has given up: through the chip set's reset register and,
# where there is none, through the keyboard controller (`pc` and `q35`; `microvm` has neither).
.include "guest.inc"
.equ RESET_CONTROL, 0xcf9
    .equ RESET_HARD, 0x6
.equ KEYBOARD_COMMAND, 0x64
    .equ PULSE_RESET_LINE, 0xfe
start:
    mov dx, RESET_CONTROL
    mov al, RESET_HARD
    out dx, al
    mov al, PULSE_RESET_LINE
    out KEYBOARD_COMMAND, al
.wait:
    pause
    jmp .wait
