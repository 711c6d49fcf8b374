"""Which of two markets moves first, and by how much: estimate, interval, and what chance alone would show.

The estimate is that of Hoffmann, Rosenbaum and Yoshida over a grid of shifts (`spyhop.numerics.lead_lag`). Its
interval comes from resampling blocks of the recording, since moves come in clusters; what chance would show comes from
placebos: one series turned in a circle by far more than any lag. A lag is only said to be there when the
correlation is above what 95 of 100 placebos reach and the interval leaves 0 out.

By the venues' clocks the lag is structural; by ours it is actionable: what is left after the news has reached us.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_S
from spyhop.errors import UserError
from spyhop.numerics.lead_lag import Moves, block_covariances, correlations, lead_lag_ratio, moves, turned
from spyhop.research.lead_lag.series import Clock, Series
from spyhop.research.lead_lag.shares import PriceShares, price_shares

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Progress = Callable[[int, int, str], None]
"""Told how many steps of how many are done, and what the next is."""

MOST_SHIFTS = 20_001
FEWEST_TICKS = 30
FEWEST_BLOCKS = 8
USUAL_BLOCKS = 20
SPANS_OF_LAG = 5
MOST_WALKED = 8_000_000_000
FEWEST_PLACEBOS = 39
LEVEL = 0.95


class LeadLagParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far to look, on which grid, and how often chance is asked; `step_s` 0 is a hundredth of `max_lag_s`."""

    max_lag_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    step_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    block_s: Annotated[float, msgspec.Meta(gt=0)] = 3_600.0
    """Length of a block of the bootstrap; a twentieth of a recording of less than twenty of them."""
    resamples: Annotated[int, msgspec.Meta(ge=100)] = 1_000
    placebos: Annotated[int, msgspec.Meta(ge=FEWEST_PLACEBOS)] = 199
    seed: Annotated[int, msgspec.Meta(ge=0)] = 20251128


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Correlation at each shift, seconds; above 0 the leader's past is held against the follower's present."""

    shift_s: tuple[float, ...]
    rho: tuple[float, ...]


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What one of the two series was, within the span that both cover."""

    name: str
    what: str
    num_ticks: int
    num_moves: int
    num_unsorted: int
    num_missing: int
    num_repeated: int
    resolution_s: float


class LeadLagStudy(msgspec.Struct, frozen=True, kw_only=True):
    """What one clock says of two markets; `lag_s` is above 0 where the leader leads.

    `lag_low_s` and `lag_high_s` bound the lag with 95 % by block bootstrap, None where the recording is too short
    for one; `rho` is the correlation at the lag, `null_95` what 95 of 100 placebos stay below, `null_p` the share of
    placebos (and this one) that reach `rho`. `lead_lag_ratio` is None where a series does not move.
    """

    lag_s: float
    lag_low_s: float | None
    lag_high_s: float | None
    rho: float
    lead_lag_ratio: float | None
    null_95: float
    null_p: float
    has_lag: bool
    verdict: str
    clock: Clock
    is_simulated: bool
    span_s: float
    step_s: float
    block_s: float
    num_blocks: int
    num_placebos: int
    leader: Side
    follower: Side
    shares: PriceShares | None
    curve: Curve
    warnings: tuple[str, ...]


