.intel_syntax noprefix
# Rules about what the scheduler stands on: stacks (S12) and the local APIC (P15).

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "invariant.inc"

.extern lapic_in_service

.equ IDLE_STACK_BYTES, cpu_block.idle_stack_top - cpu_block.idle_stack

.ifdef CHECK
.section .text
# invariant_stack(): S12: the CPU is on the stack of the task that it says it runs.
#   clobbers: nothing
#   locks: any
#   irq: off
PUBLIC invariant_stack
invariant_stack:
    INVARIANT_ENTER
    mov rax, gs:[percpu.curr]
    mov ecx, PAGE_SIZE
    mov edx, IDLE_STACK_BYTES
    cmp rax, gs:[percpu.idle]
    cmove ecx, edx
    mov rdx, rsp
    sub rdx, qword ptr [rax + task.stack]
    cmp rdx, rcx
    jae .elsewhere
    mov rdx, qword ptr [rax + task.stack]
    mov rcx, STACK_CANARY
    cmp qword ptr [rdx], rcx
    jne .canary
    INVARIANT_LEAVE
.elsewhere:
    BROKEN S12, "a CPU is not on the stack of the task that it runs"
.canary:
    BROKEN S12, "the running task has overwritten the end of its stack"
END invariant_stack

# invariant_apic_idle(): P15: no interrupt is in service while the CPU changes tasks: it would keep
# all lower ones away until the task that was interrupted runs again.
#   clobbers: nothing
#   locks: any
#   irq: off
PUBLIC invariant_apic_idle
invariant_apic_idle:
    INVARIANT_ENTER
    call lapic_in_service
    test eax, eax
    jnz .broken
    INVARIANT_LEAVE
.broken:
    BROKEN P15, "a CPU changes tasks with an interrupt still in service"
END invariant_apic_idle
.endif
