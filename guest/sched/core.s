.intel_syntax noprefix
# schedule() and what changes a task's standing. Linux 2.6.11 kernel/sched.c; the same in Python:
# harness/model/core.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "invariant.inc"
.include "fix.inc"
.include "race.inc"

.extern clock_ns
.extern current_bonus
.extern deactivate_task
.extern dequeue_task
.extern enqueue_task_at
.extern idle_balance
.extern jiffies
.extern recalc_task_prio
.extern rq_lock
.extern rq_unlock
.extern sched_constants
.extern sched_find_first_bit
.extern sched_info_switch
.extern switch_to
.extern task_bury

.section .text
# schedule(): gives the CPU to the best task, until nobody asks for another one.
#   clobbers: caller-saved
#   locks: none held at entry; the run queue's is held across the switch and released by the
#          incoming side
#   irq: any; off meanwhile
PUBLIC schedule
schedule:
    FRAME
    pushfq
    cli
.again:
    call schedule_once
    mov rax, gs:[percpu.curr]
    RACE_POINT
    cmp dword ptr [rax + task.need_resched], 0
    jne .again
    INVARIANT unlocked
    popfq
    UNFRAME
    ret
END schedule

# preempt_schedule(): schedule() for a task that did not ask for it. A sleep state that it was
# about to act upon does not take it off its queue.
#   clobbers: caller-saved
#   locks: as schedule
#   irq: off
PUBLIC preempt_schedule
preempt_schedule:
    FRAME
    mov rax, gs:[percpu.curr]
    mov dword ptr [rax + task.preempt_active], 1
    call schedule
    mov rax, gs:[percpu.curr]           # this task again, maybe on another CPU
    mov dword ptr [rax + task.preempt_active], 0
    UNFRAME
    ret
END preempt_schedule

# schedule_once(): one pass of schedule(). In it rbx = run queue, r12 = prev, r13 = now,
# r14 = run time to take off prev's sleep average, later whether prev leaves by itself, r15 = next.
#   clobbers: caller-saved
#   locks: takes the run queue's; the incoming side releases it
#   irq: off
PRIVATE schedule_once
schedule_once:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov rbx, gs:[percpu.runqueue]
    mov r12, gs:[percpu.curr]
    inc qword ptr [rbx + runqueue.sched_cnt]
    call clock_ns
    mov r13, rax
    mov rdi, rbx
    call rq_lock
    call schedule_run_time              # under the lock: a child that ends weighs on prev's average
    mov r14, rax
    RACE_POINT
    mov rax, qword ptr [rip + jiffies]
    mov gs:[percpu.op_jiffies], rax
    mov eax, dword ptr [r12 + task.id]
    mov ecx, dword ptr [r12 + task.state]
    mov edx, dword ptr [r12 + task.preempt_active]
    mov r8, qword ptr [r12 + task.sleep_avg]
    EVENT_AT 1, schedule, rax, r13, gs:[percpu.op_jiffies], rcx, rdx, r8

    push r14
    xor r14d, r14d
    test ecx, ecx
    jz .stays
    test edx, edx
    jnz .stays
    inc r14d
    call schedule_leave
.stays:
    call schedule_pick
    mov r15, rax
    pop rcx                             # run time
    call schedule_account
    cmp r15, r12
    je .same
    call schedule_switch
    jmp .out
.same:
    mov rdi, rbx
    call rq_unlock
.out:
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END schedule_once

# schedule_run_time(r12 = prev, r13 = now) -> rax = ns to take off its sleep average. A clock behind
# the time-stamp counts as the longest run: defect L06. Corrected: as none.
#   clobbers: caller-saved
#   locks: the run queue's held
#   irq: off
PRIVATE schedule_run_time
schedule_run_time:
    FRAME
    mov rdi, r12
    call current_bonus
    mov ecx, 1
    test eax, eax
    cmovz eax, ecx
    mov ecx, eax
    mov rax, r13
    sub rax, qword ptr [r12 + task.timestamp]
    NO_NEGATIVE_TIME rax, rdx
    mov rdx, qword ptr [rip + sched_constants + sched_constants.ns_max_sleep_avg]
    cmp rax, rdx
    cmova rax, rdx
    xor edx, edx
    div rcx
    UNFRAME
    ret