def measured(
    leader: Series,
    follower: Series,
    params: LeadLagParams | None = None,
    on_progress: Progress = lambda done, total, said: None,
) -> LeadLagStudy:
    """Return how far `follower` is behind `leader`; raise UserError where too little is there of both."""
    params = params or LeadLagParams()
    pair = _Pair.of(leader, follower, params)
    placebos = _affordable(params.placebos, (len(pair.x.size) + len(pair.y.size)) * len(pair.shifts))
    on_progress(0, placebos + 1, "the correlation curve")
    first, block_ns = _blocks(pair, params.block_s)
    covariances = block_covariances(pair.x, pair.y, pair.shifts, first)
    rho = np.sum(covariances, axis=0) / np.sqrt(pair.x.variation * pair.y.variation)
    at = _peak(np.abs(rho))
    peak = abs(float(rho[at]))
    generator = np.random.default_rng(params.seed)
    bounds = _interval(covariances, pair.shifts, at, params.resamples, generator)
    chance = np.array([_placebo(pair, generator, k, placebos, on_progress) for k in range(placebos)])
    null_95 = float(np.quantile(chance, LEVEL))
    ratio = lead_lag_ratio(pair.shifts, rho)
    shares, no_shares = price_shares(leader, follower)
    warnings = [*leader.warnings, *follower.warnings, *pair.warnings]
    if placebos < params.placebos:
        warnings.append(f"so many ticks that chance was asked {placebos} times only")
    if bounds is None:
        warnings.append(
            f"{len(first) - 1} blocks are too few for an interval of the lag: record longer or look less far"
        )
    elif block_ns < params.block_s * NS_PER_S:
        warnings.append(f"the recording is short: the interval comes from blocks of {block_ns / NS_PER_S:.3g} s")
    if at in (0, len(rho) - 1) and peak > null_95:
        warnings.append("the correlation is highest at the end of the range: look further")
    said = _Said(leader.name, follower.name, float(pair.shifts[at]) / NS_PER_S, bounds, float(rho[at]), null_95)
    is_one_thing = leader.base != "" and leader.base == follower.base
    has_lag, verdict = _verdict(said, is_one_thing, max(leader.resolution_ns, follower.resolution_ns) / NS_PER_S)
    return LeadLagStudy(
        lag_s=said.lag_s,
        lag_low_s=None if bounds is None else bounds[0],
        lag_high_s=None if bounds is None else bounds[1],
        rho=said.rho,
        lead_lag_ratio=ratio if np.isfinite(ratio) else None,
        null_95=null_95,
        null_p=float((1 + np.sum(chance >= peak)) / (1 + placebos)),
        has_lag=has_lag,
        verdict=verdict,
        clock=leader.clock,
        is_simulated=leader.is_simulated or follower.is_simulated,
        span_s=(pair.end - pair.start) / NS_PER_S,
        step_s=float(pair.shifts[1] - pair.shifts[0]) / NS_PER_S,
        block_s=block_ns / NS_PER_S,
        num_blocks=len(first) - 1,
        num_placebos=placebos,
        leader=_side(leader, pair.num_ticks[0], len(pair.x.size)),
        follower=_side(follower, pair.num_ticks[1], len(pair.y.size)),
        shares=shares,
        curve=Curve(shift_s=tuple((pair.shifts / NS_PER_S).tolist()), rho=tuple(rho.tolist())),
        warnings=(*warnings, *([no_shares] if no_shares else [])),
    )


class _Pair(NamedTuple):
    """Both series in the span that both cover, as logarithms where they can be, and the grid of shifts."""

    x: Moves
    y: Moves
    num_ticks: tuple[int, int]
    start: int
    end: int
    shifts: Ints
    warnings: tuple[str, ...]

    @property
    def reach_ns(self) -> int:
        return int(self.shifts[-1])

    @staticmethod
    def of(leader: Series, follower: Series, params: LeadLagParams) -> _Pair:
        if leader.clock != follower.clock:
            raise UserError(f"{leader.name} is on {leader.clock} time and {follower.name} on {follower.clock} time")
        shifts, warnings = _grid(leader, follower, params)
        start = int(max(leader.times[0], follower.times[0]))
        end = int(min(leader.times[-1], follower.times[-1]))
        if end <= start:
            raise UserError(f"{leader.name} and {follower.name} do not overlap in time")
        if end - start < SPANS_OF_LAG * shifts[-1]:
            raise UserError(
                f"{leader.name} and {follower.name} overlap for {(end - start) / NS_PER_S:.4g} s: too short to look "
                f"{shifts[-1] / NS_PER_S:g} s far; at least {SPANS_OF_LAG} times as long is needed"
            )
        tx, x = _cut(leader, start, end)
        ty, y = _cut(follower, start, end)
        if min(x.min(), y.min()) > 0.0:
            x, y = np.log(x), np.log(y)
        else:
            warnings += ("prices are not all above 0: their differences are compared, not their returns",)
        moved = moves(tx, x), moves(ty, y)
        for one, its in zip((leader, follower), moved, strict=True):
            if not len(its.size):
                raise UserError(f"{one.name} never moves where both are there: nothing can be compared")
        return _Pair(*moved, (len(x), len(y)), start, end, shifts, warnings)


