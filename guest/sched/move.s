.intel_syntax noprefix
# Taking tasks from one CPU's queue to another's. Linux 2.6.11 can_migrate_task(), move_tasks(),
# pull_task(); harness/model/migrate.py.
#
# "src" loses tasks, "dst" gets them; both run queues are locked. The CPU that executes is either of
# them: dst's when it pulls, src's when its migration thread pushes.
#
# Read once for a whole move, and logged, where the original reads anew for each task: both CPUs'
# last ticks, whether the destination idles, and jiffies.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "fix.inc"
.include "race.inc"

.extern cpu_rq
.extern dequeue_task
.extern enqueue_task_at
.extern find_next_bit
.extern preempt_curr
.extern sched_find_first_bit

# Why a task is not moved.
.equ SKIP_RUNNING, 1
.equ SKIP_AFFINITY, 2
.equ SKIP_HOT, 3

# One call of move_tasks, on its stack.
STRUCT move
    FIELD move, dst, 8                  # run queues
    FIELD move, src, 8
    FIELD move, max, 8
    FIELD move, sd, 8
    FIELD move, type, 4                 # SCHED_IDLE, NOT_IDLE or NEWLY_IDLE
    FIELD move, idle, 4                 # the destination and its siblings idle
    FIELD move, src_tick, 8
    FIELD move, dst_tick, 8
    FIELD move, pulled, 8
    FIELD move, expired, 8              # the expired arrays are being gone through
    FIELD move, head, 8                 # of the list that is being gone through
    FIELD move, index, 8                # its priority
    FIELD move, skipped, (SKIP_HOT + 1)*8   # tasks that stay, by reason

.section .text
# move_tasks(rdi = dst, rsi = src, rdx = how many at most, rcx = domain, r8d = why: SCHED_IDLE,
# NOT_IDLE or NEWLY_IDLE) -> eax = tasks moved, edx = 1 if affinity kept some from moving and
# nothing else kept any but the running one. Expired tasks go before active ones, the
# best priority first, within a list from the tail, which has waited longest since it ran.
# The operation has set percpu.op_jiffies. In it r12 = array, r13 = next link, r15 = move.
#   clobbers: caller-saved
#   locks: both run queues' held
#   irq: off
PUBLIC move_tasks
move_tasks:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    push r15
    sub rsp, move.size
    mov r15, rsp
    call move_begin
    cmp qword ptr [r15 + move.max], 0
    je .out
    mov rax, qword ptr [r15 + move.src]
    cmp qword ptr [rax + runqueue.nr_running], 1
    jbe .out
    mov r12, qword ptr [rax + runqueue.expired]
    mov qword ptr [r15 + move.expired], 1
    cmp qword ptr [r12 + prio_array.nr_active], 0
    je .active
.array:
    lea rdi, [r12 + prio_array.bitmap]
    call sched_find_first_bit
.list:
    cmp eax, MAX_PRIO
    jae .array_done
    mov qword ptr [r15 + move.index], rax
    shl rax, 4                          # a list head is 16 bytes
    lea rax, [r12 + rax + prio_array.queue]
    mov qword ptr [r15 + move.head], rax
    mov r13, qword ptr [rax + LIST_PREV]
.task:
    lea rbx, [r13 - task.run_list]
    mov r13, qword ptr [r13 + LIST_PREV]    # before the task can be unlinked
    call move_consider
    mov rax, qword ptr [r15 + move.pulled]
    cmp rax, qword ptr [r15 + move.max]
    jae .out
    cmp r13, qword ptr [r15 + move.head]
    jne .task
    lea rdi, [r12 + prio_array.bitmap]
    mov esi, MAX_PRIO
    mov edx, dword ptr [r15 + move.index]
    inc edx
    call find_next_bit
    jmp .list
.array_done:
    cmp qword ptr [r15 + move.expired], 0
    je .out
.active:
    mov qword ptr [r15 + move.expired], 0
    mov rax, qword ptr [r15 + move.src]
    mov r12, qword ptr [rax + runqueue.active]
    jmp .array
.out:
    mov rax, qword ptr [r15 + move.pulled]
    EVENT_AT 1, moved, rax
    xor edx, edx
    cmp qword ptr [r15 + move.skipped + SKIP_HOT * 8], 0
    jne .done
    cmp qword ptr [r15 + move.skipped + SKIP_AFFINITY * 8], 0
    setne dl
.done:
    add rsp, move.size
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END move_tasks

