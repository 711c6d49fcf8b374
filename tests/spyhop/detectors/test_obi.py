from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.detectors import obi
from spyhop.market.top import TOP

SECOND = 1_000_000_000
START = 1_723_420_800 * SECOND


def top(bid: int, bid_qty: int, ask: int, ask_qty: int) -> Any:
    record = np.zeros(1, TOP)[0]
    record["bid"], record["bid_qty"], record["ask"], record["ask_qty"] = bid, bid_qty, ask, ask_qty
    record["is_ready"] = 1
    return record


def tops(seed: int, n: int) -> list[tuple[int, int, int, int]]:
    rng = np.random.default_rng(seed)
    out = []
    bid = 600_000
    for _ in range(n):
        bid += int(rng.integers(-1, 2))
        out.append((bid, int(rng.integers(1, 90)), bid + int(rng.integers(1, 4)), int(rng.integers(1, 90))))
    return out


@pytest.mark.oracle
def test_best_level_imbalance_and_order_flow_equal_wickra(bench: Callable[..., Any]) -> None:
    wickra = pytest.importorskip("wickra")
    best, flow, micro = wickra.OrderBookImbalanceTop1(), wickra.OrderFlowImbalance(1), wickra.Microprice()
    b = bench("obi")
    total = 0.0
    for k, (bid, bid_qty, ask, ask_qty) in enumerate(tops(1, 300)):
        obi.on_top(*b.records, START + k, top(bid, bid_qty, ask, ask_qty))
        sides = ([bid], [bid_qty], [ask], [ask_qty])
        assert b.state[0]["obi1"] == pytest.approx(best.update(*sides), abs=1e-15)
        total += flow.update(*sides) or 0.0
        assert b.state[0]["flow"] == pytest.approx(total, abs=1e-6)
        tilt = (micro.update(*sides) - 0.5 * (bid + ask)) / (0.5 * (ask - bid))
        assert b.state[0]["obi1"] == pytest.approx(tilt, abs=1e-6)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(1, 1000))
def test_the_same_quantity_on_both_best_prices_leaves_no_order_flow(seed: int, extra: int) -> None:
    state, params = np.zeros(1, obi.STATE), np.zeros(1, obi.PARAMS)
    params[0] = obi.params_record(obi.ObiParams())
    bid, bid_qty, ask, ask_qty = tops(seed, 1)[0]
    obi.on_top(state[0], params[0], START, top(bid, bid_qty, ask, ask_qty))
    obi.on_top(state[0], params[0], START + 1, top(bid, bid_qty + extra, ask, ask_qty + extra))
    assert state[0]["flow"] == 0.0


def test_the_value_is_the_time_weighted_mean(bench: Callable[..., Any]) -> None:
    b = bench("obi", tau_s=1.0)
    for at_s, x in ((0.0, 0.5), (4.0, -0.5), (4.5, 1.0)):
        obi.on_book(*b.records, START + int(at_s * SECOND), x)
    e = np.exp(-0.5)
    mean = (0.5 * e + -0.5 * (1 - e)) * e + 1.0 * (1 - e)
    obi.on_second(*b.records, START + 5 * SECOND, b.moment[0])
    detection, evidence = b.read(5.0)
    assert detection["ready"] == 1
    assert evidence["obi_w"] == 1.0
    assert detection["value"] == pytest.approx(mean, rel=1e-9)
    assert detection["n_eff"] == pytest.approx(5.0)


def test_it_is_not_ready_before_three_taus_nor_after_a_break(bench: Callable[..., Any]) -> None:
    b = bench("obi")
    obi.on_book(*b.records, START, 0.7)
    assert b.read(2.9)[0]["ready"] == 0
    assert b.read(3.1)[0]["ready"] == 1
    obi.on_break(*b.records)
    detection, _ = b.read(4.0)
    assert (detection["ready"], detection["value"], detection["confidence"]) == (0, 0.0, 0.0)
    obi.on_book(*b.records, START + 5 * SECOND, 0.7)
    assert b.read(7.0)[0]["ready"] == 0
    assert b.read(8.1)[0]["value"] == pytest.approx(0.7)


def test_the_quote_is_the_book_until_a_depth_stream_is_seen(bench: Callable[..., Any]) -> None:
    b = bench("obi")
    obi.on_top(*b.records, START, top(100, 30, 101, 10))
    assert b.read(4.0)[0]["value"] == pytest.approx(0.5)
    obi.on_book(*b.records, START + 5 * SECOND, -0.2)
    obi.on_top(*b.records, START + 6 * SECOND, top(100, 30, 101, 90))
    assert b.state[0]["obi_w"] == -0.2


def test_the_tilt_of_a_second_is_weighted_by_time(bench: Callable[..., Any]) -> None:
    b = bench("obi")
    obi.on_top(*b.records, START, top(100, 30, 101, 10))
    obi.on_top(*b.records, START + 3 * SECOND // 4, top(100, 10, 101, 30))
    obi.on_second(*b.records, START + SECOND, b.moment[0])
    assert b.read(1.0)[1]["micro_tilt"] == pytest.approx(0.75 * 0.5 - 0.25 * 0.5)
    obi.on_second(*b.records, START + 2 * SECOND, b.moment[0])
    assert b.read(2.0)[1]["micro_tilt"] == pytest.approx(-0.5)


def test_the_flow_score_is_causal_and_waits_for_its_sample(bench: Callable[..., Any]) -> None:
    b = bench("obi", flow_warm_s=30)
    rng = np.random.default_rng(3)
    scores = []
    for k in range(60):
        ts = START + k * SECOND
        obi.on_top(*b.records, ts, top(100, 50, 101, 50))
        obi.on_top(*b.records, ts + 1, top(100, 50 + int(rng.integers(-5, 6)), 101, 50))
        if k == 59:
            obi.on_top(*b.records, ts + 2, top(100, 5_000, 101, 50))
        obi.on_second(*b.records, ts + SECOND, b.moment[0])
        scores.append(b.read(k + 1.0)[1]["ofi_z"])
    assert not np.any(scores[:30])
    assert np.any(scores[31:59])
    assert scores[59] > 5.0
