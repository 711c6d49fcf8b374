from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spyhop.detectors.price_pattern import NUM_SHAPES, SHAPES, PricePatternParams, params_record
from spyhop.numerics.candles import UNSIGNED, WARM_UP

Make = Callable[..., Any]

SWEEP = SHAPES.index("sweep")
ENGULFING = SHAPES.index("engulfing")


def walk(bench: Any, num_bars: int, seed: int = 1) -> None:
    rng = np.random.default_rng(seed)
    close = 100.0
    for k in range(num_bars):
        open_, close = close, close + rng.normal(0, 0.1)
        high, low = max(open_, close) + rng.exponential(0.05), min(open_, close) - rng.exponential(0.05)
        bench.bar(60 * (k + 1), open_, high, low, close)


def test_without_proof_no_pattern_has_weight(bench: Make) -> None:
    stand = bench("price_pattern")
    walk(stand, 150)
    detection = stand.read(150 * 60)[0]
    assert np.count_nonzero(stand.state["num_judged"]) > 5
    assert (detection["ready"], detection["value"]) == (1, 0.0)
    assert 0.0 < detection["n_eff"] < 200.0


def test_patterns_of_indecision_have_no_prior() -> None:
    priors = params_record(PricePatternParams(candle_prior=0.5, structure_prior=0.25))[0]
    assert len(priors) == NUM_SHAPES
    assert {SHAPES[i] for i, prior in enumerate(priors) if prior == 0.0} == set(UNSIGNED)
    assert priors[SWEEP] == 0.25


def test_it_is_ready_when_candles_can_speak(bench: Make) -> None:
    stand = bench("price_pattern")
    walk(stand, WARM_UP - 1)
    assert stand.read(WARM_UP * 60)[0]["ready"] == 0
    walk(stand, 1)
    assert stand.read(WARM_UP * 60)[0]["ready"] == 1


def sawtooth(bench: Any, num_bars: int) -> float:
    # a bar down is always engulfed by the next, and price goes on up: engulfing pays here
    close = 100.0
    for k in range(num_bars):
        step = (-0.1, 0.3, 0.2, 0.2)[k % 4]
        open_, close = (close - 0.01 if k % 4 == 1 else close), close + step
        bench.bar(60 * (k + 1), open_, max(open_, close) + 0.02, min(open_, close) - 0.02, close)
    return 60.0 * num_bars


def test_a_pattern_that_paid_gains_weight_after_enough_occurrences(bench: Make) -> None:
    stand = bench("price_pattern", min_occurrences=50, shrink_occurrences=50.0)
    end = sawtooth(stand, 160)
    assert stand.state["num_judged"][0][ENGULFING] < 50
    assert stand.read(end)[0]["value"] == 0.0
    stand.fresh()
    end = sawtooth(stand, 402)
    judged, edge = stand.state["num_judged"][0][ENGULFING], stand.state["edge"][0][ENGULFING]
    assert judged >= 50
    # five bars later price was 0.8 higher, in units of atr * sqrt(5)
    assert edge / judged == pytest.approx(0.8 / (stand.state["atr"]["value"][0] * np.sqrt(5)), rel=0.05)
    detection = stand.read(end)[0]
    assert detection["value"] > 0.1
    assert detection["confidence"] > 0.5


def test_a_pattern_is_judged_by_the_bars_after_it_only(bench: Make) -> None:
    stand = bench("price_pattern", horizon_bars=5)
    sawtooth(stand, 42)
    said = [k for k in range(42) if k % 4 == 1 and k >= WARM_UP - 1]
    due = [k for k in said if k + 5 < 42 and k > 14]
    assert stand.state["num_judged"][0][ENGULFING] == len(due)


def swept(bench: Any, side: int) -> float:
    base = [103.0, 104.0] * 10
    closes = [*base, 102.0, 100.0, 101.0, 103.0, 101.5, 100.02, 101.5, 103.0, 102.0]
    for k, close in enumerate(closes):
        value = 200.0 * (side < 0) + side * close
        bench.bar(60 * (k + 1), value, value + 0.01, value - 0.01, value)
    value = 200.0 * (side < 0) + side * 101.0
    wick = 200.0 * (side < 0) + side * 99.5
    bench.bar(60 * (len(closes) + 1), value, max(value, wick), min(value, wick), value)
    return 60.0 * (len(closes) + 1)


@pytest.mark.parametrize(("side", "name", "other"), [(1, "swept_low", "swept_high"), (-1, "swept_high", "swept_low")])
def test_a_swept_pool_is_evidence_that_decays(side: int, name: str, other: str, bench: Make) -> None:
    stand = bench("price_pattern", structure_prior=0.5)
    end = swept(stand, side)
    detection, evidence = stand.read(end)
    assert (evidence[name], evidence[other]) == (1.0, 0.0)
    assert detection["value"] * side > 0.0
    assert stand.read(end + 180)[1][name] == pytest.approx(np.exp(-1))
    assert abs(stand.read(end + 180)[0]["value"]) < abs(detection["value"])


def test_mirrored_bars_judge_the_same(bench: Make) -> None:
    up, down = bench("price_pattern", structure_prior=0.3), bench("price_pattern", structure_prior=0.3)
    rng = np.random.default_rng(5)
    close = 100.0
    for k in range(500):
        open_, close = close, close + rng.normal(0, 0.1)
        high, low = max(open_, close) + 0.03, min(open_, close) - 0.03
        up.bar(60 * (k + 1), open_, high, low, close)
        down.bar(60 * (k + 1), 200 - open_, 200 - low, 200 - high, 200 - close)
        assert up.read(60 * (k + 1))[0]["value"] == pytest.approx(-down.read(60 * (k + 1))[0]["value"], abs=1e-9)
