"""A guest with a bad module starts nothing: it says why, by name, and exits with its own status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.pytest_plugin import Booter
from harness.workload import encode
from harness.workload.document import parse
from harness.workload.layout import HEADER
from tests.workload_guest.module import change
from tests.workload_guest.seen import Seen

BLOB = encode(parse("{name: w, duration: 5ms, tasks: {one: {program: [forever: [run: 1ms]]}}}"))
EXIT_REFUSED = 39


def assert_refused(boot: Booter, path: Path, blob: bytes, words: str, **options: Any) -> None:
    module = path / "module"
    module.write_bytes(blob)
    options = {"policy": "o1", "cpus": 1, "clock": "virtual", **options}
    run = boot(modules=[module], selftest="none", **options)
    assert run.outcome == "fail"
    assert run.result.status == EXIT_REFUSED
    (refusal,) = run.trace.refusals
    assert refusal.startswith(f"workload: {words}: expected ")
    assert Seen(run.trace).names == {}


def test_the_module_is_good_as_it_is(boot: Booter, tmp_path: Path) -> None:
    module = tmp_path / "module"
    module.write_bytes(BLOB)
    run = boot(modules=[module], policy="o1", selftest="none", cpus=1)
    assert run.outcome == "pass", run.verdict


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("magic", 0, "magic"),
        ("version", 9, "version"),
        ("header_size", 63, "header size"),
        ("total_size", 0, "total size"),
        ("task_count", 2, "size of all tables and the header"),
        ("code_count", 0, "size of all tables and the header"),
        ("mask_count", 9, "size of all tables and the header"),
        ("barrier_count", 1, "size of all tables and the header"),
        ("cpus", 300, "CPUs needed"),
        ("cpus", 2, "CPUs online"),
        ("started_count", 0, "count of tasks to start"),
        ("duration_ticks", 1, "duration in ticks beside one in ns"),
        ("reserved", 1, "reserved word"),
    ],
)
def test_header_fields(boot: Booter, tmp_path: Path, field: str, value: int, words: str) -> None:
    assert_refused(boot, tmp_path, change(BLOB, HEADER, 0, field, value), words)


def test_one_bit(boot: Booter, tmp_path: Path) -> None:
    assert_refused(boot, tmp_path, BLOB[:-1] + bytes([BLOB[-1] ^ 1]), "CRC-32")


@pytest.mark.parametrize(("size", "words"), [(40, "size"), (100, "total size")])
def test_truncated(boot: Booter, tmp_path: Path, size: int, words: str) -> None:
    assert_refused(boot, tmp_path, BLOB[:size], words)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("cpus: 3", "task 0: affinity"),
        ("cpus: [0, 3], start_cpu: 3", "task 0: start CPU"),
        ("program: [cpus: 3]", "CPU set 0"),
    ],
)
def test_cpus_that_are_not_there(boot: Booter, tmp_path: Path, task: str, words: str) -> None:
    """A blob that names them although it says that fewer are enough."""
    program = "" if "program" in task else ", program: [exit]"
    blob = encode(parse(f"{{name: w, cpus: 4, tasks: {{one: {{{task}{program}}}}}}}"))
    blob = change(blob, HEADER, 0, "cpus", 1)
    assert_refused(boot, tmp_path, blob, words, cpus=2)


def test_a_policy_that_cannot_put_tasks_to_sleep(boot: Booter, tmp_path: Path) -> None:
    assert_refused(boot, tmp_path, BLOB, "policy", policy="none")
