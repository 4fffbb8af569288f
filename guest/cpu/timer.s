.intel_syntax noprefix
# The local APIC timer of each CPU, ticking at the boot parameter hz.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "trace.inc"
.include "policy.inc"

.extern calibrate
.extern clock_khz
.extern lapic_eoi
.extern param_clock
.extern param_hz
.extern run_check_end
.extern task_reap
.extern timeout_expire

.equ VIRTUAL_WINDOW, 10000               # counts; 160 us at the usual 62.5 MHz
.equ REAL_WINDOW, 62500                  # 1 ms

.section .text
# timer_calibrate(): measures the local APIC timer against the guest clock.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PUBLIC timer_calibrate
timer_calibrate:
    FRAME
    mov esi, LAPIC_BASE
    mov dword ptr [rsi + LAPIC_TIMER_DIVIDE], DIVIDE_BY_16
    mov dword ptr [rsi + LAPIC_TIMER_INITIAL], 0xffffffff
    lea rdi, [rip + timer_read]
    mov esi, VIRTUAL_WINDOW
    cmp qword ptr [rip + param_clock], 0
    je .measure
    mov esi, REAL_WINDOW
.measure:
    mov edx, 0xffffffff
    call calibrate
    mov esi, LAPIC_BASE
    mov dword ptr [rsi + LAPIC_TIMER_INITIAL], 0
    # Hz = counts * time-stamp Hz / time-stamp ticks
    mov r8, rax
    imul rax, rcx, 1000
    mul qword ptr [rip + clock_khz]
    div r8
    mov rcx, rax
    xor edx, edx
    div qword ptr [rip + param_hz]
    mov qword ptr [rip + timer_count], rax
    mov rax, rcx
    xor edx, edx
    mov ecx, 1000
    div rcx
    mov qword ptr [rip + timer_khz], rax
    UNFRAME
    ret
END timer_calibrate

# timer_read() -> ecx = count of the calling CPU's timer.
#   clobbers: rax
#   locks: none
#   irq: as found
PRIVATE timer_read
timer_read:
    mov eax, LAPIC_BASE
    mov ecx, dword ptr [rax + LAPIC_TIMER_CURRENT]
    ret
END timer_read

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
#   locks: none at entry; the policy's tick and wake-ups take run queue locks
#   irq: off
PUBLIC timer_interrupt
timer_interrupt:
    FRAME
    call lapic_eoi
    inc qword ptr gs:[percpu.ticks]
    cmp dword ptr gs:[percpu.cpu], 0
    jne .local
    inc qword ptr [rip + jiffies]
    call task_reap
.local:
    EVENT_AT 1, tick, gs:[percpu.ticks]
    POLICY tick
    call timeout_expire
    cmp dword ptr gs:[percpu.cpu], 0
    jne .done
    call run_check_end
.done:
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
