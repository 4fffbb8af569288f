.intel_syntax noprefix
# Exports every structure offset as an absolute symbol, for the harness and for debuggers.

.equ EXPORT_LAYOUT, 1
.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "veridian.inc"
.include "workload.inc"
.include "interpreter.inc"
