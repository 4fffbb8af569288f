.intel_syntax noprefix
# The boot parameters: what may be said, and what holds if nothing is.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "params.inc"

.extern choices_selftest

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
    PARAM schedstat, PARAM_CHOICE, choices_switch,   0,                    0
    PARAM fix,       PARAM_SET,    choices_fix,      0,                    0
    PARAM bug,       PARAM_SET,    choices_bug,      0,                    0
    PARAM algorithm, PARAM_CHOICE, choices_algorithm, 0,                   1
    PARAM race,      PARAM_CHOICE, choices_race,     0,                    0
    PARAM race_seed, PARAM_NUMBER, 0,                0xffffffffffffffff,   1
    PARAM race_one_in, PARAM_NUMBER, 1,              1000000,              16
    .quad 0
END param_table

OBJECT choices_policy, 1
choices_policy:
    .asciz "none"
    .asciz "o1"
    .asciz "veridian"
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
choices_race:
    .asciz "off"
    .asciz "yield"
    .asciz "delay"
    .asciz ""
choices_full:
    .asciz "wait"
    .asciz "drop"
    .asciz ""
# Defects of Linux 2.6.11's scheduler that policy o1 has unless told otherwise.
choices_fix:
    .irp number, 01, 02, 03, 04, 05, 06, 07, 08, 09, 10, 11, 16
    .asciz "L\number"
    .endr
    .asciz ""
# Defects of VeridianOS's scheduler that policy veridian has on request; guest/veridian/README.md
# tells what has become of the others.
choices_bug:
    .irp number, 01, 02, 03, 05, 06, 07, 08, 09, 10, 11, 13
    .asciz "V\number"
    .endr
    .irp number, 15, 16, 17, 18, 19, 20, 21, 22, 24, 28
    .asciz "V\number"
    .endr
    .asciz ""
# How policy veridian picks the next task; include/veridian.inc has the same order.
choices_algorithm:
    .asciz "rr"
    .asciz "priority"
    .asciz ""