# move_begin(r15 = move, otherwise as move_tasks): notes the arguments, reads what is read once, and
# logs it all.
#   clobbers: caller-saved, rbx
#   locks: both run queues' held
#   irq: off
PRIVATE move_begin
move_begin:
    FRAME
    mov qword ptr [r15 + move.dst], rdi
    mov qword ptr [r15 + move.src], rsi
    mov qword ptr [r15 + move.max], rdx
    mov qword ptr [r15 + move.sd], rcx
    mov dword ptr [r15 + move.type], r8d
    xor eax, eax
    mov qword ptr [r15 + move.pulled], rax
    mov qword ptr [r15 + move.skipped + SKIP_AFFINITY * 8], rax
    mov qword ptr [r15 + move.skipped + SKIP_HOT * 8], rax
    RACE_POINT
    mov rax, qword ptr [rsi + runqueue.timestamp_last_tick]
    mov qword ptr [r15 + move.src_tick], rax
    RACE_POINT
    mov rax, qword ptr [rdi + runqueue.timestamp_last_tick]
    mov qword ptr [r15 + move.dst_tick], rax
    mov edi, dword ptr [rdi + runqueue.cpu]
    call cpu_and_siblings_are_idle
    mov dword ptr [r15 + move.idle], eax
    mov rdi, qword ptr [r15 + move.src]
    mov rdi, qword ptr [rdi + runqueue.cpu]
    mov rsi, qword ptr [r15 + move.dst]
    mov rsi, qword ptr [rsi + runqueue.cpu]
    mov rcx, qword ptr [r15 + move.sd]
    mov rdx, qword ptr [rcx + sched_domain.level]
    mov rcx, qword ptr [rcx + sched_domain.nr_balance_failed]
    mov r8, qword ptr [r15 + move.max]
    mov r9d, dword ptr [r15 + move.type]
    mov r10, qword ptr [r15 + move.src_tick]
    mov r11, qword ptr [r15 + move.dst_tick]
    EVENT_AT 1, move, rdi, rsi, rdx, r8, r9, rax, rcx, r10, r11, gs:[percpu.op_jiffies]
    UNFRAME
    ret
END move_begin

# move_consider(rbx = task, r15 = move): moves the task, or logs why not.
#   clobbers: caller-saved
#   locks: both run queues' held
#   irq: off
PRIVATE move_consider
move_consider:
    FRAME
    mov rdi, rbx
    mov rsi, qword ptr [r15 + move.src]
    mov rdx, qword ptr [r15 + move.dst]
    mov edx, dword ptr [rdx + runqueue.cpu]
    mov rcx, qword ptr [r15 + move.sd]
    mov r8d, dword ptr [r15 + move.idle]
    mov r9, qword ptr [r15 + move.src_tick]
    call can_migrate_task
    test eax, eax
    jz .pull
    inc qword ptr [r15 + rax * 8 + move.skipped]
    mov ecx, dword ptr [rbx + task.id]
    EVENT_AT 1, skip, rcx, rax
    UNFRAME
    ret
.pull:
    inc qword ptr [r15 + move.pulled]
    mov eax, dword ptr [r15 + move.type]
    shl eax, 4                          # gained and lost
    mov rdx, qword ptr [r15 + move.dst]
    inc qword ptr [rdx + rax + runqueue.pt]
    inc qword ptr [rsi + rax + runqueue.pt + 8]     # rsi is src, and rdi the task, still
    mov ecx, dword ptr [r15 + move.expired]
    mov r8, qword ptr [r15 + move.src_tick]
    mov r9, qword ptr [r15 + move.dst_tick]
    call pull_task
    UNFRAME
    ret
END move_consider

# can_migrate_task(rdi = task, rsi = its run queue, edx = other CPU, rcx = domain, r8d = 1 if the
# other CPU and its siblings idle, r9 = ns of the run queue's last tick) -> eax = 0 if balancing may
# move the task there, else why not. To an idle CPU, or after too many failures, hot tasks go too. A
# task that ran exactly cache_hot_time ago is cold, one that ran after the tick is hot. A CPU about
# to idle is not idle: it still runs its last task.
#   clobbers: r8, r9
#   locks: both run queues' held
#   irq: off
PUBLIC can_migrate_task
can_migrate_task:
    mov eax, SKIP_RUNNING
    cmp rdi, qword ptr [rsi + runqueue.curr]
    je .out
    mov eax, SKIP_AFFINITY
    bt qword ptr [rdi + task.cpus_allowed], rdx
    jnc .out
    xor eax, eax
    test r8d, r8d
    jnz .out
    mov r8, qword ptr [rcx + sched_domain.nr_balance_failed]
    cmp r8, qword ptr [rcx + sched_domain.cache_nice_tries]
    ja .out
    sub r9, qword ptr [rdi + task.last_ran]
    cmp r9, qword ptr [rcx + sched_domain.cache_hot_time]
    jge .out
    mov eax, SKIP_HOT
