.intel_syntax noprefix
# The timer tick's share of scheduling. Linux 2.6.11 scheduler_tick(); harness/model/tick.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "race.inc"

.extern clock_ns
.extern dequeue_task
.extern effective_prio
.extern enqueue_task_at
.extern expired_starving
.extern jiffies
.extern rebalance_tick
.extern requeue_task
.extern round_robin_due
.extern rq_lock
.extern rq_unlock
.extern task_interactive
.extern task_timeslice

.section .text
# scheduler_tick(): accounts one tick to the running task of the calling CPU, and balances its load.
#   clobbers: caller-saved
#   locks: takes and releases run queues'
#   irq: off
PUBLIC scheduler_tick
scheduler_tick:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov rbx, gs:[percpu.runqueue]
    mov r12, gs:[percpu.curr]
    call clock_ns
    mov r13, rax
    RACE_POINT
    mov r14, qword ptr [rip + jiffies]
    mov qword ptr [rbx + runqueue.timestamp_last_tick], rax
    mov r15d, SCHED_IDLE
    cmp r12, qword ptr [rbx + runqueue.idle]
    je .balance
    mov r15d, NOT_IDLE
    # The original looks at the array before it takes the lock. Under the lock the log has the one
    # order in which this tick and another CPU's changes to the task happened.
    mov rdi, rbx
    call rq_lock
    call tick_log
    mov rax, qword ptr [r12 + task.array]
    cmp rax, qword ptr [rbx + runqueue.active]
    jne .stale
    call tick_account
    jmp .unlock
.stale:
    # Its slice ended before; it has only not been switched out yet.
    mov dword ptr [r12 + task.need_resched], 1
.unlock:
    mov rdi, rbx
    call rq_unlock
.balance:
    mov rdi, rbx
    mov esi, r15d
    mov rdx, r14
    call rebalance_tick
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END scheduler_tick

# tick_log(r12 = task, r13 = now, r14 = jiffies): logs the operation with its inputs.
#   clobbers: rax, rcx
#   locks: as found
#   irq: off
PRIVATE tick_log
tick_log:
    mov eax, dword ptr [r12 + task.id]
    mov ecx, dword ptr [r12 + task.time_slice]
    EVENT_AT 1, account, rax, r13, r14, rcx
    ret
END tick_log

# tick_account(rbx = run queue, r12 = task, r14 = jiffies): takes a jiffy off the slice.
#   clobbers: caller-saved
#   locks: the run queue's held
#   irq: off
PRIVATE tick_account
tick_account:
    FRAME
    cmp dword ptr [r12 + task.prio], MAX_RT_PRIO
    jae .normal
    cmp dword ptr [r12 + task.policy], SCHED_RR
    jne .done                           # first in, first out: no slice
    dec dword ptr [r12 + task.time_slice]
    jnz .done
    call tick_refill
    jmp .to_tail
.normal:
    dec dword ptr [r12 + task.time_slice]
    jz .slice_end
    mov rdi, r12
    mov rsi, rbx
    call round_robin_due
    test eax, eax
    jz .done
    mov dword ptr [r12 + task.need_resched], 1
.to_tail:
    mov rdi, r12
    mov rsi, qword ptr [rbx + runqueue.active]
    call requeue_task
.done:
    UNFRAME
    ret
.slice_end:
    call tick_slice_end
    UNFRAME
    ret
END tick_account

# tick_refill(r12 = task): a new slice, no longer its parent's, and the next task's turn.
#   clobbers: caller-saved
#   locks: the run queue's held
#   irq: off
PRIVATE tick_refill
tick_refill:
    FRAME
    mov rdi, r12
    call task_timeslice
    mov dword ptr [r12 + task.time_slice], eax
    mov dword ptr [r12 + task.first_time_slice], 0
    mov dword ptr [r12 + task.need_resched], 1
    UNFRAME
    ret
END tick_refill

# tick_slice_end(rbx = run queue, r12 = task, r14 = jiffies): a normal task's slice is over. It
# goes to the expired array, unless it is interactive and nobody there has waited too long.
#   clobbers: caller-saved
#   locks: the run queue's held
#   irq: off
PRIVATE tick_slice_end
tick_slice_end:
    FRAME
    push r13
    push r15
    mov rdi, r12
    mov rsi, qword ptr [rbx + runqueue.active]
    call dequeue_task
    mov rdi, r12
    call effective_prio
    mov dword ptr [r12 + task.prio], eax
    call tick_refill
    cmp qword ptr [rbx + runqueue.expired_timestamp], 0
    jne .running
    # Even if the task returns to the active array: the time runs from here.
    mov qword ptr [rbx + runqueue.expired_timestamp], r14
.running:
    mov rdi, r12
    call task_interactive
    mov r13d, eax
    mov rdi, rbx
    mov rsi, r14
    call expired_starving
    mov r15d, eax
    mov rsi, qword ptr [rbx + runqueue.expired]
    mov ecx, 1
    test r13d, r13d
    jz .expire
    test r15d, r15d
    jnz .expire
    mov rsi, qword ptr [rbx + runqueue.active]
    xor ecx, ecx
.expire:
    mov eax, dword ptr [r12 + task.id]
    mov edx, dword ptr [r12 + task.prio]
    mov edi, dword ptr [r12 + task.time_slice]
    mov r8, qword ptr [rbx + runqueue.expired_timestamp]
    mov r9, qword ptr [rbx + runqueue.best_expired_prio]
    EVENT_AT 1, expire, rax, rcx, rdx, rdi, r13, r15, r8, r9
    mov r13d, ecx
    mov rdi, r12
    mov rdx, r14
    call enqueue_task_at
    test r13d, r13d
    jz .done
    mov eax, dword ptr [r12 + task.static_prio]
    cmp rax, qword ptr [rbx + runqueue.best_expired_prio]
    jae .done
    mov qword ptr [rbx + runqueue.best_expired_prio], rax
.done:
    pop r15
    pop r13
    UNFRAME
    ret
END tick_slice_end
