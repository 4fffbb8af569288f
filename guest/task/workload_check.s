.intel_syntax noprefix
# Every number in the tables of a workload is held against its bounds before anything uses it:
# records and barriers here, instructions in workload_check_code.s.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "print.inc"
.include "workload.inc"
.include "check.inc"

.extern check_program
.extern check_set_bounds
.extern refuse
.extern workload_barriers
.extern workload_header
.extern workload_tasks

.section .text
# workload_check(): checks records, programs and barriers.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PUBLIC workload_check
workload_check:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov rbx, qword ptr [rip + workload_header]
    call check_set_bounds
    mov r13, qword ptr [rip + workload_tasks]
    xor r12d, r12d
    push 0                              # records that are not templates
.record:
    cmp r12d, dword ptr [rbx + wl.task_count]
    jae .records_done
    call check_record
    call check_program
    test byte ptr [r13 + wltask.flags], WL_TASK_TEMPLATE
    jnz .next
    inc qword ptr [rsp]
.next:
    add r13, wltask.size
    inc r12d
    jmp .record
.records_done:
    pop rcx
    mov eax, dword ptr [rbx + wl.started_count]
    cmp rax, rcx
    jne .started
    call check_barriers
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
.started:
    mov rsi, rcx
    mov rdx, rax
    PRINT "REFUSED workload: count of tasks to start: expected %u, found %u\n", rsi, rdx
    call refuse
END workload_check

# check_barriers(rbx = header): a barrier for nobody would never open.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE check_barriers
check_barriers:
    FRAME
    mov rdi, qword ptr [rip + workload_barriers]
    movzx ecx, word ptr [rbx + wl.barrier_count]
    xor esi, esi
.barrier:
    cmp esi, ecx
    jae .done
    cmp dword ptr [rdi + rsi * WL_PARTIES_SIZE], 0
    je .nobody
    inc esi
    jmp .barrier
.done:
    UNFRAME
    ret
.nobody:
    PRINT "REFUSED workload: barrier %u: parties: expected at least 1, found 0\n", rsi
    call refuse
END check_barriers

# check_record(r12, r13 = record).
#   clobbers: caller-saved; r14
#   locks: none
#   irq: off
PRIVATE check_record
check_record:
    FRAME
    mov r14, NO_INSTRUCTION
    call check_name
    movzx eax, byte ptr [r13 + wltask.policy]
    RANGE "policy", rax, 0, 2
    movsx rax, byte ptr [r13 + wltask.nice]
    RANGE "nice", rax, -20, 19
    movzx eax, byte ptr [r13 + wltask.rt_priority]
    cmp byte ptr [r13 + wltask.policy], 0
    jne .real_time
    RANGE "real-time priority without a real-time policy", rax, 0, 0
    jmp .flags
.real_time:
    RANGE "real-time priority", rax, 0, 99
.flags:
    movzx eax, byte ptr [r13 + wltask.flags]
    RANGE "flags", rax, 0, WL_TASK_TEMPLATE+WL_TASK_KERNEL
    call check_affinity
    mov eax, dword ptr [r13 + wltask.length]
    mov r8d, dword ptr [rbx + wl.code_count]
    RANGE "length of the program", rax, 1, r8
    mov r8d, dword ptr [rbx + wl.code_count]
    mov eax, dword ptr [r13 + wltask.length]
    sub r8, rax
    mov eax, dword ptr [r13 + wltask.program]
    RANGE "first instruction", rax, 0, r8
    UNFRAME
    ret
END check_record

# check_name(r13 = record): printable characters without blanks, then NULs, at least one.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE check_name
check_name:
    FRAME
    xor r8d, r8d
.character:
    movzx eax, byte ptr [r13 + r8 + wltask.name]
    test eax, eax
    jz .end
    RANGE "character of the name", rax, 0x21, 0x7e
    inc r8d
    cmp r8d, WL_NAME_SIZE
    jb .character
.end:
    RANGE "length of the name", r8, 1, WL_NAME_SIZE-1
.padding:
    movzx eax, byte ptr [r13 + r8 + wltask.name]
    RANGE "character behind the name", rax, 0, 0
    inc r8d
    cmp r8d, WL_NAME_SIZE
    jb .padding
    UNFRAME
    ret
END check_name

# check_affinity(r13 = record): at least one CPU, the one that it starts on among them.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE check_affinity
check_affinity:
    FRAME
    mov rax, qword ptr [r13 + wltask.affinity]
    or rax, qword ptr [r13 + wltask.affinity + 8]
    or rax, qword ptr [r13 + wltask.affinity + 16]
    or rax, qword ptr [r13 + wltask.affinity + 24]
    xor ecx, ecx
    test rax, rax
    setnz cl
    RANGE "affinity has a CPU", rcx, 1, 1
    movzx eax, word ptr [r13 + wltask.start_cpu]
    cmp eax, WL_CPU_ANY
    je .done
    RANGE "start CPU", rax, 0, WL_MAX_CPUS-1
    movzx eax, word ptr [r13 + wltask.start_cpu]
    xor ecx, ecx
    bt dword ptr [r13 + wltask.affinity], eax
    setc cl
    RANGE "start CPU is in the affinity", rcx, 1, 1
.done:
    UNFRAME
    ret
END check_affinity

# check_range(rdi = what, rsi = value, rdx = least, rcx = greatest, r12 = record, r14 = instruction
# or NO_INSTRUCTION): refuses a value that is not within its bounds.
#   clobbers: nothing
#   locks: none
#   irq: off
PUBLIC check_range
check_range:
    FRAME
    cmp rsi, rdx
    jl .bad
    cmp rsi, rcx
    jg .bad
    UNFRAME
    ret
.bad:
    mov rbx, rdi
    mov r13, rsi
    mov r15, rdx
    push rcx
    PRINT "REFUSED workload: task %u: ", r12
    cmp r14, NO_INSTRUCTION
    je .whole_record
    PRINT "instruction %u: ", r14
.whole_record:
    pop r14
    cmp r15, r14
    jg .nothing
    je .one
    PRINT "%s: expected %d to %d, found %d\n", rbx, r15, r14, r13
    call refuse
.one:
    PRINT "%s: expected %d, found %d\n", rbx, r14, r13
    call refuse
.nothing:
    PRINT "%s: expected nothing, since there is none, found %d\n", rbx, r13
    call refuse
END check_range
