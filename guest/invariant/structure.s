.intel_syntax noprefix
# Rules about a run queue's structure, S1 to S11, checked before each unlock. The same in Python:
# harness/model/checks.py. In all of it rbx = run queue, r12 = array, r13 = priority, r14 = tasks
# counted, r15 = task.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "invariant.inc"

.extern sched_constants
.extern task_count

.equ DELIMITER_WORD, 16                 # where in the bitmap bit 140 is: offset and bit
.equ DELIMITER_BIT, MAX_PRIO - 128
.equ LONGEST_SLICES, 8                  # of def_timeslice: what the best nice level gets
.equ BONUS_RANGE, MAX_BONUS / 2

.ifdef CHECK
.section .text
# invariant_structure(rdi = run queue): all of them.
#   clobbers: nothing
#   locks: the run queue's held
#   irq: off
PUBLIC invariant_structure
invariant_structure:
    INVARIANT_ENTER
    mov rbx, rdi
    call check_array_pair
    mov r12, qword ptr [rbx + runqueue.active]
    call check_array
    mov r12, qword ptr [rbx + runqueue.expired]
    call check_array
    call check_counts
    call check_current
    call check_expiry
    INVARIANT_LEAVE
END invariant_structure

# check_array_pair(rbx): S5.
#   clobbers: rax, rcx, rdx
#   locks: the run queue's held
#   irq: off
PRIVATE check_array_pair
check_array_pair:
    FRAME
    mov rax, qword ptr [rbx + runqueue.active]
    mov rdx, qword ptr [rbx + runqueue.expired]
    cmp rax, rdx
    jb .ordered
    xchg rax, rdx
.ordered:
    lea rcx, [rbx + runqueue.arrays]
    cmp rax, rcx
    jne .broken
    add rcx, prio_array.size
    cmp rdx, rcx
    jne .broken
    UNFRAME
    ret
.broken:
    BROKEN S5, "active and expired are not the two arrays"
END check_array_pair

# check_array(rbx, r12): S1, S2 and S3, and the rules of each task in it.
#   clobbers: all but rbx, r12
#   locks: the run queue's held
#   irq: off
PRIVATE check_array
check_array:
    FRAME
    mov rax, qword ptr [r12 + prio_array.bitmap + DELIMITER_WORD]
    shr rax, DELIMITER_BIT
    cmp rax, 1
    jne .delimiter
    xor r14d, r14d
    xor r13d, r13d
.list:
    mov ecx, r13d
    shl ecx, 4
    lea rdi, [r12 + rcx + prio_array.queue]
    xor eax, eax
    cmp qword ptr [rdi + LIST_NEXT], rdi
    setne al
    bt qword ptr [r12 + prio_array.bitmap], r13
    sbb ecx, ecx
    neg ecx
    cmp eax, ecx
    jne .bit
    call check_list
    inc r13d
    cmp r13d, MAX_PRIO
    jb .list
    cmp r14, qword ptr [r12 + prio_array.nr_active]
    jne .active
    UNFRAME
    ret
.bit:
    BROKEN S1, "a bit does not tell whether its list has tasks"
.delimiter:
    BROKEN S2, "the delimiter is clear, or a bit beyond it is set"
.active:
    BROKEN S3, "nr_active is not the number of tasks in the lists"
END check_array

# check_list(rbx, r12, r13, r14, rdi = list head) -> r14 = with its tasks: S7.
#   clobbers: rax, rcx, rdx, rsi, r8, r15
#   locks: the run queue's held
#   irq: off
PRIVATE check_list
check_list:
    FRAME
    mov rsi, rdi                        # the link before
    mov r8, qword ptr [rdi + LIST_NEXT]
.task:
    cmp qword ptr [r8 + LIST_PREV], rsi
    jne .broken
    cmp r8, rdi
    je .done
    inc r14
    mov eax, dword ptr [rip + task_count]
    cmp r14, rax
    ja .broken
    lea r15, [r8 - task.run_list]
    call check_task
    mov rsi, r8
    mov r8, qword ptr [r8 + LIST_NEXT]
    jmp .task
.done:
    UNFRAME
    ret
.broken:
    BROKEN S7, "a list is not well formed, or longer than there are tasks"
END check_list

# check_task(rbx, r12, r13, r15): S6, S10 and, for its stack, S12.
#   clobbers: rax, rcx, rdx
#   locks: the run queue's held
#   irq: off
PRIVATE check_task
check_task:
    FRAME
    cmp qword ptr [r15 + task.array], r12
    jne .elsewhere
    cmp dword ptr [r15 + task.prio], r13d
    jne .elsewhere
    mov eax, dword ptr [r15 + task.cpu]
    cmp rax, qword ptr [rbx + runqueue.cpu]
    jne .elsewhere
    cmp dword ptr [r15 + task.state], TASK_RUNNING
    je .runnable
    # About to sleep: on its way into schedule(), or preempted there.
    cmp r15, qword ptr [rbx + runqueue.curr]
    je .runnable
    cmp dword ptr [r15 + task.preempt_active], 0
    je .elsewhere
