.intel_syntax noprefix
# Local APIC in xAPIC mode: enabling, end of interrupt, errors, and sending interrupts.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"


.section .text
# lapic_init(): enables the calling CPU's local APIC; every local source but the error vector
# starts masked.
#   clobbers: rax, rcx, rdx
#   locks: none
#   irq: off
PUBLIC lapic_init
lapic_init:
    FRAME
    mov ecx, MSR_APIC_BASE
    rdmsr
    mov ecx, eax
    and ecx, 0xfffff000
    cmp ecx, LAPIC_BASE
    jne .moved
    test eax, APIC_BASE_ENABLE
    jz .disabled
    mov eax, LAPIC_BASE
    mov dword ptr [rax + LAPIC_TPR], 0
    mov dword ptr [rax + LAPIC_LVT_TIMER], LVT_MASKED
    mov dword ptr [rax + LAPIC_LVT_LINT0], LVT_MASKED
    mov dword ptr [rax + LAPIC_LVT_LINT1], LVT_MASKED
    mov dword ptr [rax + LAPIC_LVT_ERROR], VECTOR_APIC_ERROR
    mov dword ptr [rax + LAPIC_SVR], SVR_ENABLE + VECTOR_SPURIOUS
    mov dword ptr [rax + LAPIC_ESR], 0
    call lapic_check_errors
    UNFRAME
    ret
.moved:
    PANIC "lapic_init: the local APIC is not at 0xfee00000"
.disabled:
    PANIC "lapic_init: the local APIC is disabled"
END lapic_init

# lapic_eoi(): end of interrupt. Handlers call it first, so that their own work does not hold
# off other interrupts longer than it must.
#   clobbers: rax
#   locks: none
#   irq: off
PUBLIC lapic_eoi
lapic_eoi:
    mov eax, LAPIC_BASE
    mov dword ptr [rax + LAPIC_EOI], 0
    ret
END lapic_eoi

# lapic_id() -> eax = APIC identifier of the calling CPU.
#   clobbers: nothing else
#   locks: none
#   irq: as found
PUBLIC lapic_id
lapic_id:
    mov eax, LAPIC_BASE
    mov eax, dword ptr [rax + LAPIC_ID]
    shr eax, 24
    ret
END lapic_id

# lapic_send(edi = APIC identifier, esi = low word of the command): sends one interrupt.
#   clobbers: rax
#   locks: none
#   irq: any; off while the two halves of the command register are written
PUBLIC lapic_send
lapic_send:
    pushfq
    cli
    mov eax, LAPIC_BASE
.previous:
    test dword ptr [rax + LAPIC_ICR_LOW], ICR_PENDING
    jz .idle
    pause
    jmp .previous
.idle:
    shl edi, 24
    mov dword ptr [rax + LAPIC_ICR_HIGH], edi
    shr edi, 24
    mov dword ptr [rax + LAPIC_ICR_LOW], esi
    popfq
    ret
END lapic_send

# lapic_check_errors(): panics if the calling CPU's APIC has recorded an error.
#   clobbers: rax
#   locks: none
#   irq: as found
PUBLIC lapic_check_errors
lapic_check_errors:
    FRAME
    mov eax, LAPIC_BASE
    mov dword ptr [rax + LAPIC_ESR], 0          # a write latches what has accumulated
    cmp dword ptr [rax + LAPIC_ESR], 0
    jne .error
    UNFRAME
    ret
.error:
    PANIC "local APIC error status is not zero"
END lapic_check_errors

# lapic_in_service() -> eax = number of in-service words that are not zero; 0 outside handlers.
#   clobbers: rcx, rdx
#   locks: none
#   irq: off
PUBLIC lapic_in_service
lapic_in_service:
    xor eax, eax
    mov ecx, LAPIC_BASE + LAPIC_ISR
    lea rdx, [rcx + 8 * 16]
.word:
    cmp dword ptr [rcx], 0
    je .next
    inc eax
.next:
    add rcx, 16
    cmp rcx, rdx
    jb .word
    ret
END lapic_in_service

# lapic_error_interrupt(rdi = trap frame): the APIC reports an illegal vector or a bus error.
#   clobbers: never returns
#   locks: none
#   irq: off
PUBLIC lapic_error_interrupt
lapic_error_interrupt:
    FRAME
    PANIC "local APIC error interrupt"
END lapic_error_interrupt
