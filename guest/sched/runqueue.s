.intel_syntax noprefix
# The run queues, one per CPU in one table, and the locks on them (order: ascending address).

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "race.inc"
.include "invariant.inc"

.extern apic_count
.extern enqueue_task_at
.extern dequeue_task
.extern memory_alloc
.extern prio_array_init
.extern spin_lock
.extern spin_trylock
.extern spin_unlock

.equ CACHE_LINE, 64
.if (runqueue.size % CACHE_LINE) != 0
    .error "runqueue.size is not a multiple of a cache line"
.endif

.section .text
# runqueue_table_init(): makes room for the run queues of all CPUs.
#   clobbers: caller-saved
#   locks: none; the boot CPU is alone
#   irq: off
PUBLIC runqueue_table_init
runqueue_table_init:
    FRAME
    mov eax, dword ptr [rip + apic_count]
    imul rdi, rax, runqueue.size
    mov esi, CACHE_LINE
    call memory_alloc
    mov qword ptr [rip + runqueues], rax
    UNFRAME
    ret
END runqueue_table_init

# runqueue_init(): sets up the calling CPU's run queue: empty, running its idle task.
#   clobbers: caller-saved
#   locks: none; nobody else knows of it yet
#   irq: off
PUBLIC runqueue_init
runqueue_init:
    FRAME
    push rbx
    mov edi, gs:[percpu.cpu]
    call cpu_rq
    mov rbx, rax
    mov rdi, rax
    mov ecx, runqueue.size / 8
    xor eax, eax
    rep stosq
    mov dword ptr [rbx + runqueue.lock + lock.owner], LOCK_FREE
    mov eax, gs:[percpu.cpu]
    mov qword ptr [rbx + runqueue.cpu], rax
    mov qword ptr [rbx + runqueue.best_expired_prio], MAX_PRIO
    lea rdi, [rbx + runqueue.arrays]
    mov qword ptr [rbx + runqueue.active], rdi
    call prio_array_init
    lea rdi, [rbx + runqueue.arrays + prio_array.size]
    mov qword ptr [rbx + runqueue.expired], rdi
    call prio_array_init
    mov rax, gs:[percpu.idle]
    mov dword ptr [rax + task.prio], MAX_PRIO
    mov dword ptr [rax + task.static_prio], MAX_PRIO
    mov qword ptr [rbx + runqueue.idle], rax
    mov qword ptr [rbx + runqueue.curr], rax
    mov gs:[percpu.runqueue], rbx
    pop rbx
    UNFRAME
    ret
END runqueue_init

# cpu_rq(edi = CPU) -> rax = its run queue.
#   clobbers: nothing else
#   locks: none
#   irq: as found
PUBLIC cpu_rq
cpu_rq:
    imul eax, edi, runqueue.size
    add rax, qword ptr [rip + runqueues]
    ret
END cpu_rq

# rq_lock(rdi = run queue): takes its lock and logs the order.
#   clobbers: caller-saved but rdi
#   locks: takes it
#   irq: off
PUBLIC rq_lock
rq_lock:
    FRAME
    INVARIANT before_lock
    push rdi
    call spin_lock
    mov rdi, qword ptr [rsp]
    EVENT_AT 2, lock, [rdi + runqueue.cpu], 0
    pop rdi
    INVARIANT locked
    UNFRAME
    ret
END rq_lock

# rq_trylock(rdi = run queue) -> eax = 1 if it took its lock, 0 if that is busy.
#   clobbers: caller-saved but rdi
#   locks: takes it if it returns 1
#   irq: off
PUBLIC rq_trylock
rq_trylock:
    FRAME
    push rdi
    call spin_trylock
    pop rdi
    test eax, eax
    jz .busy
    EVENT_AT 2, lock, [rdi + runqueue.cpu], 1
    INVARIANT locked
.busy:
    UNFRAME
    ret
END rq_trylock

# rq_unlock(rdi = run queue): releases its lock.
#   clobbers: caller-saved
#   locks: releases it
#   irq: off
PUBLIC rq_unlock
rq_unlock:
    FRAME
    INVARIANT before_unlock
    EVENT_AT 2, unlock, [rdi + runqueue.cpu]
    call spin_unlock
    UNFRAME
    ret
END rq_unlock

