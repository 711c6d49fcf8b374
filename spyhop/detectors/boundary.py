"""The whole second: what happens to every detector when event time passes one, and the row that tells of it."""

from __future__ import annotations

import math
from typing import Any

from spyhop.detectors import (
    divergence,
    flow,
    funding_rate,
    liquidation_pressure,
    momentum,
    obi,
    oi_change,
    price_pattern,
    spread,
    time,
    timeframes,
    trend,
    volatility,
    volume_cluster,
    vpin,
    wpi,
)
from spyhop.market import bars as market_bars
from spyhop.market import book as market_book
from spyhop.model.rows import DETECTORS, PATH_STEP_NS, PATH_STEPS, Health, RowFlag
from spyhop.numerics._jit import kernel

_SECOND = 1_000_000_000
_CATCH_UP = 120

(
    OBI,
    WPI,
    VPIN,
    FUNDING_RATE,
    OI_CHANGE,
    LIQUIDATION_PRESSURE,
    PRICE_PATTERN,
    VOLUME_CLUSTER,
    SPREAD,
    FLOW,
    MOMENTUM,
    VOLATILITY,
    TREND,
    DIVERGENCE,
    TIME,
) = (1 << k for k in range(len(DETECTORS)))

_IS_SECOND, _IS_ANALYSIS = int(RowFlag.SECOND), int(RowFlag.ANALYSIS)
_IS_SHARP, _IS_BAR, _IS_END = int(RowFlag.SHARP), int(RowFlag.BAR), int(RowFlag.END)
_NO_BOOK, _CROSSED = int(Health.NO_BOOK), int(Health.CROSSED)
_STALE_BOOK, _STALE_TRADES, _HAS_GAP = int(Health.STALE_BOOK), int(Health.STALE_TRADES), int(Health.GAP)


@kernel
def on_minute(s: Any, mask: int) -> None:
    """Hand the minute that has just closed, and the longer bars that closed with it, to whom they concern."""
    loop = s.loop
    loop.has_bar = 1
    m = s.moment
    closed = s.bars.closed
    bar = closed[0]
    if mask & TIME:
        time.on_bar(s.states.time, s.params.time, bar, m)
    if mask & VOLATILITY:
        volatility.on_bar(s.states.volatility, s.params.volatility, bar, m)
    if mask & PRICE_PATTERN:
        price_pattern.on_bar(s.states.price_pattern, s.params.price_pattern, bar, m)
    if mask & MOMENTUM:
        momentum.on_bar(s.states.momentum, s.params.momentum, bar, m)
    if mask & TREND:
        trend.on_bar(s.states.trend, s.params.trend, bar, m)
    if mask & DIVERGENCE:
        divergence.on_bar(s.states.divergence, s.params.divergence, bar, m)
    timeframes.on_bar_of(s.timeframes, s.timeframes_params, 0, bar)
    # intervals are 1m 3m 5m 15m 1h 4h 1d, timeframes 1m 5m 15m 1h 4h
    for k in range(1, 5):
        if s.bars.closed_mask & (1 << (k + 1)):
            timeframes.on_bar_of(s.timeframes, s.timeframes_params, k, closed[k + 1])


@kernel
def _has_book(s: Any) -> bool:
    if s.sequence.num_frames > 0 or s.sequence.num_snapshots > 0:
        return bool(s.loop.was_usable == 1 and s.top.is_ready == 1)
    return bool(s.top.is_ready == 1)


@kernel
def _begin_moment(s: Any, ts: int) -> None:
    m = s.moment
    top = s.top
    tick = s.loop.tick
    m.ts = ts
    m.has_book = 1 if _has_book(s) else 0
    m.mid = s.loop.mid
    m.last = s.loop.last
    if top.is_ready:
        m.bid = top.bid * tick
        m.ask = top.ask * tick
        m.bid_qty = top.bid_qty * s.loop.lot
        m.ask_qty = top.ask_qty * s.loop.lot
        m.spread_bps = 2e4 * (top.ask - top.bid) / (top.ask + top.bid)
    else:
        m.bid = 0.0
        m.ask = 0.0
        m.bid_qty = 0.0
        m.ask_qty = 0.0
        m.spread_bps = 0.0


