.intel_syntax noprefix
# What tasks do to pass the time. All of it executes `pause`, through relax, every few hundred
# instructions: under the virtual clock a CPU that does not keeps the others from running.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "workload.inc"
.include "interpreter.inc"

.extern clock_deadline
.extern clock_ns
.extern relax
.extern wtask_current

.section .text
# work_spin(rdi = nanoseconds): computes until that much time has passed, on the CPU or not.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC work_spin
work_spin:
    FRAME
    push rbx
    call clock_deadline
    mov rbx, rax
.spin:
    call relax
    call clock_ns
    cmp rax, rbx
    jb .spin
    pop rbx
    UNFRAME
    ret
END work_spin

# work_run_ticks(rdi = count): computes until that many local ticks have found the calling task
# running. The timer interrupt counts them, so none is missed however the task is preempted.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC work_run_ticks
work_run_ticks:
    FRAME
    push rbx
    push r12
    mov r12, rdi
    call wtask_current
    mov rbx, rax
    add r12, qword ptr [rbx + wtask.ticks]
.run:
    call relax
    cmp qword ptr [rbx + wtask.ticks], r12
    jb .run
    pop r12
    pop rbx
    UNFRAME
    ret
END work_run_ticks

# work_run_ns(rdi = nanoseconds): computes until the calling task has been the running one for so
# long.
#
# The scheduler stamps the times at which it takes the CPU away (last_ran) and gives it back
# (timestamp). A look every few hundred instructions takes the time since the last look, less what
# lies between these stamps if there was a switch. If there were several, what ran between them is
# lost: less than one turn of the loop each, and always so that the task runs rather too long.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC work_run_ns
work_run_ns:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    mov rbx, rdi                        # ns left
    mov r12, gs:[percpu.curr]
    cli
    call clock_ns
    mov r13, rax                        # accounted up to here
    mov r14, qword ptr [r12 + task.nvcsw]
    add r14, qword ptr [r12 + task.nivcsw]
    sti
.run:
    call relax
    cli
    call clock_ns
    mov rcx, qword ptr [r12 + task.nvcsw]
    add rcx, qword ptr [r12 + task.nivcsw]
    sub rcx, r14                        # switches since then
    jz .running
    add r14, rcx
    cmp rcx, 1
    jne .resumed
    mov rcx, qword ptr [r12 + task.last_ran]
    sub rcx, r13
    sub rbx, rcx
.resumed:
    mov r13, qword ptr [r12 + task.timestamp]
.running:
    sti
    mov rcx, rax
    sub rcx, r13
    mov r13, rax
    sub rbx, rcx
    jg .run
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END work_run_ns
