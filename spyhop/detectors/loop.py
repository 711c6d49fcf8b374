"""The compiled loop: a batch of events in, a row at each boundary of event time out.

A row at boundary T (a whole second of `ts_recv`) is made when the first event with ts_recv >= T arrives, before that
event is folded. If nothing came for longer than `max_silence`, only the first and the last boundary of the silence
get a row; the seconds between are folded without one (at most 120 of them: no window reaches further back).
All that happens depends on the events alone, never on where a batch was cut or on how much room `rows` has.
"""

from __future__ import annotations

from typing import Any

from spyhop.detectors import (
    boundary,
    flow,
    funding_rate,
    liquidation_pressure,
    obi,
    oi_change,
    spread,
    volume_cluster,
    vpin,
    wpi,
)
from spyhop.detectors.boundary import (
    FLOW,
    FUNDING_RATE,
    LIQUIDATION_PRESSURE,
    OBI,
    OI_CHANGE,
    SPREAD,
    VOLUME_CLUSTER,
    VPIN,
    WPI,
)
from spyhop.market import bars as market_bars
from spyhop.market import book as market_book
from spyhop.market import sequence as market_sequence
from spyhop.market import top as market_top
from spyhop.model.tape import Flag, Kind, Mode, Status
from spyhop.numerics._jit import kernel

_SECOND = 1_000_000_000
_ABSURD = 1 << 60

_TRADE, _QUOTE, _LEVEL, _SNAPSHOT = int(Kind.TRADE), int(Kind.QUOTE), int(Kind.LEVEL), int(Kind.SNAPSHOT)
_BAR_OPEN, _BAR_CLOSE, _MARK = int(Kind.BAR_OPEN), int(Kind.BAR_CLOSE), int(Kind.MARK)
_FUNDING, _OPEN_INTEREST = int(Kind.FUNDING), int(Kind.OPEN_INTEREST)
_LIQUIDATION, _STATUS, _TIMER = int(Kind.LIQUIDATION), int(Kind.STATUS), int(Kind.TIMER)
_RATIO, _TICKER, _BLOCK = int(Kind.RATIO), int(Kind.TICKER), int(Kind.BLOCK)
_SESSION_END, _GAP, _CLOCK = int(Status.SESSION_END), int(Status.GAP), int(Status.CLOCK)
_DISCONNECTED, _SHED, _SOURCE = int(Status.DISCONNECTED), int(Status.SHED), int(Status.SOURCE)
_REST = int(Mode.REST)
_SETTLED, _BACKFILLED = int(Flag.SETTLED), int(Flag.BACKFILLED)


@kernel
def advance(states: Any, events: Any, start: int, rows: Any) -> tuple[int, int]:
    """Fold events[start:] into states[0] until they end or `rows` (zeroed) is full.

    Return (index of the first event not folded, number of rows filled).
    """
    s = states[0]
    loop = s.loop
    mask = loop.mask
    instrument = loop.instrument
    n = len(events)
    room = len(rows)
    num_rows = 0
    i = start
    while i < n:
        e = events[i]
        ts = e.ts_recv
        if ts < loop.now:
            loop.num_backwards += 1
            ts = loop.now
        kind = e.kind
        if ts >= loop.boundary:
            if loop.boundary == 0:
                loop.boundary = ts - ts % _SECOND + _SECOND
                s.bars.start = e.ts_event
            while loop.boundary <= ts:
                if num_rows == room:
                    return i, num_rows
                boundary.skip_silence(s, mask, ts)
                boundary.make_row(s, mask, rows[num_rows])
                num_rows += 1
        loop.now = ts
        if kind not in (_STATUS, _TIMER):  # these two are ours and carry no venue's time
            loop.ts_exchange = max(loop.ts_exchange, e.ts_event)
        if kind == _LEVEL:
            if e.instrument != instrument:
                loop.num_misrouted += 1
                loop.num_events += 1
                i += 1
                continue
            stop, has_changed = market_sequence.on_levels(s.sequence, s.book, events, i)
            loop.num_events += stop - i
            i = stop
            if has_changed:
                _on_book(s, mask, ts)
            elif loop.was_usable:
                _check_break(s, mask)
            continue
        if kind == _STATUS and e.aux == _SESSION_END:
            if num_rows == room:
                return i, num_rows
            loop.num_events += 1
            boundary.make_last_row(s, mask, ts, rows[num_rows])
            num_rows += 1
            i += 1
            continue
        loop.num_events += 1
        i += 1
        if e.instrument != instrument and kind != _STATUS and kind != _TIMER:
            loop.num_misrouted += 1
        elif kind == _QUOTE:
            if market_top.on_quote(s.top, ts, e.price, e.qty, e.aux, e.aux2, e.id):
                _on_top(s, mask, ts)
            if s.top.is_ready:
                loop.ts_book = ts
        elif kind == _TRADE:
            _on_trade(s, mask, ts, e)
        else:
            _on_other(s, mask, ts, e)
    return i, num_rows


