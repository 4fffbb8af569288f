.intel_syntax noprefix
# Ticket spin locks. Waiters are served in the order in which they came; the holder is recorded,
# so that taking a lock twice or releasing somebody else's is a panic and not a silent hang.
#
# A lock that an interrupt handler takes too is only ever held with interrupts off.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern relax_spin

.section .text
# spin_lock(rdi = lock): waits for its turn.
#   clobbers: rax, rcx
#   locks: takes *rdi
#   irq: as found
PUBLIC spin_lock
spin_lock:
    FRAME
    mov eax, gs:[percpu.cpu]
    cmp dword ptr [rdi + lock.owner], eax
    je .recursion
    mov eax, 1
    lock xadd dword ptr [rdi + lock.next], eax
.wait:
    cmp dword ptr [rdi + lock.serving], eax
    je .taken
    call relax_spin
    jmp .wait
.taken:
    mov eax, gs:[percpu.cpu]
    mov dword ptr [rdi + lock.owner], eax
    UNFRAME
    ret
.recursion:
    PANIC "spin_lock: this CPU holds the lock already"
END spin_lock

# spin_trylock(rdi = lock) -> eax = 1 taken, 0 busy.
#   clobbers: rax, rcx, rdx
#   locks: takes *rdi if it returns 1
#   irq: as found
PUBLIC spin_trylock
spin_trylock:
    mov rax, qword ptr [rdi + lock.next]
    mov rcx, rax
    shr rcx, 32                         # serving
    cmp ecx, eax
    jne .busy
    lea edx, [rax + 1]
    shl rcx, 32
    or rdx, rcx
    lock cmpxchg qword ptr [rdi + lock.next], rdx
    jne .busy
    mov eax, gs:[percpu.cpu]
    mov dword ptr [rdi + lock.owner], eax
    mov eax, 1
    ret
.busy:
    xor eax, eax
    ret
END spin_trylock

# spin_unlock(rdi = lock): hands it to the next waiter.
#   clobbers: rax
#   locks: releases *rdi, which this CPU must hold
#   irq: as found
PUBLIC spin_unlock
spin_unlock:
    FRAME
    mov eax, gs:[percpu.cpu]
    cmp dword ptr [rdi + lock.owner], eax
    jne .not_owner
    mov dword ptr [rdi + lock.owner], LOCK_FREE
    inc dword ptr [rdi + lock.serving]
    UNFRAME
    ret
.not_owner:
    PANIC "spin_unlock: this CPU does not hold the lock"
END spin_unlock
