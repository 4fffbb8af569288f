.intel_syntax noprefix
# Moving a task to another CPU on request: affinity changes and the migration threads that carry
# them out. Linux 2.6.11 set_cpus_allowed(), migration_thread(), __migrate_task();
# harness/model/migrate.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "race.inc"

.extern activate_task
.extern active_load_balance
.extern cpu_count
.extern cpu_online_lock
.extern cpu_online_mask
.extern cpu_rq
.extern deactivate_task
.extern double_rq_lock
.extern double_rq_unlock
.extern format_unsigned
.extern hotplug_serve
.extern preempt_curr
.extern rq_lock
.extern rq_unlock
.extern schedule
.extern spin_lock
.extern spin_unlock
.extern task_allocate
.extern task_rq_lock
.extern task_start
.extern try_to_wake_up

.equ EINVAL, 22
.equ MIGRATION_PRIORITY, 99             # real-time, the best there is

# Results of a request, for the log.
.equ MIGRATION_MOVED, 0
.equ MIGRATION_GONE, 1                  # it had left that CPU already
.equ MIGRATION_NOT_ALLOWED, 2           # its affinity has changed again
.equ MIGRATION_OFFLINE, 3               # the CPU it was to go to has been unplugged

.section .text
# set_cpus_allowed(rdi = task, rsi = mask) -> eax = 0, or -EINVAL if no CPU of it is online. When
# it returns the task is on a CPU that the mask allows. If all of these are unplugged meanwhile, the
# mask has become that of all CPUs.
#   clobbers: caller-saved
#   locks: takes and releases that of the task's run queue, and cpu_online_lock
#   irq: on; the caller may sleep
PUBLIC set_cpus_allowed
set_cpus_allowed:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    push r15
    sub rsp, migration.size
    mov rbx, rdi
    mov r13, rsi
    xor r15d, r15d                      # 1 once the mask is the task's
.again:
    cli
    mov rdi, rbx
    call task_rq_lock
    mov r12, rax
    lea rdi, [rip + cpu_online_lock]
    call spin_lock
    mov rax, qword ptr [rip + cpu_online_mask]
    and rax, r13
    jnz .online
    test r15d, r15d
    jz .unlock                          # r15d = 0: nothing has happened
    mov r13, -1
    mov rax, qword ptr [rip + cpu_online_mask]
.online:
    bsf r14, rax
    mov r15d, 1
    mov eax, dword ptr [rbx + task.id]
    EVENT_AT 1, set_cpus, rax, [r12 + runqueue.cpu], r13
    mov qword ptr [rbx + task.cpus_allowed], r13
    mov ecx, dword ptr [rbx + task.cpu]
    bt r13, rcx
    jc .unlock
    cmp qword ptr [rbx + task.array], 0
    jne .request
    cmp qword ptr [r12 + runqueue.curr], rbx
    je .request
    mov dword ptr [rbx + task.cpu], r14d
.unlock:
    lea rdi, [rip + cpu_online_lock]
    call spin_unlock
    mov rdi, r12
    call rq_unlock
    sti
    lea eax, [r15 - 1]
    and eax, -EINVAL
    jmp .out
.request:
    lea rdi, [rip + cpu_online_lock]
    call spin_unlock
    mov rdi, rsp
    call migration_request
    cmp eax, MIGRATION_OFFLINE
    je .again
    xor eax, eax
.out:
    lea rsp, [rbp - 40]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END set_cpus_allowed

# migration_request(rdi = request, rbx = task, r12 = its run queue, r14 = destination) -> eax = its
# result: has that CPU's migration thread move the task, and waits until it has. Without a task it
# is a request of sched/hotplug.s.
#   clobbers: caller-saved, rdi
#   locks: the run queue's held at entry, released here
#   irq: off at entry, on at exit
PUBLIC migration_request
migration_request:
    FRAME
    push r13
    mov r13, rdi
    mov qword ptr [r13 + migration.task], rbx
    mov qword ptr [r13 + migration.dest], r14
    mov dword ptr [r13 + migration.lock + lock.owner], LOCK_FREE
    mov qword ptr [r13 + migration.done], 0
    mov qword ptr [r13 + migration.waiter], 0
    mov rax, qword ptr [r12 + runqueue.migration_queue]
    mov qword ptr [r13 + migration.next], rax
    mov qword ptr [r12 + runqueue.migration_queue], r13
    mov rdi, r12
    call rq_unlock
    mov rdi, qword ptr [r12 + runqueue.migration_thread]
    mov esi, TASK_INTERRUPTIBLE + TASK_UNINTERRUPTIBLE
    xor edx, edx
    call try_to_wake_up