@kernel
def _on_top(s: Any, mask: int, ts: int) -> None:
    top = s.top
    mid = 0.5 * (top.bid + top.ask) * s.loop.tick
    if mid != s.loop.mid:
        boundary.move_mid(s.loop, mid)
    if mask & OBI:
        obi.on_top(s.states.obi, s.params.obi, ts, top)
    if mask & SPREAD:
        spread.on_top(s.states.spread, s.params.spread, ts, top)
    if mask & WPI:
        wpi.on_top(s.states.wpi, top, s.loop.lot)


@kernel
def _on_book(s: Any, mask: int, ts: int) -> None:
    loop = s.loop
    if not market_sequence.is_usable(s.sequence, s.book):
        _check_break(s, mask)
        return
    loop.was_usable = 1
    loop.ts_book = ts
    if market_top.on_book(s.top, ts, s.book, s.sequence.last_id):
        _on_top(s, mask, ts)
    if mask & OBI:
        obi.on_book(s.states.obi, s.params.obi, ts, market_book.weighted_imbalance(s.book))


@kernel
def _check_break(s: Any, mask: int) -> None:
    """Tell the detectors once when the book stops being usable."""
    loop = s.loop
    if loop.was_usable == 0 or market_sequence.is_usable(s.sequence, s.book):
        return
    loop.was_usable = 0
    loop.has_break = 1
    if mask & OBI:
        obi.on_break(s.states.obi, s.params.obi)


@kernel
def _on_trade(s: Any, mask: int, ts: int, e: Any) -> None:
    loop = s.loop
    ticks = e.price
    lots = e.qty
    side = e.side
    if ticks <= 0 or lots <= 0 or side == 0 or ticks > _ABSURD or lots > _ABSURD:
        loop.num_bad_trades += 1
        return
    price = ticks * loop.tick
    qty = lots * loop.lot
    if loop.is_inverse:
        qty /= price
    if e.flags & _BACKFILLED:
        # it happened a while ago: the bars want it, what measures this moment does not
        market_bars.on_trade(s.bars, e.ts_event, price, qty, side)
        return
    notional = price * qty
    m = s.moment
    if m.sec_high == 0.0:
        m.sec_high = price
        m.sec_low = price
    elif price > m.sec_high:
        m.sec_high = price
    elif price < m.sec_low:
        m.sec_low = price
    m.cum_volume += qty
    m.cum_notional += notional
    m.num_trades += 1
    if side > 0:
        m.cum_buy_volume += qty
        m.sec_buy_volume += qty
    else:
        m.cum_sell_volume += qty
        m.sec_sell_volume += qty
    loop.last = price
    loop.ts_trade = ts
    market_bars.on_trade(s.bars, e.ts_event, price, qty, side)
    if mask & WPI:
        wpi.on_trade(s.states.wpi, s.params.wpi, ts, e.ts_event, price, qty, side, e.id)
        wpi.on_resting(s.states.wpi, ticks, qty, side)
    if mask & VPIN:
        vpin.on_trade(s.states.vpin, s.params.vpin, ts, qty, side)
    if mask & VOLUME_CLUSTER:
        volume_cluster.on_trade(s.states.volume_cluster, s.params.volume_cluster, ts, ticks, price, qty)
    if mask & SPREAD:
        spread.on_trade(s.states.spread, s.params.spread, price, notional, side, loop.mid)
    if mask & FLOW:
        flow.on_trade(s.states.flow, s.params.flow, ts, side)


