"""A sweep judged: the final period is not read, a plateau is taken, all trials count, all is repeatable."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_HOUR
from spyhop.errors import UserError
from spyhop.research.sweeps.result import AssessParams, SweepResult, assess

QUICK = AssessParams(pbo_settings=100, pbo_splits=500, pbo_null_splits=70, pbo_null_draws=60, num_draws=300)
GRID = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0), indexing="ij"), -1).reshape(-1, 2)
NAMES = ["lead.a", "lead.b"]


def _noise(num_periods: int = 240, seed: int = 0, n: int = 64) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, num_periods)) * 1e-3).astype(np.float32)


def _assess(pnl: np.ndarray, **changed: Any) -> SweepResult:
    n, num_periods = pnl.shape
    given: dict[str, Any] = {
        "names": NAMES,
        "settings": GRID[:n],
        "pnl": pnl,
        "num_trades": np.full(n, 100, dtype=np.int32),
        "periods": np.arange(num_periods, dtype=np.int64) * NS_PER_HOUR,
        "num_trials": n,
        "params": QUICK,
        "seed": 1,
        **changed,
    }
    return assess(**given)


def _planted(t: float = 9.0) -> np.ndarray:
    """Three by three settings around (5, 5) earn; their luck is mostly shared."""
    pnl = _noise(600, 3)
    middle = (np.abs(GRID - 5) <= 1).all(axis=1)
    shared = _noise(600, 4, 1)[0]
    pnl[middle] = 0.9 * shared + 0.43 * pnl[middle] + 1e-3 * t / math.sqrt(600)
    return pnl


def _is_planted(setting: list[float]) -> bool:
    return max(abs(value - 5) for value in setting) <= 1


def test_a_planted_plateau_is_found_and_its_edge_demonstrated() -> None:
    result = _assess(_planted())
    assert result.chosen is not None
    assert _is_planted(result.chosen.setting)
    assert result.verdict.has_edge, result.verdict
    assert all(check.passed for check in result.checks)
    assert _is_planted(result.top[0].setting)
    assert result.walk.decay == pytest.approx(1.0, abs=0.5)


def test_a_lone_peak_is_not_taken_however_high() -> None:
    pnl = _planted()
    pnl[9] = np.abs(pnl[9])
    result = _assess(pnl)
    assert result.chosen is not None
    assert _is_planted(result.chosen.setting)


def test_noise_is_not_an_edge_though_its_best_looks_like_one() -> None:
    result = _assess(_noise())
    assert not result.verdict.has_edge
    assert result.verdict.headline.startswith("no demonstrated edge")
    assert max(row.in_sample.sharpe for row in result.top) > 0.1


def test_more_trials_in_the_ledger_deflate_more() -> None:
    few, many = _assess(_planted(6.0)), _assess(_planted(6.0), num_trials=1_000_000)
    assert few.deflated is not None
    assert many.deflated is not None
    assert many.deflated.expected_best > 1.5 * few.deflated.expected_best
    assert many.deflated.dsr < few.deflated.dsr
    assert many.deflated.psr == few.deflated.psr
    assert _assess(_noise(), num_trials=3).num_trials == 64
    assert any("fewer than this sweep" in note for note in _assess(_noise(), num_trials=3).notes)


def test_data_too_short_for_so_many_trials_is_named_as_that() -> None:
    def told(num_trials: int, period: int) -> list[str]:
        pnl = _noise(600)
        periods = np.arange(600, dtype=np.int64) * period
        notes = _assess(pnl, num_trials=num_trials, periods=periods).notes
        return [note for note in notes if "by luck" in note]

    # Bailey and others (2014): 45 trials need about five years
    assert "years of data; there were 0.05 before" in told(64, NS_PER_HOUR)[0]
    assert told(64, 7 * 24 * NS_PER_HOUR) == []
    assert told(10_000, 7 * 24 * NS_PER_HOUR) != []


def test_settings_made_worse_by_costs_do_not_make_the_others_luckier() -> None:
    pnl = _planted()
    plain = _assess(pnl)
    pnl[:24] -= 2e-3  # certain losers
    spoiled = _assess(pnl)
    assert plain.deflated is not None
    assert spoiled.deflated is not None
    assert spoiled.deflated.expected_best <= 2.6 / math.sqrt(478)
    assert spoiled.deflated.dsr > 0.95


def test_the_final_period_is_not_read_until_it_is_opened() -> None:
    pnl, other = _planted(), _planted()
    first = int(0.8 * 600)
    other[:, first:] = -1.0
    closed = _assess(pnl)
    assert closed == _assess(other)
    assert closed.chosen_final is None
    assert all(row.final is None for row in closed.top)
    opened, lost = _assess(pnl, open_final=True), _assess(other, open_final=True)
    assert opened.verdict.has_edge
    assert opened.chosen_final is not None
    assert opened.chosen_final.num_periods == 120
    assert opened.top[0].final is not None
    assert not lost.verdict.has_edge
    # what was chosen and tested before is the same, opened or not
    assert (opened.chosen_score, opened.walk, opened.overfit) == (closed.chosen_score, closed.walk, closed.overfit)


def test_spans_follow_one_another_with_what_reaches_over_dropped() -> None:
    result = _assess(_noise(), params=msgspec.structs.replace(QUICK, horizon_s=7_200.0))
    # 240 hours: 48 final; the last two before them may end in them; 95 of 190 in sample, less two
    assert result.final.num_periods == 48
    assert result.final.first == 192 * NS_PER_HOUR
    assert result.in_sample.num_periods + 2 + result.out_of_sample.num_periods + 2 == 192
    assert result.in_sample.last + 3 * NS_PER_HOUR == result.out_of_sample.first
    assert result.out_of_sample.last + 3 * NS_PER_HOUR == result.final.first
    assert len(result.walk.folds) == 5
    for fold in result.walk.folds:
        assert fold.train.last + 3 * NS_PER_HOUR == fold.test.first
    assert sum(fold.test.num_periods for fold in result.walk.folds) == result.walk.out_of_sample.num_periods


def test_each_test_is_earned_by_what_was_chosen_before_it() -> None:
    pnl = _planted()
    result = _assess(pnl)
    for fold in result.walk.folds:
        assert fold.setting is not None
        place = int(fold.setting[0]) * 8 + int(fold.setting[1])
        span = slice(fold.test.first // NS_PER_HOUR, fold.test.last // NS_PER_HOUR + 1)
        assert fold.out_of_sample.total_bps == pytest.approx(1e4 * float(pnl[place, span].sum(dtype=np.float64)))
    changed = pnl.copy()
    last = slice(result.walk.folds[-1].test.first // NS_PER_HOUR, None)
    changed[:, last] = _noise(600, 9)[:, last]
    assert [fold.setting for fold in _assess(changed).walk.folds] == [fold.setting for fold in result.walk.folds]


def test_what_is_chosen_for_a_test_knows_nothing_of_it() -> None:
    pnl = _noise(400)
    early, late = GRID[:, 0] <= 2, GRID[:, 0] >= 5
    pnl[early, :160] += 1e-3
    pnl[late, 160:] += 5e-3
    result = _assess(pnl)
    first, last = result.walk.folds[0].setting, result.walk.folds[-1].setting
    assert first is not None
    assert last is not None
    assert result.chosen is not None
    # everything before the final period speaks for the late ones, what came before the first test for the early ones
    assert result.walk.folds[0].test.first == 160 * NS_PER_HOUR
    assert first[0] <= 2
    assert last[0] >= 5
    assert result.chosen.setting[0] >= 5
    assert result.top[0].setting == first


def test_settings_without_trades_are_counted_and_never_chosen() -> None:
    pnl = _noise() - np.float32(5e-4)
    num_trades = np.full(64, 100, dtype=np.int32)
    pnl[:20], num_trades[:20] = 0.0, 0
    num_trades[20:25] = 3
    result = _assess(pnl, num_trades=num_trades)
    assert (result.num_idle, result.num_thin, result.num_eligible) == (20, 5, 39)
    assert result.num_positive == int((pnl[25:, :191].mean(axis=1) > 0).sum())
    assert result.chosen is not None
    assert result.chosen.num_trades == 100
    assert result.overfit is not None
    assert result.overfit.num_eligible == 39
    assert not result.verdict.has_edge


def test_a_sweep_that_never_trades_is_judged_as_that() -> None:
    result = _assess(np.zeros((64, 100), dtype=np.float32), num_trades=np.zeros(64, dtype=np.int32))
    assert result.chosen is None
    assert result.top == []
    assert "no setting traded often enough" in result.verdict.headline
    assert result.walk.out_of_sample.num_active == 0
    assert msgspec.json.decode(msgspec.json.encode(result), type=SweepResult) == result


def test_one_setting_can_be_judged() -> None:
    result = _assess(_noise(n=1))
    assert result.overfit is None
    assert result.chosen is not None
    assert result.deflated is not None
    assert result.deflated.expected_best == 0.0
    assert not result.verdict.has_edge


def test_the_same_input_and_seed_give_the_same_result_which_survives_json() -> None:
    result = _assess(_planted())
    assert _assess(_planted()) == result
    assert msgspec.json.decode(msgspec.json.encode(result), type=SweepResult) == result


@pytest.mark.parametrize(("num_periods", "said"), [(19, "too few to judge"), (24, "too few to train on")])
def test_too_few_periods_are_the_users_to_mend(num_periods: int, said: str) -> None:
    params = msgspec.structs.replace(QUICK, horizon_s=7_200.0)
    with pytest.raises(UserError, match=said):
        _assess(_noise(num_periods), params=params)


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to judge"):
        _assess(_noise()[:0], settings=GRID[:0], num_trades=np.zeros(0))
    with pytest.raises(ValueError, match="do not fit"):
        _assess(_noise(), num_trades=np.zeros(3))
    spoiled = _noise()
    spoiled[3, 3] = np.nan
    with pytest.raises(ValueError, match="not a number"):
        _assess(spoiled)
    with pytest.raises(ValueError, match="ascend"):
        _assess(_noise(), periods=np.zeros(240, dtype=np.int64))
