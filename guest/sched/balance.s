.intel_syntax noprefix
# Load balancing: looking for work to take from other CPUs, and what follows from it. Linux 2.6.11
# load_balance(), load_balance_newidle(), idle_balance(); harness/model/balance.py.
#
# A domain's interval, failures and counters are its CPU's own: nobody else writes them, and
# interrupts are off where it does. In all of this file but idle_balance, rbx = domain, r12 = this
# CPU's run queue, r13 = the busiest, r15 = why: SCHED_IDLE, NOT_IDLE or NEWLY_IDLE.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "fix.inc"
.include "race.inc"

.extern cpu_online_mask
.extern double_lock_balance
.extern find_busiest_group
.extern find_busiest_queue
.extern jiffies
.extern move_tasks
.extern rq_lock
.extern rq_unlock
.extern try_to_wake_up

.equ MAX_PINNED_INTERVAL, 512           # ms
.equ WAKE_MASK, TASK_INTERRUPTIBLE + TASK_UNINTERRUPTIBLE

# What a search found.
STRUCT found
    FIELD found, imbalance, 8           # tasks to take at most
    FIELD found, nr_running, 8          # of the busiest CPU, or as many as can be if not read

.section .text
# idle_balance(rdi = this CPU's run queue): looks for work in ever wider domains until it has some.
# schedule() calls it when there is nothing left to run, and has set percpu.op_jiffies, which is
# set anew with the locks of both run queues held.
#   clobbers: caller-saved
#   locks: the run queue's held, and dropped where double_lock_balance drops it
#   irq: off
PUBLIC idle_balance
idle_balance:
    FRAME
    push rbx
    mov rax, qword ptr [rdi + runqueue.cpu]
    bt qword ptr [rip + cpu_online_mask], rax
    jnc .out                            # unplugged: it is to get no work
    mov rbx, qword ptr [rdi + runqueue.sd]
.domain:
    test rbx, rbx
    jz .out
    test qword ptr [rbx + sched_domain.flags], SD_BALANCE_NEWIDLE
    jz .next
    mov rdi, rbx
    call load_balance_newidle
    test eax, eax
    jnz .out
.next:
    mov rbx, qword ptr [rbx + sched_domain.parent]
    jmp .domain
.out:
    pop rbx
    UNFRAME
    ret
END idle_balance

# load_balance(rdi = domain, esi = SCHED_IDLE or NOT_IDLE) -> eax = tasks that this CPU has taken.
# The caller has set percpu.op_jiffies.
#   clobbers: caller-saved
#   locks: none at entry; takes and releases run queues'
#   irq: off
PUBLIC load_balance
load_balance:
    FRAME
    push rbx
    push r12
    push r13
    push r15
    sub rsp, found.size
    mov rbx, rdi
    mov r15d, esi
    mov r12, gs:[percpu.runqueue]
    mov rdi, r12
    call rq_lock
    mov rdi, rsp
    call balance_search
    mov r13, rax
    test rax, rax
    jz .balanced
    mov rdi, rsp
    call balance_take
    push rax
    push rdx
    mov rdi, r12
    call rq_unlock
    pop rsi
    pop rdi
    call balance_settle
    jmp .out
.balanced:
    mov rdi, r12
    call rq_unlock
    mov rcx, qword ptr [rbx + sched_domain.max_interval]
    call balance_back_off
    # Old failures still make a later attempt bold: defect L02. Corrected: they are forgotten.
    FIXED 2
    jnc .log
    mov qword ptr [rbx + sched_domain.nr_balance_failed], 0
.log:
    xor edi, edi
    call balance_log_end
    xor eax, eax
.out:
    add rsp, found.size
    pop r15
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END load_balance

# load_balance_newidle(rdi = domain) -> eax = tasks that this CPU has taken. Interval and failures
# are not its business.
#   clobbers: caller-saved
#   locks: as idle_balance
#   irq: off
PUBLIC load_balance_newidle
load_balance_newidle:
    FRAME
    push rbx
    push r12
    push r13
    push r15
    sub rsp, found.size
    mov rbx, rdi
    mov r15d, NEWLY_IDLE
    mov r12, gs:[percpu.runqueue]
    mov rdi, rsp
    call balance_search
    mov r13, rax
    test rax, rax
    jz .log
    mov rdi, rsp
    call balance_take
    test eax, eax
    jnz .log
    inc qword ptr [rbx + sched_domain.lb + NEWLY_IDLE * lb_stats.size + lb_stats.lb_failed]
