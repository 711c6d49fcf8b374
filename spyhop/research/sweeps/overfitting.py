"""What the best of many trials is worth: deflated Sharpe ratio, probability of overfitting, superior ability.

Sharpe ratios are per period (not annualised). `pnl` is (settings, periods), net fractions. No number may be NaN.

Sources: Bailey and Lopez de Prado, The Deflated Sharpe Ratio (2014); Bailey, Borwein, Lopez de Prado and Zhu, The
Probability of Backtest Overfitting (2017); Hansen, A Test for Superior Predictive Ability (2005).
"""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations
from statistics import NormalDist
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from spyhop.numerics._jit import kernel

Array: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Singles: TypeAlias = npt.NDArray[np.float32]
Pnl: TypeAlias = npt.NDArray[Any]

EULER = 0.5772156649015329
_NORMAL = NormalDist()
_CELLS = 4_000_000


def expected_max(num_trials: int) -> float:
    """Return what the greatest of `num_trials` >= 1 standard normals is on average, to 1e-6, by quadrature."""
    x = np.linspace(-12.0, 12.0, 4_801)
    below = np.array([_NORMAL.cdf(each) for each in x]) ** num_trials
    return float(np.trapezoid((x > 0) + 0.5 * (x == 0) - below, x))


def expected_best(num_trials: int) -> float:
    """Return the same as the deflated Sharpe ratio's authors approximate it (1 % too high at 100); 0 for one trial."""
    if num_trials < 2:
        return 0.0
    first, second = _NORMAL.inv_cdf(1 - 1 / num_trials), _NORMAL.inv_cdf(1 - 1 / (num_trials * math.e))
    return (1 - EULER) * first + EULER * second


def expected_best_sharpe(num_trials: int, variance: float) -> float:
    """Return the Sharpe ratio that the best of `num_trials` has by luck, `variance` being that of their ratios."""
    return math.sqrt(max(0.0, variance)) * expected_best(num_trials)


