.intel_syntax noprefix
# Birth of a task: slices are shared out. Linux 2.6.11 sched_fork(), wake_up_new_task();
# harness/model/fork.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "race.inc"

.extern clock_ns
.extern cpu_rq
.extern current_bonus
.extern double_rq_lock
.extern double_rq_unlock
.extern effective_prio
.extern enqueue_task_before
.extern jiffies
.extern policy_prio
.extern preempt_curr
.extern queue_active_task
.extern rq_lock
.extern rq_unlock
.extern sched_constants
.extern schedule
.extern scheduler_tick
.extern task_allocate
.extern task_inherit
.extern task_log_new
.extern task_rq_lock
.extern task_timeslice

.section .text
# task_start(rdi = task): makes a task that nobody forked runnable, with a full slice.
#   clobbers: caller-saved
#   locks: takes and releases that of the task's run queue
#   irq: any; off meanwhile
PUBLIC task_start
task_start:
    FRAME
    push rbx
    push r12
    pushfq
    cli
    mov rbx, rdi
    call policy_prio
    call task_timeslice
    mov dword ptr [rbx + task.time_slice], eax
    call clock_ns
    mov qword ptr [rbx + task.timestamp], rax
    mov rdi, rbx
    call task_log_new
    mov rdi, rbx
    call task_rq_lock
    mov r12, rax
    RACE_POINT
    mov rcx, qword ptr [rip + jiffies]
    mov gs:[percpu.op_jiffies], rcx
    mov eax, dword ptr [rbx + task.id]
    EVENT_AT 1, start, rax, [r12 + runqueue.cpu], rcx
    mov rdi, rbx
    mov rsi, r12
    call queue_active_task
    mov rdi, rbx
    mov rsi, r12
    call preempt_curr
    mov rdi, r12
    call rq_unlock
    popfq
    pop r12
    pop rbx
    UNFRAME
    ret
END task_start

# do_fork(rdi = name, rsi = entry, rdx = argument, ecx = 1 to share memory) -> rax = the child, 0
# if the task table is full. The child runs first, unless it shares memory.
#   clobbers: caller-saved
#   locks: takes and releases the run queue's
#   irq: on
PUBLIC do_fork
do_fork:
    FRAME
    push rbx
    push r12
    push r13
    mov r13d, ecx
    cli                                 # whoever ends the run finds no task that the log has not
    call task_allocate
    test rax, rax
    jz .full
    mov rbx, rax
    mov r12, gs:[percpu.curr]
    mov rdi, rbx
    mov rsi, r12
    call task_inherit
    mov eax, gs:[percpu.cpu]
    mov dword ptr [rbx + task.cpu], eax
    mov rdi, rbx
    call task_log_new
    call sched_fork
    sti                                 # here the parent may lose the CPU
    cli
    call wake_up_new_task
    sti
    RACE_POINT
    cmp dword ptr [r12 + task.need_resched], 0
    je .done
    call schedule
.done:
    mov rax, rbx
.out:
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
.full:
    sti
    jmp .out
END do_fork

# sched_fork(rbx = child, r12 = parent, running): splits the slice; the odd jiffy is the child's.
# A parent that had a single jiffy keeps it, and a tick is accounted that ends it.
#   clobbers: caller-saved
#   locks: takes and releases the run queue's, as the tick does
#   irq: off
PRIVATE sched_fork
sched_fork:
    FRAME
    call clock_ns
    mov qword ptr [rbx + task.timestamp], rax
    mov rdi, gs:[percpu.runqueue]
    call rq_lock                        # a child that ends elsewhere may be giving back its slice,
    mov rax, qword ptr [r12 + task.sleep_avg]   # and changing this
    mov qword ptr [rbx + task.sleep_avg], rax
    mov ecx, dword ptr [r12 + task.id]
    mov edx, dword ptr [rbx + task.id]
    EVENT_AT 1, fork, rcx, rdx, [rbx + task.timestamp]
    mov eax, dword ptr [r12 + task.time_slice]
    lea ecx, [rax + 1]
    shr ecx, 1
    mov dword ptr [rbx + task.time_slice], ecx
    mov dword ptr [rbx + task.first_time_slice], 1
    shr eax, 1
    mov dword ptr [r12 + task.time_slice], eax
    jnz .unlock
    mov dword ptr [r12 + task.time_slice], 1
    call rq_unlock
    call scheduler_tick
    UNFRAME
    ret
.unlock:
    call rq_unlock
    UNFRAME
    ret
END sched_fork

