.intel_syntax noprefix
# The context switch. In C it would be
#
#   task *switch_to(task *prev, task *next);
#
# and it returns when somebody switches back, with the task that ran just before. An interrupted
# task has its full trap frame further up on its stack, so the callee-saved registers are enough.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"


.section .text
# switch_to(rdi = prev, rsi = next) -> rax = the task that ran before this one resumed.
#   clobbers: caller-saved; callee-saved registers are the resumed task's own
#   locks: the local queue lock is held across the switch; the incoming side releases it
#   irq: off
PUBLIC switch_to
switch_to:
    mov rax, STACK_CANARY
    mov rcx, qword ptr [rdi + task.stack]
    cmp qword ptr [rcx], rax
    jne .overflow
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov qword ptr [rdi + task.rsp], rsp
    mov rsp, qword ptr [rsi + task.rsp]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    mov rax, rdi
    ret
.overflow:
    PANIC "stack overflow: the canary of the task that gives up the CPU is damaged"
END switch_to
