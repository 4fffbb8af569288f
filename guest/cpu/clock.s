.intel_syntax noprefix
# The guest clock: nanoseconds since the run began, from the time-stamp counter.
#
# Under QEMU's instruction-counting clock (boot parameter clock=virtual) the counter runs at
# exactly 1 GHz; otherwise its rate is measured against the interval timer. Either
# way the measurement is made, so that a wrong clock= is found and not believed.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern param_clock

.equ CLOCK_VIRTUAL_KHZ, 1000000
.equ VIRTUAL_WINDOW, 120                # interval timer ticks, about 0.1 ms
.equ REAL_WINDOW, 6000                  # about 5 ms

.section .text
# clock_init(): measures the time-stamp counter.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PUBLIC clock_init
clock_init:
    FRAME
    push rbx
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
#   clobbers: rcx, rdx, rsi, r8
#   locks: none; only the boot CPU uses the interval timer
#   irq: off
PRIVATE clock_measure
clock_measure:
    mov al, PIT_ONE_SHOT
    out PIT_COMMAND, al
    mov eax, edi
    out PIT_CHANNEL0, al
    shr eax, 8
    out PIT_CHANNEL0, al
    rdtsc
    shl rdx, 32
    lea rsi, [rdx + rax]
.poll:
    pause
    mov al, PIT_READ_STATUS
    out PIT_COMMAND, al
    in al, PIT_CHANNEL0
    test al, PIT_OUTPUT
    jz .poll
    rdtsc
    shl rdx, 32
    add rax, rdx
    sub rax, rsi
    # kHz = counter difference * PIT_HZ / (window * 1000)
    imul rax, rax, PIT_HZ
    imul ecx, edi, 1000
    xor edx, edx
    div rcx
    ret
END clock_measure

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
    call clock_relax
    call clock_ns
    cmp rax, rdi
    jb .wait
    UNFRAME
    ret
END clock_delay

# clock_relax(): one turn of a wait loop: a few hundred instructions of nothing, then pause.
# Under the virtual clock every pause costs the host a switch between vCPUs, so that a loop of
# pauses alone would be slow to watch; and the instructions make virtual time pass.
#   clobbers: rcx
#   locks: none
#   irq: as found
PUBLIC clock_relax
clock_relax:
    mov ecx, 64
.spend:
    dec ecx
    jnz .spend
    pause
    ret
END clock_relax

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
