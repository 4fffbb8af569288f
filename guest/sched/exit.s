.intel_syntax noprefix
# Death of a task: what is left of its slice is given back. Linux 2.6.11 sched_exit();
# harness/model/exit.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"

.extern rq_unlock
.extern schedule
.extern spin_lock
.extern spin_unlock
.extern task_lock
.extern task_rq_lock
.extern task_timeslice

.section .text
# do_exit(): ends the calling task.
#   clobbers: never returns
#   locks: as sched_exit and schedule
#   irq: any
PUBLIC do_exit
do_exit:
    FRAME
    cli
    mov rbx, gs:[percpu.curr]
    call sched_exit
    mov dword ptr [rbx + task.state], TASK_DEAD
    call schedule
    PANIC "a task that had ended was run again"
END do_exit

# sched_exit(rbx = task, running): its parent gets back what is left of a first slice, and a hog
# weighs on its parent's sleep average. Nothing, if the parent has gone.
#   clobbers: caller-saved
#   locks: takes and releases task_lock, within it that of the parent's run queue
#   irq: off
PRIVATE sched_exit
sched_exit:
    FRAME
    push r12
    push r13
    mov r12, qword ptr [rbx + task.parent]
    test r12, r12
    jz .orphan
    lea rdi, [rip + task_lock]          # so that the parent is not freed meanwhile
    call spin_lock
    mov rax, qword ptr [rbx + task.parent_generation]
    cmp rax, qword ptr [r12 + task.generation]
    jne .freed
    mov rdi, r12
    call task_rq_lock
    mov r13, rax
    mov eax, dword ptr [rbx + task.id]
    mov ecx, dword ptr [r12 + task.id]
    EVENT_AT 1, exit, rax, rcx, [r13 + runqueue.cpu]
    call return_slice
    call weigh_on_parent
    mov rdi, r13
    call rq_unlock
    lea rdi, [rip + task_lock]
    call spin_unlock
    jmp .out
.freed:
    lea rdi, [rip + task_lock]
    call spin_unlock
.orphan:
    mov eax, dword ptr [rbx + task.id]
    EVENT_AT 1, exit, rax, -1, 0
.out:
    pop r13
    pop r12
    UNFRAME
    ret
END sched_exit

# return_slice(rbx = child, r12 = parent): what is left of a first slice, up to a full one.
#   clobbers: caller-saved
#   locks: that of the parent's run queue held
#   irq: off
PRIVATE return_slice
return_slice:
    FRAME
    cmp dword ptr [rbx + task.first_time_slice], 0
    je .done
    mov rdi, rbx
    call task_timeslice
    mov ecx, dword ptr [r12 + task.time_slice]
    add ecx, dword ptr [rbx + task.time_slice]
    cmp ecx, eax
    cmova ecx, eax
    mov dword ptr [r12 + task.time_slice], ecx
.done:
    UNFRAME
    ret
END return_slice

# weigh_on_parent(rbx = child, r12 = parent): three parts the parent's average, one the child's.
#   clobbers: rax, rcx
#   locks: that of the parent's run queue held
#   irq: off
PRIVATE weigh_on_parent
weigh_on_parent:
    mov rcx, qword ptr [rbx + task.sleep_avg]
    mov rax, qword ptr [r12 + task.sleep_avg]
    cmp rcx, rax
    jae .done
    shr rax, 2
    lea rax, [rax + rax * 2]
    shr rcx, 2
    add rax, rcx
    mov qword ptr [r12 + task.sleep_avg], rax
.done:
    ret
END weigh_on_parent
