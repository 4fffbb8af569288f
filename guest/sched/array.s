.intel_syntax noprefix
# Priority arrays: 140 circular lists of tasks and a bitmap that tells which are not empty. A list
# head is a link like those in the tasks, so nothing here depends on how many tasks are queued.
#
# All of it uses task.prio of the moment, which is why that may only change while the task is in no
# list. Common contract: the lock of the array's run queue is held, interrupts are off.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "invariant.inc"

.extern runqueues
.extern sched_info_queued

.equ PRIO_LINK_SHIFT, 4                 # a list head is 16 bytes
.equ AT_TAIL, 0                         # field `at` of the event enqueue
.equ AT_PARENT, 2

# LOG_MOVE event[, at]: logs what happened to rdi = task in rsi = array.
.macro LOG_MOVE event:req, at
    cmp dword ptr [rip + param_loglevel], 1
    jb log_move_quiet_\@
    call array_describe
    .ifb \at
    EVENT \event, r8, r9, r10, r11
    .else
    EVENT \event, r8, r9, r10, r11, \at
    .endif
log_move_quiet_\@:
.endm

.section .text
# prio_array_init(rdi = array): makes it empty.
#   clobbers: rax, rcx
#   locks: the run queue's lock held, or nobody else knows the array yet
#   irq: any
PUBLIC prio_array_init
prio_array_init:
    mov qword ptr [rdi + prio_array.nr_active], 0
    mov qword ptr [rdi + prio_array.bitmap], 0
    mov qword ptr [rdi + prio_array.bitmap + 8], 0
    mov qword ptr [rdi + prio_array.bitmap + 16], 1 << (MAX_PRIO - 128)
    lea rax, [rdi + prio_array.queue]
    mov ecx, MAX_PRIO
.list:
    mov qword ptr [rax + LIST_NEXT], rax
    mov qword ptr [rax + LIST_PREV], rax
    add rax, 1 << PRIO_LINK_SHIFT
    dec ecx
    jnz .list
    ret
END prio_array_init

# enqueue_task_at(rdi = task, rsi = array, rdx = jiffies): appends the task to the list of its
# priority and starts its wait for a CPU. The time is the caller's, who has logged it: the boot CPU
# may have advanced jiffies since.
#   clobbers: rax, rcx, rdx, r8 to r11
#   locks: the run queue's lock held
#   irq: off
PUBLIC enqueue_task_at
enqueue_task_at:
    FRAME
    push rsi
    mov rsi, rdx
    call sched_info_queued
    pop rsi
    INVARIANT task_locked
    mov ecx, dword ptr [rdi + task.prio]
    shl ecx, PRIO_LINK_SHIFT
    lea rcx, [rsi + rcx + prio_array.queue]
    call array_link
    LOG_MOVE enqueue, AT_TAIL
    UNFRAME
    ret
END enqueue_task_at

# enqueue_task_before(rdi = task, rsi = array, rdx = other task in it, of the same priority): puts
# the task right before the other: a child before its parent.
#   clobbers: rax, rcx, rdx, r8 to r11
#   locks: the run queue's lock held
#   irq: off
PUBLIC enqueue_task_before
enqueue_task_before:
    FRAME
    lea rcx, [rdx + task.run_list]
    call array_link
    LOG_MOVE enqueue, AT_PARENT
    UNFRAME
    ret
END enqueue_task_before

# dequeue_task(rdi = task, rsi = array): takes the task off its list. task.array stays as it is:
# that it is queued no more is for the caller to say.
#   clobbers: rax, rcx, rdx, r8 to r11
#   locks: the run queue's lock held
#   irq: off
PUBLIC dequeue_task
dequeue_task:
    FRAME
    INVARIANT task_locked
    dec qword ptr [rsi + prio_array.nr_active]
    mov rax, qword ptr [rdi + task.run_list + LIST_NEXT]
    mov rdx, qword ptr [rdi + task.run_list + LIST_PREV]
    mov qword ptr [rax + LIST_PREV], rdx
    mov qword ptr [rdx + LIST_NEXT], rax
    # Taking it off twice is to be a page fault, not a silent knot.
    mov qword ptr [rdi + task.run_list + LIST_NEXT], 0
    mov qword ptr [rdi + task.run_list + LIST_PREV], 0
    mov eax, dword ptr [rdi + task.prio]
    mov ecx, eax
    shl ecx, PRIO_LINK_SHIFT
    lea rcx, [rsi + rcx + prio_array.queue]
    cmp qword ptr [rcx + LIST_NEXT], rcx
    jne .others
    btr qword ptr [rsi + prio_array.bitmap], rax
.others:
    LOG_MOVE dequeue
    UNFRAME
    ret
END dequeue_task

# requeue_task(rdi = task, rsi = array): moves the task to the tail of its list.
#   clobbers: rax, rcx, rdx, r8 to r11
#   locks: the run queue's lock held
#   irq: off
PUBLIC requeue_task
requeue_task:
    FRAME
    mov rax, qword ptr [rdi + task.run_list + LIST_NEXT]
    mov rdx, qword ptr [rdi + task.run_list + LIST_PREV]
    mov qword ptr [rax + LIST_PREV], rdx
    mov qword ptr [rdx + LIST_NEXT], rax
    mov ecx, dword ptr [rdi + task.prio]
    shl ecx, PRIO_LINK_SHIFT
    lea rcx, [rsi + rcx + prio_array.queue]
    call list_insert
    LOG_MOVE requeue
    UNFRAME
    ret
END requeue_task

# array_link(rdi = task, rsi = array, rcx = a link in the list of the task's priority): puts the
# task before that link and counts it.
#   clobbers: rax, rdx
#   locks: the run queue's lock held
#   irq: off
PRIVATE array_link
array_link:
    mov eax, dword ptr [rdi + task.prio]
    bts qword ptr [rsi + prio_array.bitmap], rax
    inc qword ptr [rsi + prio_array.nr_active]
    mov qword ptr [rdi + task.array], rsi
    jmp list_insert
END array_link

# list_insert(rdi = task, rcx = link): puts the task right before the link; before a list head is
# the tail.
#   clobbers: rax, rdx
#   locks: the run queue's lock held
#   irq: off
PRIVATE list_insert
list_insert:
    lea rax, [rdi + task.run_list]
    mov rdx, qword ptr [rcx + LIST_PREV]
    mov qword ptr [rax + LIST_NEXT], rcx
    mov qword ptr [rax + LIST_PREV], rdx
    mov qword ptr [rdx + LIST_NEXT], rax
    mov qword ptr [rcx + LIST_PREV], rax
    ret
END list_insert

# array_describe(rdi = task, rsi = array) -> r8 = task's number, r9 = its run queue's, r10 = its
# priority, r11 = 0 if the array is that run queue's active one, else 1.
#   clobbers: rax
#   locks: the run queue's lock held
#   irq: off
PRIVATE array_describe
array_describe:
    mov r8d, dword ptr [rdi + task.id]
    mov r9d, dword ptr [rdi + task.cpu]
    mov r10d, dword ptr [rdi + task.prio]
    imul rax, r9, runqueue.size
    add rax, qword ptr [rip + runqueues]
    xor r11d, r11d
    cmp qword ptr [rax + runqueue.active], rsi
    setne r11b
    ret
END array_describe
