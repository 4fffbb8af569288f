.intel_syntax noprefix
# What becomes of tasks that have ended. Their slots and stacks are used again only after a while
# (FREE_DELAY_TICKS), when nobody can have a pointer to them any more.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "policy.inc"
.include "race.inc"

.extern cpu_count
.extern cpu_table
.extern jiffies
.extern spin_lock
.extern spin_unlock
.extern task_count
.extern task_idle_count
.extern task_lock
.extern task_table

.section .text
# task_bury(rdi = task): keeps an ended task until its time to be freed has come. Called by the
# task that runs after it, so nobody is on its stack any more.
#   clobbers: caller-saved
#   locks: takes and releases task_lock
#   irq: off
PUBLIC task_bury
task_bury:
    FRAME
    push rbx
    mov rbx, rdi
    POLICY close_task
    lea rdi, [rip + task_lock]
    call spin_lock
    mov dword ptr [rbx + task.slot], SLOT_DEAD
    RACE_POINT
    mov rax, qword ptr [rip + jiffies]
    mov qword ptr [rbx + task.exit_tick], rax
    mov qword ptr [rbx + task.run_list], 0
    mov rax, qword ptr [rip + dead_last]
    mov qword ptr [rip + dead_last], rbx
    test rax, rax
    jz .first
    mov qword ptr [rax + task.run_list], rbx
    jmp .unlock
.first:
    mov qword ptr [rip + dead_first], rbx
.unlock:
    lea rdi, [rip + task_lock]
    call spin_unlock
    pop rbx
    UNFRAME
    ret
END task_bury

# task_reap(): frees the slots and stacks of tasks that ended long enough ago. From the boot CPU's
# tick.
#   clobbers: caller-saved
#   locks: takes and releases task_lock
#   irq: off
PUBLIC task_reap
task_reap:
    FRAME
    push rbx
    RACE_POINT
    cmp qword ptr [rip + dead_first], 0
    je .done
    lea rdi, [rip + task_lock]
    call spin_lock
.next:
    mov rbx, qword ptr [rip + dead_first]
    test rbx, rbx
    jz .unlock
    mov rax, qword ptr [rip + jiffies]
    sub rax, qword ptr [rbx + task.exit_tick]
    cmp rax, FREE_DELAY_TICKS
    jb .unlock
    call task_check_unused
    mov rax, qword ptr [rbx + task.run_list]
    mov qword ptr [rip + dead_first], rax
    test rax, rax
    jnz .free
    mov qword ptr [rip + dead_last], 0
.free:
    mov eax, dword ptr [rbx + task.id]
    EVENT_AT 1, task_free, rax, [rip + jiffies]
    inc qword ptr [rbx + task.generation]   # its children are orphans from now on
    mov dword ptr [rbx + task.slot], SLOT_FREE
    inc qword ptr [rip + tasks_freed]
    jmp .next
.unlock:
    lea rdi, [rip + task_lock]
    call spin_unlock
.done:
    pop rbx
    UNFRAME
    ret
END task_reap

# task_close_all(): has the policy log the totals of every task that still lives.
#   clobbers: caller-saved
#   locks: none; all other CPUs have stopped
#   irq: off
PUBLIC task_close_all
task_close_all:
    FRAME
    push rbx
    push r12
    mov ecx, dword ptr [rip + task_idle_count]
    mov r12d, dword ptr [rip + task_count]
    sub r12d, ecx
    imul ebx, ecx, task.size
    add rbx, qword ptr [rip + task_table]
.task:
    cmp dword ptr [rbx + task.slot], SLOT_USED
    jne .next
    mov rdi, rbx
    POLICY close_task
.next:
    add rbx, task.size
    dec r12d
    jnz .task
    pop r12
    pop rbx
    UNFRAME
    ret
END task_close_all

# task_check_unused(rbx = task): panics if a task that is about to be freed runs or is queued.
#   clobbers: rax, rcx, rdx
#   locks: task_lock held
#   irq: off
PRIVATE task_check_unused
task_check_unused:
    FRAME
    cmp qword ptr [rbx + task.array], 0
    jne .queued
    lea rdx, [rip + cpu_table]
    xor ecx, ecx
.cpu:
    mov rax, qword ptr [rdx + rcx * 8]
    RACE_POINT
    cmp qword ptr [rax + percpu.curr], rbx
    je .runs
    inc ecx
    cmp rcx, qword ptr [rip + cpu_count]
    jb .cpu
    UNFRAME
    ret
.queued:
    PANIC "a task that is about to be freed is queued"
.runs:
    PANIC "a task that is about to be freed is running"
END task_check_unused

.section .bss
# dead_first, dead_last: tasks that have ended, in that order, linked by the first word of run_list.
# Under task_lock.
OBJECT dead_first
dead_first:
    .zero 8
END dead_first
OBJECT dead_last
dead_last:
    .zero 8
END dead_last
# tasks_freed: how many have been freed. The boot CPU writes it, in its tick.
OBJECT tasks_freed
tasks_freed:
    .zero 8
END tasks_freed
