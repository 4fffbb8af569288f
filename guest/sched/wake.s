.intel_syntax noprefix
# Waking a task. Linux 2.6.11 try_to_wake_up(); harness/model/wake.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "race.inc"

.extern clock_ns
.extern cpu_online_mask
.extern hotplug_evade
.extern jiffies
.extern preempt_curr
.extern queue_active_task
.extern recalc_task_prio
.extern rq_unlock
.extern source_load
.extern target_load
.extern task_rq_lock
.extern wake_idle

.section .text
# try_to_wake_up(rdi = task, esi = states that are woken, edx = 1 if the waker is about to sleep)
# -> eax = 1 if it queued the task, else 0. In it rbx = task, r12 = its run queue, r13 = states,
# r14 = sync.
#   clobbers: caller-saved
#   locks: takes and releases that of the task's run queue, and of the one it moves it to
#   irq: any; off meanwhile
PUBLIC try_to_wake_up
try_to_wake_up:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    pushfq
    cli
    mov rbx, rdi
    mov r13d, esi
    mov r14d, edx
    call task_rq_lock
    mov r12, rax
    inc qword ptr [r12 + runqueue.ttwu_cnt]
    call wake_log
    call wake_settle
    jz .nothing
    # A task that still switches out must not be placed elsewhere: two CPUs would use one stack.
    cmp qword ptr [r12 + runqueue.curr], rbx
    je .activate
    call hotplug_evade
    jnz .moved
    call wake_place
    inc qword ptr [r12 + runqueue.ttwu_attempts]
    mov edi, eax
    call wake_idle
    cmp eax, dword ptr [rbx + task.cpu]
    je .activate
    inc qword ptr [r12 + runqueue.ttwu_moved]
    mov dword ptr [rbx + task.cpu], eax
.moved:
    mov rdi, r12
    call rq_unlock
    mov rdi, rbx
    call task_rq_lock
    mov r12, rax
    call wake_log_moved
    call wake_settle
    jz .nothing
    call hotplug_evade
    jnz .moved
.activate:
    call wake_finish
    mov eax, 1
    jmp .unlock
.nothing:
    xor eax, eax
.unlock:
    push rax
    mov rdi, r12
    call rq_unlock
    pop rax
    popfq
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END try_to_wake_up

# wake_log(rbx = task, r12 = run queue, r13 = states, r14 = sync): logs what the wake-up finds.
#   clobbers: caller-saved
#   locks: the run queue's held
#   irq: off
PRIVATE wake_log
wake_log:
    mov eax, dword ptr [rbx + task.id]
    mov ecx, dword ptr [rbx + task.state]
    xor edx, edx
    cmp qword ptr [rbx + task.array], 0
    setne dl
    xor esi, esi
    cmp qword ptr [r12 + runqueue.curr], rbx
    sete sil
    EVENT_AT 1, wake, rax, [r12 + runqueue.cpu], r13, rcx, rdx, rsi, r14
    ret
END wake_log

# wake_log_moved(rbx = task, r12 = run queue): the same after the lock was changed.
#   clobbers: caller-saved
#   locks: the run queue's held
#   irq: off
PRIVATE wake_log_moved
wake_log_moved:
    mov eax, dword ptr [rbx + task.id]
    mov ecx, dword ptr [rbx + task.state]
    xor edx, edx
    cmp qword ptr [rbx + task.array], 0
    setne dl
    EVENT_AT 1, wake_moved, rax, [r12 + runqueue.cpu], rcx, rdx
    ret
END wake_log_moved

# wake_settle(rbx = task, r13 = states) -> ZF set if there is nothing to queue: the task is in no
# state to be woken, or it had not left its queue yet, and then running again is all it takes.
#   clobbers: none
#   locks: that of the task's run queue held
#   irq: off
PRIVATE wake_settle
wake_settle:
    test dword ptr [rbx + task.state], r13d
    jz .done
    cmp qword ptr [rbx + task.array], 0
    je .asleep
    mov dword ptr [rbx + task.state], TASK_RUNNING
    cmp rbx, rbx                        # ZF
    ret
.asleep:
    test rbx, rbx                       # no ZF
.done:
    ret
END wake_settle

# wake_place(rbx = task, r12 = its run queue, r14 = sync) -> eax = CPU to queue it on: its own, or
# this one.
#   clobbers: caller-saved
#   locks: the run queue's held; this CPU's is only read
#   irq: off
PRIVATE wake_place
wake_place:
    FRAME
    push r15
    push r13
    sub rsp, 40                         # +0 load, +8 nr, +16 this load, +24 this nr, +32 last tick
    RACE_POINT
    mov rax, qword ptr [r12 + runqueue.timestamp_last_tick]
    mov qword ptr [rsp + 32], rax       # once: that CPU may tick at any time
    mov qword ptr [rsp], 0
    mov qword ptr [rsp + 8], 0
    mov qword ptr [rsp + 16], 0
    mov qword ptr [rsp + 24], 0
    mov r15d, dword ptr [rbx + task.cpu]
    mov ecx, gs:[percpu.cpu]
    cmp r15d, ecx
    je .placed
    bt qword ptr [rbx + task.cpus_allowed], rcx
    jnc .placed
    bt qword ptr [rip + cpu_online_mask], rcx
    jnc .placed                         # a timer here may still wake it
    RACE_POINT
    mov rax, qword ptr [r12 + runqueue.cpu_load]
    mov qword ptr [rsp], rax
    mov rax, qword ptr [r12 + runqueue.nr_running]
    mov qword ptr [rsp + 8], rax
    mov r8, gs:[percpu.runqueue]
    mov rax, qword ptr [r8 + runqueue.cpu_load]
    mov qword ptr [rsp + 16], rax
    RACE_POINT
    mov rax, qword ptr [r8 + runqueue.nr_running]
    mov qword ptr [rsp + 24], rax

    mov rdi, qword ptr [rsp]
    mov rsi, qword ptr [rsp + 8]
    call source_load
    mov r13, rax                        # load there
    mov rdi, qword ptr [rsp + 16]
    mov rsi, qword ptr [rsp + 24]
    call target_load
    mov rsi, rax                        # load here
    mov ecx, r14d
    shl ecx, 7                          # a waker that goes to sleep takes its own load with it
    sub rsi, rcx
    cmp r13, SCHED_LOAD_SCALE / 2
    jae .domains
    cmp rsi, SCHED_LOAD_SCALE / 2
    ja .placed                          # do not pull from an idle CPU to a busy one