.out:
    ret
END can_migrate_task

# pull_task(rdi = task, rsi = src, rdx = dst, ecx = 1 if it is expired and stays so, r8, r9 = ns of
# src's and dst's last ticks): takes the task to the tail of its list there. Slice, priorities,
# sleep average and last_ran go along unchanged.
#   clobbers: caller-saved
#   locks: both run queues' held
#   irq: off
PUBLIC pull_task
pull_task:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    mov rbx, rdi
    mov r12, rsi
    mov r13, rdx
    mov r14d, ecx
    sub r9, r8
    add qword ptr [rbx + task.timestamp], r9
    mov eax, dword ptr [rbx + task.id]
    EVENT_AT 1, pull, rax, r14
    mov rsi, qword ptr [rbx + task.array]
    call dequeue_task
    dec qword ptr [r12 + runqueue.nr_running]
    mov eax, dword ptr [r13 + runqueue.cpu]
    mov dword ptr [rbx + task.cpu], eax
    inc qword ptr [r13 + runqueue.nr_running]
    mov rsi, qword ptr [r13 + runqueue.active]
    test r14d, r14d
    cmovnz rsi, qword ptr [r13 + runqueue.expired]
    mov rdx, gs:[percpu.op_jiffies]
    call enqueue_task_at                # rdi is the task all along
    test r14d, r14d
    jz .preempt
    # The destination's record of expiries does not learn of the task: defect L08. Corrected: as if
    # it had expired there now.
    FIXED 8
    jnc .preempt_expired
    call pull_record_expiry
.preempt_expired:
    # An expired task does not run next, whatever its priority, and yet may have the CPU
    # reschedule: defect L10. Corrected: only an idle one, which would not look by itself.
    FIXED 10
    jnc .preempt
    mov rax, qword ptr [r13 + runqueue.curr]
    cmp rax, qword ptr [r13 + runqueue.idle]
    jne .done
.preempt:
    mov rsi, r13
    call preempt_curr
.done:
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END pull_task

# pull_record_expiry(rbx = task, r13 = dst): the time of the first expiry and the best priority
# among the expired take it in.
#   clobbers: rax
#   locks: dst's held
#   irq: off
PRIVATE pull_record_expiry
pull_record_expiry:
    cmp qword ptr [r13 + runqueue.expired_timestamp], 0
    jne .priority
    mov rax, gs:[percpu.op_jiffies]
    mov qword ptr [r13 + runqueue.expired_timestamp], rax
.priority:
    mov eax, dword ptr [rbx + task.static_prio]
    cmp rax, qword ptr [r13 + runqueue.best_expired_prio]
    jae .done
    mov qword ptr [r13 + runqueue.best_expired_prio], rax
.done:
    ret
END pull_record_expiry

# cpu_and_siblings_are_idle(edi = CPU) -> eax = 1 if it and the other hardware threads of its core
# run their idle tasks at this moment.
#   clobbers: rcx, rdx, rsi, rdi
#   locks: none needed; other CPUs' current tasks are hints
#   irq: off
PUBLIC cpu_and_siblings_are_idle
cpu_and_siblings_are_idle:
    FRAME
    call cpu_rq
    xor edx, edx
    bts rdx, rdi
    mov rcx, qword ptr [rax + runqueue.sd]
    test rcx, rcx
    jz .cpu
    test qword ptr [rcx + sched_domain.flags], SD_SHARE_CPUPOWER
    cmovnz rdx, qword ptr [rcx + sched_domain.span]
.cpu:
    bsf rdi, rdx
    jz .idle
    btr rdx, rdi
    call cpu_rq
    RACE_POINT
    mov rsi, qword ptr [rax + runqueue.curr]
    cmp rsi, qword ptr [rax + runqueue.idle]
    je .cpu
    xor eax, eax
    jmp .out
.idle:
    mov eax, 1
.out:
    UNFRAME
    ret
END cpu_and_siblings_are_idle
