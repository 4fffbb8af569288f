.intel_syntax noprefix
# A monitor of one trick: it prompts, repeats each line it is told, and ends at one that starts with
# `q`. A log line precedes every answer, and one follows the first prompt at once.
.include "guest.inc"
.equ ENTER, 10
.equ LINE_SIZE, 256

start:
    PRINT prompt, prompt_end
    PRINT event, event_end
.line:
    mov edi, offset line
.byte:
    pause
    mov edx, COM1_LSR
    in al, dx
    test al, LSR_DATA
    jz .byte
    mov edx, COM1
    in al, dx
    mov [edi], al
    inc edi
    cmp edi, offset line_end
    je .answer
    cmp al, ENTER
    jne .byte
.answer:
    PRINT event, event_end
    cmp byte ptr [line], 'q'
    je .quit
    PRINT answer, answer_end
    mov esi, offset line
.repeat:
    mov al, [esi]
    out dx, al
    inc esi
    cmp esi, edi
    jne .repeat
    PRINT prompt, prompt_end
    jmp .line
.quit:
    EXIT EXIT_PASS

.section .rodata, "a", @progbits
prompt:
    .ascii "sched> "
prompt_end:
event:
    .ascii "[SCHED] an event\n"
event_end:
answer:
    .ascii "you said: "
answer_end:

.bss
line:
    .zero LINE_SIZE
line_end:
