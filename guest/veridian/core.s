.intel_syntax noprefix
# schedule(): who runs next. VeridianOS sched/scheduler.rs; harness/model/veridian/core.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"
.include "trace.inc"
.include "race.inc"

.extern clock_ns
.extern effective_priority
.extern hotplug_join
.extern info_lock
.extern info_unlock
.extern jiffies
.extern pick_next
.extern pick_steal
.extern ready_enqueue
.extern ready_take
.extern schedule_picked
.extern veridian_switch
.extern should_preempt

.section .text
# veridian_schedule(): gives the CPU to the task that is to have it, until nobody asks for another.
#   clobbers: caller-saved
#   locks: none held at entry; the cpu_info's is held across the switch and released by the incoming
#          side
#   irq: any; off meanwhile
PUBLIC veridian_schedule
veridian_schedule:
    FRAME
    pushfq
    cli
.again:
    call schedule_pass
    mov rax, gs:[percpu.curr]
    RACE_POINT
    cmp dword ptr [rax + task.need_resched], 0
    jne .again
    popfq
    UNFRAME
    ret
END veridian_schedule

# veridian_preempt(): the same for a task that did not ask for it. A sleep state that it was about
# to act upon does not take the CPU from it.
#   clobbers: caller-saved
#   locks: as veridian_schedule
#   irq: off
PUBLIC veridian_preempt
veridian_preempt:
    FRAME
    mov rax, gs:[percpu.curr]
    mov dword ptr [rax + task.preempt_active], 1
    call veridian_schedule
    mov rax, gs:[percpu.curr]           # this task again, maybe on another CPU
    mov dword ptr [rax + task.preempt_active], 0
    UNFRAME
    ret
END veridian_preempt

# veridian_yield(): ends the slice and schedules: an equal that waits runs next.
#   clobbers: caller-saved
#   locks: as veridian_schedule
#   irq: any; off meanwhile
PUBLIC veridian_yield
veridian_yield:
    FRAME
    pushfq
    cli
    mov rcx, gs:[percpu.curr]
    mov eax, dword ptr [rcx + task.id]
    RACE_POINT
    EVENT_AT 1, yield, rax, [rip + jiffies]
    mov dword ptr [rcx + task.time_slice], 0
    call veridian_schedule
    popfq
    UNFRAME
    ret
END veridian_yield

# schedule_pass(): one pass. In it rbx = cpu_info, r12 = prev, r13 = jiffies, r14 = 1 if prev does
# not stay runnable, r15 = next.
#   clobbers: caller-saved
#   locks: takes the cpu_info's; the incoming side releases it
#   irq: off
PRIVATE schedule_pass
schedule_pass:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov rbx, gs:[percpu.runqueue]
    mov r12, gs:[percpu.curr]
    call clock_ns
    mov qword ptr [rbx + cpu_info.schedule_began], rax
    inc qword ptr [rbx + cpu_info.schedule_calls]
    xor r14d, r14d
    RACE_POINT
    cmp dword ptr [r12 + task.state], TASK_RUNNING
    setne r14b
    cmp dword ptr [r12 + task.preempt_active], 0
    je .asked
    xor r14d, r14d
.asked:
    call hotplug_join
    call pick_steal
    mov rdi, rbx
    call info_lock
    # Asked only now: what is online decides about stealing, so once more from there.
    cmp dword ptr [rbx + cpu_info.joining], 0
    jne .joins
    call schedule_log
    call schedule_choose
    mov r15, rax
    call schedule_refill
    cmp r15, r12
    je .same
    call veridian_switch
    jmp .out
.same:
    call schedule_picked
    mov rdi, rbx
    call info_unlock
.out:
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
.joins:
    mov rdi, rbx
    call info_unlock
    jmp .asked
END schedule_pass

