from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spyhop.detectors.funding_rate import binance_funding, dydx_funding, premium_index

HOUR = 3_600.0
START = 1_723_420_800_000_000_000
CONSTANTS = (1e-4, 5e-4, 2e-2)  # interest, damper, cap

Make = Callable[..., Any]


def funding(
    bench: Any, at_h: float, rate: float, interval_h: float = 8.0, next_h: float = 0.0, settled: int = 0
) -> None:
    ts, next_ts = START + int(at_h * 3.6e12), START + int(next_h * 3.6e12)
    bench.module.on_funding(*bench.records, ts, rate, interval_h * HOUR, next_ts if next_h else 0, settled)


def paid(bench: Any, rates: Any, interval_h: float = 8.0, first: int = 1) -> None:
    for k, rate in enumerate(rates, first):
        funding(bench, k * interval_h, rate, interval_h, k * interval_h, settled=1)


@pytest.mark.parametrize("premium", [-4e-4, -1e-4, 0.0, 1e-4, 5e-4, 6e-4])
def test_inside_the_clamp_funding_is_the_interest_exactly(premium: float) -> None:
    assert binance_funding(premium, *CONSTANTS, 8 * HOUR) == pytest.approx(1e-4, abs=1e-18)


@pytest.mark.parametrize(("premium", "rate"), [(7e-4, 2e-4), (-5e-4, 0.0), (-9e-4, -4e-4), (1.0, 2e-2), (-1.0, -2e-2)])
def test_outside_the_clamp_funding_follows_the_premium_to_the_cap(premium: float, rate: float) -> None:
    assert binance_funding(premium, *CONSTANTS, 8 * HOUR) == pytest.approx(rate, abs=1e-18)


def test_half_the_interval_pays_half() -> None:
    assert binance_funding(9e-4, *CONSTANTS, 4 * HOUR) == pytest.approx(2e-4)


def test_dydx_pays_an_eighth_of_the_premium_an_hour() -> None:
    assert dydx_funding(8e-4, 0.0, 1e-2) == pytest.approx(1e-4)
    assert dydx_funding(8e-4, 1.25e-5, 1e-2) == pytest.approx(1.125e-4)
    assert dydx_funding(-8.0, 0.0, 1e-2) == -1e-2


@pytest.mark.parametrize(("bid", "ask", "premium"), [(100.5, 100.6, 0.005), (99.4, 99.5, -0.005), (99.9, 100.1, 0.0)])
def test_the_premium_counts_only_what_lies_beyond_the_index(bid: float, ask: float, premium: float) -> None:
    assert premium_index(bid, ask, 100.0) == pytest.approx(premium)


def test_apr_scales_with_the_interval(bench: Make) -> None:
    four, eight = bench("funding_rate"), bench("funding_rate")
    funding(eight, 1, 1e-4, 8, 8)
    funding(four, 1, 1e-4, 4, 4)
    assert eight.read(7_200)[1]["funding_apr"] == pytest.approx(1e-4 * 3 * 365)
    assert four.read(7_200)[1]["funding_apr"] == pytest.approx(1e-4 * 6 * 365)


def test_a_changed_interval_with_the_same_cost_is_nothing_unusual(bench: Make) -> None:
    stand = bench("funding_rate")
    paid(stand, [1e-4] * 20)
    funding(stand, 161, 0.5e-4, 4, 164)
    assert stand.read(162 * HOUR)[1]["funding_z"] == pytest.approx(0.0, abs=1e-9)


def test_longs_that_pay_more_than_usual_are_crowded(bench: Make) -> None:
    high, low = bench("funding_rate"), bench("funding_rate")
    for stand, rate in ((high, 5e-4), (low, -3e-4)):
        paid(stand, [1e-4] * 30)
        funding(stand, 241, rate, 8, 248)
    assert high.read(242 * HOUR)[0]["value"] < -0.9
    assert low.read(242 * HOUR)[0]["value"] > 0.9


def test_the_scale_floor_keeps_an_atom_of_equal_rates_finite(bench: Make) -> None:
    stand = bench("funding_rate")
    paid(stand, [1e-4] * 90)
    funding(stand, 721, 1.25e-4, 8, 728)
    assert stand.read(722 * HOUR)[1]["funding_z"] == pytest.approx(1.0, rel=1e-6)


def test_z_equals_numpy_over_the_ninety_payments_before(bench: Make) -> None:
    rates = np.random.default_rng(1).normal(1e-4, 1e-4, 140)
    stand = bench("funding_rate")
    paid(stand, rates)
    before = rates[-91:-1]
    expected = (rates[-1] - before.mean()) / before.std()
    assert stand.read(140 * 8 * HOUR)[1]["funding_z"] == pytest.approx(expected)


def test_it_is_ready_after_nine_payments_and_the_rate_is_known_at_once(bench: Make) -> None:
    stand = bench("funding_rate")
    assert stand.read(0)[1]["funding_apr"] == 0.0
    paid(stand, [1e-4] * 8)
    detection, evidence = stand.read(65 * HOUR)
    assert (detection["ready"], detection["value"]) == (0, 0.0)
    assert evidence["funding_apr"] > 0.0
    paid(stand, [1e-4], first=9)
    assert stand.read(73 * HOUR)[0]["ready"] == 1


def test_the_last_prediction_before_its_time_counts_as_paid_once(bench: Make) -> None:
    stand = bench("funding_rate")
    for hour in range(1, 25):
        funding(stand, hour, hour * 1e-5, 8, 8 * (hour // 8 + 1))
    assert stand.state["num_paid"][0] == 3
    assert stand.state["paid"][0][:3] == pytest.approx([7e-5, 15e-5, 23e-5])
    # the venue's own word for the same payment replaces it
    funding(stand, 24.1, 22e-5, 8, 24, settled=1)
    assert stand.state["num_paid"][0] == 3
    assert stand.state["paid"][0][2] == pytest.approx(22e-5)
    # and a payment from before is old news
    funding(stand, 24.2, 9e-5, 8, 16, settled=1)
    assert stand.state["num_paid"][0] == 3


def test_seconds_to_the_next_payment_roll_over(bench: Make) -> None:
    stand = bench("funding_rate")
    funding(stand, 1, 1e-4, 8, 8)
    assert stand.read(2 * HOUR)[1]["funding_next_s"] == 6 * HOUR
    assert stand.read(9 * HOUR)[1]["funding_next_s"] == 7 * HOUR


def test_without_a_venues_rate_the_estimate_comes_from_mark_and_index(bench: Make) -> None:
    stand = bench("funding_rate")
    for minute in range(61):
        premium = 6e-4 if minute < 30 else 12e-4
        stand.module.on_mark(*stand.records, START + minute * 60_000_000_000, 100.0 * (1 + premium), 100.0)
    assert stand.read(HOUR)[1]["funding_estimate"] == pytest.approx(9e-4 - 5e-4)
    funding(stand, 1, 3e-4, 8, 8)
    assert stand.read(HOUR)[1]["funding_estimate"] == 3e-4


@pytest.mark.parametrize(("mark", "index"), [(0.0, 100.0), (100.0, 0.0), (-1.0, 100.0)])
def test_impossible_marks_are_not_folded(mark: float, index: float, bench: Make) -> None:
    stand = bench("funding_rate")
    stand.module.on_mark(*stand.records, START, mark, index)
    assert stand.state["ts_mark"][0] == 0