.runnable:
    mov rax, qword ptr [r15 + task.stack]
    mov rcx, STACK_CANARY
    cmp qword ptr [rax], rcx
    jne .canary
    call check_values
    UNFRAME
    ret
.elsewhere:
    BROKEN S6, "a queued task does not name its list, array and CPU, or is not runnable"
.canary:
    BROKEN S12, "a queued task has overwritten the end of its stack"
END check_task

# check_values(r15): S10.
#   clobbers: rax, rcx, rdx
#   locks: the run queue's held
#   irq: off
PRIVATE check_values
check_values:
    FRAME
    mov eax, dword ptr [r15 + task.static_prio]
    lea ecx, [rax - MAX_RT_PRIO]
    cmp ecx, MAX_PRIO - MAX_RT_PRIO
    jae .broken
    mov ecx, dword ptr [r15 + task.prio]
    cmp ecx, MAX_RT_PRIO
    setb dl
    cmp dword ptr [r15 + task.policy], SCHED_NORMAL
    setne dh
    cmp dl, dh
    jne .broken
    test dl, dl
    jnz .slice
    sub ecx, eax
    add ecx, BONUS_RANGE
    cmp ecx, 2 * BONUS_RANGE
    ja .broken
.slice:
    cmp dword ptr [r15 + task.policy], SCHED_FIFO
    je .average
    mov eax, dword ptr [rip + sched_constants + sched_constants.def_timeslice]
    imul eax, eax, LONGEST_SLICES
    mov ecx, dword ptr [r15 + task.time_slice]
    dec ecx
    cmp ecx, eax
    jae .broken
.average:
    mov rax, qword ptr [r15 + task.sleep_avg]
    cmp rax, qword ptr [rip + sched_constants + sched_constants.ns_max_sleep_avg]
    ja .broken
    UNFRAME
    ret
.broken:
    BROKEN S10, "a queued task has an impossible priority, slice or sleep average"
END check_values

# check_counts(rbx): S4.
#   clobbers: rax, rcx
#   locks: the run queue's held
#   irq: off
PRIVATE check_counts
check_counts:
    FRAME
    mov rax, qword ptr [rbx + runqueue.active]
    mov rax, qword ptr [rax + prio_array.nr_active]
    mov rcx, qword ptr [rbx + runqueue.expired]
    add rax, qword ptr [rcx + prio_array.nr_active]
    cmp rax, qword ptr [rbx + runqueue.nr_running]
    jne .broken
    UNFRAME
    ret
.broken:
    BROKEN S4, "nr_running is not the number of tasks in both arrays"
END check_counts

# check_current(rbx): S9.
#   clobbers: rax, rcx, rdx
#   locks: the run queue's held
#   irq: off
PRIVATE check_current
check_current:
    FRAME
    mov rax, qword ptr [rbx + runqueue.idle]
    cmp qword ptr [rax + task.array], 0
    jne .idle
    cmp dword ptr [rax + task.prio], MAX_PRIO
    jne .idle
    mov rcx, qword ptr [rbx + runqueue.curr]
    cmp rcx, rax
    je .done
    mov edx, dword ptr [rcx + task.cpu]
    cmp rdx, qword ptr [rbx + runqueue.cpu]
    jne .elsewhere
    cmp dword ptr [rcx + task.state], TASK_RUNNING
    jne .done
    mov rdx, qword ptr [rcx + task.array]
    cmp rdx, qword ptr [rbx + runqueue.active]
    je .done
    cmp rdx, qword ptr [rbx + runqueue.expired]
    jne .elsewhere
.done:
    UNFRAME
    ret
.idle:
    BROKEN S9, "an idle task is queued or is not of the worst priority"
.elsewhere:
    BROKEN S9, "the running task is not queued where it runs"
END check_current

# check_expiry(rbx): S11.
#   clobbers: rax
#   locks: the run queue's held
#   irq: off
PRIVATE check_expiry
check_expiry:
    FRAME
    mov rax, qword ptr [rbx + runqueue.best_expired_prio]
    sub rax, MAX_RT_PRIO
    cmp rax, MAX_PRIO - MAX_RT_PRIO
    ja .broken
    cmp qword ptr [rbx + runqueue.nr_running], 0
    jne .done
    mov rax, qword ptr [rbx + runqueue.curr]
    cmp rax, qword ptr [rbx + runqueue.idle]
    jne .done
    cmp qword ptr [rbx + runqueue.expired_timestamp], 0
    jne .broken
.done:
    UNFRAME
    ret
.broken:
    BROKEN S11, "an idle queue remembers an expiry, or the best expired priority is none"
END check_expiry
.endif