END schedule_run_time

# schedule_leave(rbx = run queue, r12 = prev): it goes to sleep, or has ended.
#   clobbers: caller-saved
#   locks: the run queue's held
#   irq: off
PRIVATE schedule_leave
schedule_leave:
    FRAME
    cmp dword ptr [r12 + task.state], TASK_UNINTERRUPTIBLE
    jne .off
    inc qword ptr [rbx + runqueue.nr_uninterruptible]
.off:
    mov rdi, r12
    mov rsi, rbx
    call deactivate_task
    UNFRAME
    ret
END schedule_leave

# schedule_pick(rbx = run queue, r13 = now) -> rax = next: the head of the best list that is not
# empty, of the active array; the arrays change places when that is empty. With nothing to run it
# looks for work elsewhere first.
#   clobbers: caller-saved
#   locks: the run queue's held, and dropped where idle_balance drops it
#   irq: off
PRIVATE schedule_pick
schedule_pick:
    FRAME
    push r14
    push r15
    cmp qword ptr [rbx + runqueue.nr_running], 0
    jne .some
    mov rdi, rbx
    call idle_balance
    # Read again: it may have found work, or let go of the lock meanwhile.
    cmp qword ptr [rbx + runqueue.nr_running], 0
    je .idle
.some:
    mov rax, qword ptr [rbx + runqueue.active]
    cmp qword ptr [rax + prio_array.nr_active], 0
    je .swap
    inc qword ptr [rbx + runqueue.sched_noswitch]
.search:
    mov rdi, qword ptr [rbx + runqueue.active]
    add rdi, prio_array.bitmap
    call sched_find_first_bit
    mov r15d, eax
    shl rax, 4
    add rax, qword ptr [rbx + runqueue.active]
    mov r14, qword ptr [rax + prio_array.queue + LIST_NEXT]
    sub r14, task.run_list
    call schedule_credit
    mov dword ptr [r14 + task.activated], 0
    mov eax, dword ptr [r14 + task.id]
    EVENT_AT 1, pick, rax, r15, [rbx + runqueue.nr_running]
    mov rax, r14
    jmp .out
.swap:
    inc qword ptr [rbx + runqueue.sched_switch]
    mov rcx, qword ptr [rbx + runqueue.expired]
    mov qword ptr [rbx + runqueue.expired], rax
    mov qword ptr [rbx + runqueue.active], rcx
    mov qword ptr [rbx + runqueue.expired_timestamp], 0
    mov qword ptr [rbx + runqueue.best_expired_prio], MAX_PRIO
    EVENT_AT 1, swap, [rbx + runqueue.cpu]
    jmp .search
.idle:
    mov qword ptr [rbx + runqueue.expired_timestamp], 0
    # The best priority among the expired is not forgotten: defect L09. Corrected: it is.
    FIXED 9
    jnc .idle_task
    mov qword ptr [rbx + runqueue.best_expired_prio], MAX_PRIO
.idle_task:
    inc qword ptr [rbx + runqueue.sched_goidle]
    mov r14, qword ptr [rbx + runqueue.idle]
    mov eax, dword ptr [r14 + task.id]
    EVENT_AT 1, pick, rax, MAX_PRIO, 0
    mov rax, r14
.out:
    pop r15
    pop r14
    UNFRAME
    ret
END schedule_pick

