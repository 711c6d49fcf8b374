"""Traders at a simulator of Binance, and orders for them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import pytest

from spyhop.model.orders import CancelOrder, OrderType, Purpose, SubmitOrder, TimeInForce
from spyhop.model.tape import Side, Venue
from spyhop.venues.ccxt.spot import SpotTrader
from spyhop.venues.ccxt.trader import binance_trader
from spyhop.venues.ccxt.usdm import UsdmTrader


class Stand:
    """A simulator, the trader of one of its markets, and orders of a session that number themselves."""

    def __init__(self, sim: Any, trader: UsdmTrader | SpotTrader, instrument: int) -> None:
        self.sim, self.trader, self.instrument = sim, trader, instrument
        self._numbers = count(1)

    @property
    def top(self) -> tuple[int, int]:
        """Return best bid and ask in ticks."""
        _, bids, asks = self.sim.floor.exchange.book(self.instrument, 1)
        return bids[0][0], asks[0][0]

    def order(
        self, kind: OrderType = OrderType.LIMIT, side: Side = Side.BUY, lots: int = 100, **about: Any
    ) -> SubmitOrder:
        """Return an order; a limit order is far from the market unless it says where."""
        if kind is OrderType.LIMIT and "price" not in about:
            about["price"] = self.top[0] * 99 // 100 if side is Side.BUY else self.top[1] * 101 // 100
        return SubmitOrder(
            ts=1,
            client_order_id=f"s20251128_171500_123456-{next(self._numbers):06d}",
            instrument=self.instrument,
            side=side,
            type=kind,
            lots=lots,
            purpose=Purpose.ENTRY,
            time_in_force=about.pop("lasting", TimeInForce.GTC),
            **about,
        )

    def back(self, order: SubmitOrder) -> CancelOrder:
        return CancelOrder(ts=2, client_order_id=order.client_order_id, instrument=order.instrument)

    def known(self, account: str = "") -> list[Any]:
        """Return every order that the venue has of anybody in this instrument, oldest first."""
        exchange, venue = self.sim.floor.exchange, self.trader.venue
        found = [
            order
            for name in exchange.accounts(venue)
            for order in exchange.orders(name, self.instrument)
            if account in name
        ]
        return sorted(found, key=lambda order: order.order_id)


@pytest.fixture
def stand(simulated: Callable[..., Any]) -> Callable[..., Any]:
    """A simulator with the trader of a market."""

    @contextlib.asynccontextmanager
    async def at(
        venue: Venue = Venue.BINANCE_USDM, *, speed: float = 1.0, secret: str = "", **about: Any
    ) -> AsyncIterator[Stand]:
        async with simulated(speed=speed) as sim:
            mine = [one for one in sim.floor.exchange.instruments if one.venue is venue]
            key = sim.key
            trader = binance_trader(venue, sim.endpoints, key.key, secret or key.secret, mine, sim.clock, **about)
            try:
                yield Stand(sim, trader, mine[0].id)
            finally:
                await trader.close()

    return at
