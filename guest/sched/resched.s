.intel_syntax noprefix
# Asking a CPU to reschedule. Linux 2.6.11 resched_task(); harness/model/resched.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "race.inc"

.extern ipi_send

.section .text
# resched_task(rdi = task): has the CPU that runs it reschedule.
#   clobbers: caller-saved
#   locks: the lock of the task's run queue held
#   irq: off
PUBLIC resched_task
resched_task:
    FRAME
    RACE_POINT
    mov eax, 1
    xchg dword ptr [rdi + task.need_resched], eax   # before the interrupt is sent
    mov ecx, dword ptr [rdi + task.cpu]
    xor edx, edx
    cmp ecx, gs:[percpu.cpu]
    je .log
    test eax, eax
    setz dl
.log:
    mov esi, dword ptr [rdi + task.id]
    EVENT_AT 1, resched, rsi, rcx, rax, 0, rdx
    test edx, edx
    jz .done
    mov edi, ecx
    mov esi, VECTOR_RESCHEDULE
    call ipi_send
.done:
    UNFRAME
    ret
END resched_task

# preempt_curr(rdi = task, rsi = run queue): reschedules its CPU if the task is strictly better
# than what runs there.
#   clobbers: caller-saved
#   locks: the run queue's held
#   irq: off
PUBLIC preempt_curr
preempt_curr:
    FRAME
    mov rax, qword ptr [rsi + runqueue.curr]
    mov ecx, dword ptr [rdi + task.prio]
    cmp ecx, dword ptr [rax + task.prio]
    jae .done
    mov rdi, rax
    call resched_task
.done:
    UNFRAME
    ret
END preempt_curr