.log:
    mov r13d, eax
    mov rdi, r13
    call balance_log_end
    mov eax, r13d
    add rsp, found.size
    pop r15
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END load_balance_newidle

# balance_search(rdi = where to write what is found) -> rax = the run queue to take tasks from, 0 if
# there is none. Counts the attempt and how the search went.
#   clobbers: caller-saved
#   locks: this run queue's held; others are only read
#   irq: off
PRIVATE balance_search
balance_search:
    FRAME
    push r13
    push r14
    mov r13, rdi
    imul r14d, r15d, lb_stats.size
    lea r14, [rbx + r14 + sched_domain.lb]
    inc qword ptr [r14 + lb_stats.lb_cnt]
    mov rax, qword ptr [rbx + sched_domain.level]
    mov rcx, qword ptr [rbx + sched_domain.balance_interval]
    mov rdx, qword ptr [rbx + sched_domain.nr_balance_failed]
    mov rsi, qword ptr [rbx + sched_domain.last_balance]
    EVENT_AT 1, balance, rax, r15, gs:[percpu.op_jiffies], rcx, rdx, rsi
    mov rdi, rbx
    mov rsi, qword ptr [r12 + runqueue.cpu]
    mov edx, r15d
    lea rcx, [r13 + found.imbalance]
    call find_busiest_group
    xor ecx, ecx
    test rax, rax
    jz .group
    mov rcx, qword ptr [rax + sched_group.cpumask]
.group:
    EVENT_AT 1, busiest_group, rcx, [r13 + found.imbalance]
    test rax, rax
    jz .no_group
    mov rdi, rax
    call find_busiest_queue
    test rax, rax
    jz .no_queue
    cmp rax, r12
    je .self
    # The newly idle CPU does not ask whether there is more than the running task: defect L05.
    # Corrected: it asks before it takes the lock.
    mov rcx, -1
    cmp r15d, NEWLY_IDLE
    jne .read
    FIXED 5
    jnc .queue
.read:
    RACE_POINT
    mov rcx, qword ptr [rax + runqueue.nr_running]
.queue:
    mov qword ptr [r13 + found.nr_running], rcx
    EVENT_AT 1, busiest_queue, [rax + runqueue.cpu], rcx
    mov rcx, qword ptr [r13 + found.imbalance]
    add qword ptr [r14 + lb_stats.lb_imbalance], rcx
    jmp .out
.self:
    EVENT_AT 1, busiest_queue, [rax + runqueue.cpu], -1
    # Counted only for the newly idle: defect L16. Corrected: always.
    cmp r15d, NEWLY_IDLE
    je .count
    FIXED 16
    jc .count
    jmp .none
.no_queue:
    EVENT_AT 1, busiest_queue, -1, -1
.count:
    inc qword ptr [r14 + lb_stats.lb_nobusyq]
    jmp .none
.no_group:
    inc qword ptr [r14 + lb_stats.lb_nobusyg]
.none:
    xor eax, eax
.out:
    pop r14
    pop r13
    UNFRAME
    ret
END balance_search

# balance_take(rdi = what the search found) -> eax = tasks moved here, edx = 1 if affinity alone
# kept those that stay. Nothing is locked if there is but one task.
#   clobbers: caller-saved
#   locks: this run queue's held, and dropped where double_lock_balance drops it
#   irq: off
PRIVATE balance_take
balance_take:
    FRAME
    xor eax, eax
    xor edx, edx
    cmp qword ptr [rdi + found.nr_running], 1
    jbe .out
    push qword ptr [rdi + found.imbalance]
    mov rdi, r12
    mov rsi, r13
    call double_lock_balance
    cmp r15d, NEWLY_IDLE
    jne .locked
    # A task may come along that was queued since schedule() read the time, and runs next.
    RACE_POINT
    mov rax, qword ptr [rip + jiffies]
    mov gs:[percpu.op_jiffies], rax
.locked:
    pop rdx
    mov rdi, r12
    mov rsi, r13
    mov rcx, rbx
    mov r8d, r15d
    call move_tasks
    push rax
    push rdx
    mov rdi, r13
    call rq_unlock
    pop rdx
    pop rax
.out:
    UNFRAME
    ret
END balance_take

