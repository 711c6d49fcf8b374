"""Back-tests of value at risk: were the losses beyond it as many, and as scattered, as was promised?

An exceedance is a step whose loss was beyond the VaR that was said before it. With n steps, x exceedances and the
promised probability p (0 ln 0 = 0 throughout):

    coverage        LR_uc = -2 ln[(1-p)^(n-x) p^x / ((1-x/n)^(n-x) (x/n)^x)], chi2(1) (Kupiec 1995)
    independence    LR_ind = -2 ln[L(pi) / L(pi_01, pi_11)] over the transitions between quiet and exceeding steps,
                    chi2(1) (Christoffersen 1998)
    joint           LR_cc = LR_uc (of the steps that follow another) + LR_ind, chi2(2)
    shortfall       Z2 = 1 - sum_t L_t I_t / (n p ES_t), 0 if ES is right and below 0 if it is too small; it has no
                    limiting law, its p-value is that of normal tails (Acerbi, Szekely 2014)

The chi-squared laws are poor for few exceedances (at n = 1,000 and p = 5 % the test of independence rejects 7.5 % at
5 %), so each p-value is also counted from simulated series: (1 + those as extreme) / (1 + all) (Dufour 2006).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

DRAWS = 9_999
_CELLS = 4_000_000
_TAIL_POINTS = 4_096
_TIE = 1e-9
"""Statistics of whole counts that are equal but for rounding are equal."""


class Outcome(msgspec.Struct, frozen=True):
    """A test's statistic; `p_value` by its limiting law (None where it has none), `p_simulated` by simulation."""

    statistic: float
    p_value: float | None
    p_simulated: float | None = None


class Backtest(msgspec.Struct, frozen=True, kw_only=True):
    """What `backtest` found; `expected` and `exceedances` are counts of `num` steps."""

    num: int
    expected: float
    exceedances: int
    coverage: Outcome
    independence: Outcome
    joint: Outcome
    shortfall: Outcome | None = None


def backtest(
    losses: Array,
    value_at_risk: Array,
    probability: float,
    rng: np.random.Generator,
    expected_shortfall: Array | None = None,
    num_draws: int = DRAWS,
) -> Backtest:
    """Return every test of `losses` (n,) against the VaR (n,), and ES (n,) if given, said before each.

    Raises ValueError unless there are two steps or more, as many VaR, and 0 < probability < 1.
    """
    if len(losses) < 2 or len(losses) != len(value_at_risk):
        raise ValueError(f"{len(losses)} losses and {len(value_at_risk)} values at risk make no series")
    if not 0.0 < probability < 1.0:
        raise ValueError(f"a probability of {probability} does not lie between 0 and 1")
    hits = losses > value_at_risk
    simulated = likelihood_draws(len(hits), probability, rng, num_draws)
    found = []
    for statistic, draws, dof in zip(
        likelihood_ratios(hits[np.newaxis], probability)[:, 0], simulated, (1, 1, 2), strict=True
    ):
        extreme = int(np.count_nonzero(draws >= statistic - _TIE))
        found.append(
            Outcome(float(statistic), chi_squared_tail(float(statistic), dof), (1 + extreme) / (1 + num_draws))
        )
    shortfall = None
    if expected_shortfall is not None:
        z2 = shortfall_statistic(losses, hits, expected_shortfall, probability)
        extreme = int(np.count_nonzero(shortfall_draws(len(hits), probability, rng, num_draws) <= z2 + _TIE))
        shortfall = Outcome(z2, None, (1 + extreme) / (1 + num_draws))
    return Backtest(
        num=len(hits),
        expected=probability * len(hits),
        exceedances=int(hits.sum()),
        coverage=found[0],
        independence=found[1],
        joint=found[2],
        shortfall=shortfall,
    )


def likelihood_ratios(hits: Flags, probability: float) -> Array:
    """Return (LR_uc, LR_ind, LR_cc) of each row of `hits` (m, n) as float64 (3, m)."""
    n = hits.shape[1]
    x = hits.sum(axis=1)
    before, after = hits[:, :-1], hits[:, 1:]
    n11 = (before & after).sum(axis=1)
    n10, n01 = before.sum(axis=1) - n11, after.sum(axis=1) - n11
    n00 = n - 1 - n01 - n10 - n11
    coverage = 2.0 * (_fitted(n - x, x) - _likelihood(n - x, x, probability))
    split = _fitted(n00, n01) + _fitted(n10, n11)
    independence = 2.0 * (split - _fitted(n00 + n10, n01 + n11))
    joint = 2.0 * (split - _likelihood(n00 + n10, n01 + n11, probability))
    return np.maximum(np.stack([coverage, independence, joint]), 0.0)


def _likelihood(quiet: npt.NDArray[np.int64], hit: npt.NDArray[np.int64], probability: float) -> Array:
    return quiet * math.log1p(-probability) + hit * math.log(probability)


def _fitted(quiet: npt.NDArray[np.int64], hit: npt.NDArray[np.int64]) -> Array:
    # the log-likelihood at the share of hits, 0 ln 0 = 0
    total = np.maximum(quiet + hit, 1)
    found: Array = quiet * np.log(np.where(quiet > 0, quiet, total) / total)
    found += hit * np.log(np.where(hit > 0, hit, total) / total)
    return found


def likelihood_draws(num: int, probability: float, rng: np.random.Generator, num_draws: int = DRAWS) -> Array:
    """Return the likelihood ratios of `num_draws` independent series with the promised probability, (3, num_draws)."""
    step = max(1, _CELLS // num)
    parts = [
        likelihood_ratios(rng.random((min(step, num_draws - start), num)) < probability, probability)
        for start in range(0, num_draws, step)
    ]
    return np.concatenate(parts, axis=1)


def chi_squared_tail(statistic: float, dof: int) -> float:
    """Return the probability that chi-squared with 1 or 2 degrees of freedom is above `statistic`."""
    return math.erfc(math.sqrt(0.5 * statistic)) if dof == 1 else math.exp(-0.5 * statistic)


def shortfall_statistic(losses: Array, hits: Flags, expected_shortfall: Array, probability: float) -> float:
    """Return Z2; raise ValueError unless every ES is above 0 and there is one for each loss."""
    if len(expected_shortfall) != len(losses) or not bool(np.all(expected_shortfall > 0.0)):
        raise ValueError("each loss needs an expected shortfall above 0 beside it")
    return 1.0 - float(np.sum(losses[hits] / expected_shortfall[hits])) / (len(losses) * probability)


def shortfall_draws(num: int, probability: float, rng: np.random.Generator, num_draws: int = DRAWS) -> Array:
    """Return Z2 of `num_draws` series of normal profits whose VaR and ES were right, float64 (num_draws,)."""
    law = NormalDist()
    shares = (np.arange(_TAIL_POINTS) + 0.5) / _TAIL_POINTS * probability
    tail = np.array([-law.inv_cdf(share) for share in shares.tolist()])
    tail /= law.pdf(law.inv_cdf(probability)) / probability
    counts = rng.binomial(num, probability, num_draws)
    drawn = tail[rng.integers(0, _TAIL_POINTS, int(counts.sum()))]
    sums = np.bincount(np.repeat(np.arange(num_draws), counts), weights=drawn, minlength=num_draws)
    return 1.0 - sums / (num * probability)
