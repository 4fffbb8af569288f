.intel_syntax noprefix
# Boot parameters: key=value words on the command line. Each is described by one row of
# param_table; what no row allows is refused by name, with what would be allowed.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "print.inc"

.extern boot_cmdline
.extern choices_selftest

.equ PARAM_NUMBER, 0                    # decimal, between two bounds
.equ PARAM_CHOICE, 1                    # one of a list of words; its index is stored

STRUCT param
    FIELD param, key, 8
    FIELD param, kind, 8
    FIELD param, low, 8                 # number: least value; choice: words, each NUL-terminated,
    FIELD param, high, 8                #   an empty one at the end. number: greatest value
    FIELD param, value, 8               # where the result goes

.section .text
# params_parse(): reads boot_cmdline into the param_* variables, or refuses to start.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PUBLIC params_parse
params_parse:
    FRAME
    push rbx
    push r12
    mov rbx, qword ptr [rip + boot_cmdline]
.word:
    mov al, byte ptr [rbx]
    test al, al
    jz .done
    cmp al, ' '
    jne .parse
    inc rbx
    jmp .word
.parse:
    mov rdi, rbx
    call param_copy
    mov rbx, rax
    call param_apply
    jmp .word
.done:
    pop r12
    pop rbx
    UNFRAME
    ret
END params_parse

# param_copy(rdi = text) -> rax = behind the word. The word is left in param_word, its value in
# r12 (an empty text if there is no '=').
#   clobbers: rcx, rdx, rsi, rdi
#   locks: none
#   irq: off
PRIVATE param_copy
param_copy:
    FRAME
    lea rsi, [rip + param_word]
    lea rdx, [rsi + PARAM_WORD_BYTES - 1]
    xor r12d, r12d
.character:
    mov al, byte ptr [rdi]
    test al, al
    jz .end
    cmp al, ' '
    je .end
    cmp rsi, rdx
    jae .long
    inc rdi
    test r12, r12
    jnz .store
    cmp al, '='
    jne .store
    mov byte ptr [rsi], 0
    inc rsi
    mov r12, rsi
    jmp .character
.store:
    mov byte ptr [rsi], al
    inc rsi
    jmp .character
.end:
    mov byte ptr [rsi], 0
    test r12, r12
    cmovz r12, rsi
    mov rax, rdi
    UNFRAME
    ret
.long:
    mov byte ptr [rsi], 0
    lea rsi, [rip + param_word]
    PRINT "REFUSED boot parameter '%s...' is too long\n", rsi
    call refuse
END param_copy

# param_apply(r12 = value): finds the row of param_word and stores the value.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE param_apply
param_apply:
    FRAME
    push rbx
    lea rbx, [rip + param_table]
.row:
    cmp qword ptr [rbx + param.key], 0
    je .unknown
    mov rdi, qword ptr [rbx + param.key]
    lea rsi, [rip + param_word]
    call words_equal
    test eax, eax
    jnz .found
    add rbx, param.size
    jmp .row
.found:
    cmp qword ptr [rbx + param.kind], PARAM_NUMBER
    jne .choice
    call param_number
    jmp .store
.choice:
    call param_choice
.store:
    mov rcx, qword ptr [rbx + param.value]
    mov qword ptr [rcx], rax
    pop rbx
    UNFRAME
    ret
.unknown:
    lea rsi, [rip + param_word]
    PRINT "REFUSED unknown boot parameter '%s'; known are", rsi
    lea rbx, [rip + param_table]
.list:
    PRINT " %s", [rbx + param.key]
    add rbx, param.size
    cmp qword ptr [rbx + param.key], 0
    jne .list
    PRINT "\n"
    call refuse
END param_apply

# param_number(rbx = row, r12 = text) -> rax = its value.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE param_number
param_number:
    FRAME
    mov rsi, r12
    xor eax, eax
    cmp byte ptr [rsi], 0
    je .bad
.digit:
    movzx ecx, byte ptr [rsi]
    test ecx, ecx
    jz .whole
    sub ecx, '0'
    cmp ecx, 9
    ja .bad
    mov edx, 10
    mul rdx
    jo .bad
    add rax, rcx
    jc .bad
    inc rsi
    jmp .digit
.whole:
    cmp rax, qword ptr [rbx + param.low]
    jb .bad
    cmp rax, qword ptr [rbx + param.high]
    ja .bad
    UNFRAME
    ret
