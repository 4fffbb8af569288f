.intel_syntax noprefix
# Sleeping until a time. Every CPU has two queues of sleepers, one for times in ns and one for
# counts of its own ticks, both sorted by wake-up time. A task sleeps in a queue of the CPU on which
# it went to sleep, and that CPU's timer interrupt wakes it, wherever it then runs.
#
# A time in ns is over at the first tick that is not before it.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "workload.inc"
.include "interpreter.inc"

.extern clock_ns
.extern cpu_count
.extern spin_lock
.extern spin_unlock
.extern wait_enter
.extern wait_queues_make
.extern wait_sleep
.extern wait_wake
.extern wtask_current

# The two queues of one CPU; the lock rule is interpreter.inc's.
STRUCT timeouts
    FIELD timeouts, by_time, wait_queue.size
    FIELD timeouts, by_tick, wait_queue.size

.section .text
# timeout_init(): makes the queues of every CPU.
#   clobbers: caller-saved
#   locks: none; before the first task starts
#   irq: as found
PUBLIC timeout_init
timeout_init:
    FRAME
    mov rdi, qword ptr [rip + cpu_count]
    add edi, edi
    mov esi, wait_queue.size
    call wait_queues_make
    mov qword ptr [rip + timeout_queues], rax
    UNFRAME
    ret
END timeout_init

# timeout_sleep_until(rdi = time in ns): sleeps, interruptibly.
#   clobbers: caller-saved
#   locks: takes and releases this CPU's queue's lock
#   irq: on
PUBLIC timeout_sleep_until
timeout_sleep_until:
    FRAME
    cli
    mov esi, timeouts.by_time
    call timeout_sleep
    sti
    UNFRAME
    ret
END timeout_sleep_until

# timeout_sleep_ticks(rdi = count): sleeps, interruptibly, until this CPU has ticked so often.
#   clobbers: caller-saved
#   locks: takes and releases this CPU's queue's lock
#   irq: on
PUBLIC timeout_sleep_ticks
timeout_sleep_ticks:
    FRAME
    cli
    add rdi, gs:[percpu.ticks]
    mov esi, timeouts.by_tick
    call timeout_sleep
    sti
    UNFRAME
    ret
END timeout_sleep_ticks

# timeout_queue(esi = timeouts.by_*) -> rax = this CPU's queue.
#   clobbers: nothing else
#   locks: none
#   irq: off
PRIVATE timeout_queue
timeout_queue:
    mov eax, gs:[percpu.cpu]
    imul eax, eax, timeouts.size
    add rax, rsi
    add rax, qword ptr [rip + timeout_queues]
    ret
END timeout_queue

# timeout_sleep(rdi = when, esi = timeouts.by_*): sleeps in this CPU's queue.
#   clobbers: caller-saved
#   locks: takes and releases the queue's lock
#   irq: off; on while other tasks run
PRIVATE timeout_sleep
timeout_sleep:
    FRAME
    push rbx
    push r12
    push r13
    mov r13, rdi
    call timeout_queue
    mov rbx, rax
    call wtask_current
    mov r12, rax
    mov qword ptr [r12 + wtask.deadline], r13
    lea rdi, [rbx + wait_queue.lock]
    call spin_lock
    # Behind all whose time is not later. Most sleep equally long, so the place is near the end.
    mov rdi, rbx
.later:
    mov rax, qword ptr [rdi + wait_queue.prev]
    cmp rax, rbx
    je .place
    cmp qword ptr [rax + wtask.deadline], r13
    jbe .place
    lea rdi, [rax + wtask.next]
    jmp .later
.place:
    mov rsi, r12
    call wait_enter
    mov rdi, rbx
    mov rsi, r12
    mov edx, TASK_INTERRUPTIBLE
    call wait_sleep
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END timeout_sleep

# timeout_expire(): the workload's share of a tick: counts it for the running task and wakes whose
# time has come. For the timer interrupt, after percpu.ticks has advanced.
#   clobbers: caller-saved
#   locks: takes and releases this CPU's queues' locks and run queues' locks
#   irq: off
PUBLIC timeout_expire
timeout_expire:
    FRAME
    cmp qword ptr [rip + timeout_queues], 0
    je .no_workload
    call wtask_current
    inc qword ptr [rax + wtask.ticks]
    mov esi, timeouts.by_tick
    mov rdx, gs:[percpu.ticks]
    call timeout_expire_queue
    call clock_ns
    mov esi, timeouts.by_time
    mov rdx, rax
    call timeout_expire_queue
.no_workload:
    UNFRAME
    ret
END timeout_expire

# timeout_expire_queue(esi = timeouts.by_*, rdx = now): wakes whose time has come.
#   clobbers: caller-saved
#   locks: takes and releases the queue's lock and run queues' locks
#   irq: off
PRIVATE timeout_expire_queue
timeout_expire_queue:
    FRAME
    push rbx
    push r12
    call timeout_queue
    mov rbx, rax
    mov r12, rdx
    lea rdi, [rbx + wait_queue.lock]
    call spin_lock
.first:
    mov rax, qword ptr [rbx + wait_queue.next]
    cmp rax, rbx
    je .done
    cmp qword ptr [rax + wtask.deadline], r12
    ja .done
    mov rdi, rbx
    xor esi, esi
    call wait_wake
    jmp .first
.done:
    lea rdi, [rbx + wait_queue.lock]
    call spin_unlock
    pop r12
    pop rbx
    UNFRAME
    ret
END timeout_expire_queue

.section .bss
# timeout_queues: struct timeouts of each CPU; 0 without a workload.
OBJECT timeout_queues
timeout_queues:
    .zero 8
END timeout_queues
