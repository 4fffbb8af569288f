.intel_syntax noprefix
# What tasks do to pass the time.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern clock_deadline
.extern clock_ns
.extern relax

.section .text
# work_spin(rdi = nanoseconds): computes until that much time has passed.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC work_spin
work_spin:
    FRAME
    push rbx
    call clock_deadline
    mov rbx, rax
.spin:
    call relax
    call clock_ns
    cmp rax, rbx
    jb .spin
    pop rbx
    UNFRAME
    ret
END work_spin
