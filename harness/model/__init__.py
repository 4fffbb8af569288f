"""Executable specification of Linux 2.6.11's O(1) scheduler.

This package is what the guest's assembly is checked against. It is plain Python on plain data:
tasks, priority arrays and run queues are small mutable dataclasses, every function does one thing
to them, and nothing here knows of QEMU, of the guest or of the log.

Two habits make it fit for replaying a log:

* The outside world comes in through arguments: the clock (`Now`), and whatever a CPU reads of
  *another* CPU without holding its lock (`LoadRead`, masks of idle CPUs). A replay feeds the values
  the guest read and compares the decision; it never has to guess what a racy read returned.
* Decisions are separate from their effects wherever a lock may be dropped between the two:
  `core.decide`/`core.commit`, `wake.place`/`wake.commit_placement`,
  `balance.search`/`balance.finish_load_balance`.

The known defects of 2.6.11 (fact sheet D1) are part of the specification and reproduced exactly;
`fixes` names those that can be corrected, one by one, by `Constants.fixes`.
Not modelled: what SMT scheduling adds to the tick and to schedule(), that is putting a task to
sleep in favour of a better one on the sibling (fact sheet A6 step 2, A7 step 4).

Files carry the names of the assembly files beside which they are read. Reading order: fixes,
constants, bitmap, task, array, runqueue, prio, tick, core, wake, fork, load, domain, balance,
migrate, stats; then checks, which states what must hold of the data at any time.

"Fact sheet A5" and the like, here and in the oracle, name the parts of the notes on 2.6.11's
`kernel/sched.c` that this was written from:

    A1 constants             A7  schedule()               A13 find_busiest_group
    A2 data structures       A8  wake-up, fork, exit      A14 moving tasks
    A3 bit searches          A9  resched_task, idle loop  A15 balancing drivers
    A4 array primitives      A10 locks                    A16 active balancing, migration
    A5 priorities, slices,   A11 load figures             A17 yield, nice, setscheduler
       interactivity         A12 domains and groups       A18 schedstat
    A6 scheduler_tick()

    C  invariants: S structure, K locks, C conservation, P policy, T statistics
    D1 defects of 2.6.11 that are reproduced: L01 to L18
"""
