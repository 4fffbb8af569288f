.intel_syntax noprefix
# Linked into the guest for tests of its last words: a task that the monitor starts runs `crash` and
# comes to grief in the way that its milliseconds number.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern boot_gdt
.extern spin_lock
.extern spin_unlock

.equ MILLISECOND, 1000000

.macro CRASH name
    .quad crash_\name
.endm

.section .rodata
    .balign 8
crashes:
    CRASH null_pointer
    CRASH null_call
    CRASH stack_overflow
    CRASH wild_pointer
    CRASH jump_to_data
    CRASH write_to_code
    CRASH invalid_opcode
    CRASH division
    CRASH surprise
    CRASH lock_twice
    CRASH lock_of_another
    CRASH canary
    CRASH no_idt
    CRASH silence

.section .text
# crash(rdi = milliseconds in nanoseconds): crashes in the way of that number.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC crash
crash:
    FRAME
    mov rax, rdi
    xor edx, edx
    mov ecx, MILLISECOND
    div rcx
    lea rcx, [rip + crashes]
    call qword ptr [rcx + rax * 8]
    UNFRAME
    ret
END crash

# crash_null_pointer(): reads a field of nothing.
#   clobbers: never returns
#   locks: none
#   irq: on
PRIVATE crash_null_pointer
crash_null_pointer:
    FRAME
    xor eax, eax
    mov rax, qword ptr [rax + task.array]
    UNFRAME
    ret
END crash_null_pointer

# crash_null_call(): calls a function that was never set.
#   clobbers: never returns
#   locks: none
#   irq: on
PRIVATE crash_null_call
crash_null_call:
    FRAME
    xor eax, eax
    call rax
    UNFRAME
    ret
END crash_null_call

# crash_stack_overflow(): recursion without end.
#   clobbers: never returns
#   locks: none
#   irq: on
PRIVATE crash_stack_overflow
crash_stack_overflow:
    FRAME
    call crash_stack_overflow
    UNFRAME
    ret
END crash_stack_overflow

# crash_wild_pointer(): an address that no page table can map.
#   clobbers: never returns
#   locks: none
#   irq: on
PRIVATE crash_wild_pointer
crash_wild_pointer:
    FRAME
    movabs rax, 0x5a5a5a5a5a5a5a5a
    mov rax, qword ptr [rax]
    UNFRAME
    ret
END crash_wild_pointer

# crash_jump_to_data(): runs into a table.
#   clobbers: never returns
#   locks: none
#   irq: on
PRIVATE crash_jump_to_data
crash_jump_to_data:
    FRAME
    lea rax, [rip + boot_gdt]
    call rax
    UNFRAME
    ret
END crash_jump_to_data

# crash_write_to_code(): changes an instruction.
#   clobbers: never returns
#   locks: none
#   irq: on
PRIVATE crash_write_to_code
crash_write_to_code:
    FRAME
    mov byte ptr [rip + crash_write_to_code], 0x90
    UNFRAME
    ret
END crash_write_to_code

# crash_invalid_opcode(): what nobody should execute.
#   clobbers: never returns
#   locks: none
#   irq: on
PRIVATE crash_invalid_opcode
crash_invalid_opcode:
    FRAME
    ud2
END crash_invalid_opcode

# crash_division(): divides by zero.
#   clobbers: never returns
#   locks: none
#   irq: on
PRIVATE crash_division
crash_division:
    FRAME
    xor ecx, ecx
    div ecx
    UNFRAME
    ret
END crash_division

# crash_surprise(): an interrupt that nothing was set up for.
#   clobbers: never returns
#   locks: none
#   irq: on
PRIVATE crash_surprise
crash_surprise:
    FRAME
    int 0x55
    UNFRAME
    ret
END crash_surprise

# crash_lock_twice(): waits for itself.
#   clobbers: never returns
#   locks: takes crash_lock
#   irq: on
PRIVATE crash_lock_twice
crash_lock_twice:
    FRAME
    lea rdi, [rip + crash_lock]
    call spin_lock
    lea rdi, [rip + crash_lock]
    call spin_lock
    UNFRAME
    ret
END crash_lock_twice

# crash_lock_of_another(): gives back what it does not have.
#   clobbers: never returns
#   locks: pretends to release crash_lock
#   irq: on
PRIVATE crash_lock_of_another
crash_lock_of_another:
    FRAME
    lea rdi, [rip + crash_lock]
    call spin_unlock
    UNFRAME
    ret
END crash_lock_of_another

# crash_canary(): overwrites the lowest word of its stack.
#   clobbers: never returns: ending switches away
#   locks: none
#   irq: on
PRIVATE crash_canary
crash_canary:
    FRAME
    mov rax, gs:[percpu.curr]
    mov rax, qword ptr [rax + task.stack]
    mov qword ptr [rax], 0
    UNFRAME
    ret
END crash_canary

# crash_no_idt(): a fault that cannot be delivered, nor the one about it.
#   clobbers: never returns
#   locks: none
#   irq: on
PRIVATE crash_no_idt
crash_no_idt:
    FRAME
    lidt [rip + crash_empty_idt]
    ud2
END crash_no_idt

# crash_silence(): stops with interrupts off.
#   clobbers: never returns
#   locks: none
#   irq: on; off for good
PRIVATE crash_silence
crash_silence:
    cli
.stop:
    hlt
    jmp .stop
END crash_silence

.section .rodata
    .balign 8
crash_empty_idt:
    .word 0
    .quad 0

.section .data
    .balign 16
crash_lock:
    .long LOCK_FREE, 0, 0, 0
