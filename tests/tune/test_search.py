"""Searches propose settings from the periods they may see, whatever fails on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tune import toys
from tune.grid import Pace
from tune.search import IDLE, Budget, score, searched
from tune.space import Axis, Space

SPACE = Space(
    (
        Axis(path="lead.fall_frac", low=0.0001, high=0.003, is_log=True),
        Axis(path="lead.rise_frac", values=tuple(step / 10_000 for step in range(1, 31))),
    )
)


def test_a_score_is_the_sharpe_ratio_of_a_period() -> None:
    assert score(np.array([1.0, 2.0, 3.0]), 3) == pytest.approx(2.0 / np.std([1.0, 2.0, 3.0]))
    assert score(np.array([1.0, 2.0, 3.0]), 0) == IDLE
    assert score(np.zeros(3), 5) == IDLE
    assert score(np.zeros(0), 0) == IDLE


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["optuna", pytest.param("asha", marks=pytest.mark.storm)])
def test_failing_settings_do_not_end_a_search(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    # as on a command line: Tune itself takes no folder that is not absolute
    monkeypatch.chdir(tmp_path)
    folder = Path("search")
    paces: list[Pace] = []
    objective = toys.Momentum(raises_above=0.0022)
    budget = Budget(num_samples=8, num_periods=12, seed=1)
    points, num_looked = searched(kind, objective, toys.prices(), SPACE, budget, folder, on_progress=paces.append)
    assert num_looked == len(points) == 8
    assert ((points[:, 0] >= 0.0001) & (points[:, 0] <= 0.003)).all()
    assert set(np.round(points[:, 1] * 10_000)) <= set(range(1, 31))
    assert paces[-1].total == 8
    # what it proposed is kept: nothing is searched again
    again, _ = searched(kind, objective, toys.prices(), SPACE, budget, folder)
    assert again.tobytes() == points.tobytes()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.storm
def test_a_population_stays_inside_the_space(local_ray: None, tmp_path: Path) -> None:
    budget = Budget(num_samples=16, num_periods=16, seed=1)
    points, num_looked = searched("pbt", toys.Momentum(), toys.prices(), SPACE, budget, tmp_path)
    assert num_looked == len(points) > 4
    assert ((points[:, 0] >= 0.0001) & (points[:, 0] <= 0.003)).all()
    assert set(np.round(points[:, 1] * 10_000)) <= set(range(1, 31))


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.storm
def test_a_search_that_was_stopped_goes_on(local_ray: None, tmp_path: Path) -> None:
    done: list[int] = []
    budget = Budget(num_samples=16, num_periods=12, seed=1)
    args = ("optuna", toys.Momentum(seconds=0.2), toys.prices(), SPACE, budget, tmp_path)
    points, _ = searched(
        *args, on_progress=lambda pace: done.append(pace.done), should_stop=lambda: bool(done) and done[-1] >= 4
    )
    assert len(points) == 0
    points, num_looked = searched(*args, on_progress=lambda pace: done.append(pace.done))
    assert num_looked == len(points) == 16
