.intel_syntax noprefix
# The idle loop: run what was left in the mailbox, turn logged events into lines, then halt.
#
# Halting loses no wake-up: need_resched, mailbox and ring are tested with interrupts off, and
# `sti; hlt` lets an interrupt in only once the CPU halts.
#
# Under the virtual clock the boot CPU polls instead of halting. Virtual time then always passes
# by somebody's instructions; the moment at which all CPUs are halted is the one thing that QEMU
# does not repeat exactly.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "policy.inc"
.include "invariant.inc"
.include "race.inc"

.extern relax
.extern ipi_run_mailbox
.extern monitor_poll
.extern param_clock
.extern param_monitor
.extern trace_drain_one

.section .text
# idle_forever(): the idle task of an application processor.
#   clobbers: never returns
#   locks: none
#   irq: on from here on
PUBLIC idle_forever
idle_forever:
    sti
    call idle_turn
    jmp idle_forever
END idle_forever

# idle_turn(): one turn of the loop; returns after each piece of work and after each halt.
#   clobbers: caller-saved
#   locks: none
#   irq: on at entry and exit
PUBLIC idle_turn
idle_turn:
    FRAME
    call ipi_run_mailbox
    cmp dword ptr gs:[percpu.cpu], 0
    jne .log
    cmp dword ptr [rip + param_monitor], 0
    je .log
    call monitor_poll
.log:
    cli
    # Before it gives the CPU to a task, which may keep it for ever.
    RACE_POINT
    cmp qword ptr gs:[percpu.call_function], 0
    jne .out
    mov rax, gs:[percpu.curr]
    RACE_POINT
    cmp dword ptr [rax + task.need_resched], 0
    jne .schedule
    mov rdi, gs:[percpu.self]
    call trace_drain_one
    test eax, eax
    jnz .out
    call idle_must_poll
    test eax, eax
    jnz .poll
    mov dword ptr gs:[percpu.halted], 1
    INVARIANT unlocked
    sti
    hlt
    UNFRAME
    ret
.poll:
    sti
    call relax
    UNFRAME
    ret
.schedule:
    POLICY schedule
.out:
    sti
    UNFRAME
    ret
END idle_turn

# idle_must_poll() -> eax = 1 if this CPU must not halt.
#   clobbers: nothing else
#   locks: none
#   irq: as found
PRIVATE idle_must_poll
idle_must_poll:
    mov eax, dword ptr [rip + idle_polls]
    cmp dword ptr gs:[percpu.cpu], 0
    jne .halt
    cmp dword ptr [rip + param_clock], 0
    je .poll
    # The serial port raises no interrupt here, so a monitor has to look.
    cmp dword ptr [rip + param_monitor], 0
    je .halt

.poll:
    mov eax, 1
.halt:
    ret
END idle_must_poll

.section .bss
# idle_polls: 1 while no CPU may halt; for tests of the difference.
OBJECT idle_polls
idle_polls:
    .zero 8
END idle_polls
