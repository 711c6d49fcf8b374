"""D15 TimeAnalyzer: what hour of the week it is, and what that hour is usually like.

For each of the 168 hours of the week it keeps how volatility, volume and spread compare with their overall mean,
fading by half in four weeks, and shrinks them: f = (n f_cell + 8 f_hour) / (n + 8), where the hour of day is shrunk
to 1 the same way. Only hours that are over count. Call it before the volatility detector, which divides by
`m.vol_mult`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import cos, log, pi, sin, sqrt
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from spyhop.detectors.published import publish
from spyhop.errors import InvalidSetting
from spyhop.numerics._jit import kernel

HOURS_A_WEEK = 168
MAX_NEWS_WINDOWS = 64

_HOUR_NS = 3_600_000_000_000
_MONDAY = 3 * 24  # the epoch was a Thursday
_NUM_METRICS = 3
_VOL, _VOLUME, _SPREAD = 0, 1, 2

_CELL = np.dtype([("mean", "f8"), ("weight", "f8")])

STATE = np.dtype(
    [
        ("hour", "i8"),  # number of the hour being gathered, since the epoch
        ("hour_shown", "i8"),  # number of the hour the factors are for
        ("close", "f8"),
        ("squares", "f8"),
        ("num_returns", "i8"),
        ("volume", "f8"),
        ("num_bars", "i8"),
        ("spread", "f8"),
        ("num_spreads", "i8"),
        ("cells", _CELL, (_NUM_METRICS, HOURS_A_WEEK)),
        ("hours", _CELL, (_NUM_METRICS, 24)),
        ("overall", _CELL, (_NUM_METRICS,)),
        ("factors", "f8", (_NUM_METRICS,)),
        ("num_hours", "i8"),
        ("cell_weight", "f8"),
        ("news", "i8"),
    ]
)
PARAMS = np.dtype(
    [
        ("cell_keep", "f8"),
        ("hour_keep", "f8"),
        ("overall_keep", "f8"),
        ("prior", "f8"),
        ("min_hours", "i8"),
        ("min_bars", "i8"),
        ("num_news", "i8"),
        ("news_start", "i8", (MAX_NEWS_WINDOWS,)),
        ("news_end", "i8", (MAX_NEWS_WINDOWS,)),
    ]
)


class TimeParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`news_windows_s` are (start, end) in seconds since the epoch: without a calendar there is no news window."""

    half_life_weeks: Annotated[float, msgspec.Meta(gt=0)] = 4.0
    prior_weight: Annotated[float, msgspec.Meta(gt=0)] = 8.0
    min_hours: Annotated[int, msgspec.Meta(ge=1)] = 24
    min_bars: Annotated[int, msgspec.Meta(ge=2, le=60)] = 30  # an hour with fewer bars does not count
    news_windows_s: tuple[tuple[int, int], ...] = ()


def params_record(params: TimeParams) -> tuple[Any, ...]:
    """Return the numbers of PARAMS in the order of its fields; raise InvalidSetting for too many news windows."""
    windows = sorted(params.news_windows_s)
    if len(windows) > MAX_NEWS_WINDOWS:
        raise InvalidSetting("news_windows_s", f"at most {MAX_NEWS_WINDOWS} windows, not {len(windows)}")
    if any(start >= end for start, end in windows):
        raise InvalidSetting("news_windows_s", "each window must end after it starts")
    unused = (0,) * (MAX_NEWS_WINDOWS - len(windows))
    return (
        0.5 ** (1.0 / params.half_life_weeks),
        0.5 ** (1.0 / (7.0 * params.half_life_weeks)),
        0.5 ** (1.0 / (HOURS_A_WEEK * params.half_life_weeks)),
        params.prior_weight,
        params.min_hours,
        params.min_bars,
        len(windows),
        tuple(start * 1_000_000_000 for start, _ in windows) + unused,
        tuple(end * 1_000_000_000 for _, end in windows) + unused,
    )


_SESSIONS = (
    ("is_asia_session", ZoneInfo("Asia/Tokyo"), 9, 17),
    ("is_europe_session", ZoneInfo("Europe/London"), 8, 17),
    ("is_us_session", ZoneInfo("America/New_York"), 8, 17),
)