.domains:
    mov rdi, r13
    mov rdx, qword ptr [rsp + 32]
    call wake_domain_accepts
    test eax, eax
    jz .placed
    mov r15d, gs:[percpu.cpu]
.placed:
    mov eax, dword ptr [rbx + task.id]
    mov rdi, qword ptr [rsp]
    mov rsi, qword ptr [rsp + 8]
    mov rdx, qword ptr [rsp + 16]
    mov rcx, qword ptr [rsp + 24]
    mov r8, qword ptr [rsp + 32]
    EVENT_AT 1, place, rax, r15, rdi, rsi, rdx, rcx, r8
    mov eax, r15d
    add rsp, 40
    pop r13
    pop r15
    UNFRAME
    ret
END wake_place

# wake_domain_accepts(rbx = task, rdi = load there, rsi = load here, rdx = last tick there)
# -> eax = 1 if a domain of this CPU takes the task: because its caches are cold, or because there
# is clearly less to do here. Counts it for the domain.
#   clobbers: caller-saved
#   locks: that of the task's run queue held
#   irq: off
PRIVATE wake_domain_accepts
wake_domain_accepts:
    mov r8, gs:[percpu.runqueue]
    mov r8, qword ptr [r8 + runqueue.sd]
    mov r9d, dword ptr [rbx + task.cpu]
.domain:
    test r8, r8
    jz .none
    lea r10, [r8 + sched_domain.ttwu_wake_affine]
    test qword ptr [r8 + sched_domain.flags], SD_WAKE_AFFINE
    jz .balance
    mov rax, rdx
    sub rax, qword ptr [rbx + task.last_ran]
    cmp rax, qword ptr [r8 + sched_domain.cache_hot_time]
    jge .span                           # cold: signed, equality included
.balance:
    test qword ptr [r8 + sched_domain.flags], SD_WAKE_BALANCE
    jz .next
    mov rax, qword ptr [r8 + sched_domain.imbalance_pct]
    lea rcx, [rax - 100]
    shr rcx, 1
    add rax, rcx
    imul rax, rsi
    imul rcx, rdi, 100
    lea r10, [r8 + sched_domain.ttwu_wake_balance]
    cmp rax, rcx
    ja .next
.span:
    bt qword ptr [r8 + sched_domain.span], r9
    jnc .next
    inc qword ptr [r10]
    mov eax, 1
    ret
.next:
    mov r8, qword ptr [r8 + sched_domain.parent]
    jmp .domain
.none:
    xor eax, eax
    ret
END wake_domain_accepts

# wake_finish(rbx = task, r12 = its run queue, r14 = sync): queues it and preempts if it is better.
#   clobbers: caller-saved
#   locks: the run queue's held
#   irq: off
PRIVATE wake_finish
wake_finish:
    FRAME
    cmp dword ptr [rbx + task.state], TASK_UNINTERRUPTIBLE
    jne .activate
    dec qword ptr [r12 + runqueue.nr_uninterruptible]
    mov dword ptr [rbx + task.activated], -1
.activate:
    call activate_task
    test r14d, r14d
    jz .preempt
    mov eax, gs:[percpu.cpu]
    cmp rax, qword ptr [r12 + runqueue.cpu]
    je .running                         # the waker promised to leave
.preempt:
    mov rdi, rbx
    mov rsi, r12
    call preempt_curr
.running:
    mov dword ptr [rbx + task.state], TASK_RUNNING
    UNFRAME
    ret
END wake_finish

# activate_task(rbx = task, r12 = its run queue): queues a task that slept, its sleep credited.
# Times of another CPU are translated by the last ticks of both.
#   clobbers: caller-saved
#   locks: the run queue's held
#   irq: off
PUBLIC activate_task
activate_task:
    FRAME
    push r13
    call clock_ns
    mov r13, rax
    mov r8, gs:[percpu.runqueue]
    mov r9, qword ptr [r8 + runqueue.timestamp_last_tick]
    RACE_POINT
    mov r10, qword ptr [r12 + runqueue.timestamp_last_tick]
    mov eax, dword ptr [rbx + task.id]
    xor edx, edx
    cmp dword ptr gs:[percpu.irq_depth], 0
    setne dl
    RACE_POINT
    mov rcx, qword ptr [rip + jiffies]
    mov gs:[percpu.op_jiffies], rcx
    EVENT_AT 1, activate, rax, [r12 + runqueue.cpu], r13, rcx, rdx, r9, r10
    sub r13, r9
    add r13, r10
    push rdx
    mov rdi, rbx
    mov rsi, r13
    call recalc_task_prio
    pop rdx
    cmp dword ptr [rbx + task.activated], 0
    jne .queue
    inc edx                             # 1 by a task, 2 by an interrupt
    mov dword ptr [rbx + task.activated], edx
.queue:
    mov qword ptr [rbx + task.timestamp], r13
    mov rdi, rbx
    mov rsi, r12
    call queue_active_task
    pop r13
    UNFRAME
    ret
END activate_task
