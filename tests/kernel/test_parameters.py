"""Boot parameters: what is accepted, with which value, and what is refused in which words."""

from __future__ import annotations

import pytest

from tests.kernel.kernel import Kernel, RefusedError

U64_MAX = 2**64 - 1
DEFAULTS = {
    "policy": 0, "seed": 1, "hz": 1000, "clock": 1, "cpus": 0, "selftest": 0, "ticks": 10,
    "monitor": 0, "loglevel": 1, "tasks": 64, "flood": 0, "ring": 2, "ring_full": 0,
    "schedstat": 0, "fix": 0, "bug": 0, "algorithm": 1, "race": 0, "race_seed": 1,
    "race_one_in": 16,
}  # fmt: skip
RANGES = {
    "seed": (0, U64_MAX), "hz": (10, 10_000), "cpus": (0, 255), "ticks": (0, 10**9),
    "loglevel": (0, 3), "tasks": (1, 65536), "flood": (0, 10**6), "race_seed": (0, U64_MAX),
    "race_one_in": (1, 10**6),
}  # fmt: skip
CHOICES = {
    "policy": ["none", "o1", "veridian"], "clock": ["virtual", "real"], "monitor": ["0", "1"],
    "ring": ["2k", "8k", "32k", "128k", "512k"], "ring_full": ["wait", "drop"],
    "schedstat": ["0", "1"], "algorithm": ["rr", "priority"],
    "race": ["off", "yield", "delay"],
}  # fmt: skip
FIXES = [*range(1, 12), 16]


def parse(kernel: Kernel, line: str) -> dict[str, int]:
    """The parameters after a command line."""
    kernel.capture_print()
    kernel.set_word("param_loglevel", 1)
    kernel.set_word("boot_cmdline", kernel.text(line))
    kernel.call("params_parse")
    return {key: kernel.word(f"param_{key}") for key in DEFAULTS}


@pytest.mark.parametrize("line", ["", " ", "   "])
def test_without_parameters_the_defaults_hold(kernel: Kernel, line: str) -> None:
    assert parse(kernel, line) == DEFAULTS


def test_parameters_are_words_in_any_order(kernel: Kernel) -> None:
    found = parse(kernel, "  seed=7   hz=250 clock=virtual ticks=0 fix=L01,L16 seed=8 ")
    changed = {"seed": 8, "hz": 250, "clock": 0, "ticks": 0, "fix": 1 << 1 | 1 << 16}
    assert found == DEFAULTS | changed


