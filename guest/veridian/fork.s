.intel_syntax noprefix
# New tasks. VeridianOS sched/task_management.rs; harness/model/veridian/exit.py has their ends.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"
.include "trace.inc"
.include "race.inc"

.extern clock_ns
.extern info_lock
.extern info_unlock
.extern jiffies
.extern kick
.extern place_task
.extern priority_set
.extern ready_enqueue
.extern task_allocate
.extern task_info_lock
.extern task_inherit
.extern task_log_new
.extern vtask_init

.section .text
# veridian_start(rdi = task): makes a task that nobody forked runnable, where it is told to start.
#   clobbers: caller-saved
#   locks: takes and releases that of its CPU
#   irq: any; off meanwhile
PUBLIC veridian_start
veridian_start:
    FRAME
    push rbx
    push r12
    pushfq
    cli
    mov rbx, rdi
    call task_prepare
    mov rdi, rbx
    call task_info_lock
    mov r12, rax
    RACE_POINT
    mov rcx, qword ptr [rip + jiffies]
    mov eax, dword ptr [rbx + task.id]
    EVENT_AT 1, start, rax, [r12 + cpu_info.cpu], rcx
    VTASK rax, eax, rbx
    mov qword ptr [rax + vtask.since], rcx
    mov rdi, rbx
    mov rsi, r12
    call ready_enqueue
    mov rdi, r12
    call kick
    mov rdi, r12
    call info_unlock
    popfq
    pop r12
    pop rbx
    UNFRAME
    ret
END veridian_start

# task_prepare(rdi = task): what a new task needs before anybody can meet it.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE task_prepare
task_prepare:
    FRAME
    push rbx
    mov rbx, rdi
    mov edx, CLASS_NORMAL
    call vtask_init
    mov rdi, rbx
    call priority_set
    mov dword ptr [rbx + task.time_slice], DEFAULT_TIME_SLICE
    call clock_ns
    mov qword ptr [rbx + task.timestamp], rax
    mov rdi, rbx
    call task_log_new
    pop rbx
    UNFRAME
    ret
END task_prepare

# veridian_fork(rdi = name, rsi = entry, rdx = argument, ecx = 1 to share memory) -> rax = the
# child, 0 if the task table is full. It waits on the least loaded CPU that it may use, with a full
# slice.
#   clobbers: caller-saved
#   locks: takes and releases the cpu_infos'
#   irq: on
PUBLIC veridian_fork
veridian_fork:
    FRAME
    push rbx
    push r12
    cli                                 # whoever ends the run finds no task that the log has not
    call task_allocate
    test rax, rax
    jz .full
    mov rbx, rax
    mov r12, gs:[percpu.curr]
    mov rdi, rbx
    mov rsi, r12
    call task_inherit
    mov eax, gs:[percpu.cpu]
    mov dword ptr [rbx + task.cpu], eax
    mov rdi, rbx
    call task_prepare
    mov rdi, gs:[percpu.runqueue]
    call info_lock
    mov eax, dword ptr [rbx + task.id]
    mov ecx, dword ptr [r12 + task.id]
    EVENT_AT 1, v_fork, rax, rcx, [rdi + cpu_info.cpu]
    mov rdi, rbx
    xor esi, esi
    xor edx, edx
    call place_task
    mov rax, rbx
.full:
    sti
    pop r12
    pop rbx
    UNFRAME
    ret
END veridian_fork
