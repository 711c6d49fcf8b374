"""Who finds the price: how much of what both markets come to agree on was first said by each of them.

The two prices, on a grid of 100 to 250 ms, are a vector error correction model of rank 1. With a = alpha_perp the
common trend is a'e, and its shares are the component share (Gonzalo, Granger 1995) a_j / sum a, and the information
share (Hasbrouck 1995) ([a'F]_j)^2 / a'Omega a, F the Cholesky factor of the errors' covariance Omega. Since F depends
on which market comes first there are two answers, a lower and an upper bound, far apart where errors correlate.
The information leadership share (Putnins 2013) takes what is only noise out of both.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_S
from spyhop.research.lead_lag.series import Series

Floats = npt.NDArray[np.float64]

FINEST_S, COARSEST_S = 0.1, 0.25
MOST_ROWS = 200_000
FEWEST_ROWS = 500
NUM_LAGS = 10
WIDE = 0.3
SELDOM_S = 2.5


class PriceShares(msgspec.Struct, frozen=True, kw_only=True):
    """The leader's shares in finding the price, 0..1; the follower has the rest.

    `alpha_leader` and `alpha_follower` are how much of a gap each closes in a step, with `p_` the chance of so much
    without any; `trace` above `trace_95` (Johansen) says that the two are tied together at all; `error_correlation` is
    what makes the bounds part. `component` leaves 0..1 when both run the same way.
    """

    component: float
    information_low: float
    information_high: float
    information_mid: float
    information_leadership: float
    alpha_leader: float
    alpha_follower: float
    p_leader: float
    p_follower: float
    trace: float
    trace_95: float
    beta: float
    error_correlation: float
    grid_s: float
    num_rows: int
    verdict: str


def price_shares(leader: Series, follower: Series) -> tuple[PriceShares | None, str]:
    """Return the shares, or None and why there are none."""
    if min(leader.values.min(), follower.values.min()) <= 0.0:
        return None, "no shares in the price's finding: prices are not all above 0"
    if leader.base != follower.base:
        return None, f"no shares in the price's finding: {leader.base} and {follower.base} have no price in common"
    if leader.bar_ns or follower.bar_ns:
        return None, "no shares in the price's finding: bars are too coarse for them"
    start = max(leader.times[0], follower.times[0])
    end = min(leader.times[-1], follower.times[-1])
    slower_s = max(float(end - start) / NS_PER_S / max(_between(one, start, end), 1) for one in (leader, follower))
    if slower_s > SELDOM_S:
        return None, f"no shares in the price's finding: one market ticks only every {slower_s:.2g} s"
    grid_s = min(COARSEST_S, max(FINEST_S, slower_s))
    grid = np.arange(start, end + 1, int(grid_s * NS_PER_S), dtype=np.int64)[-MOST_ROWS:]
    if len(grid) < FEWEST_ROWS:
        return None, f"no shares in the price's finding: only {len(grid)} steps of {grid_s:g} s"
    levels = np.log(np.stack([_previous(leader, grid), _previous(follower, grid)], axis=1))
    if np.any(levels.std(axis=0) == 0.0):
        return None, "no shares in the price's finding: one price never moved"
    return _estimated(levels, grid_s), ""


def _between(one: Series, start: int, end: int) -> int:
    return int(np.searchsorted(one.times, end) - np.searchsorted(one.times, start))


def _previous(one: Series, grid: npt.NDArray[np.int64]) -> Floats:
    newest: Floats = one.values[np.searchsorted(one.times, grid, side="right") - 1]
    return newest


def _estimated(levels: Floats, grid_s: float) -> PriceShares:
    from statsmodels.tsa.vector_ar.vecm import VECM, coint_johansen

    # the gap's mean is a basis, not a disagreement
    levels = levels - levels.mean(axis=0)
    fitted = VECM(levels, k_ar_diff=NUM_LAGS, coint_rank=1, deterministic="n").fit()
    johansen = coint_johansen(levels, 0, NUM_LAGS)
    first, second = (float(each) for each in fitted.alpha[:, 0])
    omega = np.asarray(fitted.sigma_u, np.float64)
    component = second / (second - first) if second != first else math.nan
    common = np.array([second, -first])
    bounds = sorted((_information(common, omega), 1.0 - _information(common[::-1], omega[::-1, ::-1])))
    mid = 0.5 * sum(bounds)
    correlation = float(omega[0, 1] / math.sqrt(omega[0, 0] * omega[1, 1]))
    p_first, p_second = (float(each) for each in fitted.pvalues_alpha[:, 0])
    trace, trace_95 = float(johansen.lr1[0]), float(johansen.cvt[0, 1])
    # of two that run the same way, the slower one runs away from the other
    p_slower = p_first if abs(first) < abs(second) else p_second
    has_runaway = not 0.0 <= component <= 1.0 and p_slower < 0.05
    return PriceShares(
        component=component,
        information_low=bounds[0],
        information_high=bounds[1],
        information_mid=mid,
        information_leadership=_leadership(mid, component),
        alpha_leader=first,
        alpha_follower=second,
        p_leader=p_first,
        p_follower=p_second,
        trace=trace,
        trace_95=trace_95,
        beta=float(fitted.beta[1, 0]),
        error_correlation=correlation,
        grid_s=grid_s,
        num_rows=len(levels),
        verdict=_verdict(bounds, correlation, is_tied=trace > trace_95, has_runaway=has_runaway),
    )


def _information(common: Floats, omega: Floats) -> float:
    """Return the share of the market that comes first in the order."""
    said = common @ np.linalg.cholesky(omega)
    return float(said[0] ** 2 / (said @ said))


def _leadership(information: float, component: float) -> float:
    """Return |IS1/IS2 CS2/CS1| over itself and its inverse; as Putnins (2013) normalises it."""
    over, under = information * (1.0 - component), (1.0 - information) * component
    total = over * over + under * under
    return over * over / total if total > 0.0 else math.nan


def _verdict(bounds: list[float], correlation: float, *, is_tied: bool, has_runaway: bool) -> str:
    low, high = bounds
    said = f"the leader's information share is between {100 * low:.0f} % and {100 * high:.0f} %"
    if not is_tied:
        return f"the two are not seen to come back to a common price (Johansen): {said}, which says nothing"
    if high - low > WIDE:
        return (
            f"{said}: too wide to tell who finds the price, since both are surprised in the same step "
            f"(correlation {correlation:.2f})"
        )
    if has_runaway:
        return f"{said}; but one market runs away from the other, so that the shares say little"
    who = "the leader finds most of the price" if low > 0.5 else "the follower finds most of the price"
    return f"{who}: {said}" if low > 0.5 or high < 0.5 else f"{said}: both find it"