def calendar_features(ts: int) -> dict[str, float]:
    """Return the place of `ts` (ns, UTC) on the clock and in the week as sines and cosines, and session flags 0 or 1.

    Sessions are office hours of their own city, so they move in UTC when its clocks change; a weekend there is none.
    """
    moment = datetime.fromtimestamp(ts // 1_000_000_000, UTC)
    day = 2.0 * pi * ((ts % (24 * _HOUR_NS)) / (24 * _HOUR_NS))
    week = 2.0 * pi * (((ts + _MONDAY * _HOUR_NS) % (HOURS_A_WEEK * _HOUR_NS)) / (HOURS_A_WEEK * _HOUR_NS))
    features = {
        "day_sin": sin(day),
        "day_cos": cos(day),
        "week_sin": sin(week),
        "week_cos": cos(week),
        "is_weekend": float(moment.weekday() >= 5),
    }
    for name, zone, opens, closes in _SESSIONS:
        local = moment.astimezone(zone)
        features[name] = float(local.weekday() < 5 and opens <= local.hour < closes)
    return features


@kernel
def hour_of_week(hour: int) -> int:
    """Return 0 (Monday 00 h UTC) .. 167 for a number of hours since the epoch."""
    return (hour + _MONDAY) % HOURS_A_WEEK


@kernel
def shrunk_factor(cell: float, num_cell: float, hour: float, num_hour: float, prior: float) -> float:
    """Return (n f_cell + k f_hour') / (n + k) with f_hour' = (n_h f_hour + k) / (n_h + k), k = `prior`."""
    of_hour = (num_hour * hour + prior) / (num_hour + prior)
    return (num_cell * cell + prior * of_hour) / (num_cell + prior)


@kernel
def reset(s: Any, p: Any) -> None:
    """Set a zero-filled state to its start."""
    s.hour = -1
    s.hour_shown = -1
    for metric in range(_NUM_METRICS):
        s.factors[metric] = 1.0


@kernel
def _add(cell: Any, x: float, keep: float) -> None:
    weight = cell.weight * keep
    cell.mean = (cell.mean * weight + x) / (weight + 1.0)
    cell.weight = weight + 1.0


@kernel
def _learn(s: Any, p: Any, metric: int, x: float) -> None:
    cell = hour_of_week(s.hour)
    _add(s.cells[metric, cell], x, p.cell_keep)
    _add(s.hours[metric, cell % 24], x, p.hour_keep)
    _add(s.overall[metric], x, p.overall_keep)


@kernel
def _close_hour(s: Any, p: Any, hour: int) -> None:
    if s.hour >= 0 and s.num_bars >= p.min_bars and s.num_returns > 0:
        _learn(s, p, _VOL, sqrt(s.squares / s.num_returns))
        _learn(s, p, _VOLUME, s.volume / s.num_bars)
        if s.num_spreads > 0:
            _learn(s, p, _SPREAD, s.spread / s.num_spreads)
        s.num_hours += 1
    s.hour = hour
    s.squares = 0.0
    s.num_returns = 0
    s.volume = 0.0
    s.num_bars = 0
    s.spread = 0.0
    s.num_spreads = 0
    s.hour_shown = -1


@kernel
def _show(s: Any, p: Any, hour: int) -> None:
    s.hour_shown = hour
    cell = hour_of_week(hour)
    s.cell_weight = s.cells[_VOL, cell].weight
    for metric in range(_NUM_METRICS):
        mean = s.overall[metric].mean
        s.factors[metric] = 1.0
        if mean > 0.0:
            here = s.cells[metric, cell]
            of_day = s.hours[metric, cell % 24]
            s.factors[metric] = shrunk_factor(here.mean / mean, here.weight, of_day.mean / mean, of_day.weight, p.prior)


@kernel
def on_bar(s: Any, p: Any, bar: Any, m: Any) -> None:
    """Fold a closed 1 m bar."""
    hour = bar.ts_open // _HOUR_NS
    if hour > s.hour:
        _close_hour(s, p, hour)
    if s.close > 0.0:
        r = log(bar.close / s.close)
        s.squares += r * r
        s.num_returns += 1
    s.close = bar.close
    s.volume += bar.volume
    s.num_bars += 1


@kernel
def on_second(s: Any, p: Any, ts: int, m: Any) -> None:
    """Show the factors of the hour that begins or runs at `ts`, and write `m.vol_mult`."""
    if m.has_book and m.spread_bps > 0.0:
        s.spread += m.spread_bps
        s.num_spreads += 1
    hour = ts // _HOUR_NS
    if hour != s.hour_shown:
        _show(s, p, hour)
    m.vol_mult = s.factors[_VOL]
    s.news = 0
    for i in range(p.num_news):
        if p.news_start[i] <= ts < p.news_end[i]:
            s.news = 1


@kernel
def read(s: Any, p: Any, ts: int, m: Any, detection: Any, evidence: Any) -> None:
    """Fill the detection (liquidity of this hour, 0..1, 0.5 is usual) and the time evidence.

    Ready after `min_hours` whole hours; the sample size is the number of weeks this hour has been seen.
    """
    liquidity = s.factors[_VOLUME] / (s.factors[_VOLUME] + s.factors[_SPREAD])
    publish(detection, liquidity, s.num_hours >= p.min_hours, s.cell_weight, p.prior, 0, 1.0)
    evidence.vol_mult = s.factors[_VOL]
    evidence.news_window = s.news
