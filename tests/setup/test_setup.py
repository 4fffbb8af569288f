"""harness/setup.sh on machines that lack something. What it would install is only noted down."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "cat", "cksum", "dirname", "mkdir", "chmod", "cp")
"""What setup.sh and the stand-ins below call, and every machine has."""

APT_GET = """\
#!/bin/sh
echo "apt-get $*" >>"$LOG"
case $1 in
install) cp "$BIN/sh" "$BIN/qemu-system-x86_64" && cp "$BIN/sh" "$BIN/ld" ;;
esac
"""
PYTHON = """\
#!/bin/sh
case "$1 $2" in
"-c import ensurepip, venv") exit ${VENV_STATUS:-0} ;;
"-c "*) exit ${VERSION_STATUS:-0} ;;
"--version "*) echo "Python 3.9.2" ;;
"-m venv")
    echo "python3 $*" >>"$LOG"
    mkdir -p "$3/bin" && cp "$BIN/pip" "$3/bin/python"
    ;;
esac
"""
PIP = """\
#!/bin/sh
echo "pip $3 $4 $5" >>"$LOG"
exit ${PIP_STATUS:-0}
"""


class Host:
    """A machine: the programs in its PATH, a checkout, and a note of what was installed."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.log = folder / "log"
        self.checkout = folder / "checkout"
        (self.checkout / "harness").mkdir(parents=True)
        shutil.copy(ROOT / "harness" / "setup.sh", self.checkout / "harness")
        shutil.copy(ROOT / "pyproject.toml", self.checkout)
        self.bin.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None
            (self.bin / tool).symlink_to(found)
        for name, text in (("apt-get", APT_GET), ("python3", PYTHON), ("pip", PIP)):
            self.add(name, text)
        self.user(0)
        self.add("qemu-system-x86_64")
        self.add("ld")

    def add(self, name: str, text: str = "#!/bin/sh\n") -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def remove(self, name: str) -> None:
        (self.bin / name).unlink()

    def user(self, number: int) -> None:
        self.add("id", f"#!/bin/sh\necho {number}\n")

    def setup(self, **environment: str) -> tuple[int, str]:
        """Run it; status, and everything it said."""
        done = subprocess.run(
            [shutil.which("sh") or "sh", "harness/setup.sh"],
            cwd=self.checkout,
            env={"PATH": str(self.bin), "BIN": str(self.bin), "LOG": str(self.log), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def installed(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A machine that has every system package, and no virtual environment."""
    return Host(tmp_path)


VENV = ["python3 -m venv .venv", "pip install --quiet --disable-pip-version-check"]


def test_what_is_missing_is_installed_once(host: Host) -> None:
    host.remove("qemu-system-x86_64")
    host.remove("ld")
    status, said = host.setup()
    assert status == 0
    assert said.splitlines() == [
        "setup: installing qemu-system-x86 binutils",
        "setup: Python packages into .venv",
    ]
    install = "apt-get install -y --no-install-recommends qemu-system-x86 binutils"
    assert host.installed() == ["apt-get update", install, *VENV]
    assert host.setup() == (0, "")
    assert host.installed() == ["apt-get update", install, *VENV]


def test_changed_requirements_install_again(host: Host) -> None:
    assert host.setup()[0] == 0
    with (host.checkout / "pyproject.toml").open("a") as file:
        file.write("# one more\n")
    assert host.setup() == (0, "setup: Python packages into .venv\n")
    assert host.installed() == [*VENV, VENV[1]]


def test_a_checkout_that_was_moved_installs_again(host: Host) -> None:
    """A virtual environment does not survive that."""
    assert host.setup()[0] == 0
    host.checkout = host.checkout.rename(host.checkout.with_name("elsewhere"))
    assert host.setup() == (0, "setup: Python packages into .venv\n")


@pytest.mark.parametrize("why", ["not root", "no apt-get"])
def test_where_it_may_not_install_it_says_what_to_run(host: Host, why: str) -> None:
    host.remove("qemu-system-x86_64")
    if why == "not root":
        host.user(1000)
    else:
        host.remove("apt-get")
    assert host.setup() == (
        3,
        "setup: missing system packages; run: sudo sh -c 'apt-get update && "
        "apt-get install -y --no-install-recommends qemu-system-x86'\n",
    )
    assert host.installed() == []


def test_python_without_venv_is_a_missing_package(host: Host) -> None:
    host.user(1000)
    status, said = host.setup(VENV_STATUS="1")
    assert status == 3
    assert "apt-get install -y --no-install-recommends python3-venv'" in said


def test_an_old_python_is_named(host: Host) -> None:
    status, said = host.setup(VERSION_STATUS="1")
    assert (status, said) == (3, "setup: Python 3.11 or newer is needed, found Python 3.9.2\n")


def test_apt_get_that_fails_is_told_with_the_command(host: Host) -> None:
    host.remove("ld")
    host.add("apt-get", "#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
    status, said = host.setup()
    assert status == 3
    assert said.splitlines()[-2:] == [
        "E: no network",
        "setup: could not install; run: apt-get update && "
        "apt-get install -y --no-install-recommends binutils",
    ]


def test_pip_that_fails_is_told_and_tried_again_the_next_time(host: Host) -> None:
    status, said = host.setup(PIP_STATUS="1")
    assert status == 3
    assert said.endswith("setup: pip failed; is a package index reachable? Then run make again\n")
    assert host.setup() == (0, "setup: Python packages into .venv\n")


def test_make_stops_where_setup_stops(host: Host) -> None:
    """So that nobody has to read past a missing package to find it."""
    host.user(1000)
    host.remove("qemu-system-x86_64")
    shutil.copy(ROOT / "Makefile", host.checkout)
    make = shutil.which("make")
    assert make is not None
    for target in ("run", "test", "lint", "all"):
        done = subprocess.run(
            [make, target],
            cwd=host.checkout,
            env={"PATH": str(host.bin), "LANG": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        first, *rest = done.stderr.splitlines()
        assert first.startswith("setup: missing system packages; run: sudo sh -c 'apt-get update")
        assert all(line.startswith("make: ***") for line in rest)
        assert done.stdout == ""
