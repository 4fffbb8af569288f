.intel_syntax noprefix
# The monitor's commands. To add one, write its function and add its row to `commands`.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "print.inc"

.extern command_plug
.extern command_unplug
.extern cpu_count
.extern cpu_online_mask
.extern monitor_done
.extern monitor_number
.extern monitor_word
.extern task_count
.extern task_create
.extern task_table
.extern words_equal
.extern work_spin

.equ MASK_CPUS, 64

STRUCT command
    FIELD command, name, 8
    FIELD command, function, 8      # (): arguments through monitor_word and monitor_number
    FIELD command, help, 8

.section .text
# monitor_run(): runs the command that was typed.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC monitor_run
monitor_run:
    FRAME
    push rbx
    call monitor_word
    cmp byte ptr [rax], 0
    je .done
    mov rbx, rax
    lea rcx, [rip + commands]
.command:
    mov rdi, qword ptr [rcx + command.name]
    test rdi, rdi
    jz .unknown
    mov rsi, rbx
    call words_equal
    test eax, eax
    jnz .found
    add rcx, command.size
    jmp .command
.found:
    call qword ptr [rcx + command.function]
    jmp .done
.unknown:
    PRINT "unknown command '%s': help lists them\n", rbx
.done:
    pop rbx
    UNFRAME
    ret
END monitor_run

# command_help(): lists the commands.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE command_help
command_help:
    FRAME
    push rbx
    lea rbx, [rip + commands]
.command:
    PRINT "%s\n", [rbx + command.help]
    add rbx, command.size
    cmp qword ptr [rbx + command.name], 0
    jne .command
    pop rbx
    UNFRAME
    ret
END command_help

# command_ps(): lists the tasks, idle tasks included.
#   clobbers: caller-saved
#   locks: none; what it reads may change while it reads
#   irq: on
PRIVATE command_ps
command_ps:
    FRAME
    push rbx
    push r12
    PRINT "TASK CPU STATE SWITCHES NAME\n"
    mov rbx, qword ptr [rip + task_table]
    mov r12d, dword ptr [rip + task_count]
.task:
    cmp dword ptr [rbx + task.slot], SLOT_USED
    jne .next
    lea r8, [rip + state_runnable]
    cmp dword ptr [rbx + task.state], TASK_RUNNING
    je .state
    lea r8, [rip + state_sleeping]
.state:
    mov eax, dword ptr [rbx + task.id]
    mov edx, dword ptr [rbx + task.cpu]
    lea r9, [rbx + task.name]
    mov r10, qword ptr [rbx + task.nvcsw]
    add r10, qword ptr [rbx + task.nivcsw]
    PRINT "%u %u %s %u %s\n", rax, rdx, r8, r10, r9
.next:
    add rbx, task.size
    dec r12d
    jnz .task
    pop r12
    pop rbx
    UNFRAME
    ret
END command_ps

# command_spawn(): spawn NAME [CPU [MILLISECONDS]].
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE command_spawn
command_spawn:
    FRAME
    push rbx
    push r12
    call monitor_word
    cmp byte ptr [rax], 0
    je .usage
    mov rbx, rax
    xor edi, edi
    call monitor_number
    cmp rax, qword ptr [rip + cpu_count]
    jae .no_cpu
    cmp eax, MASK_CPUS
    jae .online                         # so many that no policy unplugs any
    bt qword ptr [rip + cpu_online_mask], rax
    jnc .unplugged
.online:
    mov r12, rax
    mov edi, 10
    call monitor_number
    cmp rax, -1
    je .usage
    imul rdx, rax, 1000000
    mov rdi, rbx
    lea rsi, [rip + work_spin]
    mov ecx, r12d
    call task_create
    test rax, rax
    jz .full
    mov ecx, dword ptr [rax + task.id]
    PRINT "task %u started on CPU %u\n", rcx, r12
    jmp .done
.no_cpu:
    PRINT "spawn: no such CPU; there are %u, from 0\n", [rip + cpu_count]
    jmp .done
.unplugged:
    PRINT "spawn: CPU %u is unplugged\n", rax
    jmp .done
.full:
    PRINT "spawn: the task table is full; boot with a larger tasks=\n"
    jmp .done
.usage:
    PRINT "usage: spawn NAME [CPU [MILLISECONDS]]\n"
.done:
    pop r12
    pop rbx
    UNFRAME
    ret
END command_spawn

# command_quit(): ends the run.
#   clobbers: nothing
#   locks: none
#   irq: on
PRIVATE command_quit
command_quit:
    mov dword ptr [rip + monitor_done], 1
    ret
END command_quit

.macro COMMAND name, help
    .pushsection .rodata.monitor_text
monitor_name_\name:
    .asciz "\name"
monitor_help_\name:
    .asciz "\help"
    .popsection
    .quad monitor_name_\name, command_\name, monitor_help_\name
.endm

.section .rodata.monitor_text, "a", @progbits
state_runnable:
    .asciz "runnable"
state_sleeping:
    .asciz "sleeping"

.section .rodata
    .balign 8
commands:
    COMMAND help,   "help                              this list"
    COMMAND ps,     "ps                                all tasks"
    COMMAND spawn,  "spawn NAME [CPU [MILLISECONDS]]   a task that computes for that long"
    COMMAND unplug, "unplug CPU                        its tasks go elsewhere, no other comes"
    COMMAND plug,   "plug CPU                          it takes part again"
    COMMAND quit,   "quit                              ends the run"
    .quad 0
