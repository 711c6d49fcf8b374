from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.detectors import wpi
from spyhop.market.top import TOP

MS = 1_000_000
SECOND = 1_000 * MS
START = 1_723_420_800 * SECOND
THETA = 50_000.0


def trade(b: Any, at_ms: float, notional: float, side: int, trade_id: int = 0, price: float = 100.0) -> None:
    ts = START + int(at_ms * MS)
    wpi.on_trade(*b.records, ts, ts, price, notional / price, side, trade_id)


def second(b: Any, at_s: float, mid: float = 100.0, kyle_lambda: float = 0.0) -> None:
    b.set(mid=mid, has_book=1)
    wpi.on_second(*b.records, START + int(at_s * SECOND), b.moment[0], kyle_lambda)


@pytest.mark.parametrize("n", [1, 3, 20])
def test_n_identical_whales_give_n_g_over_n_g_plus_k(bench: Callable[..., Any], n: int) -> None:
    b = bench("wpi", ready_parents=1)
    for k in range(n):
        trade(b, 0.0, 2 * THETA, 1, trade_id=10 * k)
        second(b, 1e-9 + 0.01)  # closes the parent before the next print
    g = 1.0 + math.log(2.0)
    detection, _ = b.read(0.0)
    assert detection["value"] == pytest.approx(n * g / (n * g + 3.0), rel=1e-9)
    assert detection["confidence"] == pytest.approx(n * g / (n * g + 3.0), rel=1e-9)


def test_alternating_whales_cancel(bench: Callable[..., Any]) -> None:
    b = bench("wpi", ready_parents=1)
    for k in range(40):
        trade(b, 10.0 * k, 2 * THETA, 1 if k % 2 else -1)
    second(b, 1.0)
    assert abs(b.read(1.0)[0]["value"]) < 0.02
    assert b.state[0]["num_whales"] == 40


def test_pressure_halves_in_tau_ln_2(bench: Callable[..., Any]) -> None:
    b = bench("wpi", tau_s=120.0, ready_parents=1)
    for k in range(10):
        trade(b, 10.0 * k, 2 * THETA, 1)
    second(b, 1.0)
    mass = float(b.state[0]["mass"])
    at = 120.0 * math.log(2.0) + float(b.state[0]["ts_mass"] - START) / SECOND
    assert b.read(at)[0]["value"] == pytest.approx(0.5 * mass / (0.5 * mass + 3.0), rel=1e-6)


def test_prints_of_one_order_are_one_parent(bench: Callable[..., Any]) -> None:
    b = bench("wpi")
    for at_ms, side, trade_id in (
        (0.0, 1, 1),
        (0.9, 1, 7),  # the same millisecond
        (4.0, 1, 8),  # at most 5 ms later and the next id
        (6.0, 1, 10),  # an id is missing
        (6.2, -1, 11),  # the other side
        (12.0, -1, 12),  # too late
    ):
        trade(b, at_ms, 1_000.0, side, trade_id)
    second(b, 1.0)
    assert b.state[0]["num_parents"] == 4


def test_the_threshold_is_a_high_quantile_of_parents_but_never_below_the_floor(bench: Callable[..., Any]) -> None:
    rng = np.random.default_rng(6)
    sizes = rng.lognormal(10.0, 1.5, 4_000)
    thresholds = []
    for quantile in (0.9, 0.99, 0.999):
        b = bench("wpi", quantile=quantile, floor_usd=1.0)
        for k, size in enumerate(sizes):
            trade(b, 10.0 * k, float(size), 1)
        second(b, 41.0)
        thresholds.append(float(b.read(41.0)[1]["whale_threshold"]))
        assert math.log(thresholds[-1]) == pytest.approx(math.log(np.quantile(sizes, quantile)), abs=0.2)
    assert thresholds == sorted(thresholds)
    b = bench("wpi", floor_usd=1e9)
    for k, size in enumerate(sizes):
        trade(b, 10.0 * k, float(size), 1)
    second(b, 41.0)
    assert b.read(41.0)[1]["whale_threshold"] == 1e9


def test_the_last_second_lists_its_whales(bench: Callable[..., Any]) -> None:
    b = bench("wpi")
    trade(b, 100.0, 60_000.0, 1)
    trade(b, 200.0, 90_000.0, -1)
    trade(b, 300.0, 10_000.0, -1)
    second(b, 1.0)
    _, evidence = b.read(1.0)
    assert evidence["big_trade_count"] == 2
    assert (evidence["big_buy_volume"], evidence["big_sell_volume"]) == (600.0, 900.0)
    assert (evidence["big_buy_value"], evidence["big_sell_value"]) == (60_000.0, 90_000.0)
    assert evidence["small_flow"] == -1.0
    second(b, 2.0)
    assert b.read(2.0)[1]["big_trade_count"] == 0


