.intel_syntax noprefix
# Self-test of the context switch, voluntary and from the timer interrupt.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "policy.inc"

.extern cpu_count
.extern idle_turn
.extern task_create

.equ YIELDS, 4
.equ TICKS_TO_SPEND, 3                  # each one a preemption while the other task is there
.equ TASKS_PER_CPU, 2

.section .text
# test_switch() -> rax: two tasks on each CPU keep all their registers while they yield to each
# other and while the timer takes the CPU away from them.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC test_switch
test_switch:
    FRAME
    push rbx
    push r12
    mov qword ptr [rip + switch_done], 0
    mov qword ptr [rip + switch_failures], 0
    xor ebx, ebx
.cpu:
    mov r12d, TASKS_PER_CPU
.task:
    lea rdi, [rip + switch_name]
    lea rsi, [rip + switch_task]
    lea rdx, [rbx + r12 * 8 + 0x5a5a0000]
    mov ecx, ebx
    call task_create
    test rax, rax
    jz .no_task
    dec r12d
    jnz .task
    inc ebx
    cmp rbx, qword ptr [rip + cpu_count]
    jb .cpu
    imul r12, rbx, TASKS_PER_CPU
.wait:
    call idle_turn
    cmp qword ptr [rip + switch_done], r12
    jb .wait
    lea rax, [rip + switch_changed]
    cmp qword ptr [rip + switch_failures], 0
    jne .out
    xor eax, eax
    jmp .out
.no_task:
    lea rax, [rip + switch_full]
.out:
    pop r12
    pop rbx
    UNFRAME
    ret
END test_switch

# switch_task(rdi = pattern): the body of each task.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE switch_task
switch_task:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov rbx, rdi
    mov r12, rdi
    not r12
    lea r13, [rdi + 13]
    lea r14, [rdi + 14]
    mov r15d, YIELDS
.yield:
    POLICY yield
    mov rax, rbx
    not rax
    cmp rax, r12
    jne .changed
    lea rax, [rbx + 13]
    cmp rax, r13
    jne .changed
    lea rax, [rbx + 14]
    cmp rax, r14
    jne .changed
    dec r15d
    jnz .yield
    mov rdi, rbx
    call switch_preempted
    test eax, eax
    jz .done
.changed:
    lock inc qword ptr [rip + switch_failures]
.done:
    lock inc qword ptr [rip + switch_done]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END switch_task

# STILL register, distance: it must still hold the pattern in rdi plus the distance.
.macro STILL register, distance
    lea rax, [rdi + \distance]
    cmp rax, \register
    jne switch_register_changed
.endm

# switch_preempted(rdi = pattern) -> eax = 0 if every general register survived a few preemptions.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE switch_preempted
switch_preempted:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov rax, gs:[percpu.ticks]
    add rax, TICKS_TO_SPEND
    push rax
    lea rbx, [rdi + 2]
    lea rcx, [rdi + 3]
    lea rdx, [rdi + 4]
    lea rsi, [rdi + 5]
    lea r8, [rdi + 8]
    lea r9, [rdi + 9]
    lea r10, [rdi + 10]
    lea r11, [rdi + 11]
    lea r12, [rdi + 12]
    lea r13, [rdi + 13]
    lea r14, [rdi + 14]
    lea r15, [rdi + 15]
.spin:
    mov eax, 64
.spend:
    dec eax
    jnz .spend
    pause
    mov rax, gs:[percpu.ticks]          # rax alone is scratch here
    cmp rax, qword ptr [rsp]
    jb .spin
    pop rax
    STILL rbx, 2
    STILL rcx, 3
    STILL rdx, 4
    STILL rsi, 5
    STILL r8, 8
    STILL r9, 9
    STILL r10, 10
    STILL r11, 11
    STILL r12, 12
    STILL r13, 13
    STILL r14, 14
    STILL r15, 15
    xor eax, eax
    jmp switch_register_out
switch_register_changed:
    mov eax, 1
switch_register_out:
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END switch_preempted

.section .rodata
switch_name:
    .asciz "switch"
switch_changed:
    .asciz "a register changed while its task did not run"
switch_full:
    .asciz "the task table is full: raise the boot parameter tasks"

.section .bss
switch_done:
    .zero 8
switch_failures:
    .zero 8
