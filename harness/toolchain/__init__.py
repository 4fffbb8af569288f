"""Assembler, builder and image reader of the guest."""
