from __future__ import annotations

import numpy as np
import pytest

from spyhop.clock import NS_PER_S
from spyhop.errors import UserError
from spyhop.research.lead_lag.series import series


def test_what_is_out_of_order_missing_or_double_is_mended_and_counted() -> None:
    found = series("a", np.array([30, 10, 20, 20, 40]), np.array([3.0, 1.0, 2.0, 2.5, np.nan]), "exchange", "mids")
    assert found.times.tolist() == [10, 20, 30]
    assert found.values.tolist() == [1.0, 2.5, 3.0]  # of equal times the last
    assert (found.num_unsorted, found.num_missing, found.num_repeated) == (1, 1, 1)
    assert found.resolution_ns == 10
    assert found.bar_ns == 0
    assert found.warnings == ()
    assert found.span_s == 20e-9


@pytest.mark.parametrize("values", [[], [1.0], [1.0, np.nan]])
def test_too_few_prices_are_said(values: list[float]) -> None:
    with pytest.raises(UserError, match="nothing to compare"):
        series("a", np.arange(len(values)), np.array(values), "exchange", "mids")


def test_one_time_for_all_prices_is_said() -> None:
    with pytest.raises(UserError, match="same time"):
        series("a", np.array([7, 7]), np.array([1.0, 2.0]), "exchange", "mids")


def test_bars_are_known_by_their_rhythm_and_warned_about() -> None:
    times = np.arange(100) * 60 * NS_PER_S
    values = np.where(np.arange(100) % 2, np.repeat(np.arange(50.0), 2), np.nan)
    stale = series("a", times, np.repeat(np.arange(50.0), 2), "exchange", "close")
    assert stale.bar_ns == stale.resolution_ns == 60 * NS_PER_S
    assert "every 60 s" in stale.warnings[0]
    assert "51 % of its prices repeat" in stale.warnings[1]
    moving = series("a", times, np.arange(100.0), "exchange", "close")
    assert len(moving.warnings) == 1
    assert series("a", times, values, "exchange", "close").bar_ns == 120 * NS_PER_S
    jittered = times + np.random.default_rng(1).integers(0, NS_PER_S, 100)
    assert series("a", jittered, np.arange(100.0), "exchange", "close").bar_ns == 0


def test_a_rhythm_that_is_told_is_the_resolution() -> None:
    found = series("a", np.array([1, 5, 7]), np.arange(3.0), "exchange", "book", rhythm_ns=100)
    assert found.resolution_ns == 100
