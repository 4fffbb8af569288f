.intel_syntax noprefix
# What a CPU does at a race point (RACE_POINT): mostly nothing, and one time in race_one_in it lets
# the others overtake it. Which times these are follows from race_seed alone.
#
# race=yield hands the host over to the next CPU some times, which is what matters while one host
# thread runs all CPUs; race=delay loses time, which is what matters while each has its own. Lengths
# are drawn from powers of two: some bugs need a moment and some a long absence.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern param_race
.extern param_race_one_in
.extern param_race_seed

.equ RACE_YIELD, 1
.equ RACE_DELAY, 2
.equ MOST_YIELDS_LOG2, 7
.equ MOST_TURNS_LOG2, 15

.section .text
# race_point(): perhaps waits.
#   clobbers: nothing
#   locks: as found; whoever holds some keeps the others waiting
#   irq: as found
PUBLIC race_point
race_point:
    FRAME
    push rax
    push rcx
    push rdx
    call race_random
    xor edx, edx
    div dword ptr [rip + param_race_one_in]
    test edx, edx
    jnz .out
    mov ecx, eax
    mov eax, 1
    cmp dword ptr [rip + param_race], RACE_DELAY
    je .delay
    and ecx, MOST_YIELDS_LOG2
    shl eax, cl
.yield:
    pause
    dec eax
    jnz .yield
    jmp .out
.delay:
    and ecx, MOST_TURNS_LOG2
    shl eax, cl
.turn:
    dec eax
    jnz .turn
    pause
.out:
    pop rdx
    pop rcx
    pop rax
    UNFRAME
    ret
END race_point

# race_random() -> eax = the calling CPU's next random number: xorshift64* (Vigna 2016), the upper
# half. A CPU's first call seeds its generator, which is never 0 afterwards.
#   clobbers: rcx, rdx
#   locks: none: an interrupt in between merely draws the same number twice
#   irq: as found
PRIVATE race_random
race_random:
    mov ecx, gs:[percpu.cpu]
    lea rdx, [rip + race_state]
    lea rdx, [rdx + rcx * 8]
    mov rax, qword ptr [rdx]
    test rax, rax
    jnz .next
    lea eax, [rcx + 1]
    movabs rcx, 0x9e3779b97f4a7c15
    imul rax, rcx
    xor rax, qword ptr [rip + param_race_seed]
    or rax, 1
.next:
    mov rcx, rax
    shr rcx, 12
    xor rax, rcx
    mov rcx, rax
    shl rcx, 25
    xor rax, rcx
    mov rcx, rax
    shr rcx, 27
    xor rax, rcx
    mov qword ptr [rdx], rax
    movabs rcx, 0x2545f4914f6cdd1d
    imul rax, rcx
    shr rax, 32
    ret
END race_random

.section .bss
# race_state: each CPU's generator, 0 until its first number.
OBJECT race_state
race_state:
    .zero MAX_CPUS * 8
END race_state
