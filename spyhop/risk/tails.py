"""Value at risk and expected shortfall of what is held.

A loss is positive: VaR at probability p is the loss that a step exceeds with probability p, ES the mean of the losses
beyond it. Four ways from a series of profits (quote currency or fractions, float64 (n,), equally spaced, oldest first):

    historical      -q_p of the profits, q by linear interpolation; ES the mean of the profits at or below q_p
    normal          -z_p s, s from an exponentially weighted variance; ES s phi(z_p) / p
    cornish_fisher  -(m + s w(z_p)), w(z) = z + (z^2-1) S/6 + (z^3-3z) K/24 - (2z^3-5z) S^2/36 with skewness S and
                    excess kurtosis K (Cornish, Fisher 1938); ES its integral. Where w is not monotone in z, it is no
                    quantile function, and `filtered` answers instead (Maillard 2012)
    filtered        the quantile and tail mean of profit / s_t, times the next s, s_t^2 by GARCH(1,1) or exponential
                    weights (Barone-Adesi, Giannopoulos, Vosper 1999)

Longer horizons scale with the root of time. Profits are those of today's positions, so correlation is in them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from statistics import NormalDist
from typing import Annotated, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_MINUTE
from spyhop.errors import SnapshotMismatch
from spyhop.model.observations import Observation

Array: TypeAlias = npt.NDArray[np.float64]

_LAYOUT = "tails 1"
_NORMAL = NormalDist()
_BACKCAST_DECAY, _BACKCAST_STEPS = 0.94, 75
_QUIETEST = 0.01
"""Share of the mean square below which no variance counts: after standing prices any move is beyond all deviations."""


class Method(StrEnum):
    """How a tail is measured."""

    HISTORICAL = "historical"
    NORMAL = "normal"
    CORNISH_FISHER = "cornish_fisher"
    FILTERED = "filtered"


class VarianceParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """GARCH(1,1) with its long-run variance at the sample's; alpha + beta = 1 are exponential weights (RiskMetrics)."""

    alpha: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.06
    beta: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.94

    def __post_init__(self) -> None:
        if self.alpha + self.beta > 1.0 + 1e-12:
            raise ValueError(f"alpha + beta is {self.alpha + self.beta}: such a variance grows without end")


class TailParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`horizon_s` is how long a position is held; `exit_cost_frac` what closing costs, a fraction of the notional."""

    method: Method = Method.FILTERED
    probability: Annotated[float, msgspec.Meta(gt=0, lt=0.5)] = 0.01
    window_min: Annotated[int, msgspec.Meta(ge=10, le=20_000)] = 1_440
    min_returns: Annotated[int, msgspec.Meta(ge=10)] = 120
    horizon_s: Annotated[float, msgspec.Meta(gt=0)] = 1_800.0
    exit_cost_frac: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0005
    variance: VarianceParams = VarianceParams()


class Tail(msgspec.Struct, frozen=True):
    """VaR and ES in the unit of the profits, losses positive; `method` is what answered, from `num` profits."""

    var: float
    es: float
    method: Method
    num: int

    def over(self, steps: float, cost: float = 0.0) -> Tail:
        """Return the same for `steps` of the series' spacing (root of time), and `cost` to be paid at the end."""
        scale = math.sqrt(steps)
        return msgspec.structs.replace(self, var=self.var * scale + cost, es=self.es * scale + cost)


def historical(profits: Array, probability: float) -> Tail:
    """Return the empirical tail of at least one profit."""
    quantile = float(np.quantile(profits, probability))
    return Tail(-quantile, -float(profits[profits <= quantile].mean()), Method.HISTORICAL, len(profits))


def normal(profits: Array, probability: float, variance: VarianceParams | None = None) -> Tail:
    """Return the tail of a normal law of mean 0 with the next variance."""
    s = math.sqrt(variances(profits, variance or VarianceParams())[-1])
    z = _NORMAL.inv_cdf(probability)
    return Tail(-z * s, s * _NORMAL.pdf(z) / probability, Method.NORMAL, len(profits))


def cornish_fisher(profits: Array, probability: float, variance: VarianceParams | None = None) -> Tail:
    """Return the tail by four moments, or the filtered one where they lie outside the domain."""
    mean, s, skewness, kurtosis = moments(profits)
    if not is_monotone(skewness, kurtosis):
        return filtered(profits, probability, variance)
    z = _NORMAL.inv_cdf(probability)
    # integrals of phi times each Hermite polynomial up to z, over -phi(z)
    beyond = 1.0 + z * skewness / 6 + (z * z - 1) * kurtosis / 24 - (2 * z * z - 1) * skewness**2 / 36
    es = -mean + s * _NORMAL.pdf(z) / probability * beyond
    return Tail(-mean - s * expanded(z, skewness, kurtosis), es, Method.CORNISH_FISHER, len(profits))


def filtered(profits: Array, probability: float, variance: VarianceParams | None = None) -> Tail:
    """Return the empirical tail of the profits over their deviations, times the next deviation."""
    mean_square = float(np.mean(profits**2))
    if mean_square == 0.0:
        return Tail(0.0, 0.0, Method.FILTERED, len(profits))
    deviations = np.sqrt(np.maximum(variances(profits, variance or VarianceParams()), _QUIETEST * mean_square))
    found = historical(profits / deviations[:-1], probability)
    s = float(deviations[-1])
    return Tail(found.var * s, found.es * s, Method.FILTERED, len(profits))


