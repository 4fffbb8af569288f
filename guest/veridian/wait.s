.intel_syntax noprefix
# Waking. Tasks sleep in the wait queues of task/wait.s, which are this kernel's endpoints: schedule
# takes the CPU from a task whose state says that it sleeps. VeridianOS sched/ipc_blocking.rs;
# harness/model/veridian/wait.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"
.include "trace.inc"

.extern info_unlock
.extern place_task
.extern task_info_lock

.section .text
# veridian_wake(rdi = task, esi = states that are woken, edx = 1: the caller is to sleep): it waits
# on the CPU that it last ran on, if it may.
#   clobbers: caller-saved
#   locks: takes and releases that of the task's CPU, and of the one it is placed on
#   irq: any; off meanwhile
PUBLIC veridian_wake
veridian_wake:
    FRAME
    push rbx
    push r12
    push r13
    pushfq
    cli
    mov rbx, rdi
    mov r13d, esi
    call task_info_lock
    mov r12, rax
    mov edi, dword ptr [rbx + task.id]
    mov ecx, dword ptr [rbx + task.state]
    xor edx, edx
    cmp qword ptr [rbx + task.array], 0
    setne dl
    xor esi, esi
    cmp qword ptr [r12 + cpu_info.curr], rbx
    sete sil
    EVENT_AT 1, v_wake, rdi, [r12 + cpu_info.cpu], r13, rcx, rdx, rsi
    test ecx, r13d
    jz .nothing
    or edx, esi
    IF_BUG 22, .original
.wake:
    mov dword ptr [rbx + task.state], TASK_RUNNING
    test edx, edx
    jnz .nothing                        # it had not left yet
    mov rax, gs:[percpu.runqueue]
    inc qword ptr [rax + cpu_info.ipc_wakeups]
    mov rdi, rbx
    mov esi, 1
    xor edx, edx
    IF_BUG 18, .anywhere
.place:
    call place_task
    jmp .out
.anywhere:
    # Bug V18: nobody remembers where it last ran.
    xor esi, esi
    jmp .place
.original:
    # Bug V22: the waker has taken it out of its wait queue and does not find it there any more.
    # Tasks that the timer wakes wait in no endpoint.
    cmp dword ptr gs:[percpu.irq_depth], 0
    jne .wake
    test edx, edx
    jnz .wake
.nothing:
    mov rdi, r12
    call info_unlock
.out:
    popfq
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END veridian_wake
