.intel_syntax noprefix
# The instructions of a workload: opcodes and operands within their bounds, programs that lead away
# at their end.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "workload.inc"
.include "check.inc"

.extern workload_code
.extern workload_tasks

# What an operand of an instruction holds. Numbers and table are harness/workload/layout.py's
# Operand and OPERATIONS; a test compares them.
.equ OPERAND_NONE, 0
.equ OPERAND_FLAG, 1
.equ OPERAND_TIME, 2
.equ OPERAND_TIMER, 3
.equ OPERAND_COUNTER, 4
.equ OPERAND_COUNT, 5
.equ OPERAND_TASK, 6
.equ OPERAND_TEMPLATE, 7
.equ OPERAND_TASKS, 8
.equ OPERAND_TARGET, 9
.equ OPERAND_MUTEX, 10
.equ OPERAND_MUTEX_OR_NONE, 11
.equ OPERAND_CONDITION, 12
.equ OPERAND_BARRIER, 13
.equ OPERAND_MASK, 14
.equ OPERAND_POLICY, 15
.equ OPERAND_NICE, 16
.equ OPERAND_PRIORITY, 17
.equ OPERAND_LABEL, 18
.equ OPERAND_CPU, 19

STRUCT bounds
    FIELD bounds, least, 8
    FIELD bounds, greatest, 8

.section .text
# check_set_bounds(rbx = header): the bounds that depend on the workload.
#   clobbers: rax, rcx
#   locks: none
#   irq: off
PUBLIC check_set_bounds
check_set_bounds:
    lea rcx, [rip + operand_bounds + bounds.greatest]
    mov eax, dword ptr [rbx + wl.task_count]
    dec rax
    mov qword ptr [rcx + OPERAND_TASK * bounds.size], rax
    mov qword ptr [rcx + OPERAND_TARGET * bounds.size], rax
    mov qword ptr [rcx + OPERAND_TEMPLATE * bounds.size], rax
    mov eax, dword ptr [rbx + wl.mask_count]
    dec rax
    mov qword ptr [rcx + OPERAND_MASK * bounds.size], rax
    movzx eax, word ptr [rbx + wl.cpus]
    dec rax
    mov qword ptr [rcx + OPERAND_CPU * bounds.size], rax
    movzx eax, word ptr [rbx + wl.mutex_count]
    dec rax
    mov qword ptr [rcx + OPERAND_MUTEX * bounds.size], rax
    mov qword ptr [rcx + OPERAND_MUTEX_OR_NONE * bounds.size], rax
    movzx eax, word ptr [rbx + wl.condition_count]
    dec rax
    mov qword ptr [rcx + OPERAND_CONDITION * bounds.size], rax
    movzx eax, word ptr [rbx + wl.barrier_count]
    dec rax
    mov qword ptr [rcx + OPERAND_BARRIER * bounds.size], rax
    ret
END check_set_bounds

# check_program(r12, r13 = record): every instruction, and that the last one leads away. A program
# that the record before has as well is not looked at again.
#   clobbers: caller-saved; r14, r15
#   locks: none
#   irq: off
PUBLIC check_program
check_program:
    FRAME
    test r12d, r12d
    jz .new
    mov rax, qword ptr [r13 + wltask.program]   # with its length
    cmp rax, qword ptr [r13 + wltask.program - wltask.size]
    je .done
.new:
    mov eax, dword ptr [r13 + wltask.length]
    dec rax
    lea rcx, [rip + operand_bounds + OPERAND_LABEL * bounds.size]
    mov qword ptr [rcx + bounds.greatest], rax
    mov r15d, dword ptr [r13 + wltask.program]
    shl r15, 4                          # * wlinstr.size
    add r15, qword ptr [rip + workload_code]
    xor r14d, r14d
.instruction:
    call check_instruction
    add r15, wlinstr.size
    inc r14
    cmp r14d, dword ptr [r13 + wltask.length]
    jb .instruction
    dec r14
    movzx eax, byte ptr [r15 + wlinstr.opcode - wlinstr.size]
    cmp eax, WL_OP_JUMP
    je .done
    RANGE "last opcode, if not a jump", rax, WL_OP_EXIT, WL_OP_EXIT
.done:
    UNFRAME
    ret
END check_program

# check_instruction(r15 = instruction): opcode and operands.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE check_instruction
check_instruction:
    FRAME
    movzx eax, byte ptr [r15 + wlinstr.opcode]
    RANGE "opcode", rax, 0, WL_OP_COUNT-1
    movzx edi, byte ptr [r15 + wlinstr.a]
    lea rsi, [rip + operand_a]
    xor edx, edx
    call check_operand
    movzx edi, word ptr [r15 + wlinstr.b]
    lea rsi, [rip + operand_b]
    mov edx, 1
    call check_operand
    mov edi, dword ptr [r15 + wlinstr.c]
    lea rsi, [rip + operand_c]
    mov edx, 2
    call check_operand
    mov rdi, qword ptr [r15 + wlinstr.d]
    lea rsi, [rip + operand_d]
    mov edx, 3
    call check_operand
    UNFRAME
    ret
END check_instruction

# check_operand(rdi = value, rsi = its name, edx = its number, r15 = instruction).
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE check_operand
check_operand:
    FRAME
    movzx eax, byte ptr [r15 + wlinstr.opcode]
    lea rcx, [rip + workload_operands]
    lea rcx, [rcx + rax * 4]
    movzx r8d, byte ptr [rcx + rdx]
    cmp r8d, OPERAND_MUTEX_OR_NONE
    jne .not_mutex
    cmp edi, WL_NO_MUTEX
    je .done
