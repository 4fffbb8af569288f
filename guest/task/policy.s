.intel_syntax noprefix
# The scheduling policies, and the one that this run was booted with.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern fifo_policy
.extern o1_policy
.extern param_policy
.extern veridian_policy

.section .text
# policy_choose(): takes the policy that the boot parameter names.
#   clobbers: rax, rcx
#   locks: none
#   irq: off
PUBLIC policy_choose
policy_choose:
    mov rax, qword ptr [rip + param_policy]
    lea rcx, [rip + policies]
    mov rax, qword ptr [rcx + rax * 8]
    mov qword ptr [rip + policy], rax
    ret
END policy_choose

.section .rodata
    .balign 8
# By param_policy, in the order of choices_policy in boot/param_table.s.
policies:
    .quad fifo_policy
    .quad o1_policy
    .quad veridian_policy

.section .bss
# policy: the policy of this run.
OBJECT policy
policy:
    .zero 8
END policy
