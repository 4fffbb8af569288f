"""Workloads that reach what the standard ones do not."""

from __future__ import annotations

from harness.workload import Workload
from harness.workload.document import parse

CROWD = parse(
    """
name: crowd
description: More tasks wait in one ring than it has places.
duration: 400 ticks
tasks:
  crowd:
    count: 300
    start_cpu: 0
    program:
      - run: 100us
      - sleep: 3 ticks
"""
)

PLUGGING = parse(
    """
name: plugging
description: CPUs are unplugged and plugged in again under tasks that wait, run and sleep there.
duration: 500 ticks
cpus: 2
tasks:
  hog:
    count: 6
    start_cpu: 1
    program:
      - forever:
          - run: 10 ticks
  sleeper:
    count: 3
    start_cpu: 1
    program:
      - forever:
          - run: 300us
          - sleep: 7 ticks
  plugger:
    start_cpu: 0
    cpus: 0
    nice: -20
    program:
      - sleep: 20 ticks
      - loop: 8
        do:
          - cpu_down: 1
          - sleep: 20 ticks
          - cpu_up: 1
          - sleep: 25 ticks
"""
)

STANDING = parse(
    """
name: standing
description: Nice levels, policies and affinities of waiting, running and sleeping tasks change.
duration: 400 ticks
cpus: 2
tasks:
  hog:
    count: 3
    start_cpu: 1
    program:
      - forever:
          - run: 3 ticks
          - yield
  sleeper:
    count: 2
    start_cpu: 1
    program:
      - forever:
          - run: 300us
          - sleep: 5 ticks
  changer:
    start_cpu: 0
    cpus: 0
    program:
      - forever:
          - nice: {to: 12, task: hog/1}
          - nice: {to: -18, task: hog/2}
          - cpus: {to: 0, task: hog/0}
          - sleep: 4 ticks
          - policy: {to: rr, priority: 50, task: sleeper/0}
          - nice: {to: 0, task: hog/1}
          - cpus: {to: 1, task: hog}
          - cpus: {to: 1, task: sleeper/1}
          - sleep: 4 ticks
          - policy: {to: normal, task: sleeper/0}
          - nice: {to: 3, task: hog/2}
          - cpus: {to: all, task: hog}
          - cpus: {to: all, task: sleeper}
          - sleep: 4 ticks
"""
)

LOPSIDED = parse(
    """
name: lopsided
description: All tasks start on CPU 0, some pinned to it, those in front of the others.
duration: 120 ticks
cpus: 2
tasks:
  pinned:
    count: 4
    start_cpu: 0
    cpus: 0
    program: &hog
      - forever:
          - run: 10 ticks
  free:
    count: 6
    start_cpu: 0
    program: *hog
"""
)

FULL = parse(
    """
name: full
description: A task is to go to a CPU on which more than ten run.
duration: 60 ticks
cpus: 2
tasks:
  hog:
    count: 12
    start_cpu: 1
    cpus: 1
    program:
      - forever:
          - run: 10 ticks
  late:
    start_cpu: 0
    program:
      - sleep: 20 ticks
      - cpus: 1
      - forever:
          - run: 1 tick
"""
)

SNATCHING = parse(
    """
name: snatching
description: Tasks that yield all the time are moved to an idle CPU, which runs them at once.
duration: 60 ticks
cpus: 3
tasks:
  yielder:
    count: 2
    start_cpu: 0
    cpus: 0
    program:
      - forever:
          - yield
  mover:
    start_cpu: 1
    cpus: 1
    program:
      - forever:
          - cpus: {to: 2, task: yielder/0}
          - spin: 20us
          - cpus: {to: 0, task: yielder/0}
          - spin: 20us
"""
)

OWN: dict[str, Workload] = {
    w.name: w for w in (CROWD, PLUGGING, STANDING, LOPSIDED, FULL, SNATCHING)
}