# schedule_credit(rbx = run queue, r13 = now, r14 = next): the time that a woken task waited for
# the CPU counts as sleep, in part if a task woke it. It runs now, whatever list that puts it in.
#   clobbers: caller-saved
#   locks: the run queue's held
#   irq: off
PRIVATE schedule_credit
schedule_credit:
    FRAME
    push r12
    cmp dword ptr [r14 + task.prio], MAX_RT_PRIO
    jb .done
    cmp dword ptr [r14 + task.activated], 0
    jle .done
    mov rax, r13
    sub rax, qword ptr [r14 + task.timestamp]
    NO_NEGATIVE_TIME rax, rdx
    cmp dword ptr [r14 + task.activated], 1
    jne .whole
    imul rax, rax, ON_RUNQUEUE_WEIGHT_128
    shr rax, 7
.whole:
    add rax, qword ptr [r14 + task.timestamp]
    mov r12, rax
    mov rdi, r14
    mov rsi, qword ptr [rbx + runqueue.active]
    call dequeue_task
    mov rdi, r14
    mov rsi, r12
    call recalc_task_prio
    mov rdi, r14
    mov rsi, qword ptr [rbx + runqueue.active]
    mov rdx, gs:[percpu.op_jiffies]
    call enqueue_task_at
.done:
    pop r12
    UNFRAME
    ret
END schedule_credit

# schedule_account(rbx = run queue, r12 = prev, r13 = now, r15 = next, rcx = run time).
#   clobbers: caller-saved
#   locks: the run queue's held
#   irq: off
PRIVATE schedule_account
schedule_account:
    FRAME
    mov dword ptr [r12 + task.need_resched], 0
    xor edx, edx
    mov rax, qword ptr [r12 + task.sleep_avg]
    sub rax, rcx
    cmovb rax, rdx
    mov qword ptr [r12 + task.sleep_avg], rax
    mov qword ptr [r12 + task.timestamp], r13
    mov qword ptr [r12 + task.last_ran], r13
    mov rdi, rbx
    mov rsi, r12
    mov rdx, r15
    mov rcx, gs:[percpu.op_jiffies]
    call sched_info_switch
    UNFRAME
    ret
END schedule_account

# schedule_switch(rbx = run queue, r12 = prev, r13 = now, r14 = voluntary, r15 = next): the switch.
# It returns when somebody switches back, perhaps on another CPU.
#   clobbers: caller-saved, and the contents of rbx for the caller
#   locks: the run queue's held at entry; of the CPU it returns on, released
#   irq: off
PRIVATE schedule_switch
schedule_switch:
    FRAME
    mov qword ptr [r15 + task.timestamp], r13
    inc qword ptr [rbx + runqueue.nr_switches]
    inc qword ptr gs:[percpu.switches]
    # Under the lock still: whoever gets it next must see who runs.
    mov qword ptr [rbx + runqueue.curr], r15
    mov gs:[percpu.curr], r15
    lea rax, [r12 + task.nivcsw]
    lea rcx, [r12 + task.nvcsw]
    test r14d, r14d
    cmovnz rax, rcx
    inc qword ptr [rax]
    mov eax, dword ptr [r12 + task.id]
    mov ecx, dword ptr [r15 + task.id]
    EVENT_AT 1, switch, rax, rcx, r14
    INVARIANT switching
    mov rdi, r12
    mov rsi, r15
    call switch_to
    mov rdi, rax
    call finish_task_switch
    UNFRAME
    ret
END schedule_switch

# finish_task_switch(rdi = the task that ran before): the incoming side of a switch; also the
# first thing that a new task does.
#   clobbers: caller-saved
#   locks: releases the run queue's
#   irq: off
PUBLIC finish_task_switch
finish_task_switch:
    FRAME
    push rbx
    mov rbx, rdi
    # Asked under the lock: once it is free the task may run elsewhere, and end there.
    xor eax, eax
    cmp dword ptr [rbx + task.state], TASK_DEAD
    cmovne rbx, rax
    mov rdi, gs:[percpu.runqueue]
    call rq_unlock
    test rbx, rbx
    jz .done
    # Nobody stands on its stack any more.
    mov rdi, rbx
    call task_bury
.done:
    pop rbx
    UNFRAME
    ret
END finish_task_switch
