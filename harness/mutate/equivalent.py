"""Mutants that nothing can notice, because they change nothing that matters, each with the reason.

An id stands for a change at a numbered instruction of a function: whoever edits the function looks
here, too (a campaign says when an entry fits no mutant).
"""

from __future__ import annotations

from collections.abc import Mapping

EQUIVALENT: Mapping[str, str] = {
    "E1": "with one task the loop finds only the running one, which stays anyway",
    "E2": "both searches give the same from bit 0 on",
    "E8": "nobody reads a counter between the two",
    "bitmap.s:sched_find_first_bit:9:drop": "a bitmap always has its delimiter (rule S2)",
    "domain.s:domain_new:3:plus1": "memory is handed out in cache lines, a byte more is the same",
    "domain.s:domain_new:9:plus1": "what lies behind is handed out later, and cleared by its owner",
    "rebalance.s:balance_interval:10:drop": "an interval is 1 ms at least, so never 0 jiffies",
    "runqueue.s:double_lock_balance:23:swap": "no caller asks whether the lock was let go",
    "topology.s:topology_bits:4:plus1": "no CPU of QEMU's has 0xb as its last leaf",
}