@kernel
def _fold_second(s: Any, mask: int, ts: int) -> None:
    """Close the second that ends at `ts`: bars that are due, then every detector's `on_second`."""
    m = s.moment
    m.num_seconds += 1
    _begin_moment(s, ts)
    while market_bars.close_if_due(s.bars, ts, s.loop.grace_ns):
        on_minute(s, mask)
    states = s.states
    params = s.params
    if mask & TIME:
        time.on_second(states.time, params.time, ts, m)
    if mask & VOLATILITY:
        volatility.on_second(states.volatility, params.volatility, ts, m)
    if mask & OBI:
        obi.on_second(states.obi, params.obi, ts, m)
        _measure_depth(s)
    if mask & FLOW:
        flow.on_second(states.flow, params.flow, ts, m)
    if mask & WPI:
        wpi.on_second(states.wpi, params.wpi, ts, m, states.flow.kyle_lambda)
    if mask & VPIN:
        vpin.on_second(states.vpin, params.vpin, ts, m)
    if mask & VOLUME_CLUSTER:
        volume_cluster.on_second(states.volume_cluster, params.volume_cluster, ts, m)
    if mask & SPREAD:
        spread.on_second(states.spread, params.spread, ts, m)
    if mask & LIQUIDATION_PRESSURE:
        liquidation_pressure.on_second(states.liquidation_pressure, params.liquidation_pressure, ts, m)
    if mask & MOMENTUM:
        momentum.on_second(states.momentum, params.momentum, ts, m)
    if mask & TREND:
        trend.on_second(states.trend, params.trend, ts, m)
    if mask & DIVERGENCE:
        divergence.on_second(states.divergence, params.divergence, ts, m)
    m.sec_buy_volume = 0.0
    m.sec_sell_volume = 0.0
    m.sec_high = 0.0
    m.sec_low = 0.0


@kernel
def _measure_depth(s: Any) -> None:
    loop = s.loop
    if loop.was_usable == 0:
        obi.on_depth(s.states.obi, 0.0, 0.0)
        return
    b = s.book
    reach = int(0.5 * (b.bid + b.ask) * s.params.obi.depth_frac)
    scale = loop.lot / b.bid if loop.is_inverse else loop.tick * loop.lot
    obi.on_depth(s.states.obi, scale * market_book.depth(b, 1, reach), scale * market_book.depth(b, -1, reach))


@kernel
def skip_silence(s: Any, mask: int, ts: int) -> None:
    """Move the boundary to the last one at or before `ts` if it is the second or later in a long silence."""
    loop = s.loop
    if ts - loop.now <= loop.max_silence_ns or loop.boundary < loop.now + _SECOND:
        return
    last = ts - ts % _SECOND
    at = max(loop.boundary, last - _CATCH_UP * _SECOND)
    while at < last:
        _fold_second(s, mask, at)
        at += _SECOND
    loop.boundary = last


@kernel
def move_mid(loop: Any, mid: float) -> None:
    """Let the mid be `mid` from now on; the places of the path that are behind us had the one before."""
    behind = (loop.now - loop.boundary + _SECOND) // PATH_STEP_NS
    while loop.num_path < behind:
        loop.path[loop.num_path] = loop.mid
        loop.num_path += 1
    loop.mid = mid


@kernel
def _tell_path(loop: Any, row: Any) -> None:
    """Write the path of the second that ends, and begin the next."""
    for k in range(PATH_STEPS):
        row.path[k] = loop.path[k] if k < loop.num_path else loop.mid
    loop.num_path = 0


@kernel
def make_row(s: Any, mask: int, row: Any) -> None:
    """Make the row of the boundary that is due, and move on to the next."""
    loop = s.loop
    ts = loop.boundary
    _fold_second(s, mask, ts)
    _read(s, mask, ts, row)
    _tell_path(loop, row)
    flags = _IS_SECOND
    if loop.has_bar:
        flags |= _IS_BAR
        loop.has_bar = 0
    composite = _composite(row)
    if ts % loop.interval_ns == 0:
        flags |= _IS_ANALYSIS
    elif abs(composite - loop.composite) >= loop.sharp_change and ts - loop.ts_analysis >= loop.sharp_rest_ns:
        flags |= _IS_SHARP
    if flags & (_IS_ANALYSIS | _IS_SHARP):
        loop.composite = composite
        loop.ts_analysis = ts
    row.flags = flags
    loop.boundary = ts + _SECOND


@kernel
def make_last_row(s: Any, mask: int, ts: int, row: Any) -> None:
    """Make the last row of a session, at the time of the event that ends it."""
    _begin_moment(s, ts)
    _read(s, mask, ts, row)
    row.flags = _IS_END


@kernel
def _composite(row: Any) -> float:
    """Return the mean of pressure, imbalance, flow and momentum, each times its confidence: what `sharp` watches."""
    detections = row.detections
    total = 0.0
    total += detections[0].value * detections[0].confidence
    total += detections[1].value * detections[1].confidence
    total += detections[9].value * detections[9].confidence
    total += detections[10].value * detections[10].confidence
    return float(0.25 * total)


