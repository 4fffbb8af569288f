"""Worker processes: answers, crashes, and that none survives."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from harness.coverage.pool import Crash, Pool

HANDLER = "tests.coverage.test_pool:handle"


def handle(job: dict[str, Any]) -> object:
    """What the workers of these tests do."""
    if "sleep" in job:
        Path(job["tell"]).write_text(str(os.getpid()))
        time.sleep(job["sleep"])
    if "fail" in job:
        raise ValueError(job["fail"])
    return {"twice": 2 * job.get("number", 0), "pid": os.getpid()}


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_every_job_gets_its_answer() -> None:
    with Pool(HANDLER, 2) as pool:
        found = {job["number"]: answer for job, answer in pool.run({"number": n} for n in range(9))}
    assert {number: answer["twice"] for number, answer in found.items()} == {
        number: 2 * number for number in range(9)
    }
    assert len({answer["pid"] for answer in found.values()}) <= 2
    assert not any(alive(answer["pid"]) for answer in found.values())


def test_a_job_that_fails_takes_no_other_with_it() -> None:
    with Pool(HANDLER, 1) as pool:
        jobs = [{"number": 1}, {"fail": "what went wrong"}, {"number": 3}]
        answers = [answer for _, answer in pool.run(jobs)]
    assert [answer["twice"] for answer in (answers[0], answers[2])] == [2, 6]
    assert isinstance(answers[1], Crash)
    assert "what went wrong" in answers[1].words


def test_a_job_without_end_is_ended(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    with Pool(HANDLER, 1, job_seconds=8.0) as pool:
        [(_, answer)] = pool.run([{"sleep": 600, "tell": str(told)}])
    assert answer == Crash("no end within 8 s")
    assert not alive(int(told.read_text()))


def test_leaving_the_block_ends_the_workers(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    jobs = [{"sleep": 0, "tell": str(tmp_path / "x")}, {"sleep": 600, "tell": str(told)}]
    with pytest.raises(KeyboardInterrupt), Pool(HANDLER, 2) as pool:
        for _ in pool.run(jobs):
            while not told.exists() or not told.read_text():
                time.sleep(0.01)
            raise KeyboardInterrupt
    assert not alive(int(told.read_text()))
