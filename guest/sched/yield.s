.intel_syntax noprefix
# Giving way. Linux 2.6.11 sched_yield(); harness/model/core.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "race.inc"

.extern dequeue_task
.extern enqueue_task_at
.extern jiffies
.extern requeue_task
.extern rq_lock
.extern rq_unlock
.extern schedule

.section .text
# sched_yield(): puts the running task last and schedules: an ordinary task into the expired
# array, a real-time one to the tail of its list.
#   clobbers: caller-saved
#   locks: takes and releases the run queue's
#   irq: any; off meanwhile
PUBLIC sched_yield
sched_yield:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    pushfq
    cli
    mov rbx, gs:[percpu.runqueue]
    mov r12, gs:[percpu.curr]
    mov rdi, rbx
    call rq_lock
    RACE_POINT
    mov rax, qword ptr [rip + jiffies]
    mov gs:[percpu.op_jiffies], rax
    mov eax, dword ptr [r12 + task.id]
    EVENT_AT 1, yield, rax, gs:[percpu.op_jiffies]
    mov r13, qword ptr [r12 + task.array]
    mov r14, qword ptr [rbx + runqueue.expired]
    call yield_count
    cmp dword ptr [r12 + task.prio], MAX_RT_PRIO
    cmovb r14, qword ptr [rbx + runqueue.active]
    mov rdi, r12
    mov rsi, r13
    cmp r13, r14
    je .same_array
    call dequeue_task
    mov rdi, r12
    mov rsi, r14
    mov rdx, gs:[percpu.op_jiffies]
    call enqueue_task_at
    jmp .unlock
.same_array:
    call requeue_task
.unlock:
    mov rdi, rbx
    call rq_unlock
    call schedule
    popfq
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END sched_yield

# yield_count(rbx = run queue, r13 = current's array): statistics of sched_yield.
#   clobbers: rax, rcx
#   locks: the run queue's held
#   irq: off
PRIVATE yield_count
yield_count:
    inc qword ptr [rbx + runqueue.yld_cnt]
    mov rax, qword ptr [rbx + runqueue.expired]
    mov rcx, qword ptr [rax + prio_array.nr_active]
    cmp qword ptr [r13 + prio_array.nr_active], 1
    jne .others_active
    inc qword ptr [rbx + runqueue.yld_act_empty]
    test rcx, rcx
    jnz .done
    inc qword ptr [rbx + runqueue.yld_both_empty]
    ret
.others_active:
    test rcx, rcx
    jnz .done
    inc qword ptr [rbx + runqueue.yld_exp_empty]
.done:
    ret
END yield_count
