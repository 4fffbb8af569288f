"""The pytest plugin, used as a project of its own uses it."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from harness.toolchain.image import Image
from tests.harness.guests import Then, script
from tests.trace.logs import short_log

pytest_plugins = ["pytester"]

KTAP = (
    b"KTAP version 1\n1..4\nok 1 bits\n# head is 0\nnot ok 2 queue # empty\n"
    b"ok 3 numa # SKIP one node\nnot ok 4 later # TODO unwritten\n"
)
PANIC = (
    b"PANIC cpu=1 vector=14 name=#PF error=0x2 rip=0x100010 cr2=0x0 cr3=0x0 reason=null pointer\n"
    b"PANIC rax=0x1 rbx=0x2\nPANIC backtrace 0x100020\nPANIC end\n"
)


@pytest.fixture
def project(pytester: pytest.Pytester, scripted_guest: Path) -> pytest.Pytester:
    """A directory whose tests have the fixtures ``image`` and ``log`` (the boot module)."""
    pytester.makeconftest(
        f"""
        import pytest
        from pathlib import Path

        @pytest.fixture
        def image():
            return Path({str(scripted_guest)!r})

        @pytest.fixture
        def log():
            return [Path("script.bin").resolve()]
        """
    )
    return pytester


def run(project: pytest.Pytester, log: bytes, then: bytes, test: str, *args: str) -> str:
    """The output of pytest on ``test``, whose guest writes ``log`` and ends like ``then``."""
    script(project.path, log, then)
    project.makepyfile(test)
    installed = entry_points(group="pytest11", name="harness")
    plugin = () if installed else ("-p", "harness.pytest_plugin")
    return project.runpytest_inprocess(*plugin, *args).stdout.str()


BOOTS = """
    def test_boots(boot, image, log):
        run = boot(image, modules=log)
        assert run.outcome == "pass", run.verdict
