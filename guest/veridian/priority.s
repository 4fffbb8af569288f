.intel_syntax noprefix
# Priorities: where they come from, how waiting betters them, and who preempts whom. VeridianOS
# sched/{task,scheduler}.rs; harness/model/veridian/priority.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "veridian.inc"


.section .text
# priority_of(edi = SCHED_*, esi = nice, signed, edx = real-time priority) -> eax = priority, edx =
# class.
#   clobbers: rcx
#   locks: none
#   irq: as found
PUBLIC priority_of
priority_of:
    test edi, edi                       # SCHED_NORMAL
    jnz .real_time
    lea rcx, [rip + nice_priorities]
    movzx eax, byte ptr [rcx + rsi + 20]
    mov edx, CLASS_NORMAL
    ret
.real_time:
    mov eax, REAL_TIME_HIGH
    cmp edx, 67
    jae .known
    mov eax, REAL_TIME_NORMAL
    cmp edx, 34
    jae .known
    mov eax, REAL_TIME_LOW
.known:
    mov edx, CLASS_REAL_TIME
    ret
END priority_of

# priority_set(rdi = task): gives it the priority and class that follow from policy, nice value and
# real-time priority.
#   clobbers: rax, rcx, rdx, rsi
#   locks: that of its CPU held, and the task in no ring; or nobody else knows it yet
#   irq: off
PUBLIC priority_set
priority_set:
    FRAME
    push rdi
    mov edx, dword ptr [rdi + task.rt_priority]
    movsxd rsi, dword ptr [rdi + task.static_prio]
    sub rsi, DEFAULT_STATIC_PRIO
    mov edi, dword ptr [rdi + task.policy]
    call priority_of
    pop rdi
    mov dword ptr [rdi + task.prio], eax
    VTASK rax, eax, rdi
    mov dword ptr [rax + vtask.class], edx
    UNFRAME
    ret
END priority_set

# effective_priority(rdi = task that waits, rsi = jiffies) -> eax: a normal one's gets better the
# longer it waits.
#   clobbers: rcx, rdx, r8
#   locks: that of its CPU held
#   irq: off
PUBLIC effective_priority
effective_priority:
    VTASK r8, r8d, rdi
    mov eax, dword ptr [rdi + task.prio]
    cmp dword ptr [r8 + vtask.class], CLASS_NORMAL
    jne .done
    mov rax, rsi
    sub rax, qword ptr [r8 + vtask.since]
    xor edx, edx
    mov ecx, PRIORITY_BOOST_INTERVAL
    div rcx
    mov ecx, PRIORITY_BOOST_MAX
    cmp rax, rcx
    cmova rax, rcx
    mov ecx, dword ptr [rdi + task.prio]
    sub ecx, eax                        # 10 at least: normal priorities begin at 30
    mov eax, ecx
.done:
    ret
END effective_priority

# should_preempt(rdi = current task, rsi = next, edx, ecx = their effective priorities) -> eax = 1
# if next is to run instead. Equals take turns only if they are normal.
#   clobbers: r8, r9
#   locks: that of their CPU held
#   irq: off
PUBLIC should_preempt
should_preempt:
    VTASK r8, r8d, rdi
    VTASK r9, r9d, rsi
    mov r8d, dword ptr [r8 + vtask.class]
    mov r9d, dword ptr [r9 + vtask.class]
    xor eax, eax
    cmp r8d, r9d
    ja .better_class
    jb .no
    cmp ecx, edx
    jb .yes
    ja .no
    cmp r8d, CLASS_NORMAL
    jne .no
    cmp dword ptr [rdi + task.time_slice], 0
    jne .no
.yes:
    mov eax, 1
.no:
    ret
.better_class:
    # Only real-time, and anything compared with an idle task, preempts another class; the classes
    # are numbered in that order.
    mov eax, 1
    ret
END should_preempt

.section .rodata
# nice_priorities: by nice value, from -20.
nice_priorities:
    .fill 5, 1, SYSTEM_HIGH
    .fill 5, 1, SYSTEM_NORMAL
    .fill 10, 1, USER_HIGH
    .fill 10, 1, USER_NORMAL
    .fill 10, 1, USER_LOW
