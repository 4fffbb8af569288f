.intel_syntax noprefix
# What the tasks of the self-test lock_drop do.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "lock_drop.inc"

.extern cpu_rq
.extern relax
.extern schedule
.extern set_cpus_allowed
.extern stage
.extern try_to_wake_up

.section .text
# prev_task(): the task that leaves CPU 1 for lack of work, and goes on when it is woken.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC prev_task
prev_task:
    FRAME
.wait:
    call relax
    cmp qword ptr [rip + stage + stage.go], 0
    je .wait
    cli
    mov rax, gs:[percpu.curr]
    mov dword ptr [rax + task.state], TASK_INTERRUPTIBLE
    call schedule
    mov rax, gs:[percpu.runqueue]
    mov rax, qword ptr [rax + runqueue.nr_switches]
    mov qword ptr [rip + stage + stage.prev_switches], rax
    mov qword ptr [rip + stage + stage.prev_done], 1
    sti
    UNFRAME
    ret
END prev_task

# sleeper_task(): counts how often it is woken.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC sleeper_task
sleeper_task:
    FRAME
.sleep:
    cli
    mov rax, gs:[percpu.curr]
    mov dword ptr [rax + task.state], TASK_INTERRUPTIBLE
    call schedule
    mov rax, gs:[percpu.runqueue]
    mov rax, qword ptr [rax + runqueue.sched_goidle]
    mov qword ptr [rip + stage + stage.woken_goidle], rax
    lock inc qword ptr [rip + stage + stage.woken]
    sti
    cmp qword ptr [rip + stage + stage.stop], 0
    je .sleep
    UNFRAME
    ret
END sleeper_task

# fodder_task(): computes; wakes the driver when CPU 1 is through with what it was to do meanwhile.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC fodder_task
fodder_task:
    FRAME
.turn:
    call relax
    cmp qword ptr [rip + stage + stage.stop], 0
    jne .out
    cmp qword ptr [rip + stage + stage.wake_driver], 0
    je .reschedule
    mov edi, TAKER
    call cpu_rq
    mov rcx, qword ptr [rip + stage + stage.prev]
    cmp qword ptr [rax + runqueue.curr], rcx
    je .reschedule
    mov qword ptr [rip + stage + stage.wake_driver], 0
    mov rdi, qword ptr [rip + stage + stage.driver]
    mov esi, TASK_INTERRUPTIBLE
    xor edx, edx
    call try_to_wake_up
.reschedule:
    mov rax, gs:[percpu.curr]
    cmp dword ptr [rax + task.need_resched], 0
    je .turn
    call schedule
    jmp .turn
.out:
    UNFRAME
    ret
END fodder_task

# asker_task(): asks, at the driver's word, for prev to be moved to its own CPU.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC asker_task
asker_task:
    FRAME
.wait:
    call relax
    cmp qword ptr [rip + stage + stage.ask], 1
    jb .wait
    ja .out
    mov rdi, qword ptr [rip + stage + stage.prev]
    mov esi, 1 << HELPER
    call set_cpus_allowed
    mov qword ptr [rip + stage + stage.asked], 1
.out:
    UNFRAME
    ret
END asker_task
