.intel_syntax noprefix
# Comparing a device's down-counter with the time-stamp counter.
#
# The host may take the CPU away at any moment. Of several readings the one with the tightest
# bracket of time-stamps counts; both counters are read together at both ends, so it does not
# matter how late the end is noticed; and a result is believed only when the next one agrees,
# which also sorts out the ones during which a short counter wrapped.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern relax_spin

.equ READINGS, 8
.equ ATTEMPTS, 64
.equ AGREEMENT_SHIFT, 6                 # within 1/64
.equ RATIO_SHIFT, 16

.section .text
# calibrate(rdi = reader, rsi = least distance in counts, edx = counter's mask) -> rax =
# time-stamp ticks, rcx = counts that passed meanwhile. The reader returns its counter in ecx and
# may change rax, rcx and rdx.
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
    sub rsp, 24
    mov rbx, rdi
    mov r12, rsi
    mov qword ptr [rsp], rdx            # mask
    mov qword ptr [rsp + 8], 0          # ratio of the attempt before
    mov qword ptr [rsp + 16], ATTEMPTS
.attempt:
    call calibrate_read
    mov r13, rsi
    mov r14d, ecx
.wait:
    call relax_spin
    call rbx
    mov eax, r14d
    sub eax, ecx
    and eax, dword ptr [rsp]
    cmp rax, r12
    jb .wait
    call calibrate_read
    sub rsi, r13
    mov r13, rsi                        # ticks
    sub r14d, ecx
    and r14d, dword ptr [rsp]           # counts
    jz .attempt
    mov rax, r13
    shl rax, RATIO_SHIFT
    xor edx, edx
    div r14
    mov rcx, qword ptr [rsp + 8]
    mov qword ptr [rsp + 8], rax
    sub rcx, rax
    mov rdx, rcx
    neg rdx
    cmovns rcx, rdx                     # their distance
    shr rax, AGREEMENT_SHIFT
    cmp rcx, rax
    jbe .agreed
    dec qword ptr [rsp + 16]
    jnz .attempt
.agreed:
    mov rax, r13
    mov ecx, r14d
    add rsp, 24
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