@kernel
def _health(s: Any, ts: int) -> int:
    loop = s.loop
    health = 0
    if s.moment.has_book == 0:
        health |= _NO_BOOK
    if s.book.bid > 0 and s.book.ask > 0 and s.book.bid >= s.book.ask:
        health |= _CROSSED
    if loop.ts_book == 0 or ts - loop.ts_book > loop.stale_book_ns:
        health |= _STALE_BOOK
    if loop.ts_trade == 0 or ts - loop.ts_trade > loop.stale_trades_ns:
        health |= _STALE_TRADES
    if loop.has_break or s.sequence.has_gap:
        health |= _HAS_GAP
        loop.has_break = 0
        s.sequence.has_gap = 0
    return health


@kernel
def _price_fills(s: Any, row: Any) -> None:
    """Price an order of the configured notional on both sides: by the book, by the quote where no book is streamed.

    The quote may be fresher than the book, and nobody buys below the ask. Where the book holds less than the notional,
    its price goes on in proportion to the size.
    """
    loop = s.loop
    top = s.top
    if s.moment.has_book == 0 or loop.mid <= 0.0:
        return
    buy = float(top.ask)
    sell = float(top.bid)
    if loop.was_usable == 1:
        worth = loop.lot if loop.is_inverse else loop.mid * loop.lot
        lots = math.ceil(min(loop.fill_notional / worth, 1e15))
        walked, filled = market_book.walk(s.book, 1, lots)
        if filled > 0:
            buy = max(buy, s.book.ask + (walked - s.book.ask) * (lots / filled))
        walked, filled = market_book.walk(s.book, -1, lots)
        if filled > 0:
            sell = max(1.0, min(sell, s.book.bid + (walked - s.book.bid) * (lots / filled)))
    row.fill_buy = buy * loop.tick
    row.fill_sell = sell * loop.tick


@kernel
def _read(s: Any, mask: int, ts: int, row: Any) -> None:
    loop = s.loop
    top = s.top
    m = s.moment
    row.ts = ts
    row.seq = loop.num_rows
    loop.num_rows += 1
    row.instrument = loop.instrument
    row.health = _health(s, ts)
    if top.is_ready:
        row.bid = top.bid
        row.ask = top.ask
        row.bid_qty = top.bid_qty
        row.ask_qty = top.ask_qty
    row.last = loop.last
    row.mid = loop.mid
    row.ts_book = loop.ts_book
    row.ts_trade = loop.ts_trade
    row.ts_exchange = loop.ts_exchange
    row.venue_lag = ts + loop.clock_offset - loop.ts_exchange if loop.is_clock_known and loop.ts_exchange else 0
    row.num_events = loop.num_events
    _price_fills(s, row)
    states = s.states
    params = s.params
    d = row.detections
    e = row.evidence
    if mask & OBI:
        obi.read(states.obi, params.obi, ts, m, d[0], e)
    if mask & WPI:
        wpi.read(states.wpi, params.wpi, ts, m, d[1], e)
    if mask & VPIN:
        vpin.read(states.vpin, params.vpin, ts, m, d[2], e)
    if mask & FUNDING_RATE:
        funding_rate.read(states.funding_rate, params.funding_rate, ts, m, d[3], e)
    if mask & OI_CHANGE:
        oi_change.read(states.oi_change, params.oi_change, ts, m, d[4], e)
    if mask & LIQUIDATION_PRESSURE:
        liquidation_pressure.read(states.liquidation_pressure, params.liquidation_pressure, ts, m, d[5], e)
    if mask & PRICE_PATTERN:
        price_pattern.read(states.price_pattern, params.price_pattern, ts, m, d[6], e)
    if mask & VOLUME_CLUSTER:
        volume_cluster.read(states.volume_cluster, params.volume_cluster, ts, m, d[7], e)
    if mask & SPREAD:
        spread.read(states.spread, params.spread, ts, m, d[8], e)
    if mask & FLOW:
        flow.read(states.flow, params.flow, ts, m, d[9], e)
    if mask & MOMENTUM:
        momentum.read(states.momentum, params.momentum, ts, m, d[10], e)
    if mask & VOLATILITY:
        volatility.read(states.volatility, params.volatility, ts, m, d[11], e)
    if mask & TREND:
        trend.read(states.trend, params.trend, ts, m, d[12], e)
    if mask & DIVERGENCE:
        divergence.read(states.divergence, params.divergence, ts, m, d[13], e)
    if mask & TIME:
        time.read(states.time, params.time, ts, m, d[14], e)
    row.aligned = timeframes.read(s.timeframes, s.timeframes_params, ts, row.timeframes)
