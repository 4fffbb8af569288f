.intel_syntax noprefix
# Rules about locks, checked where they change hands: K1 to K6 of those that `harness rules` lists
# are about those of run queues, K7 is about all. Each CPU keeps a mask of the run queues that it
# has locked. A run queue is either policy's: what is read of it here is in the same place in both.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "veridian.inc"
.include "invariant.inc"

.extern clock_khz
.extern param_clock

.equ RFLAGS_IF, 0x200
.equ PATIENCE_VIRTUAL_MS, 1000          # a lock may be waited for for so long
.equ PATIENCE_REAL_MS, 8000             # the host may stop the holder; 10 s of silence are a hang

.if runqueue.cpu != cpu_info.cpu
.error "the run queues of the policies have their CPUs' numbers in different places"
.endif

.ifdef CHECK
.section .text
# held_mask() -> rax = address of the calling CPU's mask of locked run queues.
#   clobbers: nothing else
#   locks: none
#   irq: off
PRIVATE held_mask
held_mask:
    mov eax, gs:[percpu.cpu]
    push rcx
    lea rcx, [rip + invariant_held]
    lea rax, [rcx + rax * 8]
    pop rcx
    ret
END held_mask

# invariant_before_lock(rdi = run queue): K4, and K1: a lock that is waited for is above all held.
#   clobbers: nothing
#   locks: none of them waited for yet
#   irq: off, or the rule is broken
PUBLIC invariant_before_lock
invariant_before_lock:
    INVARIANT_ENTER
    call interrupts_off
    call held_mask
    mov rax, qword ptr [rax]
    mov ecx, dword ptr [rdi + runqueue.cpu]
    shr rax, cl
    test rax, rax
    jnz .broken
    INVARIANT_LEAVE
.broken:
    BROKEN K1, "a run queue is waited for while a higher one, or itself, is locked"
END invariant_before_lock

# interrupts_off(): K4.
#   clobbers: rax
#   locks: any
#   irq: off, or the rule is broken
PRIVATE interrupts_off
interrupts_off:
    FRAME
    pushfq
    pop rax
    test eax, RFLAGS_IF
    jnz .broken
    UNFRAME
    ret
.broken:
    BROKEN K4, "a run queue is locked, or about to be, with interrupts on"
END interrupts_off

# invariant_locked(rdi = run queue): notes that this CPU has it now.
#   clobbers: nothing
#   locks: the run queue's held
#   irq: off
PUBLIC invariant_locked
invariant_locked:
    INVARIANT_ENTER
    call held_mask
    mov ecx, dword ptr [rdi + runqueue.cpu]
    bts qword ptr [rax], rcx
    INVARIANT_LEAVE
END invariant_locked

# invariant_before_unlock(rdi = run queue): K3 and K4, then everything that must hold of the queue;
# notes that this CPU gives it up.
#   clobbers: nothing
#   locks: the run queue's held, or the rule is broken
#   irq: off, or the rule is broken
PUBLIC invariant_before_unlock
invariant_before_unlock:
    INVARIANT_ENTER
    call note_unlock
    INVARIANT structure
    INVARIANT stack
    INVARIANT_LEAVE
END invariant_before_unlock

# invariant_before_info_unlock(rdi = cpu_info): the same for policy veridian's.
#   clobbers: nothing
#   locks: the cpu_info's held, or the rule is broken
#   irq: off, or the rule is broken
PUBLIC invariant_before_info_unlock
invariant_before_info_unlock:
    INVARIANT_ENTER
    call note_unlock
    INVARIANT rings
    INVARIANT stack
    INVARIANT_LEAVE
END invariant_before_info_unlock

# note_unlock(rdi = run queue): K3 and K4.
#   clobbers: rax, rcx
#   locks: the run queue's held, or the rule is broken
#   irq: off, or the rule is broken
PRIVATE note_unlock
note_unlock:
    FRAME
    call interrupts_off
    call held_mask
    mov ecx, dword ptr [rdi + runqueue.cpu]
    btr qword ptr [rax], rcx
    jnc .broken
    UNFRAME
    ret
.broken:
    BROKEN K3, "a CPU releases a run queue that it has not locked"
END note_unlock

