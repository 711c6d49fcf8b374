"""The centre of the best region is taken, not the luckiest point; nothing depends on the order of trying."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.research.sweeps.plateau import neighbours, ranking, worth


def _grid(*sizes: int) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(float(size)) for size in sizes], indexing="ij"), -1).reshape(-1, len(sizes))


def test_neighbours_on_a_grid_are_one_step_along_each_axis() -> None:
    grid = _grid(3, 4) * [10.0, 0.001]
    around = neighbours(grid)
    middle = 1 * 4 + 2
    assert sorted(around[middle].tolist()) == sorted([middle, 2, 10, 5, 7])
    assert sorted(around[0].tolist()) == [-1, -1, 0, 1, 4]


def test_what_failed_leaves_a_hole() -> None:
    grid = np.delete(_grid(3, 4), 5, axis=0)
    around = neighbours(grid)
    assert grid[around[5][around[5] >= 0]].tolist() == [[1, 2], [0, 2], [2, 2], [1, 3]]


def test_elsewhere_neighbours_are_the_nearest_by_rank() -> None:
    # the second axis spans a millionth of the first and weighs as much
    points = np.array([[0, 0], [100, 1e-6], [200, 2e-6], [300, 3e-6], [10_000, 4e-6], [20_000, 5e-6], [90_000, 6e-6]])
    around = neighbours(points.astype(np.float64))
    assert around.shape == (7, 5)
    assert sorted(around[3].tolist()) == [1, 2, 3, 4, 5]
    assert 0 in around[0]


def test_a_lone_peak_loses_to_a_plateau() -> None:
    grid = _grid(9, 9)
    scores = np.zeros(81)
    scores[4 * 9 + 1] = 10.0  # alone
    scores[0] = 9.0  # alone in a corner
    for x in (5, 6, 7):
        for y in (5, 6, 7):
            scores[x * 9 + y] = 1.0
    valued = worth(scores, neighbours(grid))
    best = ranking(scores, neighbours(grid), grid, np.ones(81, dtype=np.bool_))
    assert grid[best[0]].tolist() == [6, 6]
    assert valued[4 * 9 + 1] == 0.0
    assert valued[0] == 0.0


def test_the_lower_middle_is_taken_of_an_even_count() -> None:
    assert worth(np.array([3.0, 1.0]), neighbours(_grid(2))).tolist() == [1.0, 1.0]
    assert worth(np.array([3.0, 1.0, 2.0]), neighbours(_grid(3))).tolist() == [1.0, 1.0, 1.0]


def test_a_hole_is_not_the_centre_of_what_surrounds_it() -> None:
    scores = np.array([0.0, 2.0, 2.0, 2.0, 0.0, 3.0, 0.1, 3.0, 0.0])
    assert worth(scores, neighbours(_grid(9)))[6] == 0.1
    every = np.ones(9, dtype=np.bool_)
    assert ranking(scores, neighbours(_grid(9)), _grid(9), every)[0] == 2


def test_one_setting_is_its_own_region() -> None:
    assert worth(np.array([0.5]), neighbours(np.array([[7.0, 8.0]]))).tolist() == [0.5]


def test_a_setting_that_is_not_eligible_is_never_ranked() -> None:
    grid = _grid(4)
    scores = np.array([1.0, 2.0, 3.0, 4.0])
    ranked = ranking(scores, neighbours(grid), grid, np.array([True, False, True, False]))
    assert ranked.tolist() == [2, 0]


@pytest.mark.parametrize("sizes", [(4, 5), (3, 3, 3)])
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_trying_changes_nothing(sizes: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid = _grid(*sizes)
    scores = rng.integers(0, 3, len(grid)).astype(np.float64)  # many ties
    order = rng.permutation(len(grid))
    every = np.ones(len(grid), dtype=np.bool_)

    def ranked(settings: np.ndarray, of: np.ndarray) -> list[list[float]]:
        places = ranking(of, neighbours(settings), settings, every)
        return [list(map(float, row)) for row in settings[places]]

    assert ranked(grid, scores) == ranked(grid[order], scores[order])
