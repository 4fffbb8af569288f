.intel_syntax noprefix
# Totals for the log: schedstat version 10 of each CPU and its domains, sched_info of each task.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"

.extern rq_lock
.extern rq_unlock

.equ SCHEDSTAT_COUNTERS, 22             # of runqueue.stats, those before the next ones
.equ MOVE_COUNTERS, 6                   # of runqueue.pt

.section .text
# log_runqueue_stats(): the counters of the calling CPU and of its domains, in the order in which
# schedstat prints.
#   clobbers: caller-saved
#   locks: takes and releases the run queue's; the CPU has stopped scheduling
#   irq: off
PUBLIC log_runqueue_stats
log_runqueue_stats:
    FRAME
    mov rax, gs:[percpu.runqueue]
    mov rcx, qword ptr [rax + runqueue.nr_switches]
    cmp rcx, gs:[percpu.switches]
    jne .miscounted
    mov ecx, SCHEDSTAT_COUNTERS
.counter:
    push qword ptr [rax + rcx * 8 + runqueue.stats - 8]
    dec ecx
    jnz .counter
    push EV_schedstat + SCHEDSTAT_COUNTERS * 65536
    call trace_emit
    mov rsp, rbp
    mov rdx, qword ptr [rax + runqueue.sd]
.domain:
    test rdx, rdx
    jz .moves
    call log_domain_stats
    mov rdx, qword ptr [rdx + sched_domain.parent]
    jmp .domain
.moves:
    mov ecx, MOVE_COUNTERS
.move:
    push qword ptr [rax + rcx * 8 + runqueue.pt - 8]
    dec ecx
    jnz .move
    push EV_schedstat_moves + MOVE_COUNTERS * 65536
    call trace_emit
    mov rsp, rbp
    call log_uninterruptible
    UNFRAME
    ret
.miscounted:
    PANIC "a run queue has counted other switches than its CPU"
END log_runqueue_stats

# log_uninterruptible(): the calling CPU's part of the sum of uninterruptible sleepers. Under the
# lock, because other CPUs may still wake some of them.
#   clobbers: caller-saved
#   locks: takes and releases the run queue's
#   irq: off
PRIVATE log_uninterruptible
log_uninterruptible:
    FRAME
    mov rdi, gs:[percpu.runqueue]
    call rq_lock
    EVENT uninterruptible, [rdi + runqueue.cpu], [rdi + runqueue.nr_uninterruptible]
    call rq_unlock
    UNFRAME
    ret
END log_uninterruptible

# log_domain_stats(rdx = domain): its counters.
#   clobbers: rcx
#   locks: none; its CPU has stopped scheduling
#   irq: off
PRIVATE log_domain_stats
log_domain_stats:
    FRAME
    mov ecx, sched_domain.stats_count
.counter:
    push qword ptr [rdx + rcx * 8 + sched_domain.stats - 8]
    dec ecx
    jnz .counter
    push qword ptr [rdx + sched_domain.level]
    push EV_schedstat_domain + (sched_domain.stats_count + 1) * 65536
    call trace_emit
    mov rsp, rbp
    UNFRAME
    ret
END log_domain_stats

# log_task_stats(rdi = task): its time on CPUs and waiting, and its switches.
#   clobbers: rax
#   locks: none; the task does not run
#   irq: off
PUBLIC log_task_stats
log_task_stats:
    mov eax, dword ptr [rdi + task.id]
    push qword ptr [rdi + task.nivcsw]
    push qword ptr [rdi + task.nvcsw]
    push qword ptr [rdi + task.sched_pcnt]
    push qword ptr [rdi + task.sched_run_delay]
    push qword ptr [rdi + task.sched_cpu_time]
    push rax
    push EV_task_summary + 6 * 65536
    call trace_emit
    add rsp, 7 * 8
    ret
END log_task_stats
