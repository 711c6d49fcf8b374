from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spyhop.detectors import flow

SECOND = 1_000_000_000
START = 1_723_420_800 * SECOND


def run(b: Any, buys: np.ndarray, sells: np.ndarray, mids: np.ndarray) -> None:
    for k, (buy, sell, mid) in enumerate(zip(buys, sells, mids, strict=True)):
        for side, qty in ((1, buy), (-1, sell)):
            if qty > 0:
                flow.on_trade(*b.records, START + k * SECOND + 500_000_000, side)
        b.second(k + 1.0, float(mid), sec_buy_volume=float(buy), sec_sell_volume=float(sell))


@pytest.mark.oracle
def test_the_imbalance_of_a_minute_equals_wickra(bench: Callable[..., Any]) -> None:
    wickra = pytest.importorskip("wickra")
    rng = np.random.default_rng(1)
    n = 150
    side = np.where(rng.random(n) < 0.6, 1, -1)
    size = rng.lognormal(0, 1, n)
    b = bench("flow")
    oracle = wickra.TradeImbalance(60)
    expected = [oracle.update(100.0, float(q), bool(s > 0)) for q, s in zip(size, side, strict=True)]
    run(b, np.where(side > 0, size, 0.0), np.where(side < 0, size, 0.0), np.full(n, 100.0))
    assert b.read(float(n))[0]["value"] == pytest.approx(expected[-1], abs=1e-12)


@pytest.mark.oracle
def test_kyles_lambda_equals_least_squares_and_wickra(bench: Callable[..., Any]) -> None:
    wickra = pytest.importorskip("wickra")
    rng = np.random.default_rng(2)
    n = 260
    signed = rng.normal(0.0, 4.0, n)
    mids = 100.0 + np.cumsum(0.02 * signed + rng.normal(0.0, 0.05, n))
    b = bench("flow")
    run(b, np.maximum(signed, 0.0), np.maximum(-signed, 0.0), mids)
    slope = np.polyfit(signed[-100:], np.diff(mids)[-100:], 1)[0]
    assert b.read(float(n))[1]["kyle_lambda"] == pytest.approx(slope, rel=1e-9)
    oracle = wickra.KylesLambda(100)
    seen = [oracle.update(m, abs(float(v)), bool(v > 0), float(m)) for v, m in zip(signed, mids, strict=True)]
    assert slope == pytest.approx(seen[-1], rel=1e-6)


def test_the_window_forgets_what_is_older_than_a_minute(bench: Callable[..., Any]) -> None:
    b = bench("flow")
    buys, sells = np.zeros(100), np.ones(100)
    buys[:40] = 50.0
    run(b, buys, sells, np.full(100, 100.0))
    assert b.read(100.0)[0]["value"] == -1.0


def test_intensities_equal_the_sum_over_all_trades(bench: Callable[..., Any]) -> None:
    b = bench("flow", warm_s=1)
    rng = np.random.default_rng(4)
    times = np.sort(rng.integers(0, 40 * SECOND, 200))
    sides = rng.choice([-1, 1], 200)
    second = 0
    for t, side in zip(times, sides, strict=True):
        while t >= (second + 1) * SECOND:
            second += 1
            b.second(float(second), 100.0, sec_buy_volume=1.0, sec_sell_volume=1.0)
        flow.on_trade(*b.records, START + int(t), int(side))
    at = 40.0
    while second < 40:
        second += 1
        b.second(float(second), 100.0, sec_buy_volume=1.0, sec_sell_volume=1.0)
    _, evidence = b.read(at)
    base = 0.5 * 0.4 * float(b.state[0]["rate"])
    rates = {}
    for side in (1, -1):
        ages = at - times[sides == side] / SECOND
        rates[side] = base + 0.2 * sum(beta * np.exp(-beta * ages).sum() for beta in (0.1, 1.0, 10.0))
    expected = (rates[1] - rates[-1]) / (rates[1] + rates[-1])
    assert evidence["hawkes_imbalance"] == pytest.approx(expected, rel=1e-9)
    assert evidence["burst"] == pytest.approx((rates[1] + rates[-1]) / float(b.state[0]["rate"]), rel=1e-9)
    assert b.state[0]["rate"] == pytest.approx(5.0, rel=1e-9)


def test_a_burst_of_buys_shows_and_fades(bench: Callable[..., Any]) -> None:
    b = bench("flow")
    run(b, np.ones(60), np.ones(60), np.full(60, 100.0))
    quiet = float(b.read(60.0)[1]["burst"])
    for k in range(40):
        flow.on_trade(*b.records, START + 60 * SECOND + k, 1)
    loud = b.read(60.001)[1]
    assert loud["burst"] > 10 * quiet
    assert loud["hawkes_imbalance"] > 0.8
    assert b.read(90.0)[1]["burst"] < loud["burst"] / 5


def test_it_is_neutral_before_half_a_minute(bench: Callable[..., Any]) -> None:
    b = bench("flow", warm_s=30)
    run(b, np.ones(29), np.zeros(29), np.full(29, 100.0))
    detection, evidence = b.read(29.0)
    assert (detection["ready"], detection["value"], evidence["tfi"], evidence["burst"]) == (0, 0.0, 0.0, 0.0)
    assert math.isfinite(evidence["kyle_lambda"])


def test_silence_has_no_imbalance(bench: Callable[..., Any]) -> None:
    b = bench("flow")
    run(b, np.zeros(100), np.zeros(100), np.full(100, 100.0))
    detection, _ = b.read(100.0)
    assert detection["value"] == 0.0
