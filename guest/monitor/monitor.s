.intel_syntax noprefix
# The monitor: a small command line on the serial port, on request (boot parameter monitor=1). It
# runs in the boot CPU's idle loop, so it answers while tasks run elsewhere.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "print.inc"

.extern console_get
.extern console_write
.extern cpu_count
.extern task_count
.extern task_create
.extern task_table
.extern words_equal
.extern work_spin

.equ LINE_BYTES, 128
.equ CHAR_BACKSPACE, 8
.equ CHAR_NEWLINE, 10
.equ CHAR_RETURN, 13
.equ CHAR_DELETE, 127

STRUCT command
    FIELD command, name, 8
    FIELD command, function, 8      # (): arguments through monitor_word and monitor_number
    FIELD command, help, 8

.section .text
# monitor_start(): greets and prompts.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC monitor_start
monitor_start:
    FRAME
    PRINT "monitor: type help\n"
    call monitor_prompt
    UNFRAME
    ret
END monitor_start

# monitor_prompt(): asks for a command.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE monitor_prompt
monitor_prompt:
    FRAME
    mov qword ptr [rip + monitor_length], 0
    mov dword ptr [rip + monitor_ready], 1
    PRINT "sched> "
    UNFRAME
    ret
END monitor_prompt

# monitor_poll(): takes what has been typed; runs a command when its line is complete.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC monitor_poll
monitor_poll:
    FRAME
    cmp dword ptr [rip + monitor_ready], 0
    je .done
.character:
    call console_get
    test eax, eax
    js .done
    cmp eax, CHAR_RETURN
    je .line
    cmp eax, CHAR_NEWLINE
    je .line
    cmp eax, CHAR_BACKSPACE
    je .erase
    cmp eax, CHAR_DELETE
    je .erase
    cmp eax, ' '
    jb .character
    mov rcx, qword ptr [rip + monitor_length]
    cmp ecx, LINE_BYTES - 1
    jae .character
    lea rdi, [rip + monitor_line]
    mov byte ptr [rdi + rcx], al
    inc qword ptr [rip + monitor_length]
    add rdi, rcx
    mov esi, 1
    call console_write
    jmp .character
.erase:
    cmp qword ptr [rip + monitor_length], 0
    je .character
    dec qword ptr [rip + monitor_length]
    lea rdi, [rip + erase_text]
    mov esi, 3
    call console_write
    jmp .character
.line:
    PRINT "\n"
    mov rcx, qword ptr [rip + monitor_length]
    lea rdi, [rip + monitor_line]
    mov byte ptr [rdi + rcx], 0
    mov qword ptr [rip + monitor_next], rdi
    call monitor_run
    cmp dword ptr [rip + monitor_done], 0
    jne .done
    call monitor_prompt
.done:
    UNFRAME
    ret
END monitor_poll

# monitor_run(): runs the command in monitor_line.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE monitor_run
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

# monitor_word() -> rax = next word of the line, NUL-terminated; empty when there is none.
#   clobbers: rdx
#   locks: none
#   irq: as found
PRIVATE monitor_word
monitor_word:
    mov rdx, qword ptr [rip + monitor_next]
.blank:
    cmp byte ptr [rdx], ' '
    jne .start
    inc rdx
    jmp .blank
.start:
    mov rax, rdx
.letter:
    cmp byte ptr [rdx], 0
    je .end
    cmp byte ptr [rdx], ' '
    je .cut
    inc rdx
    jmp .letter
.cut:
    mov byte ptr [rdx], 0
    inc rdx
.end:
    mov qword ptr [rip + monitor_next], rdx
    ret
END monitor_word

# monitor_number(rdi = default) -> rax = next word as a decimal number, the default if there is
# no word, -1 if it is no number.
#   clobbers: rcx, rdx, rsi
#   locks: none
#   irq: as found
PRIVATE monitor_number
monitor_number:
    FRAME
    call monitor_word
    mov rsi, rax
    mov rax, rdi
    cmp byte ptr [rsi], 0
    je .done
    xor eax, eax
.digit:
    movzx ecx, byte ptr [rsi]
    test ecx, ecx
    jz .done
    sub ecx, '0'
    cmp ecx, 9
    ja .bad
    imul rax, rax, 10
    add rax, rcx
    inc rsi
    cmp rax, 1000000000
    jbe .digit
.bad:
    mov rax, -1
.done:
    UNFRAME
    ret
END monitor_number

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
erase_text:
    .byte CHAR_BACKSPACE, ' ', CHAR_BACKSPACE
state_runnable:
    .asciz "runnable"
state_sleeping:
    .asciz "sleeping"

.section .rodata
    .balign 8
commands:
    COMMAND help,  "help                              this list"
    COMMAND ps,    "ps                                all tasks"
    COMMAND spawn, "spawn NAME [CPU [MILLISECONDS]]   a task that computes for that long"
    COMMAND quit,  "quit                              ends the run"
    .quad 0

.section .bss
# monitor_done: 1 once quit was asked for.
OBJECT monitor_done
monitor_done:
    .zero 8
END monitor_done
monitor_ready:
    .zero 8
monitor_line:
    .zero LINE_BYTES
monitor_length:
    .zero 8
monitor_next:
    .zero 8
