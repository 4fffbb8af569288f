.intel_syntax noprefix
# Mutexes, conditions and barriers: wait queues with a little state, under the queue's lock.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "workload.inc"
.include "interpreter.inc"

.extern spin_lock
.extern spin_unlock
.extern wait_enter
.extern wait_in
.extern wait_queues_make
.extern wait_sleep
.extern wait_wake
.extern wait_wake_all
.extern workload_barriers
.extern workload_header
.extern wtask_current

.section .text
# sync_init(): makes the mutexes, conditions and barriers of the workload.
#   clobbers: caller-saved
#   locks: none; before the first task starts
#   irq: as found
PUBLIC sync_init
sync_init:
    FRAME
    push rbx
    push r12
    mov rbx, qword ptr [rip + workload_header]
    movzx edi, word ptr [rbx + wl.mutex_count]
    mov esi, mutex.size
    call wait_queues_make
    mov qword ptr [rip + mutexes], rax
    movzx edi, word ptr [rbx + wl.condition_count]
    mov esi, wait_queue.size
    call wait_queues_make
    mov qword ptr [rip + conditions], rax
    movzx edi, word ptr [rbx + wl.barrier_count]
    mov r12d, edi
    mov esi, barrier.size
    call wait_queues_make
    mov qword ptr [rip + barriers], rax
    mov rsi, qword ptr [rip + workload_barriers]
.parties:
    sub r12d, 1
    jc .done
    mov ecx, dword ptr [rsi]
    mov dword ptr [rax + barrier.parties], ecx
    add rsi, WL_PARTIES_SIZE
    add rax, barrier.size
    jmp .parties
.done:
    pop r12
    pop rbx
    UNFRAME
    ret
END sync_init

# TABLE_ENTRY register, table, struct: register = entry [instruction rdi].c of a table.
.macro TABLE_ENTRY register, table, size
    mov eax, dword ptr [rdi + wlinstr.c]
    imul rax, rax, \size
    add rax, qword ptr [rip + \table]
    mov \register, rax
.endm

# workload_op_lock(rdi = instruction).
#   clobbers: caller-saved
#   locks: takes and releases the mutex's queue lock
#   irq: on
PUBLIC workload_op_lock
workload_op_lock:
    FRAME
    TABLE_ENTRY rdi, mutexes, mutex.size
    call mutex_lock
    UNFRAME
    ret
END workload_op_lock

# workload_op_unlock(rdi = instruction).
#   clobbers: caller-saved
#   locks: takes and releases the mutex's queue lock
#   irq: on
PUBLIC workload_op_unlock
workload_op_unlock:
    FRAME
    TABLE_ENTRY rdi, mutexes, mutex.size
    cli
    call mutex_unlock
    sti
    UNFRAME
    ret
END workload_op_unlock

# mutex_lock(rdi = mutex): takes it, or waits until it is handed over.
#   clobbers: caller-saved
#   locks: takes and releases the mutex's queue lock
#   irq: on
PRIVATE mutex_lock
mutex_lock:
    FRAME
    push rbx
    mov rbx, rdi
    cli
    lea rdi, [rbx + mutex.queue + wait_queue.lock]
    call spin_lock
    cmp qword ptr [rbx + mutex.owner], 0
    jne .wait
    call wtask_current
    mov qword ptr [rbx + mutex.owner], rax
    lea rdi, [rbx + mutex.queue + wait_queue.lock]
    call spin_unlock
    jmp .taken
.wait:
    mov rdi, rbx
    mov esi, TASK_UNINTERRUPTIBLE
    call wait_in
.taken:
    sti
    pop rbx
    UNFRAME
    ret
END mutex_lock

# mutex_unlock(rdi = mutex): hands it to the task that has waited longest.
#   clobbers: caller-saved
#   locks: takes and releases the mutex's queue lock; run queues' locks
#   irq: off
PRIVATE mutex_unlock
mutex_unlock:
    FRAME
    push rbx
    mov rbx, rdi
    lea rdi, [rbx + mutex.queue + wait_queue.lock]
    call spin_lock
    call wtask_current
    cmp qword ptr [rbx + mutex.owner], rax
    jne .not_owner
    # The new owner is in place before it can run.
    mov rax, qword ptr [rbx + mutex.queue + wait_queue.next]
    xor ecx, ecx
    cmp rax, rbx
    cmove rax, rcx
    mov qword ptr [rbx + mutex.owner], rax
    mov rdi, rbx
    xor esi, esi
    call wait_wake
    lea rdi, [rbx + mutex.queue + wait_queue.lock]
    call spin_unlock
    pop rbx
    UNFRAME
    ret