.wait:
    lea rdi, [r13 + migration.lock]
    call spin_lock
    cmp qword ptr [r13 + migration.done], 0
    jne .done
    mov rax, gs:[percpu.curr]
    mov qword ptr [r13 + migration.waiter], rax
    mov dword ptr [rax + task.state], TASK_UNINTERRUPTIBLE
    lea rdi, [r13 + migration.lock]
    call spin_unlock
    call schedule
    jmp .wait
.done:
    lea rdi, [r13 + migration.lock]
    call spin_unlock
    sti
    mov eax, dword ptr [r13 + migration.result]
    pop r13
    UNFRAME
    ret
END migration_request

# migration_complete(rdi = request, eax = result): tells whoever waits. The request is gone once its
# lock is free.
#   clobbers: caller-saved
#   locks: takes and releases the request's
#   irq: off
PRIVATE migration_complete
migration_complete:
    FRAME
    push rbx
    mov rbx, rdi
    mov dword ptr [rbx + migration.result], eax
    lea rdi, [rbx + migration.lock]
    call spin_lock
    mov qword ptr [rbx + migration.done], 1
    lea rdi, [rbx + migration.lock]
    mov rbx, qword ptr [rbx + migration.waiter]
    call spin_unlock
    test rbx, rbx
    jz .nobody
    mov rdi, rbx
    mov esi, TASK_UNINTERRUPTIBLE
    xor edx, edx
    call try_to_wake_up
.nobody:
    pop rbx
    UNFRAME
    ret
END migration_complete

# migration_thread(): body of each CPU's migration thread.
#   clobbers: never returns
#   locks: none at entry
#   irq: on at entry; off but while it sleeps
PRIVATE migration_thread
migration_thread:
    FRAME
    cli
.again:
    mov rbx, gs:[percpu.runqueue]
    mov rdi, rbx
    call rq_lock
    cmp qword ptr [rbx + runqueue.active_balance], 0
    je .request
    mov rdi, rbx
    call active_load_balance
    mov qword ptr [rbx + runqueue.active_balance], 0
.request:
    mov r12, qword ptr [rbx + runqueue.migration_queue]
    test r12, r12
    jz .sleep
    mov rax, qword ptr [r12 + migration.next]
    mov qword ptr [rbx + runqueue.migration_queue], rax
    mov rdi, rbx
    call rq_unlock
    mov rdi, qword ptr [r12 + migration.task]
    mov rsi, qword ptr [r12 + migration.dest]
    test rdi, rdi
    jz .hotplug
    call migrate_to
.complete:
    mov rdi, r12
    call migration_complete
    jmp .again
.sleep:
    # Under the lock, so that a request either is seen above or finds the thread asleep.
    mov rax, gs:[percpu.curr]
    mov dword ptr [rax + task.state], TASK_INTERRUPTIBLE
    mov rdi, rbx
    call rq_unlock
    call schedule
    jmp .again
.hotplug:
    call hotplug_serve
    jmp .complete
END migration_thread

