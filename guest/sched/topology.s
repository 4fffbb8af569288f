.intel_syntax noprefix
# What CPUs share: core, package, NUMA node.
#
# An APIC identifier is package, core and thread, one behind the other, each in whole bits, so that
# there are gaps where a count is no power of two. How many bits the last two have, the boot CPU
# tells for all: in CPUID leaf 0xB, or by the counts in leaves 1 and 4 where that is missing.

.include "macros.inc"
.include "topology.inc"

.extern apic_count
.extern apic_ids
.extern apic_nodes
.extern srat_read

.equ CPUID_FEATURES, 1
    .equ CPUID_EBX_PACKAGE_CPUS, 16     # bits 16-23
    .equ CPUID_EDX_HTT, 1 << 28         # the number above is valid
.equ CPUID_CACHES, 4
    .equ CPUID_EAX_CACHE_TYPE, 31       # bits 0-4; 0: this leaf says nothing
    .equ CPUID_EAX_CORES, 26            # bits 26-31: cores of the package, minus 1
.equ CPUID_TOPOLOGY, 0xb
    .equ CPUID_KIND_THREAD, 1

.section .text
# topology_read(): fills topology_spans, for up to TOPOLOGY_CPUS CPUs.
#   clobbers: caller-saved
#   locks: none; the boot CPU calls it once
#   irq: any
PUBLIC topology_read
topology_read:
    FRAME
    push rbx
    push r12
    call srat_read
    call topology_bits
    xor ebx, ebx
.kind:
    xor r12d, r12d
.cpu:
    mov edi, ebx
    mov esi, r12d
    call topology_span
    lea rcx, [rip + topology_spans]
    mov edx, ebx
    shl edx, 9                          # bytes a row
    add rcx, rdx
    mov qword ptr [rcx + r12 * 8], rax
    inc r12d
    cmp r12d, dword ptr [rip + apic_count]
    jb .cpu
    inc ebx
    cmp ebx, TOPOLOGY_KINDS
    jb .kind
    pop r12
    pop rbx
    UNFRAME
    ret
END topology_read
.if TOPOLOGY_CPUS * 8 != 1 << 9
    .error "topology_read has another size of a row"
.endif

# topology_span(edi = kind, esi = CPU) -> rax = the CPUs that share this with it.
#   clobbers: caller-saved
#   locks: none
#   irq: any
PRIVATE topology_span
topology_span:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    mov ebx, edi
    call topology_key
    mov r12d, eax
    xor r13d, r13d
    xor r14d, r14d
.cpu:
    mov edi, ebx
    mov esi, r13d
    call topology_key
    cmp eax, r12d
    jne .next
    bts r14, r13
.next:
    inc r13d
    cmp r13d, dword ptr [rip + apic_count]
    jb .cpu
    mov rax, r14
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END topology_span

# topology_key(edi = kind, esi = CPU) -> eax = number of the core, package, ... that it is in.
#   clobbers: rcx, rdx
#   locks: none
#   irq: any
PRIVATE topology_key
topology_key:
    lea rdx, [rip + apic_ids]
    movzx eax, byte ptr [rdx + rsi]
    mov ecx, dword ptr [rip + topology_thread_bits]
    cmp edi, TOPOLOGY_CORE
    je .shift
    mov ecx, dword ptr [rip + topology_package_bits]
    cmp edi, TOPOLOGY_PACKAGE
    je .shift
    lea rdx, [rip + apic_nodes]
    mov eax, dword ptr [rdx + rax * 4]
    cmp edi, TOPOLOGY_NODE
    je .done
    mov eax, esi
    cmp edi, TOPOLOGY_THREAD
    je .done
    xor eax, eax
.done:
    ret
.shift:
    shr eax, cl
    ret
END topology_key

# topology_differs(edi = kind, esi = another) -> eax = 1 if the two divide up the CPUs differently.
#   clobbers: rcx, rdx, rsi, rdi
#   locks: none
#   irq: any
PUBLIC topology_differs
topology_differs:
    lea rdx, [rip + topology_spans]
    shl edi, 9
    shl esi, 9
    add rdi, rdx
    add rsi, rdx
    xor ecx, ecx
    xor eax, eax
.cpu:
    mov rdx, qword ptr [rdi + rcx * 8]
    cmp rdx, qword ptr [rsi + rcx * 8]
    jne .differs
    inc ecx
    cmp ecx, dword ptr [rip + apic_count]
    jb .cpu
    ret
.differs:
    inc eax
    ret
END topology_differs

# topology_bits(): how many bits of an APIC identifier tell the thread, how many it and the core.
#   clobbers: caller-saved
#   locks: none
#   irq: any
PRIVATE topology_bits
topology_bits:
    FRAME
    push rbx
    xor eax, eax
    cpuid
    cmp eax, CPUID_TOPOLOGY
    jb .counts
    xor esi, esi                        # level
    mov eax, CPUID_TOPOLOGY
    xor ecx, ecx
    cpuid
    test ebx, ebx
    jz .counts
.level:
    movzx ecx, ch                       # bits 8-15: the kind of level
    test ecx, ecx
    jz .done
    and eax, 31
    mov dword ptr [rip + topology_package_bits], eax
    cmp ecx, CPUID_KIND_THREAD
    jne .next
    mov dword ptr [rip + topology_thread_bits], eax
.next:
    inc esi
    mov eax, CPUID_TOPOLOGY
    mov ecx, esi
    cpuid
    jmp .level
.counts:
    call topology_bits_of_counts
.done:
    pop rbx
    UNFRAME
    ret
END topology_bits

# topology_bits_of_counts(): the same from the numbers of CPUs and of cores in a package.
#   clobbers: caller-saved, rbx
#   locks: none
#   irq: any
PRIVATE topology_bits_of_counts
topology_bits_of_counts:
    FRAME
    mov eax, CPUID_FEATURES
    cpuid
    mov esi, 1
    test edx, CPUID_EDX_HTT
    jz .cpus
    shr ebx, CPUID_EBX_PACKAGE_CPUS
    movzx esi, bl
.cpus:
    mov edi, esi                        # cores: without leaf 4 (AMD) all are
    xor eax, eax
    cpuid
    cmp eax, CPUID_CACHES
    jb .cores
    mov eax, CPUID_CACHES
    xor ecx, ecx
    cpuid
    test eax, CPUID_EAX_CACHE_TYPE
    jz .cores
    shr eax, CPUID_EAX_CORES
    lea edi, [rax + 1]
.cores:
    mov eax, esi
    xor edx, edx
    div edi                             # threads a core
    call bits_for
    mov dword ptr [rip + topology_thread_bits], ecx
    mov eax, edi
    mov edi, ecx
    call bits_for
    add ecx, edi
    mov dword ptr [rip + topology_package_bits], ecx
    UNFRAME
    ret
END topology_bits_of_counts

# bits_for(eax = count) -> ecx = bits in which to number so many, 0 for one or none.
#   clobbers: rax
#   locks: none
#   irq: any
PRIVATE bits_for
bits_for:
    xor ecx, ecx
    sub eax, 1
    jbe .done                           # one or none
    bsr ecx, eax
    inc ecx
.done:
    ret
END bits_for

.section .bss
# topology_spans: a row for each kind, in it for each CPU the mask of those that share this with it.
OBJECT topology_spans
topology_spans:
    .zero TOPOLOGY_KINDS * TOPOLOGY_CPUS * 8
END topology_spans
topology_thread_bits:
    .zero 4
topology_package_bits:
    .zero 4
