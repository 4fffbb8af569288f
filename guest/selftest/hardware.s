.intel_syntax noprefix
# Self-tests of what lies below scheduling on each CPU: exceptions, page protections, APIC, timer.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern boot_block
.extern clock_ns
.extern relax
.extern cpu_count
.extern cpu_table
.extern ipi_call_on
.extern lapic_id
.extern lapic_in_service
.extern param_clock
.extern param_hz
.extern task_stacks

.equ TICKS_TO_SEE, 2

.section .text
# REASON label, words: a failure text, and the exit that returns it.
.macro REASON label, words
\label:
    .pushsection .rodata
reason_\@:
    .asciz "\words"
    .popsection
    lea rax, [rip + reason_\@]
.endm

# EXPECT vector, instruction: the instruction must raise the exception.
.macro EXPECT vector:req, instruction:vararg
    lea rax, [rip + expect_\@]
    mov gs:[percpu.fixup], rax
    mov qword ptr gs:[percpu.fixup_vector], -1
    \instruction
expect_\@:
    cmp qword ptr gs:[percpu.fixup_vector], \vector
    jne exceptions_failed
.endm

# test_cpus() -> rax: every CPU is online, knows itself, and no two share an APIC identifier.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC test_cpus
test_cpus:
    FRAME
    lea rdi, [rip + cpu_table]
    xor ecx, ecx
.cpu:
    mov rsi, qword ptr [rdi + rcx * 8]
    cmp qword ptr [rsi + percpu.self], rsi
    jne .self
    cmp dword ptr [rsi + percpu.cpu], ecx
    jne .self
    cmp dword ptr [rsi + percpu.online], 1
    jne .offline
    mov eax, dword ptr [rsi + percpu.apic_id]
    lea rdx, [rcx - 1]
.other:
    test rdx, rdx
    js .next
    mov r8, qword ptr [rdi + rdx * 8]
    cmp dword ptr [r8 + percpu.apic_id], eax
    je .twins
    dec rdx
    jmp .other
.next:
    inc ecx
    cmp rcx, qword ptr [rip + cpu_count]
    jb .cpu
    xor eax, eax
    UNFRAME
    ret
    REASON .self, "a per-CPU area does not name itself"
    UNFRAME
    ret
    REASON .offline, "a CPU of the table is not online"
    UNFRAME
    ret
    REASON .twins, "two CPUs have the same APIC identifier"
    UNFRAME
    ret
END test_cpus

# test_exceptions() -> rax: exceptions arrive as the right vector and can be resumed from; null,
# guard pages, text and data are protected as the layout promises.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC test_exceptions
test_exceptions:
    FRAME
    push rbx
    EXPECT 3, int3
    EXPECT 6, ud2
    xor edx, edx
    xor ecx, ecx
    mov eax, 1
    EXPECT 0, div ecx
    xor ebx, ebx
    EXPECT VECTOR_PAGE_FAULT, mov eax, dword ptr [rbx]
    lea rbx, [rip + boot_block]
    EXPECT VECTOR_PAGE_FAULT, mov eax, dword ptr [rbx + cpu_block.guard_idle]
    EXPECT VECTOR_PAGE_FAULT, mov eax, dword ptr [rbx + cpu_block.guard_double_fault]
    mov rbx, qword ptr [rip + task_stacks]
    EXPECT VECTOR_PAGE_FAULT, mov eax, dword ptr [rbx]
    lea rbx, [rip + test_exceptions]
    EXPECT VECTOR_PAGE_FAULT, mov byte ptr [rbx], 0
    lea rbx, [rip + exceptions_word]
    EXPECT VECTOR_PAGE_FAULT, mov byte ptr [rbx], 0
    mov rbx, rsp
    EXPECT VECTOR_PAGE_FAULT, jmp rsp
    mov rsp, rbx
    mov rbx, 0x8000000000000000
    EXPECT 13, mov eax, dword ptr [rbx]
    xor eax, eax
    jmp exceptions_out
