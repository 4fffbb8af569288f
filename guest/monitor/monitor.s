.intel_syntax noprefix
# The monitor: a small command line on the serial port, on request (boot parameter monitor=1). It
# runs in the boot CPU's idle loop, so it answers while tasks run elsewhere.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "print.inc"

.extern console_get
.extern console_write
.extern monitor_run

.equ LINE_BYTES, 128
.equ CHAR_BACKSPACE, 8
.equ CHAR_NEWLINE, 10
.equ CHAR_RETURN, 13
.equ CHAR_DELETE, 127

.section .text
# monitor_start(): greets and prompts.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC monitor_start
monitor_start:
    FRAME
    PRINT "monitor: type help\n"
    call monitor_prompt
    UNFRAME
    ret
END monitor_start

# monitor_prompt(): asks for a command.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE monitor_prompt
monitor_prompt:
    FRAME
    mov qword ptr [rip + monitor_length], 0
    mov dword ptr [rip + monitor_ready], 1
    PRINT "sched> "
    UNFRAME
    ret
END monitor_prompt

# monitor_poll(): takes what has been typed; runs a command when its line is complete.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC monitor_poll
monitor_poll:
    FRAME
    cmp dword ptr [rip + monitor_ready], 0
    je .done
.character:
    call console_get
    test eax, eax
    js .done
    cmp eax, CHAR_RETURN
    je .line
    cmp eax, CHAR_NEWLINE
    je .line
    cmp eax, CHAR_BACKSPACE
    je .erase
    cmp eax, CHAR_DELETE
    je .erase
    cmp eax, ' '
    jb .character
    mov rcx, qword ptr [rip + monitor_length]
    cmp ecx, LINE_BYTES - 1
    jae .character
    lea rdi, [rip + monitor_line]
    mov byte ptr [rdi + rcx], al
    inc qword ptr [rip + monitor_length]
    add rdi, rcx
    mov esi, 1
    call console_write
    jmp .character
.erase:
    cmp qword ptr [rip + monitor_length], 0
    je .character
    dec qword ptr [rip + monitor_length]
    lea rdi, [rip + erase_text]
    mov esi, 3
    call console_write
    jmp .character
.line:
    PRINT "\n"
    mov rcx, qword ptr [rip + monitor_length]
    lea rdi, [rip + monitor_line]
    mov byte ptr [rdi + rcx], 0
    mov qword ptr [rip + monitor_next], rdi
    call monitor_run
    cmp dword ptr [rip + monitor_done], 0
    jne .done
    call monitor_prompt
.done:
    UNFRAME
    ret
END monitor_poll

# monitor_word() -> rax = next word of the line, NUL-terminated; empty when there is none.
#   clobbers: rdx
#   locks: none
#   irq: as found
PUBLIC monitor_word
monitor_word:
    mov rdx, qword ptr [rip + monitor_next]
.blank:
    cmp byte ptr [rdx], ' '
    jne .start
    inc rdx
    jmp .blank
.start:
    mov rax, rdx
.letter:
    cmp byte ptr [rdx], 0
    je .end
    cmp byte ptr [rdx], ' '
    je .cut
    inc rdx
    jmp .letter
.cut:
    mov byte ptr [rdx], 0
    inc rdx
.end:
    mov qword ptr [rip + monitor_next], rdx
    ret
END monitor_word

# monitor_number(rdi = default) -> rax = next word as a decimal number, the default if there is
# no word, -1 if it is no number.
#   clobbers: rcx, rdx, rsi
#   locks: none
#   irq: as found
PUBLIC monitor_number
monitor_number:
    FRAME
    call monitor_word
    mov rsi, rax
    mov rax, rdi
    cmp byte ptr [rsi], 0
    je .done
    xor eax, eax
.digit:
    movzx ecx, byte ptr [rsi]
    test ecx, ecx
    jz .done
    sub ecx, '0'
    cmp ecx, 9
    ja .bad
    imul rax, rax, 10
    add rax, rcx
    inc rsi
    cmp rax, 1000000000
    jbe .digit
.bad:
    mov rax, -1
.done:
    UNFRAME
    ret
END monitor_number

.section .rodata
erase_text:
    .byte CHAR_BACKSPACE, ' ', CHAR_BACKSPACE

.section .bss
# monitor_done: 1 once quit was asked for.
OBJECT monitor_done
monitor_done:
    .zero 8
END monitor_done
# monitor_ready: 1 while a command may be typed.
OBJECT monitor_ready
monitor_ready:
    .zero 8
END monitor_ready
# monitor_line: the command, NUL-terminated once it is complete.
OBJECT monitor_line
monitor_line:
    .zero LINE_BYTES
END monitor_line
monitor_length:
    .zero 8
monitor_next:
    .zero 8
