.intel_syntax noprefix
# VeridianOS's messages, word for word: lines `[SCHED] words`, which the log's readers call notes.
# They stand where they were written; the events around them come from the CPUs' rings, later.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"

.extern console_write_line
.extern format_hex
.extern format_unsigned

.equ MESSAGE_BYTES, 128

# MESSAGE name, words: defines message_name, which writes them. In the words # stands for the next
# of the numbers rsi and rdx, ~ for the same in hexadecimal.
.macro MESSAGE name:req, words:req
    .pushsection .rodata
words_\name:
    .ascii "[SCHED] "
    .asciz "\words\n"
    .popsection
PUBLIC message_\name
message_\name:
    lea rdi, [rip + words_\name]
    jmp message
END message_\name
.endm

.section .text
    MESSAGE balancing, "Load balancing: migrating tasks"
    MESSAGE migrated, "Successfully migrated tasks"
    MESSAGE cleaned_up, "Cleaned up dead task"
    MESSAGE initializing, "Initializing scheduler with bootstrap task..."
    MESSAGE initialized, "Scheduler initialized with bootstrap task"
    MESSAGE timer, "x86_64 timer configured for preemptive scheduling"
    MESSAGE starting, "Starting scheduler execution"
    MESSAGE idle_loop, "Entering idle loop"
    MESSAGE affinity, "Warning: Task # has no valid CPU affinity!"
    MESSAGE cpu, "Warning: Task # cannot run on CPU # due to affinity mask"
    MESSAGE dispatch, "DISPATCH_FIRST pid=~"

# message_no_affinity(rdi = task): it may run on no CPU that is online.
#   clobbers: caller-saved
#   locks: any
#   irq: off
PUBLIC message_no_affinity
message_no_affinity:
    mov esi, dword ptr [rdi + task.id]
    jmp message_affinity
END message_no_affinity

# message_cannot_run(rdi = task): it may not run on the CPU that was chosen for it.
#   clobbers: caller-saved
#   locks: any
#   irq: off
PUBLIC message_cannot_run
message_cannot_run:
    mov esi, dword ptr [rdi + task.id]
    mov edx, dword ptr [rdi + task.cpu]
    jmp message_cpu
END message_cannot_run

# message_dispatch_first(r15 = next task): the first time that any task is dispatched.
#   clobbers: caller-saved
#   locks: any
#   irq: off
PUBLIC message_dispatch_first
message_dispatch_first:
    mov eax, 1
    xchg dword ptr [rip + dispatched], eax
    test eax, eax
    jnz .done
    mov esi, dword ptr [r15 + task.id]
    jmp message_dispatch
.done:
    ret
END message_dispatch_first

# message(rdi = words, rsi, rdx = numbers): writes them as one line.
#   clobbers: caller-saved
#   locks: any; takes and releases console_lock
#   irq: off
PRIVATE message
message:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    sub rsp, MESSAGE_BYTES
    mov rbx, rdi
    mov r12, rsi
    mov r13, rdx
    mov rdi, rsp
.character:
    mov al, byte ptr [rbx]
    inc rbx
    lea r14, [rip + format_unsigned]
    cmp al, '#'
    je .number
    lea r14, [rip + format_hex]
    cmp al, '~'
    je .number
    test al, al
    jz .write
    mov byte ptr [rdi], al
    inc rdi
    jmp .character
.number:
    mov rsi, r12
    mov r12, r13
    call r14
    mov rdi, rax
    jmp .character
.write:
    mov rsi, rdi
    mov rdi, rsp
    sub rsi, rdi
    call console_write_line
    add rsp, MESSAGE_BYTES
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END message

.section .bss
# dispatched: 1 once a task has been dispatched.
dispatched:
    .zero 8
