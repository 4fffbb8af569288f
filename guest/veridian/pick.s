.intel_syntax noprefix
# The next task: the head of the best ring; and with algorithm `rr`, stealing where nobody waits.
# VeridianOS pick_next_priority(), pick_next_rr(); harness/model/veridian/pick.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"
.include "trace.inc"
.include "race.inc"

.extern cpu_count
.extern info_lock_both
.extern info_unlock
.extern migrate_tasks
.extern online_cpus
.extern param_algorithm
.extern queue_dequeue
.extern queue_enqueue
.extern queue_first
.extern load_read

.equ PICK_ATTEMPTS, 10                  # of the original's pick_next_priority

.section .text
# pick_next(rbx = cpu_info) -> rax = the next task, where it waits; 0 if none, or if the CPU does
# not schedule.
#   clobbers: caller-saved
#   locks: the cpu_info's held
#   irq: off
PUBLIC pick_next
pick_next:
    FRAME
    xor eax, eax
    cmp dword ptr [rbx + cpu_info.started], 0
    je .none
    cmp dword ptr [rbx + cpu_info.online], 0
    je .none
    mov rsi, rbx
    IF_BUG 20, .try
    call queue_first
.none:
    UNFRAME
    ret
.try:
    call pick_runnable
    UNFRAME
    ret
END pick_next

# pick_runnable(rsi = cpu_info) -> rax = the first task that may run here, where it waits. Bug V20:
# those before it go to the tails of their rings; by priority, after ten of them there is none;
# round robin never gives up.
#   clobbers: caller-saved but rsi
#   locks: the cpu_info's held
#   irq: off
PRIVATE pick_runnable
pick_runnable:
    FRAME
    push rbx
    mov ebx, PICK_ATTEMPTS
.attempt:
    call queue_first
    test rax, rax
    jz .out
    mov rcx, qword ptr [rsi + cpu_info.cpu]
    bt qword ptr [rax + task.cpus_allowed], rcx
    jc .out
    call queue_dequeue
    mov rdi, rax
    call queue_enqueue
    cmp dword ptr [rip + param_algorithm], ALGORITHM_ROUND_ROBIN
    je .again
    dec ebx
    jnz .attempt
    xor eax, eax
.out:
    pop rbx
    UNFRAME
    ret
.again:
    pause
    jmp .attempt
END pick_runnable

# pick_steal(rbx = cpu_info, r12 = current task, r14 = 1 if it leaves): with algorithm `rr`, and
# where nobody waits and the CPU is about to idle: takes a task from the CPU where most wait.
#   clobbers: caller-saved
#   locks: none held; takes and releases the cpu_info's and the victim's
#   irq: off
PUBLIC pick_steal
pick_steal:
    FRAME
    push r12
    cmp dword ptr [rip + param_algorithm], ALGORITHM_ROUND_ROBIN
    jne .out
    RACE_POINT
    cmp dword ptr [rbx + cpu_info.nr_running], 0
    jne .out
    RACE_POINT
    cmp dword ptr [rbx + cpu_info.online], 0
    je .out
    test r14d, r14d
    jnz .look
    cmp r12, qword ptr [rbx + cpu_info.idle_task]
    jne .out
.look:
    call find_victim
    test eax, eax
    js .out
    mov r12d, eax
    CPU_INFO r12, r12d
    mov rdi, r12
    mov rsi, rbx
    call info_lock_both
    mov rdi, r12
    mov rsi, rbx
    mov edx, 1
    xor ecx, ecx                        # this CPU looks anyway
    call migrate_tasks
    mov rdi, r12
    call info_unlock
    mov rdi, rbx
    call info_unlock
.out:
    pop r12
    UNFRAME
    ret
END pick_steal

# find_victim(rbx = this CPU's cpu_info) -> eax = the CPU with the most waiting tasks, two at least,
# the lowest of several; -1 if there is none.
#   clobbers: caller-saved
#   locks: none; what it reads are hints
#   irq: off
PRIVATE find_victim
find_victim:
    FRAME
    push r12
    push r13
    RACE_POINT
    mov r12, qword ptr [rip + online_cpus]
    EVENT_AT 1, v_steal, r12
    mov r13, -1
    mov r8d, STEAL_THRESHOLD - 1        # most so far
    xor ecx, ecx
.cpu:
    bt r12, rcx
    jnc .next
    call load_read
    cmp rcx, qword ptr [rbx + cpu_info.cpu]
    je .next
    cmp rdx, r8
    jbe .next
    mov r8, rdx
    mov r13, rcx
.next:
    inc ecx
    cmp rcx, qword ptr [rip + cpu_count]
    jb .cpu
    EVENT_AT 1, v_victim, r13
    mov eax, r13d
    pop r13
    pop r12
    UNFRAME
    ret
END find_victim
