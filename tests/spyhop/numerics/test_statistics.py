from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.numerics import statistics

# Every row of the table: fees and slippage a leg in bp -> net gain and loss in bp, break-even in percent
COSTS = [
    ((0, 0, 0, 0, 0, 0), 15.00, 10.00, 40.0),
    ((4, 4, 4, 0, 0, 0), 6.99, 18.00, 72.0),
    ((4.5, 4.5, 4.5, 0, 0, 0), 5.99, 19.00, 76.0),
    ((5, 5, 5, 0, 0, 0), 4.99, 20.00, 80.0),
    ((4, 4, 4, 1, 1, 1), 4.99, 20.00, 80.0),
    ((5, 5, 5, 1, 1, 1), 2.99, 21.99, 88.0),
    ((5, 5, 5, 2, 2, 2), 0.99, 24.00, 96.0),
    ((2, 2, 2, 0, 0, 0), 11.00, 14.00, 56.0),
    ((2, 2, 5, 0, 0, 1), 11.00, 18.00, 62.1),
]


@pytest.mark.parametrize(("costs_bps", "gain_bps", "loss_bps", "rate"), COSTS)
def test_break_even_of_the_seeds_exits_under_known_costs(
    costs_bps: tuple[float, ...], gain_bps: float, loss_bps: float, rate: float
) -> None:
    costs = [cost * 1e-4 for cost in costs_bps]
    gain, loss = statistics.trip_outcomes(0.0015, 0.0010, *costs)
    assert gain * 1e4 == pytest.approx(gain_bps, abs=0.0101)
    assert loss * 1e4 == pytest.approx(loss_bps, abs=0.0101)
    assert statistics.break_even(gain, loss) * 100 == pytest.approx(rate, abs=0.051)


@pytest.mark.parametrize(
    ("take_profit", "stop", "rate"), [(0.003, 0.002, 56), (0.006, 0.004, 48), (0.012, 0.008, 44), (0.024, 0.016, 42)]
)
def test_wider_exits_need_fewer_wins(take_profit: float, stop: float, rate: float) -> None:
    gain, loss = take_profit - 0.0008, stop + 0.0008
    assert statistics.break_even(gain, loss) * 100 == pytest.approx(rate, abs=0.01)


def test_a_win_that_gains_nothing_needs_more_than_always() -> None:
    assert statistics.break_even(-0.001, 0.001) == 1.0
    assert statistics.break_even(0.0, 0.001) == 1.0
    assert statistics.break_even(0.001, -0.0005) == 0.0
    assert statistics.break_even(0.001, -0.002) == 0.0


def test_how_many_trades_tell_two_win_rates_apart() -> None:
    assert statistics.trades_needed(0.72, 0.75) == 1_352
    assert statistics.trades_needed(0.72, 0.73) == pytest.approx(12_370, abs=1)
    with pytest.raises(ValueError, match="cannot be told apart"):
        statistics.trades_needed(0.5, 0.5)


def test_wilson_on_textbook_cases() -> None:
    assert statistics.wilson(0, 0) == (0.0, 1.0)
    assert statistics.wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert statistics.wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert statistics.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


@given(n=st.integers(1, 500), data=st.data())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_wilson_holds_the_rate_mirrors_and_narrows(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = statistics.wilson(k, n)
    assert 0.0 <= low <= k / n <= high <= 1.0
    assert statistics.wilson(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)
    wider = statistics.wilson(4 * k, 4 * n)
    assert wider[1] - wider[0] < high - low


@pytest.mark.oracle
@pytest.mark.parametrize("dof", [1, 2, 3, 7, 29, 100, 5_000])
def test_students_quantile_is_scipys(dof: int) -> None:
    from scipy import stats

    for p in (0.001, 0.025, 0.3, 0.5, 0.9, 0.975, 0.9995):
        assert statistics.student_quantile(p, dof) == pytest.approx(stats.t.ppf(p, dof), rel=1e-8, abs=1e-9)


def test_students_interval_on_a_textbook_case() -> None:
    assert statistics.student_quantile(0.975, 9) == pytest.approx(2.262157, abs=1e-6)
    x = np.array([1.0, 2.0, 3.0, 4.0])
    low, high = statistics.t_interval(x) or (math.nan, math.nan)
    assert (low, high) == pytest.approx((2.5 - 2.0542, 2.5 + 2.0542), abs=1e-4)
    assert statistics.t_interval(x[:1]) is None


def test_both_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(7)
    samples = rng.normal(0.3, 1.0, (400, 40))
    hits = {"t": 0, "bootstrap": 0}
    for x in samples:
        for name, interval in (
            ("t", statistics.t_interval(x)),
            ("bootstrap", statistics.bootstrap_interval(x, rng, num_draws=400)),
        ):
            assert interval is not None
            hits[name] += interval[0] <= 0.3 <= interval[1]
    assert 0.92 <= hits["t"] / 400 <= 0.98
    assert 0.90 <= hits["bootstrap"] / 400 <= 0.98


def test_a_bootstrap_is_the_same_for_the_same_seed_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.arange(30.0)
    first = statistics.bootstrap_interval(x, np.random.default_rng(1), num_draws=500)
    assert first == statistics.bootstrap_interval(x, np.random.default_rng(1), num_draws=500)
    assert first != statistics.bootstrap_interval(x, np.random.default_rng(2), num_draws=500)
    monkeypatch.setattr(statistics, "_BOOTSTRAP_CELLS", 100)
    assert first == statistics.bootstrap_interval(x, np.random.default_rng(1), num_draws=500)
    assert statistics.bootstrap_interval(x[:1], np.random.default_rng(1)) is None


def test_drawdown_on_a_hand_made_path() -> None:
    equity = np.array([100.0, 120.0, 90.0, 130.0, 117.0])
    assert statistics.drawdowns(equity) == pytest.approx([0, 0, -0.25, 0, -0.1])
    assert statistics.max_drawdown(equity) == -0.25
    assert statistics.max_drawdown(np.array([])) == 0.0


def test_profit_factor_without_losses_is_not_a_number_that_flatters() -> None:
    assert statistics.profit_factor(np.array([3.0, -1.0, 1.0, -1.0])) == 2.0
    assert statistics.profit_factor(np.array([3.0, 1.0])) is None
    assert statistics.profit_factor(np.array([-3.0])) == 0.0


def test_ratios_need_two_returns_that_differ() -> None:
    assert statistics.sharpe(np.array([0.01])) is None
    assert statistics.sharpe(np.array([0.01, 0.01])) is None
    assert statistics.sortino(np.array([0.01])) is None
    assert statistics.sortino(np.array([0.01, 0.02])) is None


@pytest.mark.oracle
def test_ratios_and_drawdown_are_empyricals() -> None:
    import empyrical

    rng = np.random.default_rng(3)
    for scale in (0.001, 0.03):
        returns = rng.standard_t(4, 250) * scale + 0.0004
        equity = np.concatenate([[1.0], np.cumprod(1 + returns)])
        assert statistics.max_drawdown(equity) == pytest.approx(empyrical.max_drawdown(returns))
        assert statistics.sharpe(returns) == pytest.approx(empyrical.sharpe_ratio(returns, annualization=365))
        assert statistics.sortino(returns) == pytest.approx(empyrical.sortino_ratio(returns, annualization=365))
