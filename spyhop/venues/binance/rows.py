"""Rows of the tape for what is told rarely: tickers, ratios, paid funding, past open interest.

All raise ValueError for a number that is none, is negative where it cannot be, or does not fit a row.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from spyhop.clock import NS_PER_MS
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Flag, Kind, Ratio, event
from spyhop.venues.binance import wire
from spyhop.venues.binance.wire import number

_MAX = 1 << 62


def units(text: str, unit: Decimal, *, signed: bool = False) -> int:
    """Return the number that `text` says in multiples of `unit`, halves away from zero."""
    value = number(text)
    if value < 0 and not signed:
        raise ValueError(f"negative number: {text[:40]!r}")
    count = int((value / unit).to_integral_value(ROUND_HALF_UP))
    if abs(count) > _MAX:
        raise ValueError(f"number out of range: {text[:40]!r}")
    return count


def ticker(instrument: Instrument, ts_recv: int, told: wire.Ticker | wire.Day) -> Events:
    """Return the TICKER row of the last 24 hours."""
    if isinstance(told, wire.Ticker):
        ts_ms, last, change = told.ts_event, told.last, told.change
        turnover, num_trades = told.turnover, told.num_trades
    else:
        ts_ms, last, change = told.close_time, told.last_price, told.price_change
        turnover, num_trades = told.quote_volume, told.count
    price = instrument.to_ticks(number(last))
    if price <= 0 or num_trades < 0:
        raise ValueError("price not positive, or fewer than no trades")
    return _row(
        Kind.TICKER,
        instrument,
        ts_recv,
        ts_ms,
        price=price,
        qty=units(told.volume, instrument.lot_size),
        id=num_trades,
        aux=units(change, instrument.tick_size, signed=True),
        aux2=units(turnover, Decimal("0.01")),
    )


def long_short(instrument: Instrument, ts_recv: int, whose: Ratio, period_s: int, told: wire.LongShort) -> Events:
    """Return the RATIO row of accounts or positions; the parts are shares in 1e-8."""
    return _row(
        Kind.RATIO,
        instrument,
        ts_recv,
        told.timestamp,
        price=units(told.long_account, _E8),
        qty=units(told.short_account, _E8),
        id=period_s,
        aux=int(whose),
        aux2=units(told.long_short_ratio, _E8),
    )


def taker_volume(instrument: Instrument, ts_recv: int, period_s: int, told: wire.TakerVolume) -> Events:
    """Return the RATIO row of what takers bought and sold, in lots."""
    return _row(
        Kind.RATIO,
        instrument,
        ts_recv,
        told.timestamp,
        price=units(told.buy_vol, instrument.lot_size),
        qty=units(told.sell_vol, instrument.lot_size),
        id=period_s,
        aux=int(Ratio.TAKER_VOLUME),
        aux2=units(told.buy_sell_ratio, _E8),
    )


def funding_paid(instrument: Instrument, ts_recv: int, told: wire.FundingRate, interval_ns: int) -> Events:
    """Return the FUNDING row of a rate that was paid."""
    return _row(
        Kind.FUNDING,
        instrument,
        ts_recv,
        told.funding_time,
        flags=int(Flag.SETTLED),
        id=told.funding_time * NS_PER_MS,
        aux=units(told.funding_rate, Decimal("1e-12"), signed=True),
        aux2=interval_ns,
    )


def past_open_interest(instrument: Instrument, ts_recv: int, told: wire.PastOpenInterest) -> Events:
    """Return the OPEN_INTEREST row of a time that has passed."""
    return _row(
        Kind.OPEN_INTEREST,
        instrument,
        ts_recv,
        told.timestamp,
        flags=int(Flag.BACKFILLED),
        qty=units(told.sum_open_interest, instrument.lot_size),
    )


_E8 = Decimal("1e-8")


def _row(kind: Kind, instrument: Instrument, ts_recv: int, ts_ms: int, **columns: int) -> Events:
    return event(
        kind,
        ts_recv,
        venue=int(instrument.venue),
        instrument=instrument.id,
        ts_event=ts_ms * NS_PER_MS,
        **columns,
    )
