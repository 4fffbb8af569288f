.intel_syntax noprefix
# Spin locks: test, then test and set. The lock word is the CPU that holds it, so that taking a lock
# twice or releasing somebody else's is a panic and not a silent hang.
#
# Not ticket locks, although those are fair: where the host has fewer cores than the guest, the one
# CPU whose turn it is usually does not run, and everybody waits for the host's scheduler.
#
# A lock that an interrupt handler takes too is only ever held with interrupts off.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "race.inc"
.include "invariant.inc"

.extern relax_spin

.section .text
# spin_lock(rdi = lock): waits until it is free.
#   clobbers: rax, rcx
#   locks: takes *rdi
#   irq: as found
PUBLIC spin_lock
spin_lock:
    FRAME
    RACE_POINT
    push rdx
    mov edx, gs:[percpu.cpu]
    .ifdef CHECK
    push rsi
    xor esi, esi                        # does not wait yet
    .endif
.try:
    mov eax, LOCK_FREE
    lock cmpxchg dword ptr [rdi + lock.owner], edx
    je .taken
    cmp eax, edx
    je .recursion
.wait:
    call relax_spin
    INVARIANT waiting
    cmp dword ptr [rdi + lock.owner], LOCK_FREE
    jne .wait
    jmp .try
.taken:
    .ifdef CHECK
    pop rsi
    .endif
    pop rdx
    UNFRAME
    ret
.recursion:
    PANIC "spin_lock: this CPU holds the lock already"
END spin_lock

# spin_trylock(rdi = lock) -> eax = 1 taken, 0 busy.
#   clobbers: rcx
#   locks: takes *rdi if it returns 1
#   irq: as found
PUBLIC spin_trylock
spin_trylock:
    RACE_POINT
    mov ecx, gs:[percpu.cpu]
    mov eax, LOCK_FREE
    lock cmpxchg dword ptr [rdi + lock.owner], ecx
    setz al
    movzx eax, al
    ret
END spin_trylock

# spin_unlock(rdi = lock): gives it back. A plain store is a release on this architecture.
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
    RACE_POINT
    UNFRAME
    ret
.not_owner:
    PANIC "spin_unlock: this CPU does not hold the lock"
END spin_unlock