# migrate_to(rdi = task, rsi = CPU) -> eax = MIGRATION_*: the original's __migrate_task: moves a
# task away from this CPU if it is still here and may go there.
#   clobbers: caller-saved
#   locks: takes and releases both run queues'
#   irq: off
PRIVATE migrate_to
migrate_to:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    mov rbx, rdi
    mov r13, gs:[percpu.runqueue]
    mov edi, esi
    call cpu_rq
    mov r12, rax
    mov rdi, r13
    mov rsi, r12
    call double_rq_lock
    mov rdx, qword ptr [r12 + runqueue.cpu]
    mov r14d, MIGRATION_OFFLINE
    bt qword ptr [rip + cpu_online_mask], rdx
    jnc .log
    mov r14d, MIGRATION_GONE
    mov eax, dword ptr [rbx + task.cpu]
    cmp rax, qword ptr [r13 + runqueue.cpu]
    jne .log
    mov r14d, MIGRATION_NOT_ALLOWED
    bt qword ptr [rbx + task.cpus_allowed], rdx
    jnc .log
    mov r14d, MIGRATION_MOVED
.log:
    mov eax, dword ptr [rbx + task.id]
    xor ecx, ecx
    cmp qword ptr [rbx + task.array], 0
    setne cl
    mov r8, qword ptr [r13 + runqueue.timestamp_last_tick]
    RACE_POINT
    mov r9, qword ptr [r12 + runqueue.timestamp_last_tick]
    EVENT_AT 1, migrate, rax, [r13 + runqueue.cpu], rdx, r14, rcx, r8, r9
    test r14d, r14d
    jnz .unlock
    call migrate_locked
.unlock:
    mov rdi, r13
    mov rsi, r12
    call double_rq_unlock
    mov eax, r14d
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END migrate_to

# migrate_locked(rbx = task, r13 = its run queue, r12 = the one that it goes to, r8, r9 = their last
# ticks): a queued task counts as woken there, any other is pointed there.
#   clobbers: caller-saved
#   locks: both run queues' held
#   irq: off
PUBLIC migrate_locked
migrate_locked:
    FRAME
    cmp qword ptr [rbx + task.array], 0
    je .sleeping
    sub r9, r8
    add qword ptr [rbx + task.timestamp], r9
    mov rdi, rbx
    mov rsi, r13
    call deactivate_task
    mov rax, qword ptr [r12 + runqueue.cpu]
    mov dword ptr [rbx + task.cpu], eax
    call activate_task
    mov rdi, rbx
    mov rsi, r12
    call preempt_curr
    jmp .out
.sleeping:
    mov rax, qword ptr [r12 + runqueue.cpu]
    mov dword ptr [rbx + task.cpu], eax
.out:
    UNFRAME
    ret
END migrate_locked

# migration_start_threads(): one bound thread of the best priority for each CPU.
#   clobbers: caller-saved
#   locks: takes and releases the run queues'
#   irq: any
PUBLIC migration_start_threads
migration_start_threads:
    FRAME
    push rbx
    push r12
    sub rsp, TASK_NAME_BYTES
    xor ebx, ebx
.cpu:
    mov rax, qword ptr [rip + thread_name]
    mov qword ptr [rsp], rax
    mov word ptr [rsp + 8], 'n' + '/' * 256
    lea rdi, [rsp + 10]
    mov esi, ebx
    call format_unsigned
    mov byte ptr [rax], 0
    mov rdi, rsp
    lea rsi, [rip + migration_thread]
    xor edx, edx
    call task_allocate
    test rax, rax
    jz .full
    mov r12, rax
    mov edi, ebx
    call cpu_rq
    mov qword ptr [rax + runqueue.migration_thread], r12
    mov dword ptr [r12 + task.cpu], ebx
    mov dword ptr [r12 + task.policy], SCHED_FIFO
    mov dword ptr [r12 + task.rt_priority], MIGRATION_PRIORITY
    mov dword ptr [r12 + task.mm], 0
    mov qword ptr [r12 + task.cpus_allowed], 0
    bts qword ptr [r12 + task.cpus_allowed], rbx
    mov rdi, r12
    call task_start
    inc ebx
    cmp rbx, qword ptr [rip + cpu_count]
    jb .cpu
    lea rsp, [rbp - 16]
    pop r12
    pop rbx
    UNFRAME
    ret
.full:
    PANIC "no room in the task table for the migration threads"
END migration_start_threads

.section .rodata
thread_name:
    .ascii "migratio"                   # eight bytes at a time; the rest is stored by hand
