.intel_syntax noprefix
# What a CPU does while it waits for another one: a stretch of nothing, then `pause`.
#
# How long the stretch should be depends on what runs the guest. Under the virtual clock `pause`
# hands the host over to the next CPU, and the stretch makes virtual time pass. With one host
# thread per CPU, `pause` takes QEMU's global lock, and CPUs that do nothing else keep the others
# from their devices.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern param_clock

.equ WAIT_TURNS_VIRTUAL, 64
.equ WAIT_TURNS_REAL, 4096
.equ SPIN_TURNS_VIRTUAL, 1
.equ SPIN_TURNS_REAL, 512

.section .text
# relax_init(): sets the lengths for the clock of this run.
#   clobbers: nothing
#   locks: none
#   irq: any
PUBLIC relax_init
relax_init:
    cmp dword ptr [rip + param_clock], 0
    je .virtual
    mov dword ptr [rip + relax_wait_turns], WAIT_TURNS_REAL
    mov dword ptr [rip + relax_spin_turns], SPIN_TURNS_REAL
.virtual:
    ret
END relax_init

# relax(): one turn of a loop that waits for time to pass or for a slow answer.
#   clobbers: rcx
#   locks: none
#   irq: as found
PUBLIC relax
relax:
    mov ecx, dword ptr [rip + relax_wait_turns]
.spend:
    dec ecx
    jnz .spend
    pause
    ret
END relax

# relax_spin(): one turn of a loop that waits for a lock.
#   clobbers: rcx
#   locks: none
#   irq: as found
PUBLIC relax_spin
relax_spin:
    mov ecx, dword ptr [rip + relax_spin_turns]
.spend:
    dec ecx
    jnz .spend
    pause
    ret
END relax_spin

.section .data
OBJECT relax_wait_turns, 4
relax_wait_turns:
    .long WAIT_TURNS_VIRTUAL
END relax_wait_turns
OBJECT relax_spin_turns, 4
relax_spin_turns:
    .long SPIN_TURNS_VIRTUAL
END relax_spin_turns