@kernel
def _on_other(s: Any, mask: int, ts: int, e: Any) -> None:
    kind = e.kind
    loop = s.loop
    if kind == _SNAPSHOT:
        if market_sequence.on_snapshot(s.sequence, s.book, ts, e.id, e.qty):
            _on_book(s, mask, ts)
        _check_break(s, mask)
    elif kind == _BAR_OPEN:
        market_bars.on_bar_open(s.bars, e, loop.tick, loop.lot)
    elif kind == _BAR_CLOSE:
        if market_bars.on_bar_close(s.bars, e, loop.tick):
            if s.bars.closed[0].ts_close > loop.ts_trade:
                loop.last = s.bars.closed[0].close
            boundary.on_minute(s, mask)
    elif kind == _STATUS:
        _on_status(s, mask, e)
    elif kind not in (_TIMER, _RATIO, _TICKER, _BLOCK):
        _on_rate(s, mask, ts, e)


@kernel
def _on_status(s: Any, mask: int, e: Any) -> None:
    status = e.aux
    loop = s.loop
    if status == _SHED:
        loop.num_shed += e.qty
    elif status == _DISCONNECTED:
        loop.num_disconnects += 1
    elif status == _SOURCE:
        s.bars.is_held = 1 if e.qty == _REST else 0
    elif status == _CLOCK:
        loop.clock_offset = e.aux2
        loop.is_clock_known = 1
    if status in (_GAP, _DISCONNECTED, _SHED):
        market_sequence.mark_gap(s.sequence, s.book)
        market_top.reset(s.top)
        boundary.move_mid(loop, 0.0)
        loop.has_break = 1
        _check_break(s, mask)
        if mask & SPREAD:
            spread.on_break(s.states.spread, s.params.spread)


@kernel
def _on_rate(s: Any, mask: int, ts: int, e: Any) -> None:
    """Fold what comes every few seconds: marks, funding, open interest, liquidations."""
    kind = e.kind
    loop = s.loop
    if kind == _MARK:
        if e.aux <= 0 or e.aux2 < 0:
            loop.num_bad_rates += 1
        elif mask & FUNDING_RATE:
            funding_rate.on_mark(s.states.funding_rate, s.params.funding_rate, ts, e.aux * 1e-8, e.aux2 * 1e-8)
    elif kind == _FUNDING:
        if mask & FUNDING_RATE:
            funding_rate.on_funding(
                s.states.funding_rate,
                s.params.funding_rate,
                ts,
                e.aux * 1e-12,
                e.aux2 * 1e-9,
                e.id,
                1 if e.flags & _SETTLED else 0,
            )
    elif kind == _OPEN_INTEREST:
        contracts = e.qty * loop.lot
        if e.qty < 0:
            loop.num_bad_rates += 1
            return
        if loop.is_inverse:
            price = loop.mid if loop.mid > 0.0 else loop.last
            if price <= 0.0:
                return
            contracts /= price
        if mask & OI_CHANGE:
            oi_change.on_open_interest(s.states.oi_change, s.params.oi_change, ts, contracts, s.moment)
        if mask & LIQUIDATION_PRESSURE:
            liquidation_pressure.on_open_interest(
                s.states.liquidation_pressure, s.params.liquidation_pressure, ts, contracts, s.moment
            )
    elif kind == _LIQUIDATION:
        if e.price <= 0 or e.qty <= 0 or e.side == 0:
            loop.num_bad_rates += 1
            return
        price = e.price * loop.tick
        qty = e.qty * loop.lot
        if loop.is_inverse:
            qty /= price
        if mask & WPI:
            wpi.on_liquidation(s.states.wpi, s.params.wpi, ts, e.side, price, qty)
        if mask & LIQUIDATION_PRESSURE:
            liquidation_pressure.on_liquidation(
                s.states.liquidation_pressure, s.params.liquidation_pressure, ts, e.side, price, qty
            )
    else:
        loop.num_unknown += 1
