.intel_syntax noprefix
# The monitor's commands unplug and plug. A task asks the policy for them: it may have to sleep, and
# the monitor is the boot CPU's idle task.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "policy.inc"
.include "print.inc"

.extern cpu_count
.extern fifo_policy
.extern idle_turn
.extern monitor_number
.extern monitor_ready
.extern task_create

.section .text
# command_unplug(): unplug CPU.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC command_unplug
command_unplug:
    FRAME
    lea rdi, [rip + monitor_cpu_down]
    call monitor_on_cpu
    cmp eax, 1
    jb .unplugged
    ja .done
    PRINT "unplug: CPU %u has to stay, or is unplugged already\n", rdx
    jmp .done
.unplugged:
    PRINT "CPU %u is unplugged\n", rdx
.done:
    UNFRAME
    ret
END command_unplug

# command_plug(): plug CPU.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC command_plug
command_plug:
    FRAME
    lea rdi, [rip + monitor_cpu_up]
    call monitor_on_cpu
    cmp eax, 1
    jb .plugged
    ja .done
    PRINT "plug: CPU %u is plugged in already\n", rdx
    jmp .done
.plugged:
    PRINT "CPU %u is plugged in\n", rdx
.done:
    UNFRAME
    ret
END command_plug

# monitor_on_cpu(rdi = body of a task) -> eax = 0 if the policy has done it to the CPU that the line
# names, 1 if it refused, rdx = that CPU; 2 if the user was told what else is wrong.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE monitor_on_cpu
monitor_on_cpu:
    FRAME
    push rbx
    push r12
    mov r12, rdi
    lea rax, [rip + fifo_policy]
    cmp qword ptr [rip + policy], rax
    je .policy
    mov rdi, -1
    call monitor_number
    cmp rax, qword ptr [rip + cpu_count]
    jae .no_cpu
    mov rbx, rax
    mov dword ptr [rip + monitor_answered], 0
    lea rdi, [rip + asking_name]
    mov rsi, r12
    mov rdx, rax
    xor ecx, ecx
    call task_create
    test rax, rax
    jz .full
    mov dword ptr [rip + monitor_ready], 0      # nobody types meanwhile
.wait:
    call idle_turn
    cmp dword ptr [rip + monitor_answered], 0
    je .wait
    xor eax, eax
    cmp dword ptr [rip + monitor_answer], 0
    setne al
    mov rdx, rbx
    jmp .out
.policy:
    PRINT "policy none keeps all its CPUs: boot with policy=o1\n"
    jmp .told
.no_cpu:
    PRINT "which CPU? there are %u, from 0\n", [rip + cpu_count]
    jmp .told
.full:
    PRINT "the task table is full; boot with a larger tasks=\n"
.told:
    mov eax, 2
.out:
    pop r12
    pop rbx
    UNFRAME
    ret
END monitor_on_cpu

# monitor_cpu_down(rdi = CPU): body of the task that asks the policy.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE monitor_cpu_down
monitor_cpu_down:
    FRAME
    POLICY cpu_down
    mov dword ptr [rip + monitor_answer], eax
    mov dword ptr [rip + monitor_answered], 1
    UNFRAME
    ret
END monitor_cpu_down

# monitor_cpu_up(rdi = CPU): body of the task that asks the policy.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE monitor_cpu_up
monitor_cpu_up:
    FRAME
    POLICY cpu_up
    mov dword ptr [rip + monitor_answer], eax
    mov dword ptr [rip + monitor_answered], 1
    UNFRAME
    ret
END monitor_cpu_up

.section .rodata
asking_name:
    .asciz "asking"

.section .bss
# What the task that the monitor waits for was answered, and whether it was.
monitor_answer:
    .zero 8
monitor_answered:
    .zero 8
