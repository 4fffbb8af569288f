.intel_syntax noprefix
# Reading the workload: the boot module is believed only when every number in it has been looked at.
# harness/workload/layout.py documents its form; workload.inc is made from it.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "print.inc"
.include "workload.inc"

.extern boot_module
.extern boot_module_bytes
.extern param_policy
.extern refuse
.extern workload_barriers
.extern workload_check
.extern workload_code
.extern workload_header
.extern workload_live
.extern workload_masks
.extern workload_task_count
.extern workload_tasks

.equ POLICY_NONE, 0                     # param_policy's first choice
.equ FORK_ROOM, 256                     # task slots for children; the parameter tasks may give more
.equ CRC_POLYNOMIAL, 0xedb88320         # CRC-32 as zlib has it, bits reversed

# EXPECT what, found, expected[, format]: refuses a number of the header that is not as expected.
.macro EXPECT what:req, found:req, expected:req, format=u
    cmp \found, \expected
    je expected_\@
    mov rdx, \found
    mov rsi, \expected
    PRINT "REFUSED workload: \what: expected %\format, found %\format\n"
    call refuse
expected_\@:
.endm

.section .text
# workload_load(): checks the boot module, if there is one, and finds its tables. It refuses to go
# on with a module that is damaged. Afterwards workload_task_count says how many tasks to make room
# for.
#   clobbers: caller-saved
#   locks: none
#   irq: off; before other CPUs start
PUBLIC workload_load
workload_load:
    FRAME
    push rbx
    mov rbx, qword ptr [rip + boot_module]
    test rbx, rbx
    jz .none
    cmp qword ptr [rip + param_policy], POLICY_NONE
    je .no_policy
    call workload_check_header
    call workload_find_tables
    mov qword ptr [rip + workload_header], rbx
    call workload_check
    mov eax, dword ptr [rbx + wl.started_count]
    mov dword ptr [rip + workload_live], eax
    add eax, FORK_ROOM
    mov dword ptr [rip + workload_task_count], eax
.none:
    pop rbx
    UNFRAME
    ret
.no_policy:
    PRINT "REFUSED workload: policy: expected one that puts tasks to sleep, found none\n"
    call refuse
END workload_load

# workload_check_header(rbx = module): everything that can be wrong with the module as a whole.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE workload_check_header
workload_check_header:
    FRAME
    mov rcx, qword ptr [rip + boot_module_bytes]
    cmp rcx, wl.size
    jb .short
    mov eax, dword ptr [rbx + wl.magic]
    EXPECT "magic", rax, WL_MAGIC, x
    movzx eax, word ptr [rbx + wl.version]
    EXPECT "version", rax, WL_VERSION
    movzx eax, word ptr [rbx + wl.header_size]
    EXPECT "header size", rax, wl.size
    mov eax, dword ptr [rbx + wl.total_size]
    EXPECT "total size", rax, rcx
    lea rdi, [rbx + WL_CRC_START]
    lea rsi, [rcx - WL_CRC_START]
    call workload_crc
    mov ecx, eax
    mov eax, dword ptr [rbx + wl.crc]
    EXPECT "CRC-32", rax, rcx, x
    mov rax, qword ptr [rbx + wl.reserved]
    EXPECT "reserved word", rax, 0
    cmp qword ptr [rbx + wl.duration_ns], 0
    je .one_duration
    mov rax, qword ptr [rbx + wl.duration_ticks]
    EXPECT "duration in ticks beside one in ns", rax, 0
.one_duration:
    cmp dword ptr [rbx + wl.task_count], 0
    je .no_tasks
    movzx eax, word ptr [rbx + wl.cpus]
    lea ecx, [rax - 1]
    cmp ecx, WL_MAX_CPUS - 1
    ja .cpus
    UNFRAME
    ret
.short:
    mov rsi, rcx
    PRINT "REFUSED workload: size: expected at least 64 bytes, found %u\n", rsi
    call refuse
.no_tasks:
    PRINT "REFUSED workload: tasks: expected at least 1, found 0\n"
    call refuse
.cpus:
    PRINT "REFUSED workload: CPUs needed: expected 1 to 256, found %u\n", rax
    call refuse
END workload_check_header

# workload_find_tables(rbx = module): one table follows the other, to the end of the module.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE workload_find_tables
workload_find_tables:
    FRAME
    lea rax, [rbx + wl.size]
    mov qword ptr [rip + workload_tasks], rax
    mov ecx, dword ptr [rbx + wl.task_count]
    imul rcx, rcx, wltask.size
    add rax, rcx
    mov qword ptr [rip + workload_masks], rax
    mov ecx, dword ptr [rbx + wl.mask_count]
    imul rcx, rcx, WL_MASK_SIZE
    add rax, rcx
    mov qword ptr [rip + workload_code], rax
    mov ecx, dword ptr [rbx + wl.code_count]
    imul rcx, rcx, wlinstr.size
    add rax, rcx
    mov qword ptr [rip + workload_barriers], rax
    movzx ecx, word ptr [rbx + wl.barrier_count]
    lea rax, [rax + rcx * WL_PARTIES_SIZE]
    sub rax, rbx
    mov ecx, dword ptr [rbx + wl.total_size]
    EXPECT "size of all tables and the header", rax, rcx
    UNFRAME
    ret
END workload_find_tables

# workload_crc(rdi = bytes, rsi = how many) -> eax = their CRC-32, a byte at a time by table.
#   clobbers: rcx, rdx, rsi, rdi, r8
#   locks: none
#   irq: any
PRIVATE workload_crc
workload_crc:
    lea r8, [rip + crc_table]
    xor ecx, ecx
.entry:
    mov eax, ecx
    mov edx, 8
.bit:
    shr eax, 1
    jnc .zero
    xor eax, CRC_POLYNOMIAL
.zero:
    dec edx
    jnz .bit
    mov dword ptr [r8 + rcx * 4], eax
    inc ecx
    cmp ecx, 256
    jb .entry
    mov eax, -1
    add rsi, rdi
.byte:
    cmp rdi, rsi
    jae .done
    movzx ecx, byte ptr [rdi]
    movzx edx, al
    xor ecx, edx
    shr eax, 8
    xor eax, dword ptr [r8 + rcx * 4]
    inc rdi
    jmp .byte
.done:
    not eax
    ret
END workload_crc

.section .bss
    .balign 64
crc_table:
    .zero 256 * 4
