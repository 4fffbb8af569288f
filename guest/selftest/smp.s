.intel_syntax noprefix
# Self-tests of what CPUs do to each other: interrupts between every ordered pair, spin locks.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern cpu_count
.extern idle_polls
.extern ipi_call_on
.extern ipi_measure
.extern param_clock
.extern smp_call_all
.extern spin_lock
.extern spin_trylock
.extern spin_unlock

.equ POLLING_PAIRS_UP_TO, 16            # CPUs; beyond, targets are only tried halted
.equ LOCK_ROUNDS, 1024                  # over all CPUs

.section .text
# test_ipi() -> rax: an interrupt from every CPU to every other one arrives, whether the target
# polls or halts. The latencies go to the log; one that does not arrive hangs the run. Under the
# real clock nobody is made to poll: more polling CPUs than the host has cores keep each other from
# running, and a CPU that waits for the one which measures is a polling target anyway.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC test_ipi
test_ipi:
    FRAME
    cmp qword ptr [rip + cpu_count], POLLING_PAIRS_UP_TO
    ja .halted
    cmp dword ptr [rip + param_clock], 0
    jne .halted
    mov qword ptr [rip + idle_polls], 1
    call ping_all_pairs
    mov qword ptr [rip + idle_polls], 0
.halted:
    call ping_all_pairs
    xor eax, eax
    UNFRAME
    ret
END test_ipi

# ping_all_pairs(): has every CPU ping every other one.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE ping_all_pairs
ping_all_pairs:
    FRAME
    push rbx
    # A visit to each CPU first, so that none still halts when it is to poll.
    lea rdi, [rip + ping_others]
    call ping_others
    mov ebx, 1
.cpu:
    cmp rbx, qword ptr [rip + cpu_count]
    jae .done
    mov edi, ebx
    lea rsi, [rip + ping_others]
    call ipi_call_on
    inc ebx
    jmp .cpu
.done:
    pop rbx
    UNFRAME
    ret
END ping_all_pairs

# ping_others(): pings every CPU but the calling one.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE ping_others
ping_others:
    FRAME
    push rbx
    xor ebx, ebx
.cpu:
    cmp ebx, gs:[percpu.cpu]
    je .next
    mov edi, ebx
    call ipi_measure
.next:
    inc ebx
    cmp rbx, qword ptr [rip + cpu_count]
    jb .cpu
    pop rbx
    UNFRAME
    ret
END ping_others

# test_lock() -> rax: increments under the lock, by all CPUs at once, do not get lost; the holder
# is recorded; a held lock cannot be taken.
#   clobbers: caller-saved
#   locks: takes and releases test_spin_lock
#   irq: on
PUBLIC test_lock
test_lock:
    FRAME
    push r12
    mov qword ptr [rip + lock_count], 0
    mov qword ptr [rip + lock_failures], 0
    mov eax, LOCK_ROUNDS
    xor edx, edx
    div qword ptr [rip + cpu_count]
    mov r12, rax
    lea rdi, [rip + lock_rounds]
    mov rsi, r12
    call smp_call_all
    lea rax, [rip + lock_lost]
    imul r12, qword ptr [rip + cpu_count]
    cmp qword ptr [rip + lock_count], r12
    jne .out
    lea rax, [rip + lock_wrong]
    cmp qword ptr [rip + lock_failures], 0
    jne .out
    xor eax, eax
.out:
    pop r12
    UNFRAME
    ret
END test_lock

# lock_rounds(rdi = rounds): increments lock_count under the lock, reading and writing apart.
#   clobbers: caller-saved
#   locks: takes and releases test_spin_lock
#   irq: on
PRIVATE lock_rounds
lock_rounds:
    FRAME
    push rbx
    push r12
    mov rbx, rdi
.round:
    lea rdi, [rip + test_spin_lock]
    call spin_lock
    mov r12, qword ptr [rip + lock_count]
    lea rdi, [rip + test_spin_lock]
    call spin_trylock
    mov ecx, gs:[percpu.cpu]
    sub ecx, dword ptr [rip + test_spin_lock + lock.owner]
    or eax, ecx
    jz .right
    lock inc qword ptr [rip + lock_failures]
.right:
    pause                               # lets another CPU in, were the lock not one
    inc r12
    mov qword ptr [rip + lock_count], r12
    lea rdi, [rip + test_spin_lock]
    call spin_unlock
    dec rbx
    jnz .round
    pop r12
    pop rbx
    UNFRAME
    ret
END lock_rounds

.section .rodata
lock_lost:
    .asciz "increments under the lock were lost"
lock_wrong:
    .asciz "a held lock was taken, or its holder is not recorded"

.section .data
    .balign 16
test_spin_lock:
    .long LOCK_FREE, 0, 0, 0

.section .bss
lock_count:
    .zero 8
lock_failures:
    .zero 8
