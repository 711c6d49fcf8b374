"""Trading on Binance spot: orders of every kind at one place, holdings for positions, no leverage and no switch."""

from __future__ import annotations

from decimal import ROUND_FLOOR
from typing import Any

from spyhop.clock import NS_PER_DAY
from spyhop.errors import VenueRefused
from spyhop.model.accounts import KeyRights, VenueBalance, VenueOrder, VenuePosition
from spyhop.model.instruments import Instrument
from spyhop.model.orders import CancelOrder, SubmitOrder
from spyhop.model.tape import Venue
from spyhop.venues.ccxt.binance import GONE, UNKNOWN_ORDER, BinanceAccount
from spyhop.venues.ccxt.binance_words import SPOT_TYPES, number, order_of, spot_params
from spyhop.venues.ccxt.usdm import rights_of


class SpotTrader(BinanceAccount):
    """One account of spot; a Trader. A position is what is held of the base currency, in whole lots."""

    venue = Venue.BINANCE_SPOT
    kinds = frozenset(SPOT_TYPES)
    _public, _private, _trades = "public", "private", "myTrades"
    _window_ns = NS_PER_DAY

    async def submit(self, order: SubmitOrder) -> VenueOrder:
        """Place an order and return it; raise OutcomeUnknown also where its client id is taken."""
        one = self._instrument(order.instrument)
        self._checked(order.client_order_id)
        asked = spot_params(order, one)

        def read(body: Any) -> VenueOrder:
            # the answer leaves out what was asked of a conditional order
            told = {"status": "NEW", "side": asked["side"], "origQty": asked["quantity"]}
            limits = {name: asked[name] for name in ("price", "stopPrice") if name in asked}
            return self._read(one, {**told, **limits, **body}, order.client_order_id)

        return await self._calls.act("POST", "private", "order", asked, read)

    async def cancel(self, order: CancelOrder) -> None:
        """Take an order back."""
        one = self._instrument(order.instrument)
        asked = {"symbol": one.symbol, "origClientOrderId": order.client_order_id}
        await self._calls.act("DELETE", "private", "order", asked, _nothing)

    async def order(self, client_order_id: str, instrument: int) -> VenueOrder | None:
        """Return an order of ours, None when the venue has none of that name.

        An order that was sent a moment ago may not have got there yet.
        """
        one = self._instrument(instrument)
        asked = {"symbol": one.symbol, "origClientOrderId": client_order_id}
        try:
            return await self._calls.get("private", "order", asked, lambda body: self._read(one, body, client_order_id))
        except VenueRefused as refused:
            if refused.code not in GONE:
                raise
            return None

    async def open_orders(self) -> list[VenueOrder]:
        """Return the open orders of our instruments."""

        def read(told: Any) -> list[VenueOrder]:
            return [self._read(one, body) for body in told if (one := self._by_symbol.get(body["symbol"]))]

        return await self._calls.get("private", "openOrders", {}, read)

    async def positions(self) -> list[VenuePosition]:
        """Return what is held of the base currencies, in whole lots; what it was bought at is not known."""

        def read(told: Any) -> list[VenuePosition]:
            held = {body["asset"]: number(body["free"]) + number(body["locked"]) for body in told["balances"]}
            found = []
            for one in self._instruments.values():
                lots = int((held.get(one.base, number(0)) / one.lot_size).to_integral_value(ROUND_FLOOR))
                if lots:
                    found.append(VenuePosition(instrument=one.id, lots=lots, leverage=1.0))
            return found

        return await self._calls.get("private", "account", {}, read)

    async def balances(self) -> list[VenueBalance]:
        """Return the assets that the account has some of."""

        def read(told: Any) -> list[VenueBalance]:
            found = []
            for body in told["balances"]:
                free, locked = number(body["free"]), number(body["locked"])
                if free or locked:
                    found.append(VenueBalance(asset=body["asset"], total=float(free + locked), free=float(free)))
            return found

        return await self._calls.get("private", "account", {}, read)

    async def rights(self) -> KeyRights:
        """Return what the venue says of the key; spot cannot be held both ways."""
        key = await self._restrictions()
        may_trade = await self._calls.get("private", "account", {}, lambda told: bool(told["canTrade"]))
        return rights_of(key, "enableSpotAndMarginTrading", may_trade=may_trade, is_one_way=True)

    async def set_leverage(self, instrument: int, leverage: float) -> None:
        """Do nothing: spot has no leverage."""

    async def cancel_all(self, instrument: int) -> None:
        """Take every open order of an instrument back; that there is none is well."""
        try:
            await self._calls.act(
                "DELETE", "private", "openOrders", {"symbol": self._instrument(instrument).symbol}, _nothing
            )
        except VenueRefused as refused:
            if refused.code != UNKNOWN_ORDER:
                raise

    async def hold_switch(self, instrument: int, seconds: float) -> bool:
        """Return False: spot has no dead man's switch."""
        return False

    def _read(self, one: Instrument, body: Any, client_id: str = "") -> VenueOrder:
        order = order_of(body, one, self._is_ours, client_id)
        self._mine(one, order.venue_order_id, order.client_order_id)
        return order


def _nothing(told: Any) -> None:
    """Take no notice of what an answer says besides yes."""
