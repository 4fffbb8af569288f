.intel_syntax noprefix
# Says nothing and exits with a status nobody agreed on.
.include "guest.inc"
start:
    EXIT 0x55                   # 171
