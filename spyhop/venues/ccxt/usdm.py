"""Trading on Binance USDT-M: plain orders at /order, conditional ones at /algoOrder, which become orders of the book.

A conditional order keeps its name: whatever it has become is told under the client id that it was placed with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

from spyhop.clock import NS_PER_DAY, NS_PER_MS
from spyhop.errors import VenueRefused
from spyhop.model.accounts import KeyRights, VenueBalance, VenueOrder, VenuePosition
from spyhop.model.instruments import Instrument
from spyhop.model.orders import CancelOrder, OrderType, SubmitOrder
from spyhop.model.tape import Venue
from spyhop.venues.ccxt.binance import GONE, BinanceAccount
from spyhop.venues.ccxt.binance_words import (
    PLAIN,
    USDM_TYPES,
    algo_order_of,
    becomes,
    number,
    order_of,
    usdm_params,
)

Read = TypeVar("Read")

_NUM_REMEMBERED = 1 << 14
_NO_NEED_TO_CHANGE = frozenset({-4046, -4059})


class UsdmTrader(BinanceAccount):
    """One account of USDT-M; a Trader. One-way positions.

    The countdown of `hold_switch` takes plain orders back; conditional ones, stops above all, stay.
    """

    venue = Venue.BINANCE_USDM
    kinds = frozenset(USDM_TYPES)
    _public, _private, _trades = "fapiPublic", "fapiPrivate", "userTrades"
    _window_ns = 7 * NS_PER_DAY

    def __init__(self, *about: Any, **more: Any) -> None:
        super().__init__(*about, **more)
        self._conditional: dict[str, None] = {}
        """Names of the conditional orders that were sent from here; others are found all the same, a request later."""

    async def submit(self, order: SubmitOrder) -> VenueOrder:
        """Place an order and return it; raise OutcomeUnknown also where its client id is taken."""
        one = self._instrument(order.instrument)
        self._checked(order.client_order_id)
        if order.type in PLAIN:
            read = self._reader(one, order.client_order_id)
            return await self._act("POST", "order", usdm_params(order, one), read)
        reference = 0
        if order.type is OrderType.TRAILING_STOP and not order.trigger:
            reference = await self._last_price(one)
        asked = usdm_params(order, one, reference)
        self._conditional[order.client_order_id] = None
        if len(self._conditional) > _NUM_REMEMBERED:
            del self._conditional[next(iter(self._conditional))]
        return await self._act("POST", "algoOrder", asked, self._algo_reader(one, order.client_order_id))

    async def cancel(self, order: CancelOrder) -> None:
        """Take an order back, plain or conditional, and what a conditional one has become."""
        one, name = self._instrument(order.instrument), order.client_order_id
        ways = [self._cancel_plain, self._cancel_conditional]
        first, second = reversed(ways) if name in self._conditional else ways
        try:
            await first(one, name)
        except VenueRefused as refused:
            if refused.code not in GONE:
                raise
            await second(one, name)

    async def order(self, client_order_id: str, instrument: int) -> VenueOrder | None:
        """Return an order of ours; None when the venue has neither a plain nor a conditional one of that name.

        An order that was sent a moment ago may not have got there yet.
        """
        one = self._instrument(instrument)
        if client_order_id in self._conditional:
            return await self._conditional_order(one, client_order_id) or await self._plain(one, client_order_id)
        return await self._plain(one, client_order_id) or await self._conditional_order(one, client_order_id)

    async def open_orders(self) -> list[VenueOrder]:
        """Return the open orders of our instruments, plain ones and those that wait for a price."""
        plain, waiting = await asyncio.gather(
            self._calls.get("fapiPrivate", "openOrders", {}, list),
            self._calls.get("fapiPrivate", "openAlgoOrders", {}, list),
        )
        orders = [self._reader(one)(body) for body in plain if (one := self._known(body))]
        orders += [self._algo_reader(one)(body) for body in waiting if (one := self._known(body))]
        return orders

    async def positions(self) -> list[VenuePosition]:
        """Return what is held of our instruments."""
        told, settings = await asyncio.gather(
            self._calls.get("fapiPrivateV3", "positionRisk", {}, list),
            self._calls.get("fapiPrivate", "symbolConfig", {}, list),
        )
        by_symbol = {setting["symbol"]: setting for setting in settings}
        held = []
        for body in told:
            one = self._known(body)
            lots = one.to_lots(number(body["positionAmt"])) if one else 0
            if one is None or not lots:
                continue
            setting = by_symbol.get(one.symbol, {})
            held.append(
                VenuePosition(
                    instrument=one.id,
                    lots=lots,
                    entry=float(number(body.get("entryPrice")) / one.tick_size),
                    liquidation=float(max(number(body.get("liquidationPrice")), Decimal(0)) / one.tick_size),
                    leverage=float(setting.get("leverage", 0.0)),
                    is_isolated=str(setting.get("marginType", "")).upper() == "ISOLATED",
                )
            )
        return held

    async def balances(self) -> list[VenueBalance]:
        """Return the assets that the account has some of; `free` is what may back new positions."""

        def read(told: Any) -> list[VenueBalance]:
            return [
                VenueBalance(
                    asset=body["asset"],
                    total=float(number(body["balance"])),
                    free=float(number(body.get("availableBalance"))),
                )
                for body in told
                if number(body["balance"])
            ]

        return await self._calls.get("fapiPrivateV3", "balance", {}, read)

    async def rights(self) -> KeyRights:
        """Return what the venue says of the key, and whether the account holds one-way positions."""
        key = await self._restrictions()
        may_trade = await self._calls.get("fapiPrivate", "accountConfig", {}, lambda told: bool(told["canTrade"]))
        is_dual = await self._calls.get(
            "fapiPrivate", "positionSide/dual", {}, lambda told: bool(told["dualSidePosition"])
        )
        return rights_of(key, "enableFutures", may_trade=may_trade, is_one_way=not is_dual)

    async def set_leverage(self, instrument: int, leverage: float) -> None:
        """Have an instrument held at isolated margin and the whole number of `leverage`, both as often as one likes."""
        one = self._instrument(instrument)
        try:
            await self._act("POST", "marginType", {"symbol": one.symbol, "marginType": "ISOLATED"}, _nothing)
        except VenueRefused as refused:
            if refused.code not in _NO_NEED_TO_CHANGE:
                raise
        await self._act("POST", "leverage", {"symbol": one.symbol, "leverage": max(int(leverage), 1)}, _nothing)

    async def cancel_all(self, instrument: int) -> None:
        """Take every open order of an instrument back; both kinds are tried even if one fails."""
        about = {"symbol": self._instrument(instrument).symbol}
        outcomes = await asyncio.gather(
            self._act("DELETE", "allOpenOrders", about, _nothing),
            self._act("DELETE", "algoOpenOrders", about, _nothing),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def hold_switch(self, instrument: int, seconds: float) -> bool:
        """Have the venue take the plain orders of an instrument back in `seconds` unless it is asked again."""
        about = {"symbol": self._instrument(instrument).symbol, "countdownTime": round(seconds * 1_000)}
        await self._act("POST", "countdownCancelAll", about, _nothing)
        return True

    async def _act(self, method: str, path: str, params: dict[str, Any], read: Callable[[Any], Read]) -> Read:
        return await self._calls.act(method, "fapiPrivate", path, params, read)

    def _reader(self, one: Instrument, client_id: str = "") -> Callable[[Any], VenueOrder]:
        def read(body: Any) -> VenueOrder:
            order_id = str(body["orderId"])
            known = client_id or self._client_ids.get((one.id, order_id), "")
            order = order_of(body, one, self._is_ours, known)
            self._mine(one, order_id, order.client_order_id)
            return order

        return read

    def _algo_reader(self, one: Instrument, client_id: str = "") -> Callable[[Any], VenueOrder]:
        def read(body: Any) -> VenueOrder:
            order = algo_order_of(body, one, self._is_ours, client_id)
            if becomes(body):
                self._mine(one, becomes(body), order.client_order_id)
            return order

        return read

    async def _cancel_plain(self, one: Instrument, name: str) -> None:
        await self._act("DELETE", "order", {"symbol": one.symbol, "origClientOrderId": name}, _nothing)

    async def _cancel_conditional(self, one: Instrument, name: str) -> None:
        try:
            await self._act("DELETE", "algoOrder", {"symbol": one.symbol, "clientAlgoId": name}, _nothing)
        except VenueRefused:
            body = await self._algo_body(name)
            if body is None or not becomes(body):
                raise
            await self._act("DELETE", "order", {"symbol": one.symbol, "orderId": becomes(body)}, _nothing)

    async def _conditional_order(self, one: Instrument, name: str) -> VenueOrder | None:
        body = await self._algo_body(name)
        if body is None:
            return None
        if not becomes(body):
            return algo_order_of(body, one, self._is_ours, name)
        asked = {"symbol": one.symbol, "orderId": becomes(body)}
        return await self._calls.get("fapiPrivate", "order", asked, self._reader(one, name))

    async def _algo_body(self, client_id: str) -> dict[str, Any] | None:
        return await self._if_known("algoOrder", {"clientAlgoId": client_id}, dict)

    async def _plain(self, one: Instrument, name: str) -> VenueOrder | None:
        asked = {"symbol": one.symbol, "origClientOrderId": name}
        return await self._if_known("order", asked, self._reader(one, name))

    async def _if_known(self, path: str, asked: dict[str, str], read: Callable[[Any], Read]) -> Read | None:
        try:
            return await self._calls.get("fapiPrivate", path, asked, read)
        except VenueRefused as refused:
            if refused.code not in GONE:
                raise
            return None

    async def _names(self, one: Instrument, order_ids: set[str], since: int) -> dict[str, str]:
        """Return the client id of each order, that of the conditional order where it began as one."""
        if any((one.id, order_id) not in self._client_ids for order_id in order_ids):
            start = max(since - 7 * NS_PER_DAY, self._calls.clock.now_ns() - 7 * NS_PER_DAY) // NS_PER_MS
            asked = {"symbol": one.symbol, "startTime": start, "limit": 1_000}
            for body in await self._calls.get("fapiPrivate", "allAlgoOrders", asked, list):
                self._algo_reader(one)(body)
        return await super()._names(one, order_ids, since)

    async def _last_price(self, one: Instrument) -> int:
        asked = {"symbol": one.symbol}
        return await self._calls.get(
            "fapiPublic", "ticker/price", asked, lambda told: one.to_ticks(number(told["price"]))
        )

    def _known(self, body: Any) -> Instrument | None:
        return self._by_symbol.get(body.get("symbol", ""))


def rights_of(key: dict[str, Any], trading: str, *, may_trade: bool, is_one_way: bool) -> KeyRights:
    """Return the rights that apiRestrictions tells; without it the account's own right to trade is all that is known.

    `trading` names the right that this market needs.
    """
    return KeyRights(
        can_trade=may_trade and bool(key.get(trading, True)),
        can_withdraw=bool(key["enableWithdrawals"]) if "enableWithdrawals" in key else None,
        is_ip_restricted=bool(key["ipRestrict"]) if "ipRestrict" in key else None,
        created=int(key.get("createTime", 0)) * NS_PER_MS,
        is_one_way=is_one_way,
    )


def _nothing(told: Any) -> None:
    """Take no notice of what an answer says besides yes."""