.not_owner:
    PANIC "workload: a task releases a mutex that it does not hold"
END mutex_unlock

# workload_op_wait(rdi = instruction): the condition's lock is held from before the mutex is
# released until this task sleeps, so that no signal falls in between.
#   clobbers: caller-saved
#   locks: takes and releases the condition's queue lock and, inside it, the mutex's
#   irq: on
PUBLIC workload_op_wait
workload_op_wait:
    FRAME
    push rbx
    push r12
    push r13
    TABLE_ENTRY rbx, conditions, wait_queue.size
    xor r12d, r12d
    movzx eax, word ptr [rdi + wlinstr.b]
    cmp eax, WL_NO_MUTEX
    je .enter
    imul eax, eax, mutex.size
    add rax, qword ptr [rip + mutexes]
    mov r12, rax
.enter:
    cli
    lea rdi, [rbx + wait_queue.lock]
    call spin_lock
    call wtask_current
    mov r13, rax
    mov rdi, rbx
    mov rsi, r13
    call wait_enter
    test r12, r12
    jz .sleep
    mov rdi, r12
    call mutex_unlock
.sleep:
    mov rdi, rbx
    mov rsi, r13
    mov edx, TASK_INTERRUPTIBLE
    call wait_sleep
    sti
    test r12, r12
    jz .done
    mov rdi, r12
    call mutex_lock
.done:
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END workload_op_wait

# workload_op_signal(rdi = instruction).
#   clobbers: caller-saved
#   locks: takes and releases the condition's queue lock
#   irq: on
PUBLIC workload_op_signal
workload_op_signal:
    FRAME
    push rbx
    TABLE_ENTRY rbx, conditions, wait_queue.size
    cli
    lea rdi, [rbx + wait_queue.lock]
    call spin_lock
    mov rdi, rbx
    xor esi, esi
    call wait_wake
    lea rdi, [rbx + wait_queue.lock]
    call spin_unlock
    sti
    pop rbx
    UNFRAME
    ret
END workload_op_signal

# workload_op_broadcast(rdi = instruction).
#   clobbers: caller-saved
#   locks: takes and releases the condition's queue lock
#   irq: on
PUBLIC workload_op_broadcast
workload_op_broadcast:
    FRAME
    push rbx
    TABLE_ENTRY rbx, conditions, wait_queue.size
    cli
    lea rdi, [rbx + wait_queue.lock]
    call spin_lock
    mov rdi, rbx
    call wait_wake_all
    pop rbx
    UNFRAME
    ret
END workload_op_broadcast

# workload_op_barrier(rdi = instruction): the last one to come wakes the others and the barrier
# begins anew.
#   clobbers: caller-saved
#   locks: takes and releases the barrier's queue lock
#   irq: on
PUBLIC workload_op_barrier
workload_op_barrier:
    FRAME
    push rbx
    TABLE_ENTRY rbx, barriers, barrier.size
    cli
    lea rdi, [rbx + barrier.queue + wait_queue.lock]
    call spin_lock
    mov eax, dword ptr [rbx + barrier.arrived]
    inc eax
    cmp eax, dword ptr [rbx + barrier.parties]
    je .last
    mov dword ptr [rbx + barrier.arrived], eax
    mov rdi, rbx
    mov esi, TASK_INTERRUPTIBLE
    call wait_in
    jmp .out
.last:
    mov dword ptr [rbx + barrier.arrived], 0
    mov rdi, rbx
    call wait_wake_all
.out:
    sti
    pop rbx
    UNFRAME
    ret
END workload_op_barrier

.section .bss
# mutexes, conditions, barriers: the workload's, in its order.
OBJECT mutexes
mutexes:
    .zero 8
END mutexes
OBJECT conditions
conditions:
    .zero 8
END conditions
OBJECT barriers
barriers:
    .zero 8
END barriers