# invariant_waiting(rdi = lock, rsi = time-stamp counter when the wait began, 0 the first time) ->
# rsi = the same from the first time on: K7: it is not waited for for ever.
#   clobbers: nothing else
#   locks: none of them taken yet; any others
#   irq: as found
PUBLIC invariant_waiting
invariant_waiting:
    FRAME
    pushfq
    push rax
    push rdx
    push rcx
    rdtsc
    shl rdx, 32
    or rax, rdx
    test rsi, rsi
    jz .begins
    sub rax, rsi
    mov ecx, PATIENCE_REAL_MS
    cmp dword ptr [rip + param_clock], 0
    jne .known
    mov ecx, PATIENCE_VIRTUAL_MS
.known:
    imul rcx, qword ptr [rip + clock_khz]
    test rcx, rcx
    jz .done                            # too early to tell
    cmp rax, rcx
    ja .broken
.done:
    pop rcx
    pop rdx
    pop rax
    popfq
    UNFRAME
    ret
.begins:
    mov rsi, rax
    jmp .done
.broken:
    mov eax, dword ptr [rdi + lock.owner]
    mov rbx, rdi
    BROKEN K7, "a lock is waited for too long (rax: the CPU that holds it, rbx: the lock)"
END invariant_waiting

# invariant_task_locked(rdi = task): K2: who changes where a task is queued has locked that queue.
#   clobbers: nothing
#   locks: that of the task's run queue held, or the rule is broken
#   irq: off
PUBLIC invariant_task_locked
invariant_task_locked:
    INVARIANT_ENTER
    call held_mask
    mov ecx, dword ptr [rdi + task.cpu]
    bt qword ptr [rax], rcx
    jnc .broken
    INVARIANT_LEAVE
.broken:
    BROKEN K2, "a task is queued or taken off without its run queue's lock"
END invariant_task_locked

# invariant_both_locked(rdi, rsi = run queues): K5: two are locked, as what follows needs.
#   clobbers: nothing
#   locks: both held, or the rule is broken
#   irq: off
PUBLIC invariant_both_locked
invariant_both_locked:
    INVARIANT_ENTER
    call held_mask
    mov ecx, dword ptr [rdi + runqueue.cpu]
    bt qword ptr [rax], rcx
    jnc .broken
    mov ecx, dword ptr [rsi + runqueue.cpu]
    bt qword ptr [rax], rcx
    jnc .broken
    INVARIANT_LEAVE
.broken:
    BROKEN K5, "a task moves between two run queues that are not both locked"
END invariant_both_locked

# invariant_switching(): K6: over a switch exactly the local run queue is locked.
#   clobbers: nothing
#   locks: the local run queue's held and no other, or the rule is broken
#   irq: off
PUBLIC invariant_switching
invariant_switching:
    INVARIANT_ENTER
    call held_mask
    xor edx, edx
    mov ecx, gs:[percpu.cpu]
    bts rdx, rcx
    cmp rdx, qword ptr [rax]
    jne .broken
    INVARIANT apic_idle
    INVARIANT_LEAVE
.broken:
    BROKEN K6, "at a switch another set of run queues is locked than the local one"
END invariant_switching

# invariant_unlocked(): K3: nothing is locked where the CPU halts or goes back to a task.
#   clobbers: nothing
#   locks: none held, or the rule is broken
#   irq: off
PUBLIC invariant_unlocked
invariant_unlocked:
    INVARIANT_ENTER
    call held_mask
    cmp qword ptr [rax], 0
    jne .broken
    INVARIANT_LEAVE
.broken:
    BROKEN K3, "a CPU halts or returns to its task with a run queue locked"
END invariant_unlocked

# invariant_between_steps(): K3 and K4: a task that goes on with its own work has nothing locked,
# and can be interrupted.
#   clobbers: nothing
#   locks: none held, or the rule is broken
#   irq: on, or the rule is broken
PUBLIC invariant_between_steps
invariant_between_steps:
    INVARIANT_ENTER
    pushfq
    pop rax
    test eax, RFLAGS_IF
    jz .broken
    cli
    call invariant_unlocked
    INVARIANT_LEAVE
.broken:
    BROKEN K4, "a task goes on with interrupts off"
END invariant_between_steps

.section .bss
# invariant_held: by CPU, the run queues that it has locked, a bit each.
OBJECT invariant_held
invariant_held:
    .zero 8 * (MAX_CPUS + 1)
END invariant_held
.endif
