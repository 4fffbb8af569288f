.intel_syntax noprefix
# Changes of a task's priority and policy from outside.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "race.inc"

.extern deactivate_task
.extern dequeue_task
.extern enqueue_task_at
.extern jiffies
.extern preempt_curr
.extern queue_active_task
.extern resched_task
.extern rq_unlock
.extern task_rq_lock

.section .text
# set_user_nice(rdi = task, esi = nice, signed): out of range or unchanged is ignored. An ordinary
# task loses its bonus and keeps its slice.
#   clobbers: caller-saved
#   locks: takes and releases that of the task's run queue
#   irq: any; off meanwhile
PUBLIC set_user_nice
set_user_nice:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    pushfq
    cli
    lea eax, [rsi + 20]
    cmp eax, 39
    ja .out
    lea r13d, [rsi + DEFAULT_STATIC_PRIO]
    RACE_POINT
    cmp dword ptr [rdi + task.static_prio], r13d
    je .out
    mov rbx, rdi
    call task_rq_lock
    mov r12, rax
    RACE_POINT
    mov rax, qword ptr [rip + jiffies]
    mov gs:[percpu.op_jiffies], rax
    mov eax, dword ptr [rbx + task.id]
    movsxd rcx, r13d
    sub rcx, DEFAULT_STATIC_PRIO
    EVENT_AT 1, set_nice, rax, [r12 + runqueue.cpu], rcx, gs:[percpu.op_jiffies]
    mov dword ptr [rbx + task.static_prio], r13d
    cmp dword ptr [rbx + task.prio], MAX_RT_PRIO
    jb .unlock
    mov r14, qword ptr [rbx + task.array]
    test r14, r14
    jz .change
    mov rdi, rbx
    mov rsi, r14
    call dequeue_task
.change:
    mov ecx, dword ptr [rbx + task.prio]
    mov dword ptr [rbx + task.prio], r13d
    sub r13d, ecx                       # negative: better than it was, bonus included
    test r14, r14
    jz .unlock
    mov rdi, rbx
    mov rsi, r14
    mov rdx, gs:[percpu.op_jiffies]
    call enqueue_task_at
    test r13d, r13d
    js .resched
    jz .unlock
    cmp qword ptr [r12 + runqueue.curr], rbx
    jne .unlock
.resched:
    mov rdi, qword ptr [r12 + runqueue.curr]
    call resched_task
.unlock:
    mov rdi, r12
    call rq_unlock
.out:
    popfq
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END set_user_nice

# sched_setscheduler(rdi = task, esi = SCHED_*, edx = real-time priority, 0 for SCHED_NORMAL): a
# queued task ends in the active array.
#   clobbers: caller-saved
#   locks: takes and releases that of the task's run queue
#   irq: any; off meanwhile
PUBLIC sched_setscheduler
sched_setscheduler:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    push r15
    pushfq
    cli
    mov rbx, rdi
    mov r13d, esi
    mov r14d, edx
    call task_rq_lock
    mov r12, rax
    RACE_POINT
    mov rax, qword ptr [rip + jiffies]
    mov gs:[percpu.op_jiffies], rax
    mov eax, dword ptr [rbx + task.id]
    EVENT_AT 1, set_policy, rax, [r12 + runqueue.cpu], r13, r14, gs:[percpu.op_jiffies]
    mov r15, qword ptr [rbx + task.array]
    test r15, r15
    jz .change
    mov rdi, rbx
    mov rsi, r12
    call deactivate_task
.change:
    mov ecx, dword ptr [rbx + task.prio]
    mov dword ptr [rbx + task.policy], r13d
    mov dword ptr [rbx + task.rt_priority], r14d
    call policy_prio
    mov r13d, ecx                       # its priority before
    test r15, r15
    jz .unlock
    mov rdi, rbx
    mov rsi, r12
    call queue_active_task
    cmp qword ptr [r12 + runqueue.curr], rbx
    jne .waiting
    cmp dword ptr [rbx + task.prio], r13d
    jbe .unlock
    mov rdi, rbx
    call resched_task
    jmp .unlock
.waiting:
    mov rdi, rbx
    mov rsi, r12
    call preempt_curr
.unlock:
    mov rdi, r12
    call rq_unlock
    popfq
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END sched_setscheduler

# policy_prio(rbx = task): sets the dynamic priority that follows from policy and rt_priority.
#   clobbers: rax
#   locks: that of its run queue held, or nobody else knows the task yet
#   irq: off
PUBLIC policy_prio
policy_prio:
    mov eax, dword ptr [rbx + task.static_prio]
    cmp dword ptr [rbx + task.policy], SCHED_NORMAL
    je .set
    mov eax, MAX_RT_PRIO - 1
    sub eax, dword ptr [rbx + task.rt_priority]
.set:
    mov dword ptr [rbx + task.prio], eax
    ret
END policy_prio