def measured(profits: Array, params: TailParams) -> Tail:
    """Return the tail of one step of at least one profit by the method asked for."""
    match params.method:
        case Method.HISTORICAL:
            return historical(profits, params.probability)
        case Method.NORMAL:
            return normal(profits, params.probability, params.variance)
        case Method.CORNISH_FISHER:
            return cornish_fisher(profits, params.probability, params.variance)
        case Method.FILTERED:
            return filtered(profits, params.probability, params.variance)


def variances(profits: Array, params: VarianceParams) -> Array:
    """Return the variance expected before each profit and, last, for the next: float64 (n + 1,).

    h_t = omega + alpha x_{t-1}^2 + beta h_{t-1}, omega = (1 - alpha - beta) x the mean square; what lies before the
    first is the mean of the first 75 squares, weighted by 0.94^i (the start that the package `arch` takes).
    """
    squares = (profits**2).tolist()
    first = profits[:_BACKCAST_STEPS] ** 2
    weights = _BACKCAST_DECAY ** np.arange(len(first))
    before = float(weights @ first / weights.sum())
    omega = max(0.0, 1.0 - params.alpha - params.beta) * sum(squares) / len(squares)
    h = omega + (params.alpha + params.beta) * before
    found = [h]
    for square in squares:
        h = omega + params.alpha * square + params.beta * h
        found.append(h)
    return np.array(found)


def moments(profits: Array) -> tuple[float, float, float, float]:
    """Return mean, standard deviation, skewness and excess kurtosis (moments about the mean, over n); 0 if constant."""
    mean = float(profits.mean())
    away = profits - mean
    variance = float(np.mean(away**2))
    if variance <= (1e-12 * mean) ** 2:
        return mean, 0.0, 0.0, 0.0
    return (
        mean,
        math.sqrt(variance),
        float(np.mean(away**3)) / variance**1.5,
        float(np.mean(away**4)) / variance**2 - 3.0,
    )


def expanded(z: float, skewness: float, kurtosis: float) -> float:
    """Return w(z), the quantile of a standardised law with these moments."""
    skewed = (z * z - 1) * skewness / 6 - (2 * z**3 - 5 * z) * skewness**2 / 36
    return z + skewed + (z**3 - 3 * z) * kurtosis / 24


def is_monotone(skewness: float, kurtosis: float) -> bool:
    """Return whether w rises everywhere: its derivative is a parabola that never goes below 0."""
    square = kurtosis / 8 - skewness**2 / 6
    constant = 1 - kurtosis / 8 + 5 * skewness**2 / 36
    return square >= 0.0 and skewness**2 / 9 - 4 * square * constant <= 0.0


class _Series(msgspec.Struct):
    # one instrument on the grid; minutes count from 1970
    minute: int = 0  # that `mid` belongs to
    mid: float = 0.0
    before: float = 0.0  # mid of the last minute that was closed
    minutes: list[int] = []
    returns: list[float] = []


class TailRisk:
    """Holds the minute returns of every market in a bounded window and measures positions by them.

    A minute's price is its last observed mid. After a gap the whole move counts as the return of one minute: too
    careful rather than not at all.
    """

    def __init__(self, params: TailParams) -> None:
        self._params = params
        self._series: dict[int, _Series] = {}

    def observe(self, observed: Observation) -> None:
        """Take a mid; observations of one instrument come in order of time."""
        if observed.mid <= 0.0:
            return
        series = self._series.setdefault(observed.instrument, _Series())
        minute = observed.ts // NS_PER_MINUTE
        if minute > series.minute:
            self._close(series)
            series.minute = minute
        series.mid = observed.mid

    def _close(self, series: _Series) -> None:
        if series.before > 0.0:
            series.minutes.append(series.minute)
            series.returns.append(series.mid / series.before - 1.0)
            if len(series.returns) > self._params.window_min:
                del series.minutes[0], series.returns[0]
        series.before = series.mid

    def profits(self, positions: Mapping[int, float]) -> Array:
        """Return what `positions` (signed notional, quote currency) would have made in each minute all of them have."""
        held = {number: notional for number, notional in positions.items() if notional != 0.0}
        if not held:
            return np.zeros(0)
        if any(number not in self._series for number in held):
            return np.zeros(0)
        common = np.array(self._series[min(held)].minutes, np.int64)
        for number in sorted(held):
            common = np.intersect1d(common, np.array(self._series[number].minutes, np.int64), assume_unique=True)
        total = np.zeros(len(common))
        for number in sorted(held):
            series = self._series[number]
            at = np.searchsorted(np.array(series.minutes, np.int64), common)
            total += held[number] * np.array(series.returns)[at]
        return total

    def measure(self, positions: Mapping[int, float]) -> Tail | None:
        """Return the tail of holding `positions` over the horizon and closing them then, quote currency.

        0 without positions; None while they have fewer than `min_returns` minutes in common.
        """
        gross = sum(abs(notional) for notional in positions.values())
        if gross == 0.0:
            return Tail(0.0, 0.0, self._params.method, 0)
        profits = self.profits(positions)
        if len(profits) < self._params.min_returns:
            return None
        steps = self._params.horizon_s * 1e9 / NS_PER_MINUTE
        return measured(profits, self._params).over(steps, self._params.exit_cost_frac * gross)

    def num_returns(self, instrument: int) -> int:
        """Return how many minutes of `instrument` are held."""
        return len(self._series[instrument].returns) if instrument in self._series else 0

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((_LAYOUT, self._series))

    def restore(self, snapshot: bytes) -> None:
        try:
            layout, series = msgspec.msgpack.decode(snapshot, type=tuple[str, dict[int, _Series]])
        except msgspec.DecodeError as error:
            raise SnapshotMismatch("tails", _LAYOUT, "unknown") from error
        if layout != _LAYOUT:
            raise SnapshotMismatch("tails", _LAYOUT, layout)
        self._series = series