exceptions_failed:
    lea rax, [rip + exceptions_word]
exceptions_out:
    pop rbx
    UNFRAME
    ret
END test_exceptions

# test_lapic() -> rax: on every CPU nothing is in service, the identifier is right, the spurious
# vector is set.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC test_lapic
test_lapic:
    FRAME
    push rbx
    mov qword ptr [rip + lapic_failures], 0
    xor ebx, ebx
    call lapic_look
.cpu:
    inc ebx
    cmp rbx, qword ptr [rip + cpu_count]
    jae .done
    mov edi, ebx
    lea rsi, [rip + lapic_look]
    call ipi_call_on
    jmp .cpu
.done:
    pop rbx
    UNFRAME
    xor eax, eax
    cmp qword ptr [rip + lapic_failures], 0
    jne .failed
    ret
    REASON .failed, "a local APIC has an interrupt in service, or a wrong identifier"
    ret
END test_lapic

# lapic_look(): the part of test_lapic that runs on each CPU.
#   clobbers: caller-saved
#   locks: none
#   irq: on at entry and exit
PRIVATE lapic_look
lapic_look:
    FRAME
    pushfq
    cli
    call lapic_in_service
    test eax, eax
    jnz .failed
    call lapic_id
    cmp eax, gs:[percpu.apic_id]
    jne .failed
    mov eax, LAPIC_BASE
    cmp dword ptr [rax + LAPIC_SVR], SVR_ENABLE + VECTOR_SPURIOUS
    je .out
.failed:
    lock inc qword ptr [rip + lapic_failures]
.out:
    popfq
    UNFRAME
    ret
END lapic_look

# test_timer() -> rax: every CPU ticks, and under the virtual clock at the rate asked for.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC test_timer
test_timer:
    FRAME
    push rbx
    push r12
    xor ebx, ebx
.cpu:
    mov edi, ebx
    call timer_period
    cmp qword ptr [rip + param_clock], 0
    jne .next
    mov r12, rax
    mov eax, 1000000000
    xor edx, edx
    div qword ptr [rip + param_hz]      # nanoseconds a tick
    lea rcx, [rax + rax]
    cmp r12, rcx
    ja .rate
    shr rax, 1
    cmp r12, rax
    jb .rate
.next:
    inc ebx
    cmp rbx, qword ptr [rip + cpu_count]
    jb .cpu
    xor eax, eax
    jmp .out
    REASON .rate, "ticks come at less than half or more than twice the rate of hz"
.out:
    pop r12
    pop rbx
    UNFRAME
    ret
END test_timer

# timer_period(edi = logical CPU) -> rax = nanoseconds between its ticks, over a few of them.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE timer_period
timer_period:
    FRAME
    push rbx
    push r12
    lea rax, [rip + cpu_table]
    mov rbx, qword ptr [rax + rdi * 8]
    mov edi, 1
    call timer_wait
    call clock_ns
    mov r12, rax
    mov edi, TICKS_TO_SEE
    call timer_wait
    call clock_ns
    sub rax, r12
    xor edx, edx
    mov ecx, TICKS_TO_SEE
    div rcx
    pop r12
    pop rbx
    UNFRAME
    ret
END timer_period

# timer_wait(rbx = per-CPU area, edi = number): waits for so many ticks there.
#   clobbers: rax, rcx, rdi
#   locks: none
#   irq: on
PRIVATE timer_wait
timer_wait:
    FRAME
    add rdi, qword ptr [rbx + percpu.ticks]
.wait:
    call relax
    cmp qword ptr [rbx + percpu.ticks], rdi
    jb .wait
    UNFRAME
    ret
END timer_wait

.section .rodata
exceptions_word:
    .asciz "an exception did not arrive, or a page is not protected"

.section .bss
lapic_failures:
    .zero 8