# wake_up_new_task(rbx = child, r12 = parent, running, r13 = 1 if they share memory): queues the
# child. On the parent's CPU it goes right before the parent and runs first; sharing memory, last.
# The original takes the two locks one after the other; with both, the log has one order of this
# and of the end of a child that weighs on the parent.
#   clobbers: caller-saved
#   locks: takes and releases those of the child's and the parent's run queue
#   irq: off
PRIVATE wake_up_new_task
wake_up_new_task:
    FRAME
    push r14
    push r15
    mov rdi, rbx
    call lock_with_ours
    mov r14, rax
    mov r15, gs:[percpu.runqueue]
    mov eax, dword ptr [rbx + task.id]
    mov ecx, dword ptr [r12 + task.id]
    mov r8, qword ptr [r15 + runqueue.timestamp_last_tick]
    RACE_POINT
    mov r9, qword ptr [r14 + runqueue.timestamp_last_tick]
    RACE_POINT
    mov rdx, qword ptr [rip + jiffies]
    mov gs:[percpu.op_jiffies], rdx
    EVENT_AT 1, wake_new, rax, rcx, [r14 + runqueue.cpu], rdx, r13, r8, r9
    sub r9, r8
    push r9                             # from this CPU's clock to the other's
    inc qword ptr [r14 + runqueue.wunt_cnt]
    mov rdi, rbx
    mov esi, CHILD_PENALTY
    call sleep_avg_penalty
    mov rdi, rbx
    call effective_prio
    mov dword ptr [rbx + task.prio], eax
    cmp r14, r15
    jne .elsewhere
    call queue_child
    jmp .parent
.elsewhere:
    mov r9, qword ptr [rsp]
    add qword ptr [rbx + task.timestamp], r9
    mov rdi, rbx
    mov rsi, r14
    call queue_active_task
    mov rdi, rbx
    mov rsi, r14
    call preempt_curr
    inc qword ptr [r14 + runqueue.wunt_moved]
.parent:
    mov rdi, r12
    mov esi, PARENT_PENALTY
    call sleep_avg_penalty
    mov rdi, r14
    mov rsi, r15
    call double_rq_unlock
    pop r9
    pop r15
    pop r14
    UNFRAME
    ret
END wake_up_new_task

# lock_with_ours(rdi = task) -> rax = its run queue: that one's lock and the calling CPU's.
#   clobbers: caller-saved
#   locks: takes both, or the one
#   irq: off
PRIVATE lock_with_ours
lock_with_ours:
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
    mov rsi, gs:[percpu.runqueue]
    call double_rq_lock
    RACE_POINT
    mov eax, dword ptr [rbx + task.cpu]
    cmp rax, qword ptr [r12 + runqueue.cpu]
    je .locked
    mov rdi, r12
    mov rsi, gs:[percpu.runqueue]
    call double_rq_unlock
    jmp .again
.locked:
    mov rax, r12
    pop r12
    pop rbx
    UNFRAME
    ret
END lock_with_ours

# queue_child(rbx = child, r12 = parent, r13 = shares memory, r14 = run queue of both).
#   clobbers: caller-saved
#   locks: the run queue's held
#   irq: off
PRIVATE queue_child
queue_child:
    FRAME
    mov rdi, rbx
    test r13d, r13d
    jnz .last
    mov dword ptr [r12 + task.need_resched], 1
    mov rsi, qword ptr [r12 + task.array]
    test rsi, rsi
    jz .last
    mov eax, dword ptr [r12 + task.prio]
    mov dword ptr [rbx + task.prio], eax
    inc qword ptr [r14 + runqueue.nr_running]
    mov rdx, r12
    call enqueue_task_before
    UNFRAME
    ret
.last:
    mov rsi, r14
    call queue_active_task
    UNFRAME
    ret
END queue_child

# sleep_avg_penalty(rdi = task, esi = percent): scales the sleep average, in whole steps of bonus.
#   clobbers: caller-saved
#   locks: that of the task's run queue held
#   irq: off
PRIVATE sleep_avg_penalty
sleep_avg_penalty:
    FRAME
    push rbx
    push rsi
    mov rbx, rdi
    call current_bonus
    pop rsi
    imul eax, esi
    xor edx, edx
    mov ecx, 100
    div ecx
    imul rax, qword ptr [rip + sched_constants + sched_constants.max_sleep_avg]
    xor edx, edx
    mov ecx, MAX_BONUS
    div rcx
    imul rax, qword ptr [rip + sched_constants + sched_constants.jiffy_ns]
    mov qword ptr [rbx + task.sleep_avg], rax
    pop rbx
    UNFRAME
    ret
END sleep_avg_penalty
