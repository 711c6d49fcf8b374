"""Scores over spans are those of the settings one by one; a heat map's cells are medians."""

from __future__ import annotations

import numpy as np
import pytest

from spyhop.research.sweeps.scores import heats, moments, score


def test_scores_of_many_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    pnl = (rng.normal(size=(30, 80)) * 1e-3 * (rng.random((30, 80)) < 0.4)).astype(np.float32)
    pnl[4] = 0.0
    pnl[5] = 1e-3
    spans = [np.arange(80) < 40, np.arange(80) >= 40, np.arange(80) % 3 == 0]
    found = moments(pnl, spans)
    for k, span in enumerate(spans):
        for j in range(30):
            one = score(pnl[j, span])
            assert found.sharpe[k, j] == pytest.approx(one.sharpe, rel=1e-6, abs=1e-12)
            assert found.active[k, j] == one.num_active
    assert found.sharpe[0, 4] == found.sharpe[0, 5] == 0.0


def test_a_score_in_basis_points() -> None:
    told = score(np.array([0.001, -0.0005, 0.0, 0.0007], dtype=np.float64))
    assert told.total_bps == pytest.approx(12.0)
    assert told.mean_bps == pytest.approx(3.0)
    assert (told.num_periods, told.num_active) == (4, 3)
    assert told.sharpe == pytest.approx(0.0003 / np.std([0.001, -0.0005, 0.0, 0.0007], ddof=1))


def test_cells_hold_the_median_over_the_other_settings() -> None:
    settings = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 2], [1, 0, 0], [1, 5, 0]], dtype=np.float64)
    by_pair = {(heat.x, heat.y): heat for heat in heats(["a", "b", "c"], settings, np.array([3.0, 1.0, 2.0, 7.0, 9.0]))}
    assert list(by_pair) == [("a", "b"), ("a", "c"), ("b", "c")]
    heat = by_pair["a", "b"]
    assert (heat.xs, heat.ys) == ([0.0, 1.0], [0.0, 5.0])
    assert heat.cells == [[2.0, 7.0], [None, 9.0]]


def test_an_axis_with_one_value_is_none_and_one_with_many_is_binned() -> None:
    rng = np.random.default_rng(0)
    settings = np.column_stack([rng.random(500), rng.random(500), np.ones(500)])
    (heat,) = heats(["a", "b", "c"], settings, settings[:, 0])
    assert (len(heat.xs), len(heat.ys)) == (24, 24)
    assert heat.xs == sorted(heat.xs)
    for row in heat.cells:
        for x, value in zip(heat.xs, row, strict=True):
            assert value is None or value == pytest.approx(x, abs=0.06)
    assert heats(["a"], settings[:, :1], settings[:, 0]) == []
    assert heats(["a", "b"], settings[:0, :2], settings[:0, 0]) == []
