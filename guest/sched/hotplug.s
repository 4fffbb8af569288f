.intel_syntax noprefix
# CPUs that leave and return while everything runs. Linux 2.6.11 cpu_down(), cpu_up(),
# migration_call(); harness/model/hotplug.py.
#
# Both are work for the CPU's own migration thread, the best task there is: while it runs, no other
# task runs there, so all that belong to the CPU can be moved. A CPU that is offline goes on
# ticking and idling, but nobody gives it a task:
#
#   who gives a task to a CPU     knows that it is online
#   balancing, waking             it is his own: its bit changes in its migration thread only
#   moving, pushing               under the lock of its run queue, like the change
#   anyone who only points a      does not know; whoever queues the task later finds out, under
#   sleeping task there           the lock, and takes it elsewhere (hotplug_evade)

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "race.inc"

.extern apic_count
.extern cpu_count
.extern cpu_rq
.extern double_rq_lock
.extern double_rq_unlock
.extern migrate_locked
.extern migration_request
.extern rq_lock
.extern rq_unlock
.extern spin_lock
.extern spin_unlock
.extern task_count
.extern task_idle_count
.extern task_table

.equ EBUSY, 16
.equ EINVAL, 22

.section .text
# cpu_online_init(): all CPUs that there are, are online.
#   clobbers: rax, rcx
#   locks: none; the boot CPU is alone
#   irq: off
PUBLIC cpu_online_init
cpu_online_init:
    mov rax, -1
    mov ecx, dword ptr [rip + apic_count]
    neg ecx
    shr rax, cl
    mov qword ptr [rip + cpu_online_mask], rax
    ret
END cpu_online_init

# cpu_down(edi = CPU) -> eax = 0; -EBUSY for CPU 0, which has to stay: it counts the jiffies;
# -EINVAL if there is no such CPU, or if it is offline. When it returns no task is left there.
#   clobbers: caller-saved
#   locks: takes and releases the run queue's
#   irq: on; the caller may sleep
PUBLIC cpu_down
cpu_down:
    test edi, edi
    jz .stays
    mov esi, HOTPLUG_DOWN
    jmp hotplug_request
.stays:
    mov eax, -EBUSY
    ret
END cpu_down

# cpu_up(edi = CPU) -> eax = 0, or -EINVAL if there is no such CPU, or if it is online.
#   clobbers: caller-saved
#   locks: takes and releases the run queue's
#   irq: on; the caller may sleep
PUBLIC cpu_up
cpu_up:
    mov esi, HOTPLUG_UP
    jmp hotplug_request
END cpu_up

# hotplug_request(edi = CPU, esi = HOTPLUG_*) -> eax = result: asks the CPU's migration thread.
#   clobbers: caller-saved
#   locks: takes and releases the run queue's
#   irq: on; the caller may sleep
PRIVATE hotplug_request
hotplug_request:
    FRAME
    push rbx
    push r12
    push r14
    sub rsp, migration.size
    mov eax, -EINVAL
    mov ecx, edi
    cmp rcx, qword ptr [rip + cpu_count]
    jae .out
    mov r14d, esi
    xor ebx, ebx                        # no task
    call cpu_rq
    mov r12, rax
    cli
    mov rdi, rax
    call rq_lock
    mov rdi, rsp
    call migration_request
.out:
    lea rsp, [rbp - 24]
    pop r14
    pop r12
    pop rbx
    UNFRAME
    ret
END hotplug_request

# hotplug_serve(r12 = request) -> eax = result: what the migration thread of the CPU does for it.
#   clobbers: caller-saved
#   locks: takes and releases run queues'
#   irq: off
PUBLIC hotplug_serve
hotplug_serve:
    FRAME
    push rbx
    push r12
    push r13
    mov rbx, gs:[percpu.runqueue]
    mov r13, qword ptr [rbx + runqueue.cpu]
    mov r12, qword ptr [r12 + migration.dest]
    mov rdi, rbx
    call rq_lock
    lea rdi, [rip + cpu_online_lock]
    call spin_lock
    cmp r12d, HOTPLUG_UP
    je .up
    btr qword ptr [rip + cpu_online_mask], r13
    jnc .refuse
    EVENT_AT 1, cpu_down, r13, [rip + cpu_online_mask]
    call hotplug_unlock
    call hotplug_drain
    call hotplug_close
    jmp .done
