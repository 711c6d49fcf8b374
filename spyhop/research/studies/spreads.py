"""The study of the spread: how it is spread, how soon it comes back, and whether that pays four legs of costs."""

from __future__ import annotations

import math
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.reports.model import Interval
from spyhop.research.studies.aftermath import PathPoint, path
from spyhop.research.studies.bar_trips import ReversionParams, Trips, reversion_trips
from spyhop.research.studies.chance import SEED, Earned, Floats, Places
from spyhop.research.studies.costs import Costs
from spyhop.research.studies.outcomes import quantiles
from spyhop.research.studies.paired import MINUTE_S, PairedBars
from spyhop.research.studies.study import About, Outcome, Rule, about, outcome

Spread: TypeAlias = npt.NDArray[np.float64]

EW_HALF_LIFE_MIN = 30.0
PATH_MIN = 30
"""How long excursions are looked at."""
_MIN_FIT = 30
_Z = 1.959963984540054


class HalfLife(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a series goes back to its mean: x(t+1) = a + phi x(t) + e, minutes until half is gone.

    None where phi is not between 0 and 1; the interval's high end is None where phi's reaches 1: it may never come
    back. Noise of a print that the next minute corrects makes phi, and so the half-life, too small.
    """

    phi: float
    phi_interval: Interval
    minutes: float | None
    low_min: float | None
    high_min: float | None


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """The spread at the closes, in bp, and how much of it is a level rather than an excursion.

    `above` and `below` are the shares of minutes that reach the entry on either side, `episodes` how often it was
    reached from within. `excursion` is the spread less its own exponential mean of the minutes before (half-life 30
    min); `slow_share` is the part of the variance that this mean takes away.
    """

    num: int
    mean_bps: float
    deviation_bps: float
    quantiles_bps: dict[str, float]
    excursion_quantiles_bps: dict[str, float]
    above: float
    below: float
    inside_exit: float
    episodes: int
    slow_share: float | None
    half_life: HalfLife | None
    excursion_half_life: HalfLife | None


class SpreadStudy(msgspec.Struct, frozen=True, kw_only=True):
    """What both legs of a wide spread brought."""

    kind: str
    about: About
    params: ReversionParams
    costs: Costs
    latency_s: float
    distribution: Distribution | None
    histogram_bps: list[tuple[float, int]]
    path: list[PathPoint]
    """After the excursions, from the side that closes them."""
    outcome: Outcome


def study(
    bars: PairedBars, params: ReversionParams, costs: Costs, *, latency_s: float = 0.0, seed: int = SEED
) -> SpreadStudy:
    """Return the study of `bars`."""
    spread = bars.spread
    rule = Rule(
        label="both legs",
        alike="held as long",
        num_events=int((np.abs(spread) >= params.entry_frac).sum()),
        num_legs=2,
        planned=None,
        walk=lambda later: reversion_trips(bars.trading, params, latency_s + later * MINUTE_S),
        earned=lambda trips: held_as_long(bars, trips),
    )
    return SpreadStudy(
        kind="spread",
        about=about(bars),
        params=params,
        costs=costs,
        latency_s=latency_s,
        distribution=distribution(spread, params),
        histogram_bps=histogram(spread[np.isfinite(spread)] * 1e4),
        path=path(bars, excursions(spread, params), PATH_MIN),
        outcome=outcome(bars, rule, costs, seed),
    )


def held_as_long(bars: PairedBars, trips: Trips) -> Earned:
    """Return what the trades' sides would have earned on both legs, held as long, from signals at any bar.

    At a random minute the spread is rarely wide, so that its exit would come at once: the time is kept instead.
    """
    rows = trips.rows
    until_entry = rows["i_entry"] - rows["i_signal"]
    until_exit = rows["i_exit"] - rows["i_signal"]
    num = len(bars.ts)

    def earned(at: Places) -> Floats:
        start, end = at + until_entry, at + until_exit
        fits = end < num
        start, end = np.where(fits, start, 0), np.where(fits, end, 0)
        follower = bars.follower_close[end] / bars.follower_close[start]
        leader = bars.leader_close[end] / bars.leader_close[start]
        return np.where(fits, rows["side"] * (follower - leader), np.nan)

    return earned


def distribution(spread: Spread, params: ReversionParams) -> Distribution | None:
    """Return how `spread` (NaN where not known) is spread; None when it is never known."""
    known = spread[np.isfinite(spread)]
    if not len(known):
        return None
    away = excursion(spread)
    kept = np.isfinite(away)
    variance = float(np.var(spread[kept])) if kept.any() else 0.0
    return Distribution(
        num=len(known),
        mean_bps=float(known.mean() * 1e4),
        deviation_bps=float(known.std(ddof=1) * 1e4) if len(known) > 1 else 0.0,
        quantiles_bps=quantiles(known * 1e4),
        excursion_quantiles_bps=quantiles(away[kept] * 1e4),
        above=float((known >= params.entry_frac).mean()),
        below=float((known <= -params.entry_frac).mean()),
        inside_exit=float((np.abs(known) <= params.exit_frac).mean()),
        episodes=int((excursions(spread, params) != 0).sum()),
        slow_share=1.0 - float(np.var(away[kept])) / variance if variance > 0.0 else None,
        half_life=half_life(spread),
        excursion_half_life=half_life(away),
    )


def excursions(spread: Spread, params: ReversionParams) -> npt.NDArray[np.int8]:
    """Return at each close the side of the follower that closes an excursion that begins there, else 0."""
    wide = np.abs(spread) >= params.entry_frac
    begins = wide & ~np.concatenate([[False], wide[:-1]])
    return np.where(begins, -np.sign(spread), 0.0).astype(np.int8)


def excursion(spread: Spread, half_life_min: float = EW_HALF_LIFE_MIN) -> Spread:
    """Return the spread less the exponential mean of the minutes before each; NaN where either is not known."""
    keep = 0.5 ** (1.0 / half_life_min)
    away = np.full(len(spread), np.nan)
    mean = math.nan
    for i, value in enumerate(spread.tolist()):
        if not math.isfinite(value):
            continue
        away[i] = value - mean
        mean = value if math.isnan(mean) else keep * mean + (1.0 - keep) * value
    return away


def half_life(series: Spread) -> HalfLife | None:
    """Return the half-life of `series` by least squares on neighbouring minutes; None for too few or no variance."""
    both = np.isfinite(series[:-1]) & np.isfinite(series[1:])
    x, y = series[:-1][both], series[1:][both]
    if len(x) < _MIN_FIT or float(np.var(x)) <= 0.0:
        return None
    dx, dy = x - x.mean(), y - y.mean()
    squares = float(dx @ dx)
    phi = float(dx @ dy) / squares
    left = dy - phi * dx
    error = math.sqrt(float(left @ left) / (len(x) - 2) / squares)
    low, high = phi - _Z * error, phi + _Z * error
    return HalfLife(
        phi=phi, phi_interval=Interval(low, high), minutes=_minutes(phi), low_min=_minutes(low), high_min=_minutes(high)
    )


def _minutes(phi: float) -> float | None:
    return -math.log(2.0) / math.log(phi) if 0.0 < phi < 1.0 else None


def histogram(bps: Spread, width: float = 1.0) -> list[tuple[float, int]]:
    """Return (low edge in bp, minutes) of each bin of `width` that has any; zero is an edge."""
    edges, counts = np.unique(np.floor(bps / width), return_counts=True)
    return [(float(edge * width), int(count)) for edge, count in zip(edges, counts, strict=True)]