# balance_settle(edi = tasks moved, esi = 1 if affinity alone kept others) -> eax = tasks moved.
# After too many failures in a row the busiest CPU's migration thread is asked to push.
#   clobbers: caller-saved
#   locks: takes and releases the busiest run queue's
#   irq: off
PRIVATE balance_settle
balance_settle:
    FRAME
    push r14
    push rdi
    xor r14d, r14d                      # whether to wake the migration thread
    test edi, edi
    jz .failed
    mov qword ptr [rbx + sched_domain.nr_balance_failed], 0
    mov rax, qword ptr [rbx + sched_domain.min_interval]
    mov qword ptr [rbx + sched_domain.balance_interval], rax
    jmp .log
.failed:
    # Tasks that may not come here at all count as a failure like any other: defect L01. Corrected:
    # they are no reason to push, but one to look less often.
    FIXED 1
    jnc .count
    test esi, esi
    jz .count
    mov ecx, MAX_PINNED_INTERVAL
    call balance_back_off
    jmp .log
.count:
    imul eax, r15d, lb_stats.size
    inc qword ptr [rbx + rax + sched_domain.lb + lb_stats.lb_failed]
    inc qword ptr [rbx + sched_domain.nr_balance_failed]
    mov rax, qword ptr [rbx + sched_domain.cache_nice_tries]
    add rax, 2
    cmp qword ptr [rbx + sched_domain.nr_balance_failed], rax
    jbe .interval
    call balance_ask_to_push
    mov r14d, eax
    mov rax, qword ptr [rbx + sched_domain.cache_nice_tries]
    mov qword ptr [rbx + sched_domain.nr_balance_failed], rax
.interval:
    mov rax, qword ptr [rbx + sched_domain.balance_interval]
    cmp rax, qword ptr [rbx + sched_domain.max_interval]
    jae .log
    inc qword ptr [rbx + sched_domain.balance_interval]
.log:
    mov rdi, qword ptr [rsp]
    call balance_log_end
    test r14d, r14d
    jz .out
    mov rdi, qword ptr [r13 + runqueue.migration_thread]
    mov esi, WAKE_MASK
    xor edx, edx
    call try_to_wake_up
.out:
    pop rax
    pop r14
    UNFRAME
    ret
END balance_settle

# balance_ask_to_push() -> eax = 1 if the busiest CPU's migration thread is to be woken, 0 if it has
# been asked before.
#   clobbers: caller-saved
#   locks: takes and releases the busiest run queue's
#   irq: off
PRIVATE balance_ask_to_push
balance_ask_to_push:
    FRAME
    push r14
    mov rdi, r13
    call rq_lock
    mov r14, qword ptr [r13 + runqueue.active_balance]
    EVENT_AT 1, push_request, [r13 + runqueue.cpu], r14
    test r14, r14
    jnz .unlock
    mov qword ptr [r13 + runqueue.active_balance], 1
    mov rax, qword ptr [r12 + runqueue.cpu]
    mov qword ptr [r13 + runqueue.push_cpu], rax
.unlock:
    mov rdi, r13
    call rq_unlock
    mov eax, r14d
    xor eax, 1
    pop r14
    UNFRAME
    ret
END balance_ask_to_push

# balance_back_off(rcx = ms): there is nothing to do in the domain: doubles its interval if that is
# below so many. The result may exceed them: defect L03. Corrected: it does not.
#   clobbers: rax
#   locks: none
#   irq: off
PRIVATE balance_back_off
balance_back_off:
    mov rax, qword ptr [rbx + sched_domain.balance_interval]
    cmp rax, rcx
    jae .out
    shl rax, 1
    FIXED 3
    jnc .set
    cmp rax, rcx
    cmova rax, rcx
.set:
    mov qword ptr [rbx + sched_domain.balance_interval], rax
.out:
    ret
END balance_back_off

# balance_log_end(rdi = tasks moved): logs the domain as the attempt leaves it.
#   clobbers: rax, rcx, rdx
#   locks: none
#   irq: off
PRIVATE balance_log_end
balance_log_end:
    FRAME
    mov rax, qword ptr [rbx + sched_domain.level]
    mov rcx, qword ptr [rbx + sched_domain.balance_interval]
    mov rdx, qword ptr [rbx + sched_domain.nr_balance_failed]
    EVENT_AT 1, balanced, rax, rdi, rcx, rdx
    UNFRAME
    ret
END balance_log_end