.up:
    bts qword ptr [rip + cpu_online_mask], r13
    jc .refuse
    EVENT_AT 1, cpu_up, r13, [rip + cpu_online_mask]
    call hotplug_unlock
.done:
    xor eax, eax
    jmp .out
.refuse:
    EVENT_AT 1, plug_refused, r13, r12, [rip + cpu_online_mask]
    call hotplug_unlock
    mov eax, -EINVAL
.out:
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END hotplug_serve

# hotplug_unlock(rbx = run queue).
#   clobbers: caller-saved
#   locks: releases cpu_online_lock and the run queue's
#   irq: off
PRIVATE hotplug_unlock
hotplug_unlock:
    FRAME
    lea rdi, [rip + cpu_online_lock]
    call spin_unlock
    mov rdi, rbx
    call rq_unlock
    UNFRAME
    ret
END hotplug_unlock

# hotplug_drain(rbx = run queue of this CPU, which is offline): moves every task that belongs here,
# asleep or not; the original's migrate_live_tasks.
#   clobbers: caller-saved
#   locks: takes and releases run queues'
#   irq: off
PRIVATE hotplug_drain
hotplug_drain:
    FRAME
    push rbx
    push r12
    push r13
    mov r13, rbx
    mov eax, dword ptr [rip + task_idle_count]
    mov r12d, dword ptr [rip + task_count]
    sub r12d, eax
    imul ebx, eax, task.size
    add rbx, qword ptr [rip + task_table]
.task:
    RACE_POINT
    cmp dword ptr [rbx + task.slot], SLOT_USED
    jne .next
    RACE_POINT
    mov eax, dword ptr [rbx + task.cpu]
    cmp rax, qword ptr [r13 + runqueue.cpu]
    jne .next
    cmp rbx, gs:[percpu.curr]
    je .next
    call hotplug_move
.next:
    add rbx, task.size
    dec r12d
    jnz .task
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END hotplug_drain

# hotplug_move(rbx = task, r13 = run queue of this CPU): the original's move_task_off_dead_cpu.
#   clobbers: caller-saved
#   locks: takes and releases both run queues', and cpu_online_lock
#   irq: off
PRIVATE hotplug_move
hotplug_move:
    FRAME
    push r12
.again:
    call fallback_cpu
    mov edi, eax
    call cpu_rq
    mov r12, rax
    mov rdi, r13
    mov rsi, rax
    call double_rq_lock
    mov eax, dword ptr [rbx + task.cpu]
    cmp rax, qword ptr [r13 + runqueue.cpu]
    jne .unlock                         # somebody has taken it along meanwhile
    lea rdi, [rip + cpu_online_lock]
    call spin_lock
    call fallback_cpu
    cmp rax, qword ptr [r12 + runqueue.cpu]
    jne .elsewhere
    call hotplug_log
    push r8
    push r9
    lea rdi, [rip + cpu_online_lock]
    call spin_unlock
    pop r9
    pop r8
    call migrate_locked
.unlock:
    mov rdi, r13
    mov rsi, r12
    call double_rq_unlock
    pop r12
    UNFRAME
    ret
.elsewhere:
    lea rdi, [rip + cpu_online_lock]
    call spin_unlock
    mov rdi, r13
    mov rsi, r12
    call double_rq_unlock
    jmp .again
END hotplug_move

# hotplug_close(rbx = run queue of this CPU): it has no task any more. Its count of uninterruptible
# sleepers, which is only a part of a sum, goes to CPU 0.
#   clobbers: caller-saved
#   locks: takes and releases CPU 0's run queue's and this one's
#   irq: off
PRIVATE hotplug_close
hotplug_close:
    FRAME
    push r12
    xor edi, edi
    call cpu_rq
    mov r12, rax
    mov rdi, rax
    mov rsi, rbx
    call double_rq_lock
    mov rax, qword ptr [rbx + runqueue.nr_uninterruptible]
    add qword ptr [r12 + runqueue.nr_uninterruptible], rax
    mov qword ptr [rbx + runqueue.nr_uninterruptible], 0
    cmp qword ptr [rbx + runqueue.nr_running], 1
    jne .left
    EVENT_AT 1, cpu_dead, [rbx + runqueue.cpu]
    EVENT_AT 1, uninterruptible, 0, [r12 + runqueue.nr_uninterruptible]
    mov rdi, r12
    mov rsi, rbx
    call double_rq_unlock
    pop r12
    UNFRAME
    ret
