.intel_syntax noprefix
# Runs the guest's own tests and reports them in KTAP. A test is a function () -> rax = 0, or the
# reason of its failure as text. To add one, write it, and add its row to selftest_table.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "print.inc"

.extern param_selftest
.extern test_cpus
.extern test_exceptions
.extern test_ipi
.extern test_lapic
.extern test_lock
.extern test_lock_drop
.extern test_switch
.extern test_timer

.equ SELFTEST_ALL, 0
.equ SELFTEST_NONE, 1
.equ SELFTEST_FIRST, 2

STRUCT selftest
    FIELD selftest, name, 8
    FIELD selftest, function, 8

.macro SELFTEST name
    .pushsection .rodata.selftest_names
selftest_name_\name:
    .asciz "\name"
    .popsection
    .quad selftest_name_\name, test_\name
.endm

# The words that the boot parameter selftest takes: two of its own, then every row's name.
.section .rodata.selftest_names, "a", @progbits
OBJECT choices_selftest, 1
choices_selftest:
    .asciz "all"
    .asciz "none"

.section .rodata
OBJECT selftest_table
selftest_table:
    SELFTEST cpus
    SELFTEST exceptions
    SELFTEST lapic
    SELFTEST timer
    SELFTEST ipi
    SELFTEST lock
    SELFTEST switch
selftest_table_end:
    # Only by its name: it needs a policy, and takes its time.
    SELFTEST lock_drop
END selftest_table
.equ SELFTEST_COUNT, (selftest_table_end - selftest_table) / selftest.size

.section .rodata.selftest_names
    .asciz ""
END choices_selftest

.section .text
# selftest_run() -> eax = tests that failed, of those that the boot parameter selftest names.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC selftest_run
selftest_run:
    FRAME
    push rbx
    push r12
    xor r12d, r12d
    mov rax, qword ptr [rip + param_selftest]
    cmp eax, SELFTEST_NONE
    je .done
    cmp eax, SELFTEST_ALL
    jne .one
    mov ecx, SELFTEST_COUNT
    PRINT "KTAP version 1\n1..%u\n", rcx
    xor ebx, ebx
.each:
    mov edi, ebx
    lea esi, [rbx + 1]
    call selftest_run_one
    add r12d, eax
    inc ebx
    cmp ebx, SELFTEST_COUNT
    jb .each
    jmp .done
.one:
    PRINT "KTAP version 1\n1..1\n"
    mov rdi, qword ptr [rip + param_selftest]
    sub edi, SELFTEST_FIRST
    mov esi, 1
    call selftest_run_one
    mov r12d, eax
.done:
    mov eax, r12d
    pop r12
    pop rbx
    UNFRAME
    ret
END selftest_run

# selftest_run_one(edi = row, esi = number in the report) -> eax = 1 if it failed, else 0.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE selftest_run_one
selftest_run_one:
    FRAME
    push rbx
    push r12
    mov r12d, esi
    shl edi, 4
    lea rbx, [rip + selftest_table]
    add rbx, rdi
    call qword ptr [rbx + selftest.function]
    test rax, rax
    jnz .failed
    PRINT "ok %u %s\n", r12, [rbx + selftest.name]
    xor eax, eax
    jmp .out
.failed:
    PRINT "not ok %u %s # %s\n", r12, [rbx + selftest.name], rax
    mov eax, 1
.out:
    pop r12
    pop rbx
    UNFRAME
    ret
END selftest_run_one
