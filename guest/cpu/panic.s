.intel_syntax noprefix
# The panic report: stops every other CPU, saves the log, says what happened, ends the run.
#
#   PANIC cpu=2 vector=14 name=#PF error=0x2 rip=0x101234 cr2=0x0 cr3=0x104000 reason=...
#   PANIC rax=... (all registers)
#   PANIC backtrace 0x... 0x...
#   PANIC end

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "print.inc"

.extern console_break_lock
.extern lapic_send
.extern trace_drain
.extern cpu_table
.extern exception_names
.extern exception_words
.extern task_of_guard
.extern __image_start

.equ BACKTRACE_DEPTH, 16
.equ STOP_TURNS, 20000                  # turns of patience for the others to stop

.section .text
# panic(rdi = words): a condition that the guest itself found. Use the PANIC macro.
#   clobbers: never returns
#   locks: whatever the caller holds stays held
#   irq: any; off from here on
PUBLIC panic
panic:
    push rbp                            # completes a frame for the backtrace
    mov rbp, rsp
    push SEL_DATA                       # a struct trapframe, from its last field up
    push rbp
    pushfq
    cli
    push SEL_CODE64
    push qword ptr [rbp + 8]
    push 0
    push -1
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    push qword ptr [rbp]
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    mov rsi, rdi
    mov rdi, rsp
    call panic_report
END panic

# panic_exception(rdi = trap frame): an exception or interrupt that nobody expected.
#   clobbers: never returns
#   locks: any
#   irq: off
PUBLIC panic_exception
panic_exception:
    FRAME
    push rdi
    call panic_reason
    pop rdi
    mov rsi, rax
    call panic_report
END panic_exception

# panic_reason(rdi = trap frame) -> rax = words for the exception.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE panic_reason
panic_reason:
    FRAME
    mov rcx, qword ptr [rdi + trapframe.vector]
    lea rax, [rip + text_unexpected]
    cmp ecx, VECTOR_EXCEPTIONS
    jae .done
    cmp ecx, VECTOR_PAGE_FAULT
    je .address
    cmp ecx, VECTOR_DOUBLE_FAULT
    je .address
.table:
    lea rax, [rip + exception_words]
    mov rax, qword ptr [rax + rcx * 8]
.done:
    UNFRAME
    ret
.address:
    # A stack that overflows faults in its guard page; the fault itself finds no stack and
    # becomes a double fault with the same address.
    push rcx
    mov rdi, cr2
    lea rax, [rip + text_null]
    cmp rdi, PAGE_SIZE
    jb .null
    call panic_is_guard
    pop rcx
    test eax, eax
    jz .table
    lea rax, [rip + text_guard]
    jmp .done
.null:
    pop rcx
    cmp ecx, VECTOR_DOUBLE_FAULT
    je .table
    jmp .done
END panic_reason

# panic_is_guard(rdi = address) -> eax = 1 if it lies in a guard page of a stack.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE panic_is_guard
panic_is_guard:
    FRAME
    xor ecx, ecx
    lea rsi, [rip + cpu_table]
.cpu:
    mov rdx, qword ptr [rsi + rcx * 8]
    test rdx, rdx
    jz .next
    mov rax, rdi
    sub rax, rdx
    and rax, -PAGE_SIZE
    cmp rax, cpu_block.guard_idle
    je .guard
    cmp rax, cpu_block.guard_nmi
    je .guard
    cmp rax, cpu_block.guard_double_fault
    je .guard
    cmp rax, cpu_block.guard_machine_check
    je .guard
.next:
    inc ecx
    cmp ecx, MAX_CPUS
    jb .cpu
    call task_of_guard
    test rax, rax
    setnz al
    movzx eax, al
    UNFRAME
    ret
.guard:
    mov eax, 1
    UNFRAME
    ret
END panic_is_guard

# panic_report(rdi = trap frame, rsi = words): writes the report and ends the run.
#   clobbers: never returns
#   locks: breaks the console lock after every other CPU has stopped
#   irq: off
PRIVATE panic_report
panic_report:
    FRAME
    mov rbx, rdi
    mov r12, rsi
    mov eax, LOCK_FREE
    mov ecx, gs:[percpu.cpu]
    lock cmpxchg dword ptr [rip + panic_owner], ecx
    je .first
    cmp eax, ecx
    jne .lost
    # The report itself faulted: leave at once with what is out.
    mov al, EXIT_PANIC
    out EXIT_PORT, al
.lost:
    call panic_park
.first:
    call panic_stop_others
    call console_break_lock
    call panic_save_log
    call panic_print_cause
    call panic_print_registers
    mov rdi, qword ptr [rbx + trapframe.rbp]
    call panic_print_backtrace
    PRINT "PANIC end\n"
    mov al, EXIT_PANIC
    out EXIT_PORT, al
.dead:
    hlt
    jmp .dead
END panic_report

# panic_park(): where a CPU goes when another one panics.
#   clobbers: never returns
#   locks: whatever it held stays held
#   irq: off
PUBLIC panic_park
panic_park:
    mov dword ptr gs:[percpu.parked], 1
.stop:
    hlt
    jmp .stop
END panic_park

# panic_stop_others(): stops all other CPUs by NMI, which reaches them with interrupts off too. Only
# those that are online: QEMU lets an NMI wake a CPU that was never started, in real mode.
#   clobbers: rax, rcx, rdx, rsi, rdi, r8
#   locks: none
#   irq: off
PRIVATE panic_stop_others
panic_stop_others:
    FRAME
    lea r8, [rip + cpu_table]
    xor ecx, ecx