.left:
    PANIC "a CPU is offline and tasks are queued there"
END hotplug_close

# hotplug_evade(rbx = task, r12 = its run queue) -> ZF clear if that CPU is offline and the task is
# not its own thread: then the task, which sleeps, belongs to another CPU now.
#   clobbers: caller-saved
#   locks: the run queue's held; takes and releases cpu_online_lock
#   irq: off
PUBLIC hotplug_evade
hotplug_evade:
    FRAME
    mov rax, qword ptr [r12 + runqueue.cpu]
    bt qword ptr [rip + cpu_online_mask], rax
    jc .stays
    cmp rbx, qword ptr [r12 + runqueue.migration_thread]
    je .stays
    push r12
    push r13
    mov r13, r12
    lea rdi, [rip + cpu_online_lock]
    call spin_lock
    call fallback_cpu
    mov edi, eax
    call cpu_rq
    mov r12, rax
    call hotplug_log
    mov rax, qword ptr [r12 + runqueue.cpu]
    mov dword ptr [rbx + task.cpu], eax
    lea rdi, [rip + cpu_online_lock]
    call spin_unlock
    pop r13
    pop r12
    test rsp, rsp                       # no ZF
    UNFRAME
    ret
.stays:
    xor eax, eax
    UNFRAME
    ret
END hotplug_evade

# hotplug_log(rbx = task, r13 = run queue that it leaves, r12 = the one that it goes to) -> r8, r9 =
# their last ticks: logs that, and opens its affinity where that names no CPU that is online.
#   clobbers: caller-saved
#   locks: that of the queue it leaves, and cpu_online_lock, held
#   irq: off
PRIVATE hotplug_log
hotplug_log:
    FRAME
    mov eax, dword ptr [rbx + task.id]
    mov rcx, qword ptr [rbx + task.cpus_allowed]
    xor edx, edx
    test rcx, qword ptr [rip + cpu_online_mask]
    jnz .log
    inc edx
    mov qword ptr [rbx + task.cpus_allowed], -1
.log:
    xor ecx, ecx
    cmp qword ptr [rbx + task.array], 0
    setne cl
    RACE_POINT
    mov r8, qword ptr [r13 + runqueue.timestamp_last_tick]
    RACE_POINT
    mov r9, qword ptr [r12 + runqueue.timestamp_last_tick]
    EVENT_AT 1, drain, rax, [r13 + runqueue.cpu], [r12 + runqueue.cpu], rdx, rcx, r8, r9
    UNFRAME
    ret
END hotplug_log

# fallback_cpu(rbx = task) -> rax = lowest CPU that is online and that its affinity names; if there
# is none, lowest that is online.
#   clobbers: rcx
#   locks: none: without cpu_online_lock it is a hint
#   irq: as found
PRIVATE fallback_cpu
fallback_cpu:
    RACE_POINT
    mov rcx, qword ptr [rip + cpu_online_mask]
    RACE_POINT
    mov rax, qword ptr [rbx + task.cpus_allowed]
    and rax, rcx
    cmovz rax, rcx
    bsf rax, rax
    ret
END fallback_cpu

.section .data
# cpu_online_mask: a bit for each CPU that takes part in scheduling. Written under the lock of the
# CPU's run queue and cpu_online_lock, by that CPU's migration thread. cpu_online_lock is taken
# after run queues' locks, by who must not see the mask change.
OBJECT cpu_online_mask
cpu_online_mask:
    .quad -1
END cpu_online_mask
OBJECT cpu_online_lock, 16
cpu_online_lock:
    .long LOCK_FREE, 0, 0, 0
END cpu_online_lock
