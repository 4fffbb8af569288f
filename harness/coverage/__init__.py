"""Which source lines of the guest were executed: by boots, merged, as lcov and as a listing.

QEMU's translation log (``-d in_asm`` behind an address filter) names every block of guest code that
QEMU translates. It translates a block only when the guest is about to execute it, and a block ends
at the first jump, so what it lists was executed, with two exceptions: the rest of a block behind an
instruction that faults, and a block before whose first instruction the machine ended. The image's
DWARF line table then leads from addresses to lines. A macro counts for the line that uses it.
"""
