.intel_syntax noprefix
# Load figures: 128 for each runnable task, averaged over ticks. The functions are given what their
# caller read of a run queue, so that it can log the very numbers that decided.

.include "macros.inc"

.equ SCHED_LOAD_SHIFT, 7                # SCHED_LOAD_SCALE is 128

.section .text
# decayed_load(rdi = cpu_load, rsi = nr_running) -> rax = cpu_load after a tick: halfway to the
# present, rounded up when it rises, or one task would never count as 128.
#   clobbers: rcx, rsi
#   locks: none
#   irq: any
PUBLIC decayed_load
decayed_load:
    shl rsi, SCHED_LOAD_SHIFT
    xor ecx, ecx
    cmp rsi, rdi
    seta cl
    lea rax, [rdi + rsi]
    add rax, rcx
    shr rax, 1
    ret
END decayed_load

# source_load(rdi = cpu_load, rsi = nr_running) -> rax = a low guess, for a CPU that tasks may be
# taken from.
#   clobbers: rsi
#   locks: none; both numbers are hints
#   irq: any
PUBLIC source_load
source_load:
    mov rax, rdi
    shl rsi, SCHED_LOAD_SHIFT
    cmp rsi, rax
    cmovb rax, rsi
    ret
END source_load

# target_load(rdi = cpu_load, rsi = nr_running) -> rax = a high guess, for a CPU that tasks may be
# given to.
#   clobbers: rsi
#   locks: none; both numbers are hints
#   irq: any
PUBLIC target_load
target_load:
    mov rax, rdi
    shl rsi, SCHED_LOAD_SHIFT
    cmp rsi, rax
    cmova rax, rsi
    ret
END target_load
