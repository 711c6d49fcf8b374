"""What v4_markets and /perpetualMarkets tell of one market, merged: updates hold only what changed."""

from __future__ import annotations

import msgspec

from spyhop.clock import NS_PER_HOUR
from spyhop.model.tape import Kind
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.numbers import NOT_POSITIVE, OUT_OF_RANGE, Grid, nanoseconds, rounded
from spyhop.venues.rows import Rows


def merged(older: wire.Market, newer: wire.Market) -> wire.Market:
    """Return `older` with everything that `newer` tells."""
    told = {name: value for name, value in msgspec.structs.asdict(newer).items() if value is not None}
    return msgspec.structs.replace(older, **told)


def next_hour(ts: int) -> int:
    """Return the next whole hour after `ts` (ns), when funding is paid."""
    return ts - ts % NS_PER_HOUR + NS_PER_HOUR


class MarketLog:
    """The newest known figures of one market."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._oracle = (0, 0)  # nearest tick, 1e-8
        self._last = 0  # price of the newest trade in ticks
        self._volume = 0  # quote currency, 1e-2
        self._change = 0  # ticks
        self._num_trades = 0

    def on_trade(self, price: int) -> None:
        """Note the price of the newest trade, which the venue's own figures lack."""
        self._last = price

    def on_market(self, market: wire.Market, ts: int, flags: int, rows: Rows) -> None:
        """Take figures of which some may be missing; raise ValueError, with nothing changed, for what is no number.

        The open interest's time and that of the others is ours: the venue tells none. It tells no volume in the base
        currency either, so a TICKER's is 0.
        """
        oracle = None if market.oracle_price is None else self._price(market.oracle_price)
        rate = None if market.next_funding_rate is None else rounded(market.next_funding_rate, 12)
        interest = None if market.open_interest is None else self._grid.lots(market.open_interest)
        count = market.trades_24h
        if count is not None and not 0 <= count < 1 << 62:
            raise ValueError(OUT_OF_RANGE)
        volume = None if market.volume_24h is None else rounded(market.volume_24h, 2)
        change = None if market.price_change_24h is None else self._grid.nearest_tick(market.price_change_24h)
        if oracle is not None:
            self._add_mark(oracle, ts, ts, flags, rows)
        if rate is not None:
            rows.add(Kind.FUNDING, ts, ts, flags=flags, id=next_hour(ts), aux=rate, aux2=NS_PER_HOUR)
        if interest is not None:
            rows.add(Kind.OPEN_INTEREST, ts, ts, flags=flags, qty=interest)
        if volume is None and change is None and count is None:
            return
        self._volume = self._volume if volume is None else volume
        self._change = self._change if change is None else change
        self._num_trades = self._num_trades if count is None else count
        rows.add(
            Kind.TICKER, ts, ts, flags=flags, price=self._last or self._oracle[0],
            id=self._num_trades, aux=self._change, aux2=self._volume,
        )  # fmt: skip

    def on_oracle(self, price: wire.OraclePrice, ts: int, rows: Rows) -> None:
        """Take a new oracle price; raise ValueError."""
        self._add_mark(self._price(price.oracle_price), nanoseconds(price.effective_at), ts, 0, rows)

    def _price(self, text: str) -> tuple[int, int]:
        exact = rounded(text, 8)
        if exact <= 0:
            raise ValueError(NOT_POSITIVE)
        return self._grid.nearest_tick(text), exact

    def _add_mark(self, oracle: tuple[int, int], ts_event: int, ts_recv: int, flags: int, rows: Rows) -> None:
        self._oracle = oracle
        ticks, exact = oracle
        rows.add(Kind.MARK, ts_event, ts_recv, flags=flags, price=ticks, id=next_hour(ts_event), aux=exact, aux2=exact)
