.intel_syntax noprefix
# Exits with status 1, which is also what QEMU uses for its own errors.
.include "guest.inc"
start:
    EXIT 0