.bad:
    PRINT "REFUSED boot parameter %s=%s: expected a decimal number", [rbx + param.key], r12
    PRINT " from %u to %u\n", [rbx + param.low], [rbx + param.high]
    call refuse
END param_number

# param_choice(rbx = row, r12 = text) -> rax = index of the word.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE param_choice
param_choice:
    FRAME
    push r13
    push r14
    mov r13, qword ptr [rbx + param.low]
    xor r14d, r14d
.word:
    cmp byte ptr [r13], 0
    je .bad
    mov rdi, r13
    mov rsi, r12
    call words_equal
    test eax, eax
    jnz .found
    call choice_next
    inc r14d
    jmp .word
.found:
    mov eax, r14d
    pop r14
    pop r13
    UNFRAME
    ret
.bad:
    PRINT "REFUSED boot parameter %s=%s: expected one of", [rbx + param.key], r12
    mov r13, qword ptr [rbx + param.low]
.list:
    PRINT " %s", r13
    call choice_next
    cmp byte ptr [r13], 0
    jne .list
    PRINT "\n"
    call refuse
END param_choice

# choice_next(r13 = word of a list) -> r13 = the next one.
#   clobbers: nothing
#   locks: none
#   irq: off
PRIVATE choice_next
choice_next:
    inc r13
    cmp byte ptr [r13 - 1], 0
    jne choice_next
    ret
END choice_next

# words_equal(rdi, rsi = NUL-terminated texts) -> eax = 1 if they are the same.
#   clobbers: rdi, rsi
#   locks: none
#   irq: as found
PUBLIC words_equal
words_equal:
    mov al, byte ptr [rdi]
    cmp al, byte ptr [rsi]
    jne .differ
    inc rdi
    inc rsi
    test al, al
    jnz words_equal
    mov eax, 1
    ret
.differ:
    xor eax, eax
    ret
END words_equal

# refuse(): ends the run before it began; the caller has printed the line REFUSED and why.
#   clobbers: never returns
#   locks: none
#   irq: any
PUBLIC refuse
refuse:
    cli
    mov al, EXIT_REFUSED
    out EXIT_PORT, al
.wait:
    hlt
    jmp .wait
END refuse

.macro PARAM key, kind, low, high, default
    .pushsection .rodata.param_keys, "a", @progbits
param_key_\key:
    .asciz "\key"
    .popsection
    .pushsection .data
    .balign 8
    .globl param_\key
    .type param_\key, @object
param_\key:
    .quad \default
    END param_\key
    .popsection
    .quad param_key_\key, \kind, \low, \high, param_\key
.endm

.section .rodata
    .balign 8
OBJECT param_table
param_table:
    #     key        kind          least or words    greatest              default
    PARAM policy,    PARAM_CHOICE, choices_policy,   0,                    0
    PARAM seed,      PARAM_NUMBER, 0,                0xffffffffffffffff,   1
    PARAM hz,        PARAM_NUMBER, 10,               10000,                1000
    PARAM clock,     PARAM_CHOICE, choices_clock,    0,                    1
    PARAM cpus,      PARAM_NUMBER, 0,                MAX_CPUS,             0
    PARAM selftest,  PARAM_CHOICE, choices_selftest, 0,                    0
    PARAM ticks,     PARAM_NUMBER, 0,                1000000000,           10
    PARAM monitor,   PARAM_CHOICE, choices_switch,   0,                    0
    PARAM loglevel,  PARAM_NUMBER, 0,                3,                    1
    PARAM tasks,     PARAM_NUMBER, 1,                65536,                64
    PARAM flood,     PARAM_NUMBER, 0,                1000000,              0
    PARAM ring,      PARAM_CHOICE, choices_ring,     0,                    2
    PARAM ring_full, PARAM_CHOICE, choices_full,     0,                    0
    .quad 0
END param_table

OBJECT choices_policy, 1
choices_policy:
    .asciz "none"
    .asciz "o1"
    .asciz ""
END choices_policy
choices_clock:
    .asciz "virtual"
    .asciz "real"
    .asciz ""
choices_switch:
    .asciz "0"
    .asciz "1"
    .asciz ""
choices_ring:
    .asciz "2k"
    .asciz "8k"
    .asciz "32k"
    .asciz "128k"
    .asciz "512k"
    .asciz ""
choices_full:
    .asciz "wait"
    .asciz "drop"
    .asciz ""

.equ PARAM_WORD_BYTES, 128
.section .bss
param_word:
    .zero PARAM_WORD_BYTES