# task_rq_lock(rdi = task) -> rax = the run queue that it belongs to, locked. The task may move
# while the lock is waited for; then the new one is taken.
#   clobbers: caller-saved but rdi
#   locks: takes the run queue's
#   irq: off
PUBLIC task_rq_lock
task_rq_lock:
    FRAME
    push rbx
    push r12
    mov rbx, rdi
.again:
    RACE_POINT
    mov edi, dword ptr [rbx + task.cpu]
    call cpu_rq
    mov r12, rax
    mov rdi, rax
    call rq_lock
    RACE_POINT
    mov eax, dword ptr [rbx + task.cpu]
    cmp rax, qword ptr [r12 + runqueue.cpu]
    je .locked
    mov rdi, r12
    call rq_unlock
    jmp .again
.locked:
    mov rdi, rbx
    mov rax, r12
    pop r12
    pop rbx
    UNFRAME
    ret
END task_rq_lock

# double_rq_lock(rdi, rsi = run queues): both locks, the lower address first; one if they are the
# same.
#   clobbers: caller-saved
#   locks: takes both
#   irq: off
PUBLIC double_rq_lock
double_rq_lock:
    FRAME
    push rbx
    cmp rdi, rsi
    je .one
    jb .ordered
    xchg rdi, rsi
.ordered:
    mov rbx, rsi
    call rq_lock
    mov rdi, rbx
.one:
    call rq_lock
    pop rbx
    UNFRAME
    ret
END double_rq_lock

# double_rq_unlock(rdi, rsi = run queues): releases what double_rq_lock took.
#   clobbers: caller-saved
#   locks: releases both
#   irq: off
PUBLIC double_rq_unlock
double_rq_unlock:
    FRAME
    push rbx
    push r12
    mov rbx, rdi
    mov r12, rsi
    call rq_unlock
    cmp rbx, r12
    je .one
    mov rdi, r12
    call rq_unlock
.one:
    pop r12
    pop rbx
    UNFRAME
    ret
END double_rq_unlock

# double_lock_balance(rdi = run queue, rsi = another) -> eax = 1 if the first was let go meanwhile:
# when the other was busy and has the lower address. Then nothing that was read under the first lock
# holds any more.
#   clobbers: caller-saved
#   locks: the first's held at entry, both at exit
#   irq: off
PUBLIC double_lock_balance
double_lock_balance:
    FRAME
    push rbx
    push r12
    push r13
    mov rbx, rdi
    mov r12, rsi
    xor r13d, r13d
    mov rdi, rsi
    call rq_trylock
    test eax, eax
    jnz .locked
    cmp r12, rbx
    ja .ordered
    inc r13d
    mov rdi, rbx
    call rq_unlock
    mov rdi, r12
    call rq_lock
    mov rdi, rbx
    call rq_lock
    jmp .locked
.ordered:
    mov rdi, r12
    call rq_lock
.locked:
    EVENT_AT 1, double_lock, [r12 + runqueue.cpu], r13
    mov rdi, rbx
    mov rsi, r12
    INVARIANT both_locked
    mov eax, r13d
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END double_lock_balance

# queue_active_task(rdi = task, rsi = run queue): the original's __activate_task. The operation has
# set percpu.op_jiffies.
#   clobbers: caller-saved
#   locks: the run queue's held
#   irq: off
PUBLIC queue_active_task
queue_active_task:
    FRAME
    inc qword ptr [rsi + runqueue.nr_running]
    mov rsi, qword ptr [rsi + runqueue.active]
    mov rdx, gs:[percpu.op_jiffies]
    call enqueue_task_at
    UNFRAME
    ret
END queue_active_task

# deactivate_task(rdi = task, rsi = run queue): off the queue, wherever it is queued there.
#   clobbers: caller-saved
#   locks: the run queue's held
#   irq: off
PUBLIC deactivate_task
deactivate_task:
    FRAME
    push rbx
    mov rbx, rdi
    dec qword ptr [rsi + runqueue.nr_running]
    mov rsi, qword ptr [rdi + task.array]
    call dequeue_task
    mov qword ptr [rbx + task.array], 0
    pop rbx
    UNFRAME
    ret
END deactivate_task

.section .bss
# runqueues: the table; entry i is CPU i's.
OBJECT runqueues
runqueues:
    .zero 8
END runqueues