def _grid(leader: Series, follower: Series, params: LeadLagParams) -> tuple[Ints, tuple[str, ...]]:
    """Return the shifts; those of two series of bars are whole bars, since between them there is nothing to see."""
    step_ns = max(1, round((params.step_s or params.max_lag_s / 100.0) * NS_PER_S))
    max_ns = round(params.max_lag_s * NS_PER_S)
    warnings: tuple[str, ...] = ()
    if bar_ns := max(leader.bar_ns, follower.bar_ns):
        step_ns = bar_ns * max(1, round(step_ns / bar_ns))
        warnings = (f"bars: shifts are whole bars of {bar_ns / NS_PER_S:g} s, and a lag below that looks like none",)
    reach = max(1, max_ns // step_ns)
    if 2 * reach + 1 > MOST_SHIFTS:
        raise UserError(f"{2 * reach + 1} shifts are too many: ask for a larger step or a smaller range")
    return np.arange(-reach, reach + 1, dtype=np.int64) * step_ns, warnings


def _cut(one: Series, start: int, end: int) -> tuple[Ints, Floats]:
    cut = slice(int(np.searchsorted(one.times, start)), int(np.searchsorted(one.times, end, side="right")))
    if cut.stop - cut.start < FEWEST_TICKS:
        raise UserError(
            f"{one.name} has {cut.stop - cut.start} prices where both are there: {FEWEST_TICKS} are needed at least"
        )
    return one.times[cut], one.values[cut]


def _affordable(placebos: int, walked: int) -> int:
    return min(placebos, max(FEWEST_PLACEBOS, MOST_WALKED // walked))


def _blocks(pair: _Pair, block_s: float) -> tuple[Ints, int]:
    """Return where blocks of equal time begin in the leader's moves and how long they are.

    They are hours, or a part of a short recording, but at least twice as long as the longest shift: the moves that
    one explains must not lie in the next.
    """
    length = pair.end - pair.start
    block_ns = max(min(int(block_s * NS_PER_S), length // USUAL_BLOCKS), 2 * pair.reach_ns)
    num_blocks = max(1, length // block_ns)
    edges = pair.start + np.arange(1, num_blocks, dtype=np.int64) * (length // num_blocks)
    inner = np.searchsorted(pair.x.end, edges, side="right")
    return np.concatenate([[0], inner, [len(pair.x.size)]]).astype(np.int64), length // num_blocks


def _peak(heights: Floats) -> int:
    """Return where the highest value is: the middle of a plateau, so that no side is preferred."""
    highest = np.flatnonzero(heights >= heights.max() * (1.0 - 1e-12))
    return int(highest[len(highest) // 2])


def _interval(
    covariances: Floats, shifts: Ints, at: int, resamples: int, generator: np.random.Generator
) -> tuple[float, float] | None:
    """Return the 2.5 % and 97.5 % quantiles of the lag over resampled blocks, half a step wider on either side."""
    num_blocks = len(covariances)
    if num_blocks < FEWEST_BLOCKS:
        return None
    times_drawn = generator.multinomial(num_blocks, np.full(num_blocks, 1.0 / num_blocks), size=resamples)
    lags = shifts[np.argmax(np.abs(times_drawn @ covariances), axis=1)]
    low, high = np.quantile(lags, [0.5 - 0.5 * LEVEL, 0.5 + 0.5 * LEVEL], method="inverted_cdf")
    step = int(shifts[1] - shifts[0])
    return float(2 * min(low, shifts[at]) - step) / (2 * NS_PER_S), float(2 * max(high, shifts[at]) + step) / (
        2 * NS_PER_S
    )


def _placebo(pair: _Pair, generator: np.random.Generator, k: int, placebos: int, on_progress: Progress) -> float:
    """Return the highest correlation with the follower turned by more than twice any shift, either way round."""
    margin = 2 * pair.reach_ns
    length = pair.end - pair.start
    placebo = turned(pair.y, pair.start, length, int(generator.integers(margin, length - margin)))
    highest = float(np.max(np.abs(correlations(pair.x, placebo, pair.shifts))))
    on_progress(k + 2, placebos + 1, "chance")
    return highest


class _Said(NamedTuple):
    leader: str
    follower: str
    lag_s: float
    bounds: tuple[float, float] | None
    rho: float
    null_95: float


def _verdict(said: _Said, is_one_thing: bool, resolution_s: float) -> tuple[bool, str]:
    """Return whether there is a lag, and a sentence."""
    if abs(said.rho) <= said.null_95:
        return False, (
            f"no lag to be seen: the highest correlation, {said.rho:.3f}, is not above the {said.null_95:.3f} that "
            "chance alone reaches"
        )
    if said.rho < 0.0 and is_one_thing:
        return False, (
            f"no lag to be seen: the highest correlation, {said.rho:.3f}, is negative, as prices of one thing only are "
            "while they bounce between bid and ask"
        )
    together = f"{said.leader} and {said.follower} move together (correlation {said.rho:.3f})"
    if said.bounds is None:
        return False, f"{together}, but no lag to be seen: the recording is too short for an interval"
    low, high = said.bounds
    between = f"95 %: {low:.4g} to {high:.4g} s"
    if low <= 0.0 <= high:
        return False, f"{together}, but no lag to be seen: its interval holds 0 ({between})"
    if abs(said.lag_s) < resolution_s:
        return False, f"{together}, but no lag to be seen: {said.lag_s:.4g} s is below what the times resolve"
    first, second = (said.leader, said.follower) if said.lag_s > 0 else (said.follower, said.leader)
    return True, (
        f"{first} leads {second} by {abs(said.lag_s):.4g} s ({between}); correlation {said.rho:.3f}, "
        f"chance stays below {said.null_95:.3f}; whether that pays after costs is another question"
    )


def _side(one: Series, num_ticks: int, num_moves: int) -> Side:
    return Side(
        name=one.name,
        what=one.what,
        num_ticks=num_ticks,
        num_moves=num_moves,
        num_unsorted=one.num_unsorted,
        num_missing=one.num_missing,
        num_repeated=one.num_repeated,
        resolution_s=one.resolution_ns / NS_PER_S,
    )