def test_a_forced_order_takes_its_whale_back(bench: Callable[..., Any]) -> None:
    b = bench("wpi", ready_parents=1)
    trade(b, 0.0, 80_000.0, -1)
    second(b, 1.0)
    assert b.read(1.0)[0]["value"] < -0.2
    wpi.on_liquidation(*b.records, START + 1_100 * MS, 1, 100.0, 800.0)
    assert b.state[0]["num_forced"] == 0
    wpi.on_liquidation(*b.records, START + 1_100 * MS, -1, 100.0, 800.0)
    assert b.state[0]["num_forced"] == 1
    assert b.read(1.1)[0]["value"] == pytest.approx(0.0, abs=1e-12)


def test_whales_that_do_not_move_the_price_are_absorbed(bench: Callable[..., Any]) -> None:
    b = bench("wpi")
    for k in range(70):
        trade(b, 1_000.0 * k + 1, 60_000.0, -1)
        second(b, k + 1.0, mid=100.0, kyle_lambda=0.001)
    assert b.read(70.0)[1]["absorption"] == 1.0
    b = bench("wpi")
    for k in range(70):
        trade(b, 1_000.0 * k + 1, 60_000.0, -1)
        second(b, k + 1.0, mid=100.0 - 0.5 * k, kyle_lambda=0.001)
    expected = 1.0 - 30.0 / (0.001 * 60 * 600.0)
    assert b.read(70.0)[1]["absorption"] == pytest.approx(expected, abs=0.01)


def test_more_traded_than_was_ever_shown_is_an_iceberg(bench: Callable[..., Any]) -> None:
    b = bench("wpi")
    top = np.zeros(1, TOP)[0]
    top["bid"], top["ask"], top["bid_qty"], top["ask_qty"] = 999, 1000, 10_000, 10_000
    wpi.on_top(b.state[0], top, 0.001)
    for _ in range(3):
        wpi.on_resting(b.state[0], 1000, 10.0, 1)
        wpi.on_resting(b.state[0], 999, 3.0, -1)
    second(b, 1.0)
    assert b.read(1.0)[1]["iceberg"] == pytest.approx(0.5)
    top["ask"], top["bid"] = 1005, 1004
    wpi.on_top(b.state[0], top, 0.001)
    second(b, 2.0)
    assert 0.45 < b.read(2.0)[1]["iceberg"] < 0.5


def test_runs_of_signs_show_as_autocorrelation(bench: Callable[..., Any]) -> None:
    runs, coins, flips = bench("wpi"), bench("wpi"), bench("wpi")
    rng = np.random.default_rng(12)
    for k in range(3_000):
        trade(runs, 10.0 * k, 100.0, 1 if (k // 100) % 2 else -1)
        trade(coins, 10.0 * k, 100.0, int(rng.choice([-1, 1])))
        trade(flips, 10.0 * k, 100.0, 1 if k % 2 else -1)
    assert runs.read(30.0)[1]["sign_autocorr"] > 0.8
    assert abs(coins.read(30.0)[1]["sign_autocorr"]) < 0.1
    # lags 1, 3, ... are -1 and 2, 4, ... are +1
    assert abs(flips.read(30.0)[1]["sign_autocorr"]) < 0.05


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(1.0, 1e9), st.sampled_from([1, -1]), st.integers(0, 50)), max_size=60))
def test_it_stays_strictly_inside_its_range_and_mirrors(rows: list[tuple[float, int, int]]) -> None:
    values = []
    for sign in (1, -1):
        s, p = np.zeros(1, wpi.STATE)[0], np.zeros(1, wpi.PARAMS)
        p[0] = wpi.params_record(wpi.WpiParams())
        wpi.reset(s, p[0])
        ts = START
        for k, (notional, side, gap) in enumerate(rows):
            ts += gap * MS
            wpi.on_trade(s, p[0], ts, ts, 100.0, notional / 100.0, sign * side, k)
        values.append(float(s["pressure"]) / (float(s["mass"]) + 3.0))
    assert abs(values[0]) < 1.0
    assert values[0] == -values[1]
