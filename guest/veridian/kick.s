.intel_syntax noprefix
# Making a CPU look at its queue. VeridianOS smp::send_ipi(); harness/model/veridian/cpu.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"
.include "trace.inc"
.include "race.inc"

.extern ipi_send

.section .text
# kick(rdi = cpu_info): a CPU that idles is to look at what has just been queued there. A busy one
# is left alone.
#   clobbers: caller-saved
#   locks: the cpu_info's held
#   irq: off
PUBLIC kick
kick:
    cmp dword ptr [rdi + cpu_info.idle], 0
    jne kick_current
    ret
END kick

# kick_current(rdi = cpu_info): its CPU is to reschedule.
#   clobbers: caller-saved
#   locks: the cpu_info's held
#   irq: off
PUBLIC kick_current
kick_current:
    FRAME
    mov rcx, qword ptr [rdi + cpu_info.curr]
    RACE_POINT
    mov eax, 1
    xchg dword ptr [rcx + task.need_resched], eax   # before the interrupt is sent
    mov rdi, qword ptr [rdi + cpu_info.cpu]
    xor edx, edx
    cmp edi, gs:[percpu.cpu]
    je .log
    test eax, eax
    setz dl
.log:
    mov esi, dword ptr [rcx + task.id]
    EVENT_AT 1, v_kick, rsi, rdi, rax, rdx
    test edx, edx
    jz .done
    mov rcx, gs:[percpu.runqueue]
    inc qword ptr [rcx + cpu_info.ipis_sent]
    mov esi, VECTOR_RESCHEDULE
    IF_BUG 5, .vector_0
.send:
    call ipi_send
.done:
    UNFRAME
    ret
.vector_0:
    # Bug V05: no local APIC delivers that.
    xor esi, esi
    jmp .send
END kick_current
