.intel_syntax noprefix
# The guest clock: nanoseconds since the run began, from the time-stamp counter.
#
# Under QEMU's instruction-counting clock (boot parameter clock=virtual) the counter runs at
# exactly 1 GHz; otherwise its rate is measured against the interval timer. Either
# way the measurement is made, so that a wrong clock= is found and not believed.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern calibrate
.extern param_clock
.extern relax
.extern relax_init

.equ CLOCK_VIRTUAL_KHZ, 1000000
.equ VIRTUAL_WINDOW, 120                # interval timer ticks, about 0.1 ms
.equ REAL_WINDOW, 1200                  # about 1 ms

.section .text
# clock_init(): measures the time-stamp counter.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PUBLIC clock_init
clock_init:
    FRAME
    push rbx
    call relax_init
    mov edi, VIRTUAL_WINDOW
    cmp dword ptr [rip + param_clock], 0
    je .measure
    mov edi, REAL_WINDOW
.measure:
    call clock_measure
    mov rbx, rax
    cmp dword ptr [rip + param_clock], 0
    jne .rate_known
    # Within 5 %: the window is short and polling it is coarse.
    lea rax, [rbx - CLOCK_VIRTUAL_KHZ * 95 / 100]
    cmp rax, CLOCK_VIRTUAL_KHZ / 10
    ja .not_virtual
    mov ebx, CLOCK_VIRTUAL_KHZ
.rate_known:
    mov qword ptr [rip + clock_khz], rbx
    # nanoseconds = ticks * 10^6 / kHz, as a 32.32 fixed-point factor
    mov edx, 1000000
    mov rax, rdx
    shl rax, 32
    xor edx, edx
    div rbx
    mov qword ptr [rip + clock_factor], rax
    pop rbx
    UNFRAME
    ret
.not_virtual:
    PANIC "clock=virtual, but the time-stamp counter does not run at 1 GHz"
END clock_init

# clock_measure(edi = window in interval timer ticks) -> rax = time-stamp counter rate in kHz.
#   clobbers: caller-saved
#   locks: none; only the boot CPU uses the interval timer
#   irq: off
PRIVATE clock_measure
clock_measure:
    FRAME
    mov esi, edi
    mov al, PIT_PERIODIC
    out PIT_COMMAND, al
    mov al, 0xff
    out PIT_CHANNEL0, al
    out PIT_CHANNEL0, al
    lea rdi, [rip + clock_read_pit]
    mov edx, 0xffff
    call calibrate
    mov rsi, rax
    mov al, PIT_ONE_SHOT                # ends at once, and stays so
    out PIT_COMMAND, al
    mov al, 1
    out PIT_CHANNEL0, al
    mov al, 0
    out PIT_CHANNEL0, al
    # kHz = time-stamp ticks * PIT_HZ / (interval timer ticks * 1000)
    imul rax, rsi, PIT_HZ
    imul ecx, ecx, 1000
    xor edx, edx
    div rcx
    UNFRAME
    ret
END clock_measure

# clock_read_pit() -> ecx = count of the interval timer.
#   clobbers: rax
#   locks: none
#   irq: off
PRIVATE clock_read_pit
clock_read_pit:
    mov al, PIT_LATCH
    out PIT_COMMAND, al
    in al, PIT_CHANNEL0
    movzx ecx, al
    in al, PIT_CHANNEL0
    movzx eax, al
    shl eax, 8
    or ecx, eax
    ret
END clock_read_pit

# clock_restart(): makes now the time 0, so that a log does not begin with the time that starting
# the machine took.
#   clobbers: rax, rdx
#   locks: none
#   irq: off; the other CPUs do not look at the time yet
PUBLIC clock_restart
clock_restart:
    FRAME
    call clock_ticks
    mov qword ptr [rip + clock_base], rax
    UNFRAME
    ret
END clock_restart

# clock_ticks() -> rax = time-stamp counter.
#   clobbers: rdx
#   locks: none
#   irq: as found
PUBLIC clock_ticks
clock_ticks:
    rdtsc
    shl rdx, 32
    or rax, rdx
    ret
END clock_ticks

# clock_ns() -> rax = nanoseconds since clock_restart.
#   clobbers: rdx
#   locks: none
#   irq: as found
PUBLIC clock_ns
clock_ns:
    rdtsc
    shl rdx, 32
    or rax, rdx
    sub rax, qword ptr [rip + clock_base]
    mul qword ptr [rip + clock_factor]
    shrd rax, rdx, 32
    ret
END clock_ns

# clock_deadline(rdi = nanoseconds from now) -> rax = the time on clock_ns's scale.
#   clobbers: rdx
#   locks: none
#   irq: as found
PUBLIC clock_deadline
clock_deadline:
    FRAME
    call clock_ns
    add rax, rdi
    UNFRAME
    ret
END clock_deadline

# clock_delay(rdi = nanoseconds): waits.
#   clobbers: rax, rdx, rdi, rcx
#   locks: none
#   irq: as found
PUBLIC clock_delay
clock_delay:
    FRAME
    call clock_deadline
    mov rdi, rax
.wait:
    call relax
    call clock_ns
    cmp rax, rdi
    jb .wait
    UNFRAME
    ret
END clock_delay

.section .bss
OBJECT clock_khz
clock_khz:
    .zero 8
END clock_khz
OBJECT clock_factor
clock_factor:
    .zero 8
END clock_factor
OBJECT clock_base
clock_base:
    .zero 8
END clock_base