@pytest.mark.parametrize("key", RANGES)
def test_a_number_is_between_its_bounds(kernel: Kernel, key: str) -> None:
    least, greatest = RANGES[key]
    for value in {least, least + 1, (least + greatest) // 2, greatest - 1, greatest}:
        assert parse(kernel, f"{key}={value}") == DEFAULTS | {key: value}
    for value in [least - 1, greatest + 1, greatest * 10 + 7]:
        kernel.printed = ""
        with pytest.raises(RefusedError) as refused:
            parse(kernel, f"ticks=1 {key}={value}")
        assert str(refused.value) == (
            f"REFUSED boot parameter {key}={value}: expected a decimal number "
            f"from {least} to {greatest}\n"
        )


@pytest.mark.parametrize("word", ["", "x", "1x", "x1", "-1", "+1", "0x10", "1:", "1/", str(2**64),
                                  str(2**64 + 10), "184467440737095516150", "9" * 40])  # fmt: skip
def test_what_is_no_number_is_refused(kernel: Kernel, word: str) -> None:
    """Nor is what has more than 64 bits."""
    with pytest.raises(RefusedError, match=r"seed=[^ ]*: expected a decimal number from 0 to 1844"):
        parse(kernel, f"seed={word}")


def test_leading_zeros_do_no_harm(kernel: Kernel) -> None:
    assert parse(kernel, "hz=000250")["hz"] == 250


@pytest.mark.parametrize("key", CHOICES)
def test_a_choice_is_the_place_of_its_word(kernel: Kernel, key: str) -> None:
    for place, word in enumerate(CHOICES[key]):
        assert parse(kernel, f"{key}={word}") == DEFAULTS | {key: place}
    for word in (CHOICES[key][0] + "x", CHOICES[key][-1][:-1], ""):
        kernel.printed = ""
        with pytest.raises(RefusedError) as refused:
            parse(kernel, f"{key}={word}")
        words = " ".join(CHOICES[key])
        assert (
            str(refused.value) == f"REFUSED boot parameter {key}={word}: expected one of {words}\n"
        )


def test_a_set_has_a_bit_for_the_number_of_each_word(kernel: Kernel) -> None:
    for number in FIXES:
        assert parse(kernel, f"fix=L{number:02}")["fix"] == 1 << number
    everything = sum(1 << number for number in FIXES)
    assert parse(kernel, "fix=all")["fix"] == everything
    assert (
        parse(kernel, "fix=" + ",".join(f"L{number:02}" for number in FIXES))["fix"] == everything
    )
    assert parse(kernel, "fix=L02,L02,L10 bug=V28,V03")["fix"] == 1 << 2 | 1 << 10
    assert parse(kernel, "fix=none bug=V28,V03")["bug"] == 1 << 28 | 1 << 3
    assert parse(kernel, "fix=none")["fix"] == 0


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("L12", "L12"),
        ("L01,none", "none"),
        ("L01,", ""),
        (",", ""),
        ("all,L01", "all"),
        ("L1", "L1"),
    ],
)
def test_what_is_not_in_the_list_of_a_set_is_refused(kernel: Kernel, value: str, word: str) -> None:
    with pytest.raises(RefusedError, match=f"REFUSED boot parameter fix={word}: expected one of "):
        parse(kernel, f"fix={value}")


def test_an_unknown_parameter_is_refused_with_the_known_ones(kernel: Kernel) -> None:
    for word in ("speed=1", "see=1", "seedy=1", "seed1", "=1"):
        kernel.printed = ""
        with pytest.raises(RefusedError) as refused:
            parse(kernel, word)
        key = word.partition("=")[0]
        known = " ".join(DEFAULTS)
        assert str(refused.value) == f"REFUSED unknown boot parameter '{key}'; known are {known}\n"


def test_a_parameter_without_a_value_is_refused(kernel: Kernel) -> None:
    with pytest.raises(RefusedError, match="REFUSED boot parameter seed=: expected a decimal"):
        parse(kernel, "seed")
    for key in ("fix", "ring"):
        kernel.printed = ""
        with pytest.raises(RefusedError, match=f"REFUSED boot parameter {key}=: expected one of"):
            parse(kernel, f"policy=none {key}")


def test_a_second_equals_sign_belongs_to_the_value(kernel: Kernel) -> None:
    with pytest.raises(RefusedError, match="seed=1=2: expected a decimal number"):
        parse(kernel, "seed=1=2")


def test_a_parameter_may_have_127_characters(kernel: Kernel) -> None:
    assert parse(kernel, "seed=" + "7".rjust(127 - 5, "0"))["seed"] == 7
    long = "seed=" + "7".rjust(128 - 5, "0")
    with pytest.raises(RefusedError) as refused:
        parse(kernel, long)
    assert str(refused.value) == "REFUSED boot parameter 'seed...' is too long\n"
    kernel.printed = ""
    with pytest.raises(RefusedError) as refused:
        parse(kernel, "x" * 200)
    assert str(refused.value) == f"REFUSED boot parameter '{'x' * 127}...' is too long\n"


def test_a_refusal_ends_the_run_with_its_own_status(kernel: Kernel) -> None:
    kernel.genuine("refuse")
    kernel.stop_when_halted("refuse")
    kernel.run("refuse")
    assert kernel.ports == [(0xF4, 0x13)]


@pytest.mark.parametrize(("policy", "name"), list(enumerate(["fifo", "o1", "veridian"])))
def test_the_policy_is_the_one_that_was_named(kernel: Kernel, policy: int, name: str) -> None:
    kernel.set_word("param_policy", policy)
    kernel.call("policy_choose")
    assert kernel.word("policy") == kernel.addresses[f"{name}_policy"]
