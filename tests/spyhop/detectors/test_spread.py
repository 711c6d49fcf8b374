from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spyhop.detectors import spread
from spyhop.market.top import TOP

SECOND = 1_000_000_000
START = 1_723_420_800 * SECOND


def top(bid: int, ask: int) -> Any:
    record = np.zeros(1, TOP)[0]
    record["bid"], record["ask"], record["is_ready"] = bid, ask, 1
    return record


def test_the_known_answer_of_the_effective_spread(bench: Callable[..., Any]) -> None:
    b = bench("spread")
    spread.on_trade(*b.records, 100.05, 1_000.0, 1, 100.0)
    b.second(1.0, 100.0)
    assert b.read(1.0)[1]["effective_bps"] == pytest.approx(10.0)


@pytest.mark.oracle
def test_the_effective_spread_equals_wickra(bench: Callable[..., Any]) -> None:
    wickra = pytest.importorskip("wickra")
    rng = np.random.default_rng(8)
    for _ in range(50):
        mid, side = float(rng.uniform(50, 150)), int(rng.choice([-1, 1]))
        price = mid + side * float(rng.uniform(0, 0.3))
        b = bench("spread")
        spread.on_trade(*b.records, price, price, side, mid)
        b.second(1.0, mid)
        expected = wickra.EffectiveSpread().update(price, 1.0, side > 0, mid)
        assert b.read(1.0)[1]["effective_bps"] == pytest.approx(expected, rel=1e-9)


def test_trades_are_weighted_by_notional_and_both_sides_pay(bench: Callable[..., Any]) -> None:
    b = bench("spread")
    spread.on_trade(*b.records, 100.05, 3_000.0, 1, 100.0)
    spread.on_trade(*b.records, 99.9, 1_000.0, -1, 100.0)
    b.second(1.0, 100.0)
    assert b.read(1.0)[1]["effective_bps"] == pytest.approx((3 * 10.0 + 20.0) / 4)


def test_nothing_is_learnt_while_the_mid_is_unknown(bench: Callable[..., Any]) -> None:
    b = bench("spread")
    spread.on_trade(*b.records, 100.05, 3_000.0, 1, 0.0)
    b.second(1.0)
    assert b.read(1.0)[1]["effective_bps"] == 0.0


def test_the_realised_spread_is_known_only_after_its_horizon(bench: Callable[..., Any]) -> None:
    b = bench("spread")
    spread.on_trade(*b.records, 100.05, 1_000.0, 1, 100.0)
    for at in range(1, 6):
        b.second(float(at), 100.02)
        assert b.state[0]["realised_notional"] == 0.0
    b.second(6.0, 100.02)
    s = b.state[0]
    assert s["realised_paid"] / s["realised_notional"] == pytest.approx(2e4 * (100.05 - 100.02) / 100.02, rel=1e-9)


def test_the_quoted_spread_is_weighted_by_time(bench: Callable[..., Any]) -> None:
    b = bench("spread", tau_s=10.0)
    spread.on_top(*b.records, START, top(9_999, 10_001))
    spread.on_top(*b.records, START + 10 * SECOND, top(9_998, 10_002))
    e = np.exp(-1.0)
    assert b.read(20.0)[1]["spread_bps"] == pytest.approx(2.0 * e + 4.0 * (1 - e), rel=1e-9)


def test_the_rank_knows_the_past_alone(bench: Callable[..., Any]) -> None:
    b = bench("spread", warm_s=60)
    for k in range(100):
        spread.on_top(*b.records, START + k * SECOND, top(9_999, 10_001) if k % 2 else top(9_995, 10_005))
        b.second(k + 1.0, 1_000.0)
    spread.on_top(*b.records, START + 100 * SECOND, top(9_900, 10_100))
    b.second(101.0, 1_000.0)
    detection, evidence = b.read(101.0)
    assert detection["value"] == 1.0
    assert evidence["spread_pct"] == 1.0
    spread.on_top(*b.records, START + 101 * SECOND, top(9_999, 10_001))
    b.second(102.0, 1_000.0)
    assert b.read(102.0)[0]["value"] == pytest.approx(0.25, abs=0.01)


def test_it_is_not_ready_before_a_minute_nor_without_a_quote(bench: Callable[..., Any]) -> None:
    b = bench("spread", warm_s=60)
    spread.on_top(*b.records, START, top(9_999, 10_001))
    for k in range(59):
        b.second(k + 1.0, 1_000.0)
    assert b.read(59.0)[0]["ready"] == 0
    b.second(60.0, 1_000.0)
    assert b.read(60.0)[0]["ready"] == 1
    spread.on_break(*b.records)
    detection, evidence = b.read(61.0)
    assert detection["ready"] == 0
    assert evidence["spread_bps"] == 0.0
