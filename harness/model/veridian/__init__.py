"""Executable specification of VeridianOS's scheduler, as its repaired design has it.

One module per file of the same name in guest/veridian; facts from fact sheet part B. The functions
take what the guest read and change the state exactly as the guest has to; :mod:`bugs` lists where
that departs from the original.
"""