def probabilistic_sharpe(
    sharpe: float, num_periods: int, benchmark: float = 0.0, skewness: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Return the probability that the true Sharpe ratio is above `benchmark`; `kurtosis` is raw (3 for a normal)."""
    if num_periods < 2:
        return 0.5
    spread = _spread(sharpe, skewness, kurtosis)
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt((num_periods - 1) / spread))


def min_track_record(
    sharpe: float, benchmark: float = 0.0, skewness: float = 0.0, kurtosis: float = 3.0, level: float = 0.95
) -> float | None:
    """Return how many periods tell `sharpe` from `benchmark` at `level`; None if it is not above."""
    if sharpe <= benchmark:
        return None
    return 1 + _spread(sharpe, skewness, kurtosis) * (_NORMAL.inv_cdf(level) / (sharpe - benchmark)) ** 2


def min_backtest_years(num_trials: int, sharpe_a_year: float = 1.0) -> float:
    """Return the years of data below which `num_trials` worthless trials hold one with `sharpe_a_year` by luck."""
    return (expected_max(num_trials) / sharpe_a_year) ** 2


# variance of an estimated Sharpe ratio, times the number of periods; a floor, since moments of few periods may lie
def _spread(sharpe: float, skewness: float, kurtosis: float) -> float:
    return max(1e-12, 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe * sharpe)


@cache
def splits_of(num_blocks: int) -> npt.NDArray[np.bool_]:
    """Return all ways to train on half of an even number of blocks, (splits, num_blocks), read-only."""
    chosen = np.array(list(combinations(range(num_blocks), num_blocks // 2)), dtype=np.int64)
    inside = np.zeros((len(chosen), num_blocks), dtype=np.bool_)
    inside[np.arange(len(chosen))[:, None], chosen] = True
    inside.flags.writeable = False
    return inside


class Blocks(NamedTuple):
    """Sums over blocks of periods: of returns and of squares (settings, blocks), and the periods in each (blocks,)."""

    sums: Array
    squares: Array
    sizes: Array


def block_sums(pnl: Pnl, num_blocks: int) -> Blocks:
    """Return sums over `num_blocks` contiguous blocks, as equal as can be, the first ones longer by one."""
    bounds = _bounds(pnl.shape[1], num_blocks)
    sums, squares = np.empty((len(pnl), num_blocks)), np.empty((len(pnl), num_blocks))
    step = max(1, _CELLS // pnl.shape[1])
    for start in range(0, len(pnl), step):
        part = pnl[start : start + step].astype(np.float64)
        sums[start : start + step] = np.add.reduceat(part, bounds[:-1], axis=1)
        squares[start : start + step] = np.add.reduceat(part * part, bounds[:-1], axis=1)
    return Blocks(sums, squares, np.diff(bounds).astype(np.float64))


def _bounds(num_periods: int, num_blocks: int) -> Ints:
    sizes = np.full(num_blocks, num_periods // num_blocks, dtype=np.int64)
    sizes[: num_periods % num_blocks] += 1
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])


def overfit_logits(blocks: Blocks, splits: npt.NDArray[np.bool_]) -> Array:
    """Return for each split the logit of the out-of-sample rank of the setting that was best in sample.

    At most 0 means at or below the median. A setting whose returns do not vary over a half has Sharpe ratio 0 there;
    equals share the mean of their ranks.
    """
    return _logits(blocks.sums, blocks.squares, blocks.sizes, splits)


@kernel
def _ratio(total: float, squares: float, size: float) -> float:
    mean = total / size
    variance = (squares - size * mean * mean) / (size - 1.0)
    if size < 2.0 or variance <= 1e-12 * squares / size:
        return 0.0
    return float(mean / np.sqrt(variance))


@kernel
def _logits(sums: Array, squares: Array, sizes: Array, splits: npt.NDArray[np.bool_]) -> Array:
    num_settings, num_blocks = sums.shape
    logits = np.empty(len(splits))
    outside = np.empty(num_settings)
    for k in range(len(splits)):
        size_in = size_out = 0.0
        for b in range(num_blocks):
            if splits[k, b]:
                size_in += sizes[b]
            else:
                size_out += sizes[b]
        best, most = 0, -np.inf
        for j in range(num_settings):
            in_sum = in_squares = out_sum = out_squares = 0.0
            for b in range(num_blocks):
                if splits[k, b]:
                    in_sum += sums[j, b]
                    in_squares += squares[j, b]
                else:
                    out_sum += sums[j, b]
                    out_squares += squares[j, b]
            ratio = _ratio(in_sum, in_squares, size_in)
            outside[j] = _ratio(out_sum, out_squares, size_out)
            if ratio > most:
                best, most = j, ratio
        below = equal = 0
        for j in range(num_settings):
            below += outside[j] < outside[best]
            equal += outside[j] == outside[best]
        rank = (below + (equal + 1.0) / 2.0) / (num_settings + 1.0)
        logits[k] = np.log(rank / (1.0 - rank))
    return logits


def probability_of_overfitting(logits: Array) -> float:
    """Return the share of splits whose best setting came out at or below the median."""
    return float(np.mean(logits <= 0.0))


def overfit_null(
    pnl: Pnl,
    num_blocks: int,
    splits: npt.NDArray[np.bool_],
    num_draws: int,
    block: float,
    rng: np.random.Generator,
) -> Array:
    """Return the probability of overfitting in `num_draws` markets where every setting is worth the same.

    Each setting's mean is taken out, then whole periods are drawn in blocks of `block` on average: how settings move
    together, their tails and their dependence in time stay; what is gone is that one is better than another.
    (Shuffling each setting by itself would lose the first and make the band too narrow.)
    """
    centred = pnl.astype(np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    found = np.empty(num_draws)
    for k in range(num_draws):
        rows = stationary_rows(centred.shape[1], 1, block, rng)[0]
        found[k] = probability_of_overfitting(overfit_logits(block_sums(centred[:, rows], num_blocks), splits))
    return found


def stationary_rows(num_periods: int, num_draws: int, block: float, rng: np.random.Generator) -> Ints:
    """Return resamples of 0..num_periods-1, (num_draws, num_periods), in circular blocks of geometric length.

    `block` is their mean length, at least 1 (Politis and Romano 1994).
    """
    rows = rng.integers(0, num_periods, (num_draws, num_periods))
    fresh = rng.random((num_draws, num_periods)) < 1.0 / max(1.0, block)
    fresh[:, 0] = True
    places = np.arange(num_periods)
    begun = np.maximum.accumulate(np.where(fresh, places, 0), axis=1)
    return (np.take_along_axis(rows, begun, axis=1) + places - begun) % num_periods


def block_length(pnl: Pnl, most: int = 32) -> float:
    """Return the mean length of a block: the median over settings of Politis and White's, at least the cube root of T.

    Up to `most` settings are asked, taken evenly over those that vary. The floor, the rate at which the best length
    grows, is there because their rule is too short for a sample this small: with it the tests keep their size.
    At most a quarter of the periods.
    """
    from arch.bootstrap import optimal_block_length

    least, greatest = float(pnl.shape[1] ** (1 / 3)), float(pnl.shape[1] / 4)
    moving = np.flatnonzero(np.ptp(pnl, axis=1) > 0)
    if not len(moving) or pnl.shape[1] < 10:
        return max(1.0, min(least, greatest))
    taken = moving[np.unique(np.linspace(0, len(moving) - 1, min(most, len(moving))).astype(np.int64))]
    lengths = optimal_block_length(pnl[taken].astype(np.float64).T)["stationary"].to_numpy()
    return float(max(1.0, min(greatest, max(least, np.median(lengths[np.isfinite(lengths)])))))


class Superiority(NamedTuple):
    """Hansen's test: consistent p-value, studentised statistic, the best setting, and how many took part."""

    p: float
    statistic: float
    best: int
    num_settings: int


def superior_ability(pnl: Pnl, rows: Ints, block: float) -> Superiority | None:
    """Return how likely the best of all settings beats not trading so clearly by luck; None if none varies.

    `rows` are resamples (draws, periods) from `stationary_rows`. All settings take part, in slices: choosing the
    better ones first would be the very mistake that the test is for. A setting that never varies is left out.

    Means are divided by the standard deviation of the same sample, each resample's by its own; what depends on the
    past is left to the blocks. Dividing by a long-run deviation, estimated once, favours whichever of a thousand
    settings it was underestimated for: worthless ones were then called superior in 30 % of samples of 134 periods
    in blocks of 5, in 2 % as it is done here.
    """
    num_periods = pnl.shape[1]
    weights = _weights(rows, num_periods)
    lags = _kernel_of_lags(num_periods, block)
    root = math.sqrt(num_periods)
    limit = -math.sqrt(2.0 * math.log(max(1.0 + 1e-9, math.log(max(3, num_periods)))))
    greatest = np.zeros(len(rows), dtype=np.float32)
    statistic, best, count = -math.inf, -1, 0
    step = max(1, _CELLS // max(num_periods, len(rows)))
    for start in range(0, len(pnl), step):
        part = pnl[start : start + step].astype(np.float64)
        means, deviations = part.mean(axis=1), part.std(axis=1)
        taken = np.flatnonzero(deviations > 1e-6 * np.abs(part).max(axis=1))
        if not len(taken):
            continue
        part = part[taken] / deviations[taken, None]
        t = root * means[taken] / deviations[taken]
        centred = part - t[:, None] / root
        long_run = np.sqrt(np.einsum("ij,ij->i", centred @ lags, centred) / num_periods)
        # far worse than not trading: recentred, it would only blur what the better ones do (Hansen's consistent p)
        centre = np.where(t >= limit * long_run, t / root, 0.0).astype(np.float32)
        np.maximum(greatest, _greatest(part.astype(np.float32), centre, weights), out=greatest)
        top = int(np.argmax(t))
        if t[top] > statistic:
            statistic, best = float(t[top]), start + int(taken[top])
        count += len(taken)
    if best < 0:
        return None
    statistic = max(0.0, statistic)
    return Superiority(float(np.mean(greatest >= statistic)), statistic, best, count)


# each resample's greatest statistic; one in which a setting never traded says nothing of that setting
def _greatest(part: Singles, centre: Singles, weights: Singles) -> Singles:
    means = weights @ part.T
    squares = weights @ (part * part).T
    squares -= means * means
    means -= centre
    np.copyto(means, -np.inf, where=squares <= 1e-6)
    means /= np.sqrt(np.maximum(squares, 1e-6, out=squares), out=squares)
    return np.asarray(math.sqrt(part.shape[1]) * means.max(axis=1), dtype=np.float32)


# how often each period was drawn, over the number of periods: a resample's mean is one product
def _weights(rows: Ints, num_periods: int) -> Singles:
    cells = (np.arange(len(rows))[:, None] * num_periods + rows).reshape(-1)
    counts = np.bincount(cells, minlength=len(rows) * num_periods).reshape(len(rows), num_periods)
    return (counts / num_periods).astype(np.float32)


# variance of the mean under the stationary bootstrap, as a quadratic form (Politis and Romano 1994, lemma 1)
def _kernel_of_lags(num_periods: int, block: float) -> Array:
    stay = 1.0 - 1.0 / max(1.0, block)
    lags = np.arange(num_periods)
    by_lag = (1 - lags / num_periods) * stay**lags + lags / num_periods * stay ** (num_periods - lags)
    return np.asarray(by_lag[np.abs(lags[:, None] - lags[None, :])])
