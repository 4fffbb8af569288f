.intel_syntax noprefix
# The serial port. Whoever writes has the console lock for a whole buffer of whole lines, so
# lines of different CPUs never mix.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern spin_lock
.extern spin_unlock

.section .text
# console_init(): 115200 baud, 8 data bits, FIFOs on, no interrupts.
#   clobbers: rax, rdx
#   locks: none
#   irq: off
PUBLIC console_init
console_init:
    mov edx, COM1 + COM_IER
    mov al, 0
    out dx, al
    mov edx, COM1 + COM_LCR
    mov al, 0x80                        # the next two ports are the divisor
    out dx, al
    mov edx, COM1
    mov al, 1
    out dx, al
    mov edx, COM1 + 1
    mov al, 0
    out dx, al
    mov edx, COM1 + COM_LCR
    mov al, 3
    out dx, al
    mov edx, COM1 + COM_FCR
    mov al, 7
    out dx, al
    mov edx, COM1 + COM_MCR
    mov al, 3
    out dx, al
    ret
END console_init

# console_write(rdi = text, rsi = bytes): writes it in one piece.
#   clobbers: caller-saved
#   locks: takes and releases console_lock
#   irq: any; off while the lock is held, since interrupt handlers may have to drain a full ring
PUBLIC console_write
console_write:
    FRAME
    push rbx
    push r12
    mov rbx, rdi
    mov r12, rsi
    pushfq
    cli
    lea rdi, [rip + console_lock]
    call spin_lock
    mov rdi, rbx
    mov rsi, r12
    call console_put
    lea rdi, [rip + console_lock]
    call spin_unlock
    popfq
    pop r12
    pop rbx
    UNFRAME
    ret
END console_write

# console_write_line(rdi = line, rsi = bytes): the same at the start of a line: what somebody is
# typing, or a prompt, is broken off first.
#   clobbers: caller-saved
#   locks: takes and releases console_lock
#   irq: off
PUBLIC console_write_line
console_write_line:
    FRAME
    push rbx
    push r12
    mov rbx, rdi
    mov r12, rsi
    lea rdi, [rip + console_lock]
    call spin_lock
    call console_new_line
    mov rdi, rbx
    mov rsi, r12
    call console_put
    lea rdi, [rip + console_lock]
    call spin_unlock
    pop r12
    pop rbx
    UNFRAME
    ret
END console_write_line

# console_new_line(): goes to a new line, unless at the start of one.
#   clobbers: rax, rcx, rdx, rsi, rdi
#   locks: as console_put
#   irq: off
PRIVATE console_new_line
console_new_line:
    FRAME
    cmp byte ptr [rip + console_last], 10
    je .there
    lea rdi, [rip + newline]
    mov esi, 1
    call console_put
.there:
    UNFRAME
    ret
END console_new_line

# console_put(rdi = text, rsi = bytes): writes without the lock: for its holder, or in a panic.
#   clobbers: rax, rcx, rdx, rsi, rdi
#   locks: console_lock held, or all other CPUs stopped
#   irq: off
PUBLIC console_put
console_put:
    test rsi, rsi
    jz .done
.busy:
    mov edx, COM1 + COM_LSR
    in al, dx
    test al, LSR_THR_EMPTY
    jnz .ready
    pause
    jmp .busy
.ready:
    mov edx, COM1
    mov al, byte ptr [rdi]
    out dx, al
    # Remembered so that a panic can tell whether it breaks into a line.
    mov byte ptr [rip + console_last], al
    inc rdi
    dec rsi
    jnz .busy
.done:
    ret
END console_put

# console_get() -> eax = next character, or -1 if none has come.
#   clobbers: rdx
#   locks: none; only the monitor reads
#   irq: as found
PUBLIC console_get
console_get:
    mov edx, COM1 + COM_LSR
    in al, dx
    test al, LSR_DATA_READY
    jz .none
    mov edx, COM1
    in al, dx
    movzx eax, al
    ret
.none:
    mov eax, -1
    ret
END console_get

# console_break_lock(): frees the console after every other CPU was stopped, and starts a new line
# if the last one was cut.
#   clobbers: caller-saved
#   locks: console_lock is free afterwards
#   irq: off
PUBLIC console_break_lock
console_break_lock:
    FRAME
    mov dword ptr [rip + console_lock + lock.owner], LOCK_FREE
    call console_new_line
    UNFRAME
    ret
END console_break_lock

.section .rodata
newline:
    .byte 10

.section .data
OBJECT console_lock, 16
console_lock:
    .long LOCK_FREE, 0, 0, 0
END console_lock
OBJECT console_last
console_last:
    .byte 10
END console_last
