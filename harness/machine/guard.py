"""What stands between QEMU and the host: no orphan, no core file, bounded CPU time and memory.

A small shell sets the bounds and becomes QEMU. `setpriv` asks the kernel to kill the process when
the thread that started it ends, which covers a harness that is itself killed. Between the start of
the process and that request the harness may die unseen, so the shell checks afterwards that its
parent still is the harness.
"""

from __future__ import annotations

import math
import os

from harness.machine.config import Clock, MachineConfig

_SCRIPT = """\
test "$PPID" = "$1" || exit 125
ulimit -c 0 && ulimit -t "$2" && ulimit -f "$3" && ulimit -v "$4" || exit 125
shift 4
exec "$@"
"""
# Address space of QEMU beside the guest's memory: 370 MiB measured with a 32 MiB translation cache.
_BASE_MIB = 640
# On `pc` and `q35` every CPU's view of the devices grows with the number of CPUs: 2.3 GiB measured
# at 255 CPUs, 0.12 GiB at 64.
_CPU_PAIRS_PER_MIB = 20
# With one thread a vCPU, each takes 8 MiB of stack, and the allocator more.
_VCPU_THREAD_MIB = 16
# The only file QEMU writes is its debug log; a dump of all registers per CPU reset needs 4 KiB.
_FILE_MIB = 64
# Left to the harness to notice a deadline before the kernel ends QEMU by its CPU time.
_CPU_GRACE_SECONDS = 30

ENVIRONMENT = {
    "LC_ALL": "C",
    # glibc gives each new thread 64 MiB of address space to allocate from, up to 8 a host CPU.
    "MALLOC_ARENA_MAX": "4",
}


def guarded(command: list[str], config: MachineConfig) -> list[str]:
    """The command, started so that it cannot outlive or overload this process.

    The thread that executes it must live as long as QEMU shall live.
    """
    threads = 1 if config.clock is Clock.VIRTUAL else min(config.cpus, os.cpu_count() or 1)
    cpu_seconds = math.ceil(config.timeout) * (threads + 1) + _CPU_GRACE_SECONDS
    memory_mib = _BASE_MIB + config.memory_mib + config.cpus**2 // _CPU_PAIRS_PER_MIB
    if config.clock is Clock.REAL:
        memory_mib += _VCPU_THREAD_MIB * config.cpus
    bounds = [str(cpu_seconds), str(_FILE_MIB * 2048), str(memory_mib * 1024)]
    shell = ["sh", "-c", _SCRIPT, "sh", str(os.getpid()), *bounds, *command]
    return ["setpriv", "--pdeathsig", "KILL", "--", *shell]
