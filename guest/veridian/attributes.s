.intel_syntax noprefix
# Nice value, policy and affinity of a task change. VeridianOS sched/{task,scheduler}.rs;
# harness/model/veridian/attributes.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "veridian.inc"
.include "trace.inc"
.include "race.inc"

.extern cpu_count
.extern info_unlock
.extern jiffies
.extern kick_current
.extern place_task
.extern priority_set
.extern ready_enqueue
.extern ready_remove
.extern relax
.extern task_info_lock
.extern veridian_schedule

.equ EINVAL, 22

.section .text
# veridian_set_nice(rdi = task, esi = nice, signed): out of range or unchanged is ignored.
#   clobbers: caller-saved
#   locks: takes and releases that of the task's CPU
#   irq: any; off meanwhile
PUBLIC veridian_set_nice
veridian_set_nice:
    FRAME
    push rbx
    push r12
    push r13
    pushfq
    cli
    lea eax, [rsi + 20]
    cmp eax, 39
    ja .out
    lea r13d, [rsi + DEFAULT_STATIC_PRIO]
    RACE_POINT
    cmp dword ptr [rdi + task.static_prio], r13d
    je .out
    mov rbx, rdi
    call task_info_lock
    mov r12, rax
    mov eax, dword ptr [rbx + task.id]
    movsxd rcx, r13d
    sub rcx, DEFAULT_STATIC_PRIO
    RACE_POINT
    EVENT_AT 1, set_nice, rax, [r12 + cpu_info.cpu], rcx, [rip + jiffies]
    mov eax, dword ptr [rbx + task.policy]
    mov ecx, dword ptr [rbx + task.rt_priority]
    mov edx, r13d
    call change_priority
    mov rdi, r12
    call info_unlock
.out:
    popfq
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END veridian_set_nice

# veridian_set_policy(rdi = task, esi = SCHED_*, edx = real-time priority, 0 for SCHED_NORMAL).
#   clobbers: caller-saved
#   locks: takes and releases that of the task's CPU
#   irq: any; off meanwhile
PUBLIC veridian_set_policy
veridian_set_policy:
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
    call task_info_lock
    mov r12, rax
    mov eax, dword ptr [rbx + task.id]
    RACE_POINT
    EVENT_AT 1, set_policy, rax, [r12 + cpu_info.cpu], r13, r14, [rip + jiffies]
    mov eax, r13d
    mov ecx, r14d
    mov edx, dword ptr [rbx + task.static_prio]
    call change_priority
    mov rdi, r12
    call info_unlock
    popfq
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END veridian_set_policy

# change_priority(rbx = task, r12 = cpu_info, eax = policy, ecx = real-time priority, edx = static
# priority): a waiting task leaves its ring meanwhile and comes back at the tail.
#   clobbers: caller-saved
#   locks: the cpu_info's held
#   irq: off
PRIVATE change_priority
change_priority:
    FRAME
    push r13
    push rax
    push rcx
    push rdx
    xor r13d, r13d
    cmp qword ptr [rbx + task.array], 0
    je .change
    IF_BUG 24, .change                  # it stays in the ring of the old priority
    mov rdi, rbx
    mov rsi, r12
    call ready_remove
    mov r13d, 1
.change:
    pop rdx
    pop rcx
    pop rax
    mov dword ptr [rbx + task.policy], eax
    mov dword ptr [rbx + task.rt_priority], ecx
    mov dword ptr [rbx + task.static_prio], edx
    mov rdi, rbx
    call priority_set
    test r13d, r13d
    jz .done
    mov rdi, rbx
    mov rsi, r12
    call ready_enqueue
.done:
    pop r13
    UNFRAME
    ret
END change_priority

# veridian_set_cpus(rdi = task, rsi = mask) -> eax = 0, or -EINVAL if there is no CPU of it. When it
# returns the task neither runs nor waits where it may not.
#   clobbers: caller-saved
#   locks: takes and releases that of the task's CPU, and of the one it is placed on
#   irq: on
PUBLIC veridian_set_cpus
veridian_set_cpus:
    FRAME
    push rbx
    push r12
    mov rbx, rdi
    mov rax, -1
    mov ecx, dword ptr [rip + cpu_count]
    neg ecx
    shr rax, cl
    test rax, rsi
    jz .no_cpu
    cli
    call affinity_change
    sti
    test eax, eax
    jz .out
    cmp rbx, gs:[percpu.curr]
    je .self
.wait:
    # It runs elsewhere, and that CPU has been told.
    call relax
    RACE_POINT
    cmp qword ptr [r12 + cpu_info.curr], rbx
    jne .done
    mov rcx, qword ptr [r12 + cpu_info.cpu]
    RACE_POINT
    bt qword ptr [rbx + task.cpus_allowed], rcx
    jnc .wait
    jmp .done
.self:
    call veridian_schedule
.done:
    xor eax, eax
.out:
    pop r12
    pop rbx
    UNFRAME
    ret
.no_cpu:
    mov eax, -EINVAL
    jmp .out
END veridian_set_cpus

# affinity_change(rbx = task, rsi = mask) -> eax = 1 if the task runs where it may not any longer,
# r12 = cpu_info of that CPU.
#   clobbers: caller-saved
#   locks: takes and releases that of the task's CPU, and of the one it is placed on
#   irq: off
PRIVATE affinity_change
affinity_change:
    FRAME
    push r13
    mov r13, rsi
    mov rdi, rbx
    call task_info_lock
    mov r12, rax
    mov eax, dword ptr [rbx + task.id]
    xor ecx, ecx
    cmp qword ptr [rbx + task.array], 0
    setne cl
    xor edx, edx
    cmp qword ptr [r12 + cpu_info.curr], rbx
    sete dl
    EVENT_AT 1, v_set_cpus, rax, [r12 + cpu_info.cpu], r13, rcx, rdx
    mov qword ptr [rbx + task.cpus_allowed], r13
    mov eax, dword ptr [r12 + cpu_info.online]
    mov rdi, qword ptr [r12 + cpu_info.cpu]
    bt r13, rdi
    jnc .away
    test eax, eax
    jnz .stays
.away:
    test ecx, ecx
    jnz .waits
    xor r13d, r13d
    test edx, edx
    jz .unlock
    mov rdi, r12
    call kick_current
    mov r13d, 1
    jmp .unlock
.waits:
    IF_BUG 20, .stays                   # the pick will see
    mov rdi, rbx
    mov rsi, r12
    call ready_remove
    test eax, eax
    jz .stays                           # only with bug V24: it is not where it should be
    mov rdi, rbx
    xor esi, esi
    mov edx, 1
    call place_task
    xor eax, eax
    jmp .out
.stays:
    xor r13d, r13d
.unlock:
    mov rdi, r12
    call info_unlock
    mov eax, r13d
.out:
    pop r13
    UNFRAME
    ret
END affinity_change
