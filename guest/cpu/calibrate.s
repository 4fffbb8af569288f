.intel_syntax noprefix
# Comparing a device's down-counter with the time-stamp counter.
#
# The host may take the CPU away at any moment, so a reading is only as good as the time-stamps
# around it are close: of several readings the one with the tightest bracket counts. Both counters
# are read together at both ends, so it does not matter how late the end is noticed.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern relax_spin

.equ READINGS, 8

.section .text
# calibrate(rdi = reader, rsi = least distance in counts) -> rax = time-stamp ticks, rcx = counts
# that passed meanwhile. The reader returns its counter in ecx and may change rax, rcx and rdx.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PUBLIC calibrate
calibrate:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    mov rbx, rdi
    mov r12, rsi
    call calibrate_read
    mov r13, rsi
    mov r14d, ecx
.wait:
    call relax_spin
    call rbx
    mov eax, r14d
    sub eax, ecx
    cmp rax, r12
    jb .wait
    call calibrate_read
    mov rax, rsi
    sub rax, r13
    sub r14d, ecx
    mov ecx, r14d
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END calibrate

# calibrate_read(rbx = reader) -> ecx = counter, rsi = time-stamp at that moment.
#   clobbers: rax, rdx, rdi, r8, r9, r10, r11
#   locks: none
#   irq: off
PRIVATE calibrate_read
calibrate_read:
    FRAME
    mov r8, -1                          # tightest bracket so far
    mov r11d, READINGS
.reading:
    rdtsc
    shl rdx, 32
    lea r9, [rdx + rax]
    call rbx
    mov edi, ecx
    rdtsc
    shl rdx, 32
    or rax, rdx
    sub rax, r9
    cmp rax, r8
    jae .looser
    mov r8, rax
    mov rsi, r9
    mov r10d, edi
.looser:
    dec r11d
    jnz .reading
    mov ecx, r10d
    UNFRAME
    ret
END calibrate_read
