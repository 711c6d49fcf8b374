from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spyhop.detectors import liquidation_pressure as lp

SECOND = 1_000_000_000
START = 1_723_420_800 * SECOND


def ready(bench: Callable[..., Any], **params: Any) -> Any:
    """A bench that has seen a minute of 600,000 quote units of volume at 60,000, sigma 10 bp a minute."""
    b = bench("liquidation_pressure", **params)
    for k in range(60):
        b.second(k + 1.0, 60_000.0, cum_notional=10_000.0 * (k + 1), sigma_1m=1e-3)
    return b


def interest(b: Any, at_s: float, contracts: float) -> None:
    lp.on_open_interest(*b.records, START + int(at_s * SECOND), contracts, b.moment[0])


def test_forced_sells_are_longs_and_score_by_their_share_of_the_minute(bench: Callable[..., Any]) -> None:
    b = ready(bench)
    lp.on_liquidation(*b.records, START + 60 * SECOND, -1, 60_000.0, 5.0)
    detection, evidence = b.read(60.0)
    expected = 1.0 - math.exp(-300_000.0 / (0.5 * 600_000.0))
    assert evidence["liq_realised_long"] == pytest.approx(expected)
    assert evidence["liq_long"] == pytest.approx(100.0 * expected)
    assert evidence["liq_short"] == 0.0
    assert detection["value"] == pytest.approx(100.0 * expected)
    assert detection["confidence"] == pytest.approx(0.2)
    later = b.read(60.0 + 60.0 * math.log(2.0))[1]["liq_realised_long"]
    assert later == pytest.approx(1.0 - math.exp(-0.5), rel=1e-6)


def test_nothing_is_known_before_a_minute_of_volume(bench: Callable[..., Any]) -> None:
    b = bench("liquidation_pressure")
    lp.on_liquidation(*b.records, START, 1, 60_000.0, 5.0)
    detection, evidence = b.read(1.0)
    assert (detection["ready"], detection["value"], evidence["liq_short"]) == (0, 0.0, 0.0)


def test_liquidation_prices_are_the_exact_isolated_ones() -> None:
    assert lp.long_liquidation_price(100.0, 10.0, 0.005) == pytest.approx(100.0 * 0.9 / 0.995)
    assert lp.short_liquidation_price(100.0, 10.0, 0.005) == pytest.approx(100.0 * 1.1 / 1.005)
    # at that price the margin left equals the maintenance margin
    price = lp.long_liquidation_price(100.0, 20.0, 0.004)
    assert 100.0 / 20.0 - (100.0 - price) == pytest.approx(0.004 * price)
    # 100x is 0.60 % away at a maintenance rate of 0.4 %
    assert 1.0 - lp.long_liquidation_price(1.0, 100.0, 0.004) == pytest.approx(0.0060, abs=1e-4)


def test_new_interest_puts_equal_mass_on_both_sides(bench: Callable[..., Any]) -> None:
    b = ready(bench)
    interest(b, 60.0, 1_000.0)
    assert b.state[0]["mass"] == 0.0
    interest(b, 61.0, 1_010.0)
    s = b.state[0]
    within = 1.0 - 0.10  # the five-fold tier lies beyond the map
    assert s["longs"].sum() == pytest.approx(600_000.0 * within)
    assert s["shorts"].sum() == pytest.approx(600_000.0 * within)
    assert s["mass"] == pytest.approx(2 * 600_000.0 * within)


def test_taker_flow_skews_the_map_by_a_fifth_at_most(bench: Callable[..., Any]) -> None:
    b = ready(bench)
    interest(b, 60.0, 1_000.0)
    b.set(cum_buy_volume=50.0, cum_sell_volume=0.0)
    interest(b, 61.0, 1_010.0)
    assert b.state[0]["longs"].sum() / b.state[0]["shorts"].sum() == pytest.approx(1.2 / 0.8)


def test_shrinking_interest_shrinks_the_map_and_none_empties_it(bench: Callable[..., Any]) -> None:
    b = ready(bench)
    interest(b, 60.0, 1_000.0)
    interest(b, 61.0, 1_010.0)
    before = float(b.state[0]["mass"])
    interest(b, 62.0, 505.0)
    assert b.state[0]["mass"] == pytest.approx(0.5 * before)
    interest(b, 63.0, 0.0)
    assert b.state[0]["mass"] == 0.0
    assert not np.any(b.state[0]["longs"])


def test_a_price_that_passes_consumes(bench: Callable[..., Any]) -> None:
    b = ready(bench)
    interest(b, 60.0, 1_000.0)
    interest(b, 61.0, 1_010.0)
    shorts = float(b.state[0]["shorts"].sum())
    b.second(62.0, 60_000.0 * 0.985, sec_low=60_000.0 * 0.97, sec_high=60_000.0, sigma_1m=1e-3)
    s = b.state[0]
    floor = math.floor(math.log(60_000.0 * 0.97) / 5e-4)
    held = {b_: s["longs"][b_ & 1023] for b_ in range(floor - 300, floor + 100)}
    assert all(mass == 0.0 for b_, mass in held.items() if b_ >= floor)
    assert sum(held.values()) > 0.0
    assert s["shorts"].sum() == pytest.approx(shorts)
    assert s["mass"] == pytest.approx(s["longs"].sum() + s["shorts"].sum())


def test_the_map_speaks_only_after_a_day_of_open_interest(bench: Callable[..., Any]) -> None:
    b = ready(bench, potential_warm_s=100.0)
    interest(b, 60.0, 1_000.0)
    interest(b, 61.0, 1_200.0)
    for k in range(62, 70):
        b.second(float(k), 60_000.0, cum_notional=600_000.0, sigma_1m=1e-3)
    early, _ = b.read(100.0)
    assert (early["ready"], early["value"]) == (0, 0.0)
    late, evidence = b.read(161.0)
    assert late["ready"] == 1
    assert late["value"] > 1.0
    # symmetric mass at nearly symmetric prices
    assert evidence["liq_long"] == pytest.approx(evidence["liq_short"], rel=0.15)


def test_scores_keep_their_range_through_any_weather(bench: Callable[..., Any]) -> None:
    rng = np.random.default_rng(5)
    b = ready(bench, potential_warm_s=1.0)
    price = 60_000.0
    interest(b, 60.0, 1_000.0)
    for k in range(61, 700):
        move = float(np.exp(rng.normal(0.0, 0.02)))
        low, high = min(price, price * move), max(price, price * move)
        price *= move
        interest(b, k + 0.0, float(rng.uniform(0, 2_000)))
        if rng.random() < 0.2:
            lp.on_liquidation(
                *b.records, START + k * SECOND, int(rng.choice([-1, 1])), price, float(rng.exponential(50))
            )
        b.second(float(k), price, sec_low=low, sec_high=high, cum_notional=10_000.0 * k, sigma_1m=1e-3)
        detection, evidence = b.read(float(k))
        assert 0.0 <= detection["value"] <= 100.0
        assert 0.0 <= evidence["liq_long"] <= 100.0
        assert 0.0 <= evidence["liq_short"] <= 100.0
        s = b.state[0]
        assert s["mass"] == pytest.approx(s["longs"].sum() + s["shorts"].sum(), abs=1e-3 * (1 + abs(s["mass"])))
