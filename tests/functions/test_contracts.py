"""The header of a function says which registers it clobbers; callers rely on that."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from harness.toolchain.image import Image
from tests.functions.guest import Guest
from tests.functions.machine import PRESERVED, REGISTERS
from tests.functions.mutants import FILES, SOURCES, leaf_functions
from tests.functions.properties import PROPERTIES

EXAMPLES = 50
_HEADER = re.compile(r"^# (\w+)\((?:(?!^#   ).*\n)+?#   clobbers: (.*)\n(?:#.*\n)*PUBLIC \1$", re.M)
_RANGE = re.compile(r"r(\d+) to r(\d+)")


class Recorder(Guest):
    """A guest that notes which registers came back from a function with another value."""

    def __init__(self, image: Image) -> None:
        self.changed: dict[str, set[str]] = {}
        super().__init__(image)

    def call(self, function: str, *arguments: int, **registers: int) -> int:
        result = super().call(function, *arguments, **registers)
        found = self.clobbered(*arguments, **registers)
        self.changed.setdefault(function, set()).update(found)
        return result


def declared(source: str) -> Iterator[tuple[str, set[str]]]:
    """Every public function with the registers that its header allows it, the result included."""
    for match in _HEADER.finditer(source):
        name, clobbers = match.groups()
        words = _RANGE.sub(
            lambda found: ", ".join(f"r{n}" for n in range(int(found[1]), int(found[2]) + 1)),
            clobbers,
        )
        allowed = {word for word in re.split(r", ", words) if word in REGISTERS}
        if "caller-saved" in words:
            allowed |= REGISTERS.keys() - set(PRESERVED)
        yield name, allowed | ({"rax"} if "-> " in match.group() else set())


def headers() -> dict[str, set[str]]:
    texts = ((SOURCES / f"{file}.s").read_text(encoding="ascii") for file in FILES)
    return {name: allowed for text in texts for name, allowed in declared(text)}


@pytest.fixture(scope="module")
def changed(image: Image) -> dict[str, set[str]]:
    recorder, leaf = Recorder(image), set(leaf_functions())
    for held in PROPERTIES:
        if leaf.intersection(held.functions):
            held.hold(recorder, examples=EXAMPLES)
    return recorder.changed


def test_every_public_function_is_called(changed: dict[str, set[str]]) -> None:
    publics = re.compile(r"^PUBLIC (\w+)$", re.M)
    texts = [(SOURCES / f"{file}.s").read_text(encoding="ascii") for file in FILES]
    wanted = {name for text in texts for name in publics.findall(text)}
    assert set(changed) >= wanted == set(headers())


@pytest.mark.parametrize("function", sorted(headers()))
def test_a_function_clobbers_what_its_header_says(
    changed: dict[str, set[str]], function: str
) -> None:
    allowed = headers()[function]
    if allowed >= REGISTERS.keys() - set(PRESERVED):
        assert changed[function] <= allowed  # "caller-saved" promises nothing
    else:
        assert changed[function] == allowed
