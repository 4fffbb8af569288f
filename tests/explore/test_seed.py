"""Seeds: text and back, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.explore.seed import ALGORITHMS, MOST, MOST_DEPTH, Engine, Seed, SeedError

pairs = st.sampled_from([(e, a) for e, known in ALGORITHMS.items() for a in known])
numbers = st.integers(0, MOST)


@given(pairs, st.integers(1, MOST_DEPTH), numbers, numbers)
def test_text_and_back(pair: tuple[Engine, object], depth: int, length: int, seed: int) -> None:
    engine, algorithm = pair
    made = Seed(engine, algorithm, depth, length, seed)  # type: ignore[arg-type]
    assert Seed.parse(str(made)) == made


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("unicorn:pct:3:100", "has 4 parts"),
        ("qemu:pct:3:100:1", "engine 'qemu' is not one of unicorn, plugin"),
        ("unicorn:pctt:3:100:1", "algorithm 'pctt'"),
        ("stress:pct:3:100:1", "stress has no algorithm 'pct': plain, delay"),
        ("unicorn:pct:0:100:1", "depth 0: 1 to"),
        ("unicorn:pct:-3:100:1", "depth '-3' is no decimal number"),
        ("unicorn:pct:3:0x10:1", "length '0x10'"),
        ("unicorn:pct:3:100:", "seed ''"),
        (f"unicorn:pct:3:100:{MOST + 1}", f"seed {MOST + 1}"),
    ],
)
def test_what_says_nothing_is_refused(text: str, words: str) -> None:
    with pytest.raises(SeedError, match=words):
        Seed.parse(text)