# schedule_log(rbx = cpu_info, r12 = prev) -> r13 = jiffies, r14 = 1 if prev does not stay runnable:
# a waker may have changed that.
#   clobbers: rax, rcx, rdx, rsi
#   locks: the cpu_info's held
#   irq: off
PRIVATE schedule_log
schedule_log:
    RACE_POINT
    mov r13, qword ptr [rip + jiffies]
    mov eax, dword ptr [r12 + task.id]
    mov ecx, dword ptr [r12 + task.state]
    mov edx, dword ptr [r12 + task.preempt_active]
    mov esi, dword ptr [r12 + task.time_slice]
    EVENT_AT 1, v_schedule, rax, rcx, rdx, rsi, r13
    mov dword ptr [r12 + task.need_resched], 0
    xor r14d, r14d
    test edx, edx
    jnz .stays
    test ecx, ecx
    setne r14b
.stays:
    add qword ptr [rbx + cpu_info.ipc_blocks], r14
    ret
END schedule_log

# schedule_choose(rbx = cpu_info, r12 = prev, r13 = jiffies, r14 = prev leaves) -> rax = next, in no
# ring; prev in its ring if it is to wait.
#   clobbers: caller-saved
#   locks: the cpu_info's held
#   irq: off
PRIVATE schedule_choose
schedule_choose:
    FRAME
    push r15
    call pick_next                      # where it stands
    mov r15, rax
    cmp r12, qword ptr [rbx + cpu_info.idle_task]
    je .idle
    test r14d, r14d
    jnz .take
    call schedule_may_stay
    jz .leaves
    test r15, r15
    jz .stays
    call schedule_compare
    test eax, eax
    jz .rejected
.requeue:
    mov rdi, r12
    mov rsi, rbx
    call ready_enqueue
.take:
    test r15, r15
    jz .none
    mov rdi, r15
    mov rsi, rbx
    call ready_take                     # prev may be before it by now
    mov rax, r15
    jmp .out
.leaves:
    VTASK rax, eax, r12
    mov dword ptr [rax + vtask.leaving], 1
    jmp .take
.idle:
    IF_BUG 13, .queue_idle
    jmp .take
.queue_idle:
    # Bug V13: an idle task waits like any other, and counts.
    test r15, r15
    jnz .requeue
.stays:
    mov rax, r12
.out:
    pop r15
    UNFRAME
    ret
.none:
    mov rax, qword ptr [rbx + cpu_info.idle_task]
    jmp .out
.rejected:
    IF_BUG 1, .drop
    jmp .stays
.drop:
    # Bug V01: it was taken out to be looked at, and nobody puts it back.
    mov rdi, r15
    mov rsi, rbx
    call ready_take
    jmp .stays
END schedule_choose

# schedule_may_stay(rbx = cpu_info, r12 = prev) -> ZF set if prev may not run here any longer.
#   clobbers: rax, rcx
#   locks: the cpu_info's held
#   irq: off
PRIVATE schedule_may_stay
schedule_may_stay:
    mov rcx, qword ptr [rbx + cpu_info.cpu]
    mov rax, qword ptr [r12 + task.cpus_allowed]
    shr rax, cl
    and eax, dword ptr [rbx + cpu_info.online]
    test eax, 1
    ret
END schedule_may_stay

# schedule_compare(rbx = cpu_info, r12 = prev, r13 = jiffies, r15 = next) -> eax = 1 if next
# preempts prev.
#   clobbers: caller-saved
#   locks: the cpu_info's held
#   irq: off
PRIVATE schedule_compare
schedule_compare:
    FRAME
    mov rdi, r15
    mov rsi, r13
    call effective_priority
    mov ecx, eax
    mov edx, dword ptr [r12 + task.prio]    # prev does not wait
    mov rdi, r12
    mov rsi, r15
    call should_preempt
    mov edi, dword ptr [r12 + task.id]
    mov esi, dword ptr [r15 + task.id]
    EVENT_AT 1, v_compare, rdi, rsi, rdx, rcx, rax
    UNFRAME
    ret
END schedule_compare

# schedule_refill(r12 = prev): a slice that is over is followed by a new one, now that the decision
# has been made.
#   clobbers: nothing
#   locks: the cpu_info's held
#   irq: off
PRIVATE schedule_refill
schedule_refill:
    cmp dword ptr [r12 + task.time_slice], 0
    jne .left
    mov dword ptr [r12 + task.time_slice], DEFAULT_TIME_SLICE
.left:
    ret
END schedule_refill
