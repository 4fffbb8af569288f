"""One Keystone process for all tests of the toolchain; the generated includes of the guest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.toolchain.assemble import assemble
from harness.toolchain.build import ROOT, generate_includes
from harness.toolchain.encoding import Encoder
from harness.toolchain.errors import AsmError


@pytest.fixture(scope="session")
def encoder() -> Iterator[Encoder]:
    shared = Encoder()
    yield shared
    shared.close()


@pytest.fixture(scope="session")
def guest_includes() -> None:
    generate_includes(ROOT)


@pytest.fixture
def failure(encoder: Encoder, tmp_path: Path) -> Callable[..., str]:
    """Assembles lines that must be refused; gives the whole message."""

    def refuse(*lines: str, name: str = "bad.s") -> str:
        source = tmp_path / name
        source.write_text("\n".join([".intel_syntax noprefix", *lines]) + "\n")
        with pytest.raises(AsmError) as caught:
            assemble(source, encoder, [tmp_path])
        return str(caught.value)

    return refuse
