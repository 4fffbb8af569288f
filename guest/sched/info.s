.intel_syntax noprefix
# sched_info: how long tasks run and how long they wait, in jiffies.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"

.section .text
# sched_info_queued(rdi = task, rsi = jiffies): the wait begins, unless it had begun before.
#   clobbers: nothing
#   locks: that of the task's run queue held
#   irq: off
PUBLIC sched_info_queued
sched_info_queued:
    cmp qword ptr [rdi + task.sched_last_queued], 0
    jne .waits
    mov qword ptr [rdi + task.sched_last_queued], rsi
.waits:
    ret
END sched_info_queued

# sched_info_switch(rdi = run queue, rsi = task that leaves the CPU, rdx = task that arrives, which
# may be the same, rcx = jiffies). The idle task does not count.
#   clobbers: rax
#   locks: the run queue's lock held
#   irq: off
PUBLIC sched_info_switch
sched_info_switch:
    cmp rsi, qword ptr [rdi + runqueue.idle]
    je .arrive
    mov rax, rcx
    sub rax, qword ptr [rsi + task.sched_last_arrival]
    add qword ptr [rsi + task.sched_cpu_time], rax
    add qword ptr [rdi + runqueue.cpu_time], rax
.arrive:
    cmp rdx, qword ptr [rdi + runqueue.idle]
    je .done
    xor eax, eax
    cmp qword ptr [rdx + task.sched_last_queued], 0
    je .waited
    mov rax, rcx
    sub rax, qword ptr [rdx + task.sched_last_queued]
.waited:
    mov qword ptr [rdx + task.sched_last_queued], 0
    add qword ptr [rdx + task.sched_run_delay], rax
    add qword ptr [rdi + runqueue.run_delay], rax
    mov qword ptr [rdx + task.sched_last_arrival], rcx
    inc qword ptr [rdx + task.sched_pcnt]
    inc qword ptr [rdi + runqueue.pcnt]
.done:
    ret
END sched_info_switch
