.intel_syntax noprefix
# Boot parameters: key=value words on the command line. Each is described by one row of the table in
# boot/param_table.s; what no row allows is refused by name, with what would be allowed.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "print.inc"
.include "params.inc"

.extern boot_cmdline
.extern param_table

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
    cmp qword ptr [rbx + param.kind], PARAM_CHOICE
    je .choice
    ja .set
    call param_number
    jmp .store
.set:
    call param_set
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

# param_set(rbx = row, r12 = text) -> rax = bit n for each word that ends in the number n, of two
# digits.
#   clobbers: caller-saved, r12
#   locks: none
#   irq: off
PRIVATE param_set
param_set:
    FRAME
    push r13
    push r14
    xor r14d, r14d
    lea rdi, [rip + word_none]
    mov rsi, r12
    call words_equal
    test eax, eax
    jnz .done
    lea rdi, [rip + word_all]
    mov rsi, r12
    call words_equal
    test eax, eax
    jz .word
    mov r13, qword ptr [rbx + param.low]
.all:
    mov rsi, r13
    call set_member
    call choice_next
    cmp byte ptr [r13], 0
    jne .all
    jmp .done
.word:
    mov r13, r12
.end:
    mov al, byte ptr [r13]
    inc r13
    cmp al, ','
    je .cut
    test al, al
    jnz .end
    dec r13
    jmp .known
.cut:
    mov byte ptr [r13 - 1], 0
    cmp byte ptr [r13], 0
    jne .known
    mov r12, r13                        # no word after the last comma: not one of the list
.known:
    call param_choice
    mov rsi, r12
    call set_member
    mov r12, r13
    cmp byte ptr [r13], 0
    jne .word
.done:
    mov rax, r14
    pop r14
    pop r13
    UNFRAME
    ret
END param_set

# set_member(rsi = word, a letter and two digits; r14 = bits) -> r14 = with its bit.
#   clobbers: rax, rcx
#   locks: none
#   irq: off
PRIVATE set_member
set_member:
    movzx eax, byte ptr [rsi + 1]
    movzx ecx, byte ptr [rsi + 2]
    lea eax, [rax + rax * 4 - 5 * '0']
    lea eax, [rcx + rax * 2 - '0']
    bts r14, rax
    ret
END set_member

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

.equ PARAM_WORD_BYTES, 128
.section .rodata
word_none:
    .asciz "none"
word_all:
    .asciz "all"

.section .bss
param_word:
    .zero PARAM_WORD_BYTES
