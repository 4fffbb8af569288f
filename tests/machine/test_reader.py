"""The guest never waits for whoever reads its serial port: its time would depend on the host."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

from tests.machine.guests import Guest

PATIENCE = 60.0
READER = """
import sys
from pathlib import Path
from harness.machine import Machine, MachineConfig

with Machine.start(MachineConfig(Path(sys.argv[1]))) as machine:
    print(machine.pid, flush=True)
    result = machine.wait()
print(len(result.lines), result.status)
"""


def test_a_reader_that_is_stopped_stops_nobody_and_loses_nothing(guest: Guest) -> None:
    """Two megabytes: more than any pipe holds."""
    command = [sys.executable, "-c", READER, str(guest("lines"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        try:
            assert reader.stdout is not None
            qemu = os.pidfd_open(int(reader.stdout.readline()))
            reader.send_signal(signal.SIGSTOP)
            ended = select.select([qemu], [], [], PATIENCE)[0]
            os.close(qemu)
            assert ended, "QEMU waits for its reader"
            reader.send_signal(signal.SIGCONT)
            assert reader.communicate(timeout=PATIENCE)[0] == "100000 33\n"
        finally:
            reader.kill()