.stop:
    mov rdx, qword ptr [r8 + rcx * 8]
    test rdx, rdx
    jz .sent
    cmp rdx, gs:[percpu.self]
    je .sent
    cmp dword ptr [rdx + percpu.online], 0
    je .sent
    mov edi, dword ptr [rdx + percpu.apic_id]
    mov esi, ICR_ASSERT + ICR_NMI
    call lapic_send
.sent:
    inc ecx
    cmp ecx, MAX_CPUS
    jb .stop

    mov rdi, r8
    mov edx, STOP_TURNS
    xor ecx, ecx
.cpu:
    mov rsi, qword ptr [rdi + rcx * 8]
    test rsi, rsi
    jz .next
    cmp rsi, gs:[percpu.self]
    je .next
.wait:
    cmp dword ptr [rsi + percpu.online], 0
    je .next
    cmp dword ptr [rsi + percpu.parked], 0
    jne .next
    dec edx
    jz .give_up
    pause
    jmp .wait
.next:
    inc ecx
    cmp ecx, MAX_CPUS
    jb .cpu
.give_up:
    UNFRAME
    ret
END panic_stop_others

# panic_save_log(): writes the events that all rings still hold.
#   clobbers: caller-saved
#   locks: console_lock is free and nobody else runs
#   irq: off
PRIVATE panic_save_log
panic_save_log:
    FRAME
    push rbx
    xor ebx, ebx
.cpu:
    lea rax, [rip + cpu_table]
    mov rdi, qword ptr [rax + rbx * 8]
    test rdi, rdi
    jz .next
    call trace_drain
.next:
    inc ebx
    cmp ebx, MAX_CPUS
    jb .cpu
    pop rbx
    UNFRAME
    ret
END panic_save_log

# panic_print_cause(rbx = trap frame, r12 = words): the first line.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE panic_print_cause
panic_print_cause:
    FRAME
    mov ecx, gs:[percpu.cpu]
    mov rax, qword ptr [rbx + trapframe.vector]
    cmp rax, -1
    je .software
    cmp eax, VECTOR_EXCEPTIONS
    lea rdx, [rip + text_interrupt]
    jae .named
    lea rdx, [rip + exception_names]
    mov rdx, qword ptr [rdx + rax * 8]
.named:
    mov r8, rdx
    PRINT "PANIC cpu=%u vector=%u name=%s error=%x", rcx, rax, r8, [rbx + trapframe.error]
    jmp .where
.software:
    PRINT "PANIC cpu=%u vector=- name=- error=0x0", rcx
.where:
    mov rax, cr2
    mov r8, cr3
    PRINT " rip=%x cr2=%x cr3=%x reason=%s\n", [rbx + trapframe.rip], rax, r8, r12
    UNFRAME
    ret
END panic_print_cause

# REGISTERS "format", names...: prints fields of the trap frame in rbx.
.macro REGISTERS format, r1:req, r2:req, r3
    .ifnb \r3
    PRINT "\format", [rbx + trapframe.\r1], [rbx + trapframe.\r2], [rbx + trapframe.\r3]
    .else
    PRINT "\format", [rbx + trapframe.\r1], [rbx + trapframe.\r2]
    .endif
.endm

# panic_print_registers(rbx = trap frame): all of them.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE panic_print_registers
panic_print_registers:
    FRAME
    REGISTERS "PANIC rax=%x rbx=%x rcx=%x", rax, rbx, rcx
    REGISTERS " rdx=%x rsi=%x rdi=%x", rdx, rsi, rdi
    REGISTERS " rbp=%x rsp=%x\n", rbp, rsp
    REGISTERS "PANIC r8=%x r9=%x r10=%x", r8, r9, r10
    REGISTERS " r11=%x r12=%x r13=%x", r11, r12, r13
    REGISTERS " r14=%x r15=%x rflags=%x\n", r14, r15, rflags
    UNFRAME
    ret
END panic_print_registers

# panic_print_backtrace(rdi = frame pointer): return addresses, innermost first. Frames lie above
# each other in one stack; the walk ends where that is no longer so.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE panic_print_backtrace
panic_print_backtrace:
    FRAME
    push rbx
    push r12
    mov rbx, rdi
    mov r12d, BACKTRACE_DEPTH
    PRINT "PANIC backtrace"
    # A damaged chain may lead to an unmapped page; that ends the walk.
    lea rax, [rip + .end]
    mov gs:[percpu.fixup], rax
.frame:
    lea rax, [rip + __image_start]
    cmp rbx, rax
    jb .end
    test bl, 7
    jnz .end
    mov rsi, qword ptr [rbx + 8]
    test rsi, rsi
    jz .end
    PRINT " %x", rsi
    mov rax, qword ptr [rbx]
    cmp rax, rbx
    jbe .end
    mov rbx, rax
    dec r12d
    jnz .frame
.end:
    PRINT "\n"
    mov qword ptr gs:[percpu.fixup], 0
    lea rsp, [rbp - 16]                 # wherever a fault left it
    pop r12
    pop rbx
    UNFRAME
    ret
END panic_print_backtrace

.section .rodata
text_unexpected:
    .asciz "interrupt on a vector that nothing was set up to raise"
text_interrupt:
    .asciz "interrupt"
text_null:
    .asciz "page fault (null pointer)"
text_guard:
    .asciz "stack overflow (guard page)"

.section .data
# panic_owner: the CPU that reports, LOCK_FREE while all is well.
OBJECT panic_owner
panic_owner:
    .long LOCK_FREE
END panic_owner
