.intel_syntax noprefix
# The local APIC timer of each CPU, ticking at the boot parameter hz.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "trace.inc"

.extern clock_ns
.extern clock_deadline
.extern clock_relax
.extern lapic_eoi
.extern param_hz
.extern policy

.equ CALIBRATION_NS, 100000

.section .text
# timer_calibrate(): measures the local APIC timer against the guest clock.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PUBLIC timer_calibrate
timer_calibrate:
    FRAME
    push rbx
    push r12
    mov ebx, LAPIC_BASE
    mov dword ptr [rbx + LAPIC_TIMER_DIVIDE], DIVIDE_BY_16
    mov dword ptr [rbx + LAPIC_TIMER_INITIAL], 0xffffffff
    call clock_ns
    mov r12, rax
.wait:
    call clock_relax
    call clock_ns
    sub rax, r12
    cmp rax, CALIBRATION_NS
    jb .wait
    mov ecx, dword ptr [rbx + LAPIC_TIMER_CURRENT]
    mov dword ptr [rbx + LAPIC_TIMER_INITIAL], 0
    not ecx                             # counts since 0xffffffff
    mov r12, rax                        # nanoseconds they took
    imul rax, rcx, 1000000
    xor edx, edx
    div r12
    mov qword ptr [rip + timer_khz], rax
    # counts a tick = counts * 10^9 / (nanoseconds * hz), in this order to lose no precision
    imul rax, rcx, 1000000000
    mov ecx, dword ptr [rip + param_hz]
    imul rcx, r12
    xor edx, edx
    div rcx
    mov dword ptr [rip + timer_count], eax
    pop r12
    pop rbx
    UNFRAME
    ret
END timer_calibrate

# timer_start(): starts the calling CPU's periodic tick.
#   clobbers: rax, rcx
#   locks: none
#   irq: as found
PUBLIC timer_start
timer_start:
    mov eax, LAPIC_BASE
    mov ecx, dword ptr [rip + timer_count]
    mov dword ptr [rax + LAPIC_TIMER_DIVIDE], DIVIDE_BY_16
    mov dword ptr [rax + LAPIC_LVT_TIMER], LVT_PERIODIC + VECTOR_TIMER
    mov dword ptr [rax + LAPIC_TIMER_INITIAL], ecx
    ret
END timer_start

# timer_stop(): stops the calling CPU's tick.
#   clobbers: rax
#   locks: none
#   irq: as found
PUBLIC timer_stop
timer_stop:
    mov eax, LAPIC_BASE
    mov dword ptr [rax + LAPIC_LVT_TIMER], LVT_MASKED
    mov dword ptr [rax + LAPIC_TIMER_INITIAL], 0
    ret
END timer_stop

# timer_interrupt(rdi = trap frame): one tick. EOI first, then the work; jiffies is advanced by
# the boot CPU alone.
#   clobbers: caller-saved
#   locks: none at entry; the policy's tick takes its queue lock
#   irq: off
PUBLIC timer_interrupt
timer_interrupt:
    FRAME
    call lapic_eoi
    inc qword ptr gs:[percpu.ticks]
    cmp dword ptr gs:[percpu.cpu], 0
    jne .local
    inc qword ptr [rip + jiffies]
.local:
    EVENT_AT 1, tick, gs:[percpu.ticks]
    mov rax, qword ptr [rip + policy]
    call qword ptr [rax + policy_ops.tick]
    UNFRAME
    ret
END timer_interrupt

.section .bss
# jiffies: ticks of the boot CPU since start.
OBJECT jiffies
jiffies:
    .zero 8
END jiffies
OBJECT timer_khz
timer_khz:
    .zero 8
END timer_khz
# timer_count: value that makes the timer tick at param_hz.
OBJECT timer_count
timer_count:
    .zero 8
END timer_count
