"""Mutants: the guest with one change at a time, and which rule notices it.

``sample`` has the classic mistakes of O(1) schedulers as documented patches, ``generic`` makes
small changes anywhere in the assembly. A campaign builds each mutant (only the changed object and
the link), boots what reaches the change, and shows the kill matrix.
"""
