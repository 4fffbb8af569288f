.intel_syntax noprefix
# Inter-processor interrupts: reschedule, function call, and the ping that measures both.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "trace.inc"
.include "race.inc"

.extern lapic_eoi
.extern lapic_send
.extern clock_ns
.extern relax
.extern relax_spin
.extern cpu_table

.section .text
# ipi_send(edi = logical CPU, esi = vector): interrupts another CPU.
#   clobbers: caller-saved
#   locks: none
#   irq: as found
PUBLIC ipi_send
ipi_send:
    FRAME
    EVENT_AT 1, ipi_send, rdi, rsi
    lea rax, [rip + cpu_table]
    mov rax, qword ptr [rax + rdi * 8]
    mov edi, dword ptr [rax + percpu.apic_id]
    call lapic_send
    RACE_POINT
    UNFRAME
    ret
END ipi_send

# ipi_reschedule(rdi = trap frame): the work is done on the way out of the interrupt, where
# need_resched is tested.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PUBLIC ipi_reschedule
ipi_reschedule:
    FRAME
    call lapic_eoi
    inc qword ptr gs:[percpu.ipis]
    EVENT_AT 1, ipi_recv, VECTOR_RESCHEDULE
    UNFRAME
    ret
END ipi_reschedule

# ipi_call(rdi = trap frame): ends the target's hlt; its idle loop then looks into the mailbox. A
# CPU that is busy with a task runs the function here and now, with interrupts off.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PUBLIC ipi_call
ipi_call:
    FRAME
    call lapic_eoi
    inc qword ptr gs:[percpu.ipis]
    EVENT_AT 1, ipi_recv, VECTOR_CALL
    mov rax, gs:[percpu.curr]
    cmp rax, gs:[percpu.idle]
    je .idle
    call ipi_run_mailbox
.idle:
    UNFRAME
    ret
END ipi_call

# ipi_ping(rdi = trap frame): stamps the time of arrival for ipi_measure.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PUBLIC ipi_ping
ipi_ping:
    FRAME
    call clock_ns
    mov gs:[percpu.ping_time], rax
    call lapic_eoi
    inc qword ptr gs:[percpu.ipis]
    UNFRAME
    ret
END ipi_ping

# ipi_measure(edi = logical CPU): pings it, waits for the acknowledgement and logs the latency.
# One CPU measures at a time.
#   clobbers: caller-saved
#   locks: none
#   irq: on, unless the target is another CPU and sends nothing here
PUBLIC ipi_measure
ipi_measure:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    lea rax, [rip + cpu_table]
    mov r14d, edi
    mov rbx, qword ptr [rax + rdi * 8]
    mov qword ptr [rbx + percpu.ping_time], 0
    RACE_POINT
    mov r12d, dword ptr [rbx + percpu.halted]
    call clock_ns
    mov r13, rax
    mov edi, dword ptr [rbx + percpu.apic_id]
    mov esi, VECTOR_PING
    call lapic_send
.wait:
    RACE_POINT
    mov rax, qword ptr [rbx + percpu.ping_time]
    test rax, rax
    jnz .arrived
    call relax_spin
    jmp .wait
.arrived:
    sub rax, r13
    EVENT ipi_latency, r14, rax, r12
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END ipi_measure

# ipi_run_mailbox(): runs the function that another CPU left here, if any.
#   clobbers: caller-saved
#   locks: none
#   irq: as found; the function gets it like that
PUBLIC ipi_run_mailbox
ipi_run_mailbox:
    FRAME
    RACE_POINT
    mov rax, gs:[percpu.call_function]
    test rax, rax
    jz .none
    mov rdi, gs:[percpu.call_argument]
    call rax
    mov qword ptr gs:[percpu.call_function], 0
.none:
    UNFRAME
    ret
END ipi_run_mailbox

# ipi_call_post(edi = logical CPU, rsi = function, rdx = argument): has another CPU run
# function(argument), in its idle loop with interrupts on, or at once if a task keeps it busy.
#   clobbers: caller-saved
#   locks: none; one caller per target at a time
#   irq: as found
PUBLIC ipi_call_post
ipi_call_post:
    FRAME
    lea rax, [rip + cpu_table]
    mov rax, qword ptr [rax + rdi * 8]
    mov qword ptr [rax + percpu.call_argument], rdx
    mov qword ptr [rax + percpu.call_function], rsi
    mov esi, VECTOR_CALL
    call ipi_send
    UNFRAME
    ret
END ipi_call_post

# ipi_call_wait(edi = logical CPU): waits until the function has returned.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC ipi_call_wait
ipi_call_wait:
    FRAME
    lea rax, [rip + cpu_table]
    mov rdi, qword ptr [rax + rdi * 8]
.wait:
    RACE_POINT
    cmp qword ptr [rdi + percpu.call_function], 0
    je .done
    call relax
    jmp .wait
.done:
    UNFRAME
    ret
END ipi_call_wait

# ipi_call_on(edi = logical CPU, rsi = function, rdx = argument): both in one.
#   clobbers: caller-saved
#   locks: none; one caller per target at a time
#   irq: on
PUBLIC ipi_call_on
ipi_call_on:
    FRAME
    push rdi
    call ipi_call_post
    pop rdi
    call ipi_call_wait
    UNFRAME
    ret
END ipi_call_on
