"""A copy of the guest's sources that nobody edits, and builds of it with a change."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from harness.coverage.store import digest_of
from harness.mutate.mutant import Mutant
from harness.toolchain.build import ROOT, build_image, digest, generate_includes, toolchain_digest

FOLDER = ROOT / "build" / "mutate"


class Tree:
    """Sources as they were at one moment, in a folder named by their content."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """Stands for the sources and for the assembler."""
        return self.path.name

    @classmethod
    def of(cls, root: Path = ROOT, folder: Path = FOLDER) -> Tree:
        """The copy of the guest under ``root``, made if there is none yet. Raises BuildError."""
        generate_includes(root)
        parts = [*sorted((root / "guest").rglob("*.s")), *sorted((root / "guest").rglob("*.inc"))]
        includes = sorted((root / "build" / "include").glob("*.inc"))
        contents = digest_of([*parts, *includes, root / "linker.ld"])
        name = digest(
            f"{contents}{[str(p.relative_to(root)) for p in parts]}{toolchain_digest()}".encode()
        )
        path = folder / "trees" / name[:16]
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
                new = Path(temporary) / "tree"
                new.mkdir()
                shutil.copytree(root / "guest", new / "guest")
                shutil.copy(root / "linker.ld", new)
                (new / "include").mkdir()
                for include in includes:
                    shutil.copy(include, new / "include")
                if not path.exists():
                    new.rename(path)
        return cls(path)

    def read(self, file: str) -> str:
        """A source, such as ``guest/sched/core.s``. Raises FileNotFoundError."""
        return (self.path / file).read_text()

    def sources(self, folder: str = "guest") -> list[str]:
        """Every source below a folder, in order."""
        found = sorted((self.path / folder).rglob("*.s"))
        return [str(path.relative_to(self.path)) for path in found]

    def build(self, folder: Path, mutant: Mutant | None = None, *, checked: bool = True) -> Path:
        """The image, with a change or without one. Raises BuildError.

        Builds in one folder share objects and must not run at the same time.
        """
        changed = (
            {} if mutant is None else {file: folder / "changed" / file for file in mutant.files}
        )
        for file, path in changed.items():
            assert mutant is not None
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(mutant.applied(file, self.read(file)))
        return build_image(
            [changed.get(file, self.path / file) for file in self.sources()],
            folder / ("checked.elf" if checked else "guest.elf"),
            linker_script=self.path / "linker.ld",
            include=[self.path / "guest" / "include", self.path / "include"],
            defines={"CHECK": 1} if checked else None,
            base=Path("/"),
            jobs=1 if mutant is not None else None,
        )
