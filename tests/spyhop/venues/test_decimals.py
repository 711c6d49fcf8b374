"""Exact decimals against Python's own."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.venues import decimals

TEXTS = st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,12})?", fullmatch=True)


def read(text: str, places: int, unit: int = 1) -> tuple[int, int]:
    buf = np.frombuffer(text.encode(), np.uint8)
    return decimals.whole(buf, 0, len(buf), places, unit)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(TEXTS, st.integers(0, 8), st.sampled_from([1, 5, 25]))
def test_a_number_is_exact_or_off_the_grid(text: str, places: int, unit: int) -> None:
    ratio = Decimal(text).scaleb(places) / unit
    number, reason = read(text, places, unit)
    if ratio == int(ratio):
        assert (number, reason) == (int(ratio), decimals.OK)
    else:
        assert reason == decimals.OFF_GRID


@settings(max_examples=200, deadline=None, derandomize=True)
@given(TEXTS, st.integers(0, 8), st.sampled_from(["", "-"]))
def test_rounding_takes_halves_away_from_zero(text: str, places: int, sign: str) -> None:
    buf = np.frombuffer((sign + text).encode(), np.uint8)
    expected = int(Decimal(sign + text).scaleb(places).to_integral_value(ROUND_HALF_UP))
    assert decimals.rounded(buf, 0, len(buf), places) == (expected, decimals.OK)


@pytest.mark.parametrize("text", ["", ".", "1.", ".5", "1e3", "+1", " 1", "1 ", "0x1", "1_0", "nan", "1.2.3"])
def test_other_text_is_no_number(text: str) -> None:
    assert read(text, 2)[1] == decimals.BAD_NUMBER


def test_a_minus_is_named() -> None:
    assert read("-1", 2)[1] == decimals.NEGATIVE


@pytest.mark.parametrize(("text", "places"), [("1" * 19, 0), ("1" * 11, 8), ("9" * 40, 0)])
def test_what_might_not_fit_is_out_of_range(text: str, places: int) -> None:
    assert read(text, places)[1] == decimals.OUT_OF_RANGE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", (0, decimals.OK)),
        ("1723161255030314667", (1723161255030314667, decimals.OK)),
        ("9223372036854775808", (0, decimals.OUT_OF_RANGE)),
        ("17231612550303146670", (0, decimals.OUT_OF_RANGE)),
        ("5.0", (0, decimals.BAD_NUMBER)),
        ("-5", (0, decimals.NEGATIVE)),
        ("", (0, decimals.BAD_NUMBER)),
    ],
)
def test_whole_numbers_have_nineteen_digits_at_most(text: str, expected: tuple[int, int]) -> None:
    buf = np.frombuffer(text.encode(), np.uint8)
    assert decimals.integer(buf, 0, len(buf)) == expected