.not_mutex:
    cmp r8d, OPERAND_TARGET
    jne .bounds
    cmp edi, WL_SELF
    je .self
.bounds:
    mov ecx, r8d
    shl ecx, 4                          # * bounds.size
    lea rax, [rip + operand_bounds]
    add rax, rcx
    xchg rsi, rdi
    mov rdx, qword ptr [rax + bounds.least]
    mov rcx, qword ptr [rax + bounds.greatest]
    call check_range
    cmp r8d, OPERAND_TASK
    je .tasks
    cmp r8d, OPERAND_TARGET
    je .tasks
    cmp r8d, OPERAND_TEMPLATE
    jne .done
    call check_templates
    RANGE "templates that it forks", rax, 1, 1
    jmp .done
.tasks:
    movzx eax, word ptr [r15 + wlinstr.b]
    mov r9d, dword ptr [rbx + wl.task_count]
    mov ecx, dword ptr [r15 + wlinstr.c]
    sub r9, rcx
    RANGE "operand b (tasks from c on)", rax, 1, r9
    call check_templates
    RANGE "templates among the tasks that it names", rax, 0, 0
    jmp .done
.self:
    movzx eax, word ptr [r15 + wlinstr.b]
    RANGE "operand b (for the task itself)", rax, 1, 1
.done:
    UNFRAME
    ret
END check_operand

# check_templates(r15 = instruction) -> rax = how many of the records that it names are templates.
#   clobbers: rcx, rdx
#   locks: none
#   irq: off
PRIVATE check_templates
check_templates:
    movzx ecx, word ptr [r15 + wlinstr.b]
    cmp byte ptr [r15 + wlinstr.opcode], WL_OP_FORK
    jne .several
    mov ecx, 1
.several:
    mov edx, dword ptr [r15 + wlinstr.c]
    shl rdx, 6                          # * wltask.size
    add rdx, qword ptr [rip + workload_tasks]
    xor eax, eax
.record:
    test byte ptr [rdx + wltask.flags], WL_TASK_TEMPLATE
    jz .next
    inc eax
.next:
    add rdx, wltask.size
    dec ecx
    jnz .record
    ret
END check_templates

.section .rodata
operand_a:
    .asciz "operand a"
operand_b:
    .asciz "operand b"
operand_c:
    .asciz "operand c"
operand_d:
    .asciz "operand d"

# OPERANDS a, b, c, d: what the operands of one opcode hold.
.macro OPERANDS a=NONE, b=NONE, c=NONE, d=NONE
    .byte OPERAND_\a, OPERAND_\b, OPERAND_\c, OPERAND_\d
.endm

# workload_operands: by opcode.
OBJECT workload_operands
workload_operands:
    OPERANDS                                        # EXIT
    OPERANDS d=TIME                                 # RUN_NS
    OPERANDS d=TIME                                 # RUN_TICKS
    OPERANDS d=TIME                                 # SPIN_NS
    OPERANDS d=TIME                                 # SLEEP_NS
    OPERANDS d=TIME                                 # SLEEP_TICKS
    OPERANDS a=TIMER                                # TIMER_START
    OPERANDS a=TIMER, d=TIME                        # TIMER_RELATIVE
    OPERANDS a=TIMER, d=TIME                        # TIMER_ABSOLUTE
    OPERANDS a=FLAG                                 # BLOCK
    OPERANDS a=FLAG, b=TASKS, c=TASK                # WAKE
    OPERANDS                                        # YIELD
    OPERANDS a=FLAG, c=TEMPLATE                     # FORK
    OPERANDS b=TASKS, c=TARGET, d=NICE              # SET_NICE
    OPERANDS a=POLICY, b=TASKS, c=TARGET, d=PRIORITY    # SET_POLICY
    OPERANDS b=TASKS, c=TARGET, d=MASK              # SET_CPUS
    OPERANDS a=COUNTER, d=COUNT                     # LOAD
    OPERANDS a=COUNTER, c=LABEL                     # LOOP
    OPERANDS c=LABEL                                # JUMP
    OPERANDS c=MUTEX                                # LOCK
    OPERANDS c=MUTEX                                # UNLOCK
    OPERANDS c=BARRIER                              # BARRIER
    OPERANDS b=MUTEX_OR_NONE, c=CONDITION           # WAIT
    OPERANDS c=CONDITION                            # SIGNAL
    OPERANDS c=CONDITION                            # BROADCAST
    OPERANDS c=CPU                                  # CPU_DOWN
    OPERANDS c=CPU                                  # CPU_UP
    OPERANDS                                        # EXEC
END workload_operands

.equ LONGEST, 0x7fffffffffffffff

.section .data
    .balign 16
# operand_bounds: by OPERAND_*; -1 stands for what check_set_bounds and check_program fill in.
operand_bounds:
    .quad 0, 0                          # NONE
    .quad 0, 1                          # FLAG
    .quad 1, LONGEST                    # TIME
    .quad 0, WL_TIMERS - 1              # TIMER
    .quad 0, WL_COUNTERS - 1            # COUNTER
    .quad 1, LONGEST                    # COUNT
    .quad 0, -1                         # TASK
    .quad 0, -1                         # TEMPLATE
    .quad 1, 0xffff                     # TASKS
    .quad 0, -1                         # TARGET
    .quad 0, -1                         # MUTEX
    .quad 0, -1                         # MUTEX_OR_NONE
    .quad 0, -1                         # CONDITION
    .quad 0, -1                         # BARRIER
    .quad 0, -1                         # MASK
    .quad 0, 2                          # POLICY
    .quad -20, 19                       # NICE
    .quad 0, 99                         # PRIORITY
    .quad 0, -1                         # LABEL
    .quad 0, -1                         # CPU
