"""Many tasks, and tasks that race: nothing is lost on four CPUs, whatever the clock."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.boot import default_image
from harness.toolchain.build import ROOT, build_guest
from tests.workload_guest.conftest import RunTasks
from tests.workload_guest.seen import Seen

# Everybody ends, unless a wake-up is lost; then the duration ends the run without them.
STRESS = """
    duration: {duration}
    mutexes: [shared, m0, m1]
    conditions: [c0, c1]
    barriers: {{all: 9, b0: 2, b1: 2}}
    tasks:
      locker:
        count: 6
        program:
          - loop: {few}
            do:
              - lock: shared
              - nice: 1
              - run: 3us
              - nice: 2
              - unlock: shared
      marcher:
        count: 9
        program:
          - loop: {few}
            do:
              - run: 5us
              - barrier: all
      # The waiter holds the mutex when both have come together, so the signaller cannot signal
      # before the waiter waits.
      waiter0:
        program: &waiter
          - loop: {some}
            do:
              - lock: m0
              - barrier: b0
              - wait: {{on: c0, mutex: m0}}
              - unlock: m0
      signaller0:
        program:
          - loop: {some}
            do:
              - barrier: b0
              - lock: m0
              - signal: c0
              - unlock: m0
      waiter1:
        program:
          - loop: {some}
            do:
              - lock: m1
              - barrier: b1
              - wait: {{on: c1, mutex: m1}}
              - unlock: m1
      signaller1:
        program:
          - loop: {some}
            do:
              - barrier: b1
              - lock: m1
              - broadcast: c1
              - unlock: m1
      ping:
        count: 4
        program:
          - loop: {many}
            do:
              - wake: pong/same
              - block
      pong:
        count: 4
        program:
          - loop: {many}
            do:
              - block
              - wake: ping/same
