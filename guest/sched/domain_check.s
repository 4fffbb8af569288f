.intel_syntax noprefix
# What must hold of a chain of scheduling domains. harness/model/domain.py domain_errors() has the
# same rules in the same words.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"

.extern format_unsigned

.macro RULE label:req, words:req
    .pushsection .rodata
domain_words_\@:
    .asciz "\words"
    .popsection
\label:
    lea rdx, [rip + domain_words_\@]
    ret
.endm

.section .text
# domain_check(edi = CPU, rsi = its innermost domain): ends the run if the chain breaks a rule.
#   clobbers: caller-saved
#   locks: none
#   irq: any
PUBLIC domain_check
domain_check:
    FRAME
    push rbx
    push r12
    mov r12d, edi
    mov rbx, rsi
.domain:
    call domain_fault
    test rdx, rdx
    jnz .broken
    mov rbx, qword ptr [rbx + sched_domain.parent]
    test rbx, rbx
    jnz .domain
    pop r12
    pop rbx
    UNFRAME
    ret
.broken:
    call domain_panic
END domain_check

# domain_fault(rbx = domain, r12 = its CPU) -> rdx = what is wrong with it, 0 if nothing is.
#   clobbers: caller-saved
#   locks: none
#   irq: any
PRIVATE domain_fault
domain_fault:
    mov rax, qword ptr [rbx + sched_domain.parent]
    mov rsi, qword ptr [rbx + sched_domain.span]
    test rax, rax
    jz .topmost
    test qword ptr [rbx + sched_domain.flags], SD_LOAD_BALANCE
    jz .not_balancing
    mov rcx, qword ptr [rax + sched_domain.span]
    not rcx
    test rcx, rsi
    jnz .outside
.topmost:
    cmp qword ptr [rbx + sched_domain.level], 0
    jne .groups
    bt rsi, r12
    jnc .elsewhere
.groups:
    mov rdi, qword ptr [rbx + sched_domain.groups]
    mov rax, qword ptr [rdi + sched_group.cpumask]
    bt rax, r12
    jnc .not_own
    xor r8d, r8d                        # CPUs of the groups so far
.group:
    mov rax, qword ptr [rdi + sched_group.cpumask]
    test rax, rax
    jz .empty
    cmp qword ptr [rdi + sched_group.cpu_power], 0
    je .powerless
    test r8, rax
    jnz .overlapping
    or r8, rax
    mov rdi, qword ptr [rdi + sched_group.next]
    cmp rdi, qword ptr [rbx + sched_domain.groups]
    jne .group
    cmp r8, rsi
    jne .uncovered
    xor edx, edx
    ret
    RULE .not_balancing, "does not balance but has a parent"
    RULE .outside, "is not contained in its parent"
    RULE .elsewhere, "does not span its CPU"
    RULE .not_own, "does not start with the CPU's own group"
    RULE .empty, "has an empty group"
    RULE .powerless, "has a group without cpu_power"
    RULE .overlapping, "has CPUs in two groups"
    RULE .uncovered, "spans other CPUs than its groups"
END domain_fault

# domain_panic(rbx = domain, r12 = its CPU, rdx = what is wrong): ends the run.
#   clobbers: never returns
#   locks: none
#   irq: any
PRIVATE domain_panic
domain_panic:
    FRAME
    push rdx
    lea rdi, [rip + domain_words]
    lea rsi, [rip + words_cpu]
    call domain_append
    mov esi, r12d
    call format_unsigned
    mov rdi, rax
    lea rsi, [rip + words_domain]
    call domain_append
    mov rsi, qword ptr [rbx + sched_domain.level]
    call format_unsigned
    mov byte ptr [rax], ' '
    lea rdi, [rax + 1]
    pop rsi
    call domain_append
    lea rdi, [rip + domain_words]
    call panic
END domain_panic

# domain_append(rdi = end of a text, rsi = another text) -> rdi = end of both.
#   clobbers: al, rsi
#   locks: none
#   irq: any
PRIVATE domain_append
domain_append:
    lodsb
    mov byte ptr [rdi], al
    inc rdi
    test al, al
    jnz domain_append
    dec rdi
    ret
END domain_append

.section .rodata
words_cpu:
    .asciz "sched_domain: cpu"
words_domain:
    .asciz " domain"

.section .bss
domain_words:
    .zero 128
