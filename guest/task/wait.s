.intel_syntax noprefix
# Wait queues: how a task of a workload sleeps until another one, or the timer interrupt, takes it
# out again.
#
# No wake-up is lost: a task enters a queue and sets its state under the queue's lock, with
# interrupts off until schedule() has taken it off the CPU, and a waker needs the same lock. It may
# find the task anywhere on that way; that is try_to_wake_up's to sort out.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "workload.inc"
.include "interpreter.inc"
.include "policy.inc"

.extern memory_alloc
.extern spin_lock
.extern spin_unlock
.extern wtask_current

.section .text
# wait_queues_make(edi = how many, esi = bytes of each) -> rax = structures that begin with an empty
# wait queue and are zero behind it.
#   clobbers: caller-saved
#   locks: none
#   irq: as found
PUBLIC wait_queues_make
wait_queues_make:
    FRAME
    push rbx
    push r12
    mov ebx, edi
    mov r12d, esi
    mov rdi, rbx
    imul rdi, r12
    mov esi, 64
    call memory_alloc
    mov rsi, rax
    mov rdi, rax
    mov rcx, rbx
    imul rcx, r12
    xor eax, eax
    rep stosb
    mov rax, rsi
.queue:
    sub ebx, 1
    jc .done
    mov qword ptr [rsi + wait_queue.next], rsi
    mov qword ptr [rsi + wait_queue.prev], rsi
    mov dword ptr [rsi + wait_queue.lock + lock.owner], LOCK_FREE
    add rsi, r12
    jmp .queue
.done:
    pop r12
    pop rbx
    UNFRAME
    ret
END wait_queues_make

# wait_enter(rdi = queue or member, rsi = wtask): puts the task right before it; before the queue
# itself is the end.
#   clobbers: rax
#   locks: the queue's lock held
#   irq: off
PUBLIC wait_enter
wait_enter:
    mov rax, qword ptr [rdi + wait_queue.prev]
    mov qword ptr [rsi + wtask.next], rdi
    mov qword ptr [rsi + wtask.prev], rax
    mov qword ptr [rax + wtask.next], rsi
    mov qword ptr [rdi + wait_queue.prev], rsi
    mov qword ptr [rsi + wtask.waiting], 1
    ret
END wait_enter

# wait_sleep(rdi = queue, rsi = wtask, edx = state): sleeps until somebody has taken the calling
# task, which is in the queue, out of it.
#   clobbers: caller-saved
#   locks: the queue's lock, held at entry, is released
#   irq: off; on while other tasks run
PUBLIC wait_sleep
wait_sleep:
    FRAME
    push rbx
    push r12
    push r13
    mov rbx, rdi
    mov r12, rsi
    mov r13d, edx
.asleep:
    mov rax, qword ptr [r12 + wtask.task]
    mov dword ptr [rax + task.state], r13d
    lea rdi, [rbx + wait_queue.lock]
    call spin_unlock
    # The most delicate moment: asleep by its state, but still queued and running. Under the virtual
    # clock `pause` lets the other CPUs go on right here; otherwise they hardly ever would.
    pause
    POLICY schedule
    # The waker lets go of the lock when it is through with this task, which therefore cannot
    # end under its hands.
    lea rdi, [rbx + wait_queue.lock]
    call spin_lock
    cmp qword ptr [r12 + wtask.waiting], 0
    jne .asleep
    lea rdi, [rbx + wait_queue.lock]
    call spin_unlock
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END wait_sleep

# wait_in(rdi = queue, esi = state): waits at the end of the queue.
#   clobbers: caller-saved
#   locks: the queue's lock, held at entry, is released
#   irq: off; on while other tasks run
PUBLIC wait_in
wait_in:
    FRAME
    push rbx
    push r12
    mov rbx, rdi
    mov r12d, esi
    call wtask_current
    mov rdi, rbx
    mov rsi, rax
    push rsi
    call wait_enter
    pop rsi
    mov rdi, rbx
    mov edx, r12d
    call wait_sleep
    pop r12
    pop rbx
    UNFRAME
    ret
END wait_in

# wait_wake(rdi = queue, esi = 1 for a sync wake-up) -> rax = the first task of the queue, taken
# out and woken; 0 if the queue is empty.
#   clobbers: caller-saved
#   locks: the queue's lock held; takes and releases run queues' locks
#   irq: off
PUBLIC wait_wake
wait_wake:
    FRAME
    push rbx
    mov rbx, qword ptr [rdi + wait_queue.next]
    cmp rbx, rdi
    je .empty
    mov rax, qword ptr [rbx + wtask.next]
    mov qword ptr [rdi + wait_queue.next], rax
    mov qword ptr [rax + wtask.prev], rdi
    mov qword ptr [rbx + wtask.waiting], 0
    mov edx, esi
    mov rdi, qword ptr [rbx + wtask.task]
    mov esi, TASK_INTERRUPTIBLE + TASK_UNINTERRUPTIBLE
    POLICY wake
    mov rax, rbx
.out:
    pop rbx
    UNFRAME
    ret
.empty:
    xor eax, eax
    jmp .out
END wait_wake

# wait_wake_all(rdi = queue): wakes those who wait now, and nobody who comes later.
#   clobbers: caller-saved
#   locks: the queue's lock, held at entry, is released; takes and releases run queues' locks
#   irq: off; on between two wake-ups and at exit
PUBLIC wait_wake_all
wait_wake_all:
    FRAME
    push rbx
    push r12
    sub rsp, wait_queue.lock            # the links of a queue of our own; the lock stays the same
    mov rbx, rdi
    mov r12, rsp
    mov rax, qword ptr [rbx + wait_queue.next]
    cmp rax, rbx
    je .none
    mov rcx, qword ptr [rbx + wait_queue.prev]
    mov qword ptr [r12 + wait_queue.next], rax
    mov qword ptr [r12 + wait_queue.prev], rcx
    mov qword ptr [rax + wtask.prev], r12
    mov qword ptr [rcx + wtask.next], r12
    mov qword ptr [rbx + wait_queue.next], rbx
    mov qword ptr [rbx + wait_queue.prev], rbx
.wake:
    mov rdi, r12
    xor esi, esi
    call wait_wake
    cmp qword ptr [r12 + wait_queue.next], r12
    je .none
    # Ticks come through however many there are to wake.
    lea rdi, [rbx + wait_queue.lock]
    call spin_unlock
    sti
    nop                                 # interrupts come in behind it
    cli
    lea rdi, [rbx + wait_queue.lock]
    call spin_lock
    jmp .wake
.none:
    lea rdi, [rbx + wait_queue.lock]
    call spin_unlock
    sti
    add rsp, wait_queue.lock
    pop r12
    pop rbx
    UNFRAME
    ret
END wait_wake_all