"""
LOOPS, REAL_LOOPS = 25, 8
TASKS = 6 + 9 + 4 + 8


def stress(duration: str, loops: int = LOOPS) -> str:
    """The workload, with so many turns through its shortest loops."""
    return STRESS.format(duration=duration, few=loops, some=2 * loops, many=3 * loops)


def ended(seen: Seen) -> int:
    return len(seen.every("exit"))


def assert_one_at_a_time(seen: Seen, loops: int = LOOPS) -> None:
    """Whoever enters the section, mark 1, leaves it, mark 2, before the next one enters."""
    marks = seen.marks("locker")
    assert len(marks) == 6 * loops * 2
    assert [nice for _, nice in marks] == [1, 2] * (6 * loops)
    assert all(enter[0] == leave[0] for enter, leave in zip(marks[::2], marks[1::2], strict=True))


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_tasks_that_race_all_come_to_their_end(run_tasks: RunTasks, cpus: int) -> None:
    seen = run_tasks(stress("2s"), cpus=cpus)
    assert ended(seen) == TASKS
    assert_one_at_a_time(seen)


def test_the_same_with_cpus_that_run_at_once(run_tasks: RunTasks) -> None:
    seen = run_tasks(stress("200s", REAL_LOOPS), cpus=4, clock="real")
    assert ended(seen) == TASKS
    assert_one_at_a_time(seen, REAL_LOOPS)


def test_a_race_is_repeated_byte_for_byte(run_tasks: RunTasks) -> None:
    first, second = (run_tasks(stress("2s"), cpus=4) for _ in range(2))
    assert list(map(str, first.trace.events)) == list(map(str, second.trace.events))


# The second one has its window widened to 0.1 ms, so that every signal falls into it.
MUTANTS = {
    "a waker forgets to leave a token": (
        "record.s",
        "    mov dword ptr [rbx + wrecord.token], 1\n",
        "",
    ),
    "a condition is entered only after the mutex has been released": (
        "sync.s",
        "    mov rdi, rbx\n    mov rsi, r13\n    call wait_enter\n    test r12, r12\n"
        "    jz .sleep\n    mov rdi, r12\n    call mutex_unlock\n",
        "    mov rdi, rbx\n    add rdi, wait_queue.lock\n    call spin_unlock\n    test r12, r12\n"
        "    jz .late\n    mov rdi, r12\n    call mutex_unlock\n.late:\n    mov edi, 100000\n"
        "    call clock_delay\n    lea rdi, [rbx + wait_queue.lock]\n    call spin_lock\n"
        "    mov rdi, rbx\n    mov rsi, r13\n    call wait_enter\n",
    ),
    "a barrier does not begin anew": (
        "sync.s",
        "    mov dword ptr [rbx + barrier.arrived], 0\n",
        "",
    ),
    "a released mutex is handed to nobody": (
        "sync.s",
        "    cmove rax, rcx\n    mov qword ptr [rbx + mutex.owner], rax\n",
        "    mov qword ptr [rbx + mutex.owner], rcx\n",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_stress_finds_what_is_broken(run_tasks: RunTasks, tmp_path: Path, name: str) -> None:
    file, old, new = MUTANTS[name]
    default_image()  # makes the generated includes
    shutil.copytree(ROOT / "guest", tmp_path / "guest")
    shutil.copy(ROOT / "linker.ld", tmp_path)
    source = tmp_path / "guest" / "task" / file
    text = source.read_text()
    assert text.count(old) == 1
    text = text.replace(old, new)
    if "clock_delay" in new:
        text = text.replace(".section .text\n", ".extern clock_delay\n\n.section .text\n", 1)
    source.write_text(text)
    image = build_guest(tmp_path, include=[ROOT / "build" / "include"])
    with pytest.raises(AssertionError):
        seen = run_tasks(stress("300ms"), cpus=4, image=image)
        assert ended(seen) == TASKS
        assert_one_at_a_time(seen)


@pytest.mark.parametrize(("cpus", "clock"), [(1, "virtual"), (4, "virtual"), (2, "real")])
def test_a_thousand_tasks(run_tasks: RunTasks, cpus: int, clock: str) -> None:
    seen = run_tasks(
        """
        tasks:
          many:
            count: 1000
            program:
              - run: 10us
              - sleep: 20 ticks
              - run: 10us
        """,
        cpus=cpus,
        clock=clock,
    )
    assert ended(seen) == 1000
    assert len(seen.of("activate", "many")) == 1000
    assert len({event.number("task") for event in seen.every("exit")}) == 1000


def test_more_tasks_than_the_workload_asks_for(run_tasks: RunTasks) -> None:
    """The boot parameter makes room for children beyond what is there by default."""
    forks = """
        tasks:
          parent: {program: [{loop: 300, do: [fork: child]}, sleep: 1 tick]}
          child: {template: true, program: [sleep: 2s]}
        duration: 1s
    """
    seen = run_tasks(forks, tasks=400)
    assert len(seen.ids("child")) == 300
    with pytest.raises(AssertionError, match="raise the boot parameter tasks"):
        run_tasks(forks)


def test_wake_ups_meet_tasks_on_their_way_to_sleep(run_tasks: RunTasks) -> None:
    """Two tasks wake each other after times that drift: some wake-ups find their task asleep by
    its state but queued still.
    """
    times = "".join(
        f"          - spin: {us}us\n          - wake: NAME\n          - block\n"
        for us in (29, 30, 31, 33, 36, 40, 45, 51)
    )
    seen = run_tasks(
        "duration: 300 ticks\n"
        "tasks:\n"
        "  ping:\n    cpus: 0\n    program:\n      - forever:\n"
        + times.replace("NAME", "pong")
        + "  pong:\n    cpus: 1\n    program:\n      - forever:\n          - spin: 33us\n"
        "          - wake: ping\n          - block\n",
        cpus=2,
    )
    found = [event.number("queued") for event in seen.every("wake")]
    assert found.count(0) > 50
    assert found.count(1) > 5
