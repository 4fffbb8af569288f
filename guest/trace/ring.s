.intel_syntax noprefix
# Event rings. An event is logged as a small binary record in the ring of the CPU it happened on:
# tens of instructions, no lock. It becomes a line when that CPU idles, when the ring fills, or at
# the end of the run.
#
#   record   +0  u16 event, u16 arguments, u32 CPU
#            +8  u64 sequence number
#            +16 u64 time in ns
#            +24 u64 arguments...
#
# A ring is written and drained by its own CPU only, with interrupts off; the CPU that ends the
# run drains the others' once they have stopped. ring_head and ring_tail count bytes for ever;
# their low bits are the position. A record never wraps: the rest of the ring is skipped by a
# record of event EVENT_SKIP.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern clock_ns
.extern memory_alloc
.extern format_event
.extern console_put
.extern console_write_line
.extern panic_owner
.extern param_ring
.extern param_ring_full

.equ RING_BYTES_LEAST, 2048
.equ RECORD_HEADER, 24
.equ EVENT_SKIP, 0xffff

.section .text
# trace_init(): gives the calling CPU its ring, of the size that the boot parameter ring names.
#   clobbers: caller-saved
#   locks: none; the boot CPU is alone or waits for the caller
#   irq: off
PUBLIC trace_init
trace_init:
    FRAME
    mov ecx, dword ptr [rip + param_ring]   # the choices are successive powers of four
    add ecx, ecx
    mov eax, RING_BYTES_LEAST
    shl eax, cl
    mov dword ptr [rip + trace_ring_bytes], eax
    mov edi, dword ptr [rip + trace_ring_bytes]
    mov esi, 64
    call memory_alloc
    mov gs:[percpu.ring], rax
    UNFRAME
    ret
END trace_init

# trace_emit(stack: header, arguments...): logs one event; see EVENT in trace.inc.
#   clobbers: nothing
#   locks: none; when the ring is full, the console lock
#   irq: any; off while the record is written
#
# The sequence number is drawn here, so a caller that holds the lock which orders the event gets
# a number in that order.
PUBLIC trace_emit
trace_emit:
    FRAME
    pushfq
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    cli
    cld
    cmp qword ptr gs:[percpu.ring], 0
    je .no_ring
    movzx r9d, word ptr [rbp + 18]      # arguments
    lea r8, [RECORD_HEADER + r9 * 8]    # bytes
.reserve:
    mov rdi, gs:[percpu.ring_head]
    mov rsi, rdi
    mov ecx, dword ptr [rip + trace_ring_bytes]
    lea eax, [rcx - 1]
    and edi, eax
    sub ecx, edi                        # bytes left before the ring wraps
    mov r10, r8
    cmp rcx, r8
    jae .contiguous
    add r10, rcx
.contiguous:
    lea rax, [rsi + r10]
    sub rax, gs:[percpu.ring_tail]
    mov ecx, dword ptr [rip + trace_ring_bytes]
    cmp rax, rcx
    ja .full
    add rdi, gs:[percpu.ring]
    cmp r10, r8
    je .write
    mov qword ptr [rdi], EVENT_SKIP
    mov rdi, gs:[percpu.ring]
.write:
    mov ecx, dword ptr [rbp + 16]
    mov eax, gs:[percpu.cpu]
    shl rax, 32
    or rax, rcx
    mov qword ptr [rdi], rax
    call clock_ns
    mov qword ptr [rdi + 16], rax
    mov eax, 1
    lock xadd qword ptr [rip + trace_sequence], rax
    mov qword ptr [rdi + 8], rax
    add rdi, RECORD_HEADER
    lea rsi, [rbp + 24]
    mov ecx, r9d
    rep movsq
    add qword ptr gs:[percpu.ring_head], r10
.out:
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
    popfq
    UNFRAME
    ret
.full:
    cmp dword ptr [rip + param_ring_full], 0
    jne .drop
    mov rdi, gs:[percpu.self]
    call trace_drain_one
    movzx r9d, word ptr [rbp + 18]
    lea r8, [RECORD_HEADER + r9 * 8]
    jmp .reserve
.drop:
    inc qword ptr gs:[percpu.dropped]
    jmp .out
.no_ring:
    PANIC "event logged before trace_init"
END trace_emit

# trace_drain_one(rdi = per-CPU area) -> eax = 1 if it wrote a line, 0 if the ring is empty.
#   clobbers: caller-saved
#   locks: takes and releases the console lock
#   irq: off
PUBLIC trace_drain_one
trace_drain_one:
    FRAME
    push rbx
    push r12
.again:
    mov rcx, qword ptr [rdi + percpu.ring_tail]
    cmp rcx, qword ptr [rdi + percpu.ring_head]
    je .empty
    mov edx, dword ptr [rip + trace_ring_bytes]
    dec edx
    and edx, ecx
    mov rax, qword ptr [rdi + percpu.ring]
    add rax, rdx
    cmp word ptr [rax], EVENT_SKIP
    jne .record
    mov esi, dword ptr [rip + trace_ring_bytes]
    sub esi, edx
    add qword ptr [rdi + percpu.ring_tail], rsi
    jmp .again
.record:
    mov rbx, rdi
    movzx r12d, word ptr [rax + 2]
    mov rdi, rax
    mov rsi, gs:[percpu.self]
    add rsi, percpu.line
    call format_event
    lea r12, [RECORD_HEADER + r12 * 8]
    add qword ptr [rbx + percpu.ring_tail], r12
    mov rdi, gs:[percpu.self]
    add rdi, percpu.line
    mov rsi, rax
    sub rsi, rdi
    cmp dword ptr [rip + panic_owner], LOCK_FREE
    jne .alone
    call console_write_line
.written:
    mov eax, 1
    pop r12
    pop rbx
    UNFRAME
    ret
.alone:
    call console_put                    # a panic: everybody else has stopped, maybe with the lock
    jmp .written
.empty:
    xor eax, eax
    pop r12
    pop rbx
    UNFRAME
    ret
END trace_drain_one

# trace_drain(rdi = per-CPU area): writes all that its ring holds.
#   clobbers: caller-saved
#   locks: takes and releases the console lock, line by line
#   irq: any; off during each line
PUBLIC trace_drain
trace_drain:
    FRAME
    push rbx
    push r12
    mov rbx, rdi
.line:
    pushfq
    cli
    mov rdi, rbx
    call trace_drain_one
    popfq
    test eax, eax
    jnz .line
    pop r12
    pop rbx
    UNFRAME
    ret
END trace_drain

.section .bss
# trace_sequence: number of the next event, over all CPUs.
OBJECT trace_sequence
trace_sequence:
    .zero 8
END trace_sequence
# trace_ring_bytes: size of every ring, a power of two.
OBJECT trace_ring_bytes
trace_ring_bytes:
    .zero 8
END trace_ring_bytes