"""


def test_a_good_guest_passes(project: pytest.Pytester) -> None:
    assert "1 passed" in run(project, short_log(), Then.PASS, BOOTS)


def test_a_failure_shows_verdict_log_and_how_to_repeat_it(project: pytest.Pytester) -> None:
    output = run(project, short_log(result="fail"), Then.FAIL, BOOTS)
    assert "1 failed" in output
    assert "boot 1 of 1: fail" in output
    assert "fail: the log ends with result=fail" in output
    assert "also fail: the guest exited with status 35: it failed" in output
    assert "last 18 of 18 lines of the serial log:" in output
    assert "result=fail *" in output
    again = next(row for row in output.splitlines() if row.startswith("again:"))
    assert " run --smp 4 --clock virtual --seed 1 --image " in again
    assert "by hand: qemu-system-x86_64 -M microvm" in output


def test_a_long_log_is_shown_by_its_end(project: pytest.Pytester) -> None:
    output = run(project, short_log(ticks=50, result="fail"), Then.FAIL, BOOTS)
    assert "last 30 of 206 lines of the serial log:" in output
    assert "hello" not in output
    assert "result=fail" in output


def test_a_panic_is_shown_with_registers_and_backtrace(
    project: pytest.Pytester, scripted_guest: Path
) -> None:
    log = short_log().replace(b"\n", b"\n" + PANIC, 1)
    output = run(project, log, Then.PANIC, BOOTS)
    assert "panic on CPU 1: #PF null pointer at 0x100010" in output
    assert "rax=0x0000000000000001" in output
    with Image(scripted_guest) as image:
        assert f"  at {image.locate(0x100010)}" in output
        assert f"  called from 0x100020 {image.locate(0x100020 - 1)}" in output


def test_a_hang_shows_where_the_cpus_were(project: pytest.Pytester) -> None:
    test = BOOTS.replace("modules=log", "modules=log, quiet=1.0, cpus=1")
    output = run(project, short_log(cpus=1), Then.HANG, test)
    assert "where the CPUs were:" in output
    assert "halted=1 if=0" in output


def test_of_several_boots_those_that_failed_are_shown(project: pytest.Pytester) -> None:
    test = """
        def test_boots(boot, image, log):
            runs = [boot(image, modules=log), boot(image, modules=log, cpus=2)]
            assert all(run.passed for run in runs)
    """
    output = run(project, short_log(), Then.PASS, test)
    assert "boot 2 of 2: fail" in output
    assert "boot 1 of 2" not in output


def test_when_all_boots_passed_the_last_is_shown(project: pytest.Pytester) -> None:
    test = """
        def test_boots(boot, image, log):
            assert boot(image, modules=log).log == boot(image, modules=log).log + b"x"
    """
    assert "boot 2 of 2: pass" in run(project, short_log(), Then.PASS, test)


def test_a_guest_that_the_test_left_running_ends_with_the_test(project: pytest.Pytester) -> None:
    test = """
        from pathlib import Path
        pids = []

        def test_leaves(boot, image, log):
            pids.append(boot(image, modules=log).machine.pid)

        def test_none_left():
            assert pids and not Path(f"/proc/{pids[0]}").exists()
    """
    assert "2 passed" in run(project, short_log(), Then.SPIN, test)


def test_self_tests_are_sub_results(project: pytest.Pytester) -> None:
    test = """
        def test_selftests(boot, image, log, selftests):
            selftests(boot(image, modules=log))
    """
    log = short_log().replace(b"\n", b"\n" + KTAP, 1)
    output = run(project, log, Then.PASS, test, "-v", "-rA")
    assert "[queue]" in output
    assert "empty\nhead is 0" in output
    assert "1 subtests passed" in output
    assert "1 skipped" in output
    assert "1 xfailed" in output
    output = run(project, short_log(), Then.PASS, test)
    assert "the guest reported no self-test; pass" in output


def test_a_self_test_that_went_missing_fails(project: pytest.Pytester) -> None:
    test = """
        def test_selftests(boot, image, log, selftests):
            selftests(boot(image, modules=log))
    """
    log = short_log().replace(b"\n", b"\nKTAP version 1\n1..2\nok 1 bits\n", 1)
    output = run(project, log, Then.PASS, test)
    assert "plan is 1..2, 1 results" in output
    assert "failed" in output


def test_the_options_set_what_a_test_leaves_open(project: pytest.Pytester) -> None:
    test = """
        def test_open(boot, image, log):
            run = boot(image, modules=log)
            print("CONFIG", run.config.cpus, run.config.clock.value, run.config.qemu)

        def test_fixed(boot, image, log):
            run = boot(image, cpus=3, clock="virtual", modules=log)
            print("FIXED", run.config.cpus, run.config.clock.value)
    """
    options = ("--smp", "2", "--clock", "real", "--qemu", "/usr/bin/qemu-system-x86_64", "-s")
    output = run(project, short_log(), Then.PASS, test, *options)
    assert "CONFIG 2 real /usr/bin/qemu-system-x86_64" in output
    assert "FIXED 3 virtual" in output


def test_kvm_implies_the_real_clock(project: pytest.Pytester) -> None:
    test = """
        def test_open(boot, image, log):
            config = boot(image, modules=log).config
            print("CONFIG", config.accel, config.clock.value)
    """
    output = run(project, short_log(), Then.PASS, test, "--accel", "kvm", "-s")
    assert "CONFIG kvm real" in output


def test_logs_are_kept_where_asked(project: pytest.Pytester) -> None:
    test = """
        import pytest

        @pytest.mark.parametrize("name", ["a/b", "c d"])
        def test_twice(boot, image, log, name):
            boot(image, modules=log)
            boot(image, modules=log)
    """
    run(project, short_log(), Then.PASS, test, "--keep-logs", "kept/logs")
    kept = sorted(path.name for path in (project.path / "kept" / "logs").iterdir())
    stem = "test_logs_are_kept_where_asked.py-test_twice"
    assert kept == [
        f"{stem}-a-b-1.log",
        f"{stem}-a-b-2.log",
        f"{stem}-c-d-1.log",
        f"{stem}-c-d-2.log",
    ]


def test_a_kept_log_is_what_the_guest_wrote(project: pytest.Pytester) -> None:
    run(project, short_log(), Then.PASS, BOOTS, "--keep-logs", "kept")
    (kept,) = (project.path / "kept").iterdir()
    assert kept.read_bytes() == short_log()


def test_qemu_that_is_missing_is_named(project: pytest.Pytester) -> None:
    output = run(project, short_log(), Then.PASS, BOOTS, "--qemu", "qemu-nowhere")
    assert "boot 1 of 1: qemu-error" in output
    assert "qemu-nowhere" in output


def test_a_guest_that_does_not_build_is_one_message(project: pytest.Pytester) -> None:
    test = """
        import pytest
        from harness import boot as front_door
        from harness.toolchain.build import BuildError

        @pytest.fixture(autouse=True)
        def broken(monkeypatch):
            def fail(*, checked):
                raise BuildError("guest/x.s:3:1: error: unknown instruction")
            monkeypatch.setattr(front_door, "default_image", fail)

        def test_boots(boot):
            boot()
    """
    output = run(project, short_log(), Then.PASS, test)
    assert "the guest does not build:\nguest/x.s:3:1: error: unknown instruction" in output
    assert "Traceback" not in output
    assert "build.py" not in output
