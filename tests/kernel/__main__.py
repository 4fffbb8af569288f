"""``python -m tests.kernel FOLDER...``: would the calls of single functions notice a mistake there?

Draws generic mutants (harness/mutate) of files or folders such as ``guest/cpu``, builds each, and
has the tests of this folder call it. Exit status: 0 each was noticed, or changes nothing; 1 not.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
from pathlib import Path

from harness.mutate.equivalent import EQUIVALENT
from harness.mutate.generic import mutants_of
from harness.mutate.mutant import Mutant
from harness.mutate.tree import FOLDER, Tree
from harness.mutate.trial import own_folder
from harness.toolchain.build import ROOT, BuildError
from tests.kernel.image import VARIABLES

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.M)
_SECONDS = 300
_WITHOUT_THIS = ("--ignore", "tests/kernel/test_bites.py")
_CHECKED = "guest/invariant/"
_MODULES = ("guest/task/workload_check", "guest/task/workload_load")
"""What reads a boot module has its tests elsewhere."""


def drawn(tree: Tree, names: list[str], limit: int, seed: int) -> list[Mutant]:
    """So many mutants of these files and folders, without those that change nothing."""
    files = [f for f in tree.sources() for name in names if f == name or f.startswith(f"{name}/")]
    found = [m for f in files for m in mutants_of(f, tree.read(f)) if m.id not in EQUIVALENT]
    return random.Random(seed).sample(found, min(limit, len(found)))


def noticed(tree: Tree, mutant: Mutant, folder: Path) -> str | None:
    """The first test that fails; None if none does. Raises BuildError."""
    file = mutant.files[0]
    checked = file.startswith(_CHECKED)
    image = tree.build(folder, mutant, checked=checked)
    tests = "workload_guest/test_module.py" if file.startswith(_MODULES) else "kernel"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            *_WITHOUT_THIS,
            f"tests/{tests}",
        ],
        cwd=ROOT,
        env={**os.environ, VARIABLES[checked]: str(image)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode == 0:
        return None
    match = _FAILED.search(done.stdout)
    return match[1] if match else f"exit status {done.returncode}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kernel", description=__doc__)
    parser.add_argument("names", nargs="+", metavar="FOLDER", help="or file, below guest/")
    parser.add_argument("--limit", type=int, default=50, help="mutants at most")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--only", metavar="ID", help="this mutant alone")
    options = parser.parse_args()
    tree = Tree.of(ROOT)
    mutants = drawn(tree, options.names, sys.maxsize if options.only else options.limit,
                    options.seed)  # fmt: skip
    chosen = [m for m in mutants if options.only in (None, m.id)]
    survived = 0
    for mutant in chosen:
        try:
            by = noticed(tree, mutant, own_folder(FOLDER))
        except BuildError:
            print(f"unbuildable {mutant.id}")
            continue
        survived += by is None
        print(f"{'survived' if by is None else 'killed'} {mutant.id}: {mutant.words}", by or "",
              flush=True)  # fmt: skip
    print(f"{len(chosen)} mutants, {survived} survived")
    return int(survived > 0 or not chosen)


if __name__ == "__main__":
    sys.exit(main())
