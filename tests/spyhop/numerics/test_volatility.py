from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.numerics.volatility import (
    bipower_variation,
    garman_klass,
    jump_ratio,
    jump_z,
    parkinson,
    realized_variance,
    rogers_satchell,
    tripower_quarticity,
    yang_zhang,
)

WINDOW = 30
YEAR = 252


def bars(length: int = 200) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(3)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, length)))
    open_ = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0, 0.002, length))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.005, length)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.005, length)))
    return open_, high, low, close


@pytest.mark.oracle
def test_range_estimators_equal_wickra() -> None:
    wickra = pytest.importorskip("wickra")
    open_, high, low, close = bars()
    cut = [column[-WINDOW:] for column in (open_, high, low, close)]
    scale = 100.0 * np.sqrt(YEAR)

    def last(name: str, *columns: Any) -> float:
        return float(np.array(getattr(wickra, name)(WINDOW, YEAR).batch(*columns))[-1]) / scale

    assert np.sqrt(parkinson(cut[1], cut[2])) == pytest.approx(last("ParkinsonVolatility", high, low), rel=1e-12)
    assert np.sqrt(garman_klass(*cut)) == pytest.approx(
        last("GarmanKlassVolatility", open_, high, low, close), rel=1e-12
    )
    assert np.sqrt(rogers_satchell(*cut)) == pytest.approx(
        last("RogersSatchellVolatility", open_, high, low, close), rel=1e-12
    )
    longer = [column[-WINDOW - 1 :] for column in (open_, high, low, close)]
    assert np.sqrt(yang_zhang(*longer)) == pytest.approx(
        last("YangZhangVolatility", open_, high, low, close), rel=1e-12
    )


@pytest.mark.oracle
def test_bipower_variation_equals_wickra() -> None:
    wickra = pytest.importorskip("wickra")
    close = bars()[3]
    returns = np.diff(np.log(close))[-WINDOW:]
    expected = float(np.array(wickra.BipowerVariation(WINDOW).batch(close))[-1])
    # wickra leaves out the small-sample factor n / (n - 1)
    assert bipower_variation(returns) * (WINDOW - 1) / WINDOW == pytest.approx(expected, rel=1e-12)


def test_sums_equal_their_numpy_definitions() -> None:
    r = np.random.default_rng(4).normal(size=60)
    a = np.abs(r)
    n = len(r)
    assert realized_variance(r) == pytest.approx((r**2).sum())
    assert bipower_variation(r) == pytest.approx(np.pi / 2 * (a[1:] * a[:-1]).sum() * n / (n - 1))
    mu43 = 0.8308609  # E|Z|^(4/3)
    expected = n * mu43**-3 * n / (n - 2) * ((a[2:] * a[1:-1] * a[:-2]) ** (4 / 3)).sum()
    assert tripower_quarticity(r) == pytest.approx(expected, rel=1e-5)


def test_the_jump_statistic_is_standard_normal_without_jumps() -> None:
    rng = np.random.default_rng(5)
    z = np.array([jump_z(rng.normal(0, 1e-4, 300)) for _ in range(2_000)])
    assert abs(z.mean()) < 0.15
    assert 0.9 < z.std() < 1.15
    assert 0.03 < (z > 1.645).mean() < 0.08


def test_a_planted_jump_is_found_and_measured() -> None:
    r = np.random.default_rng(6).normal(0, 1e-4, 300)
    r[150] += 3e-3
    assert jump_z(r) > 4.0
    assert jump_ratio(r) == pytest.approx(9.0 / 12.0, abs=0.15)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.floats(-1.0, 1.0), max_size=40))
def test_ratios_stay_in_range_and_ignore_the_sign(values: list[float]) -> None:
    r = np.array(values, dtype=float)
    assert 0.0 <= jump_ratio(r) <= 1.0
    assert np.isfinite(jump_z(r))
    assert jump_ratio(r) == jump_ratio(-r)


def test_no_movement_and_no_data_give_zero() -> None:
    nothing = np.zeros(0)
    still = np.ones(10)
    for returns in (nothing, np.zeros(10)):
        assert realized_variance(returns) == bipower_variation(returns) == jump_ratio(returns) == jump_z(returns) == 0.0
    assert parkinson(still, still) == garman_klass(still, still, still, still) == 0.0
    assert parkinson(nothing, nothing) == rogers_satchell(nothing, nothing, nothing, nothing) == 0.0
    assert yang_zhang(still, still, still, still) == yang_zhang(still[:2], still[:2], still[:2], still[:2]) == 0.0
