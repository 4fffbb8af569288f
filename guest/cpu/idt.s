.intel_syntax noprefix
# Interrupt descriptor table and the common path of every interrupt and exception.
#
# 256 stubs of 16 bytes each leave the vector and an error code on the stack and join
# interrupt_entry, which completes a struct trapframe. Hardware interrupts may end in a context
# switch on the way out: that is how a task is preempted.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "policy.inc"
.include "race.inc"

.extern panic_exception
.extern panic_park
.extern panic_owner
.extern timer_interrupt
.extern ipi_reschedule
.extern ipi_call
.extern ipi_ping
.extern lapic_error_interrupt

.equ STUB_BYTES, 16
# Bit set: 8, 10 to 14, 17, 21, 29 and 30 push an error code themselves.
.equ VECTORS_WITH_ERROR_CODE, 0x60227d00
.equ GATE_INTERRUPT, 0x8e00

.section .text
# interrupt_stubs: entry of vector v at interrupt_stubs + 16 v.
.balign STUB_BYTES, 0xcc
interrupt_stubs:
.set vector, 0
.rept 256
    .balign STUB_BYTES, 0xcc
    .if (((VECTORS_WITH_ERROR_CODE >> vector) & 1) == 0) || (vector >= VECTOR_EXCEPTIONS)
    push 0
    .endif
    push vector
    jmp interrupt_entry
    .set vector, vector + 1
.endr

# interrupt_entry(trap frame from vector upwards on the stack): common entry and exit.
#   clobbers: nothing that the interrupted code can see
#   locks: none at entry or exit
#   irq: off; iretq restores the interrupted state
PUBLIC interrupt_entry
interrupt_entry:
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    push rbp
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    cld
    mov rdi, rsp
    mov rax, qword ptr [rdi + trapframe.vector]
    cmp eax, VECTOR_EXCEPTIONS
    jb .exception

    inc dword ptr gs:[percpu.irq_depth]
    mov dword ptr gs:[percpu.halted], 0
    lea rcx, [rip + interrupt_handlers]
    call qword ptr [rcx + rax * 8]
    dec dword ptr gs:[percpu.irq_depth]
    jnz .return
    mov rax, gs:[percpu.curr]
    test rax, rax
    jz .return
    RACE_POINT
    cmp dword ptr [rax + task.need_resched], 0
    je .return
    # What is in the mailbox is for the idle loop, which a busy CPU may never come back to. It looks
    # there first and then reschedules.
    cmp rax, gs:[percpu.idle]
    jne .preempt
    RACE_POINT
    cmp qword ptr gs:[percpu.call_function], 0
    jne .return
.preempt:
    POLICY preempt
    jmp .return

.exception:
    call exception_dispatch
.return:
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rbp
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbx
    pop rax
    add rsp, 16
    iretq
END interrupt_entry

# exception_dispatch(rdi = trap frame): an expected exception goes to its fix-up, an NMI during a
# panic parks this CPU, everything else is a panic.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE exception_dispatch
exception_dispatch:
    FRAME
    mov rax, qword ptr [rdi + trapframe.vector]
    cmp eax, VECTOR_NMI
    jne .fixup
    cmp dword ptr [rip + panic_owner], LOCK_FREE
    je .fixup
    call panic_park
.fixup:
    mov rcx, gs:[percpu.fixup]
    test rcx, rcx
    jz .report
    mov gs:[percpu.fixup_vector], rax
    mov qword ptr gs:[percpu.fixup], 0
    mov qword ptr [rdi + trapframe.rip], rcx
    UNFRAME
    ret
.report:
    call panic_exception
END exception_dispatch

# interrupt_unexpected(rdi = trap frame): a vector that nothing was set up to raise.
#   clobbers: never returns
#   locks: none
#   irq: off
PRIVATE interrupt_unexpected
interrupt_unexpected:
    FRAME
    xor esi, esi
    call panic_exception
END interrupt_unexpected

# interrupt_spurious(rdi = trap frame): the local APIC withdrew an interrupt; it wants no EOI.
#   clobbers: nothing
#   locks: none
#   irq: off
PRIVATE interrupt_spurious
interrupt_spurious:
    ret
END interrupt_spurious

# idt_init(): fills the table that all CPUs share.
#   clobbers: rax, rcx, rdx, rdi
#   locks: none
#   irq: off
PUBLIC idt_init
idt_init:
    lea rdi, [rip + idt]
    lea rdx, [rip + interrupt_stubs]
    xor ecx, ecx
.gate:
    mov word ptr [rdi], dx
    mov word ptr [rdi + 2], SEL_CODE64
    mov word ptr [rdi + 4], GATE_INTERRUPT
    mov rax, rdx
    shr rax, 16
    mov word ptr [rdi + 6], ax
    shr rax, 16
    mov qword ptr [rdi + 8], rax
    add rdx, STUB_BYTES
    add rdi, 16
    inc ecx
    cmp ecx, 256
    jb .gate
    # These may arrive when the current stack cannot be trusted.
    mov byte ptr [rip + idt + VECTOR_NMI * 16 + 4], IST_NMI
    mov byte ptr [rip + idt + VECTOR_DOUBLE_FAULT * 16 + 4], IST_DOUBLE_FAULT
    mov byte ptr [rip + idt + VECTOR_MACHINE_CHECK * 16 + 4], IST_MACHINE_CHECK
    ret
END idt_init

# idt_load(): makes the table the calling CPU's.
#   clobbers: nothing
#   locks: none
#   irq: off
PUBLIC idt_load
idt_load:
    lidt [rip + idt_pointer]
    ret
END idt_load

.section .rodata
OBJECT interrupt_handlers
interrupt_handlers:
.set vector, 0
.rept 256
    .if vector == VECTOR_TIMER
    .quad timer_interrupt
    .elseif vector == VECTOR_RESCHEDULE
    .quad ipi_reschedule
    .elseif vector == VECTOR_CALL
    .quad ipi_call
    .elseif vector == VECTOR_PING
    .quad ipi_ping
    .elseif vector == VECTOR_APIC_ERROR
    .quad lapic_error_interrupt
    .elseif vector == VECTOR_SPURIOUS
    .quad interrupt_spurious
    .else
    .quad interrupt_unexpected
    .endif
    .set vector, vector + 1
.endr
END interrupt_handlers

OBJECT idt_pointer
idt_pointer:
    .word 256 * 16 - 1
    .quad idt
END idt_pointer

.section .bss
OBJECT idt, 16
idt:
    .zero 256 * 16
END idt
