"""Trading by ccxt: Binance's two markets by their own words, any other exchange by ccxt's unified ones.

`CcxtTrader` knows only what is the same everywhere: market and limit orders. What else is asked for is emulated by us,
and so ends with us.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from spyhop.clock import NS_PER_MS, Clock
from spyhop.errors import NotAvailable, OutcomeUnknown, VenueRefused
from spyhop.model.accounts import KeyRights, VenueBalance, VenueFill, VenueOrder, VenuePosition
from spyhop.model.instruments import Instrument
from spyhop.model.orders import CancelOrder, Liquidity, OrderStatus, OrderType, SubmitOrder, TimeInForce
from spyhop.model.tape import Side, Venue
from spyhop.venues.ccxt.adapter import ccxt_names
from spyhop.venues.ccxt.binance import BinanceCalls, guarded, made_client
from spyhop.venues.ccxt.binance_words import text
from spyhop.venues.ccxt.calls import TIMEOUT_S, Calls, exchange
from spyhop.venues.ccxt.spot import SpotTrader
from spyhop.venues.ccxt.usdm import UsdmTrader
from spyhop.venues.endpoints import Endpoints
from spyhop.venues.fees import in_quote
from spyhop.venues.ids import IsOurs, made_by_us
from spyhop.venues.net.limits import Budget

Read = TypeVar("Read")

_STATUSES = {
    "open": OrderStatus.OPEN,
    "closed": OrderStatus.FILLED,
    "canceling": OrderStatus.CANCEL_PENDING,
    "canceled": OrderStatus.CANCELLED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}
_PAGE = 500


def binance_trader(
    venue: Venue,
    endpoints: Endpoints,
    key: str,
    secret: str,
    instruments: Sequence[Instrument],
    clock: Clock,
    account: str = "main",
    *,
    budget: Budget | None = None,
    timeout_s: float = TIMEOUT_S,
    is_ours: IsOurs = made_by_us,
    check: Callable[[], None] = lambda: None,
) -> UsdmTrader | SpotTrader:
    """Return the trader of an account at Binance USDT-M or spot, made in the loop that uses it.

    `budget` is that of the market (`net.limits`); `timeout_s` is of the machine; `check` may keep a signed request
    here by raising a VenueError. Raise NotAvailable for other venues.
    """
    if venue not in (Venue.BINANCE_USDM, Venue.BINANCE_SPOT):
        raise NotAvailable(f"{venue.label} is not traded by this client")
    is_spot = venue is Venue.BINANCE_SPOT
    name, time_api = ("binance", "public") if is_spot else ("binanceusdm", "fapiPublic")
    client = guarded(made_client(name, endpoints, key, secret, clock), check)
    calls = BinanceCalls(client, clock, name=venue.label, time_api=time_api, timeout_s=timeout_s, budget=budget)
    return (SpotTrader if is_spot else UsdmTrader)(calls, instruments, account, is_ours)


def ccxt_trader(
    venue: Venue,
    settings: Mapping[str, Any],
    instruments: Sequence[Instrument],
    clock: Clock,
    account: str = "main",
    *,
    timeout_s: float = TIMEOUT_S,
    prepare: Callable[[Any], None] = lambda exchange: None,
) -> CcxtTrader:
    """Return the trader of an account at the one exchange that the instruments belong to.

    `settings` are ccxt's, `apiKey` and `secret` among them; `prepare` sees the exchange before its first request.
    """
    names = sorted({ccxt_names(one.venue, one.symbol)[0] for one in instruments})
    if len(names) != 1:
        raise NotAvailable(f"one trader trades at one exchange, not at {', '.join(names) or 'none'}")
    client = exchange(names[0], {"enableRateLimit": True, **settings})
    prepare(client)
    return CcxtTrader(Calls(client, clock, name=names[0], timeout_s=timeout_s), instruments, f"{names[0]}:{account}")


class CcxtTrader:
    """One account at any exchange of ccxt; a Trader.

    An exchange that cannot look an order up by its client id is searched; where that is not possible either, what was
    not answered stays unknown.
    """

    kinds = frozenset({OrderType.MARKET, OrderType.LIMIT})

    def __init__(
        self, calls: Calls, instruments: Sequence[Instrument], name: str, is_ours: IsOurs = made_by_us
    ) -> None:
        self.name = name
        self._calls, self._is_ours = calls, is_ours
        self._instruments = {one.id: one for one in instruments}
        self._symbols = {one.id: ccxt_names(one.venue, one.symbol)[1] for one in instruments}
        self._ids: dict[tuple[int, str], str] = {}
        """The venue's id by instrument and client id, of orders that were seen from here."""
        self._client_ids: dict[tuple[int, str], str] = {}
        self._ccxt: Any = importlib.import_module("ccxt")

    async def submit(self, order: SubmitOrder) -> VenueOrder:
        """Place a market or limit order; raise VenueRefused for other kinds."""
        one = self._instrument(order.instrument)
        if order.type not in self.kinds:
            raise VenueRefused(self.name, 400, 0, f"{order.type} is not sent to {self.name}")
        params: dict[str, Any] = {"clientOrderId": order.client_order_id}
        if order.reduce_only and one.venue is not Venue.BINANCE_SPOT and ":" in self._symbols[one.id]:
            params["reduceOnly"] = True
        if order.time_in_force is TimeInForce.POST_ONLY:
            params["postOnly"] = True
        elif order.time_in_force is TimeInForce.IOC and order.type is OrderType.LIMIT:
            params["timeInForce"] = "IOC"
        price = text(one.price(order.price)) if order.type is OrderType.LIMIT else None
        asked = (order.type.value, order.side.name.lower(), text(one.quantity(order.lots)), price, params)

        def read(told: Any) -> VenueOrder:
            return self._order(one, told, order)

        return await self._do("create_order", one, *asked, read=read)

    async def cancel(self, order: CancelOrder) -> None:
        """Take an order back, looked up first where its id at the venue is not known."""
        one = self._instrument(order.instrument)
        if (one.id, order.client_order_id) not in self._ids:
            found = await self.order(order.client_order_id, one.id)
            if found is None:
                raise VenueRefused(self.name, 404, 0, "the venue has no order of this client order id")
        await self._effect("cancel_order", self._ids[one.id, order.client_order_id], self._symbols[one.id])

    async def order(self, client_order_id: str, instrument: int) -> VenueOrder | None:
        """Return an order of ours; raise OutcomeUnknown where the exchange has no way of saying that it never was."""
        one = self._instrument(instrument)
        known = self._ids.get((one.id, client_order_id))
        if known is not None and self._has("fetchOrder"):
            asked = (known, self._symbols[one.id])
            return await self._get("fetch_order", *asked, read=lambda told: self._order(one, told))
        for method in ("fetch_open_orders", "fetch_orders", "fetch_closed_orders", "fetch_canceled_orders"):
            for told in await self._listed(method, one):
                if told.get("clientOrderId") == client_order_id:
                    return self._order(one, told)
        if self._has("fetchOpenOrders") and (self._has("fetchOrders") or self._has("fetchClosedOrders")):
            return None
        raise OutcomeUnknown(self.name, "this exchange does not tell which orders it had")

    async def open_orders(self) -> list[VenueOrder]:
        """Return the open orders of our instruments."""
        return [
            self._order(one, told)
            for one in self._instruments.values()
            for told in await self._listed("fetch_open_orders", one)
        ]

    async def fills(self, instrument: int, since: int) -> list[VenueFill]:
        """Return the account's executions from `since` on, oldest first."""
        one = self._instrument(instrument)
        found: dict[str, Any] = {}
        since_ms = since // NS_PER_MS
        # some exchanges give fewer than they are asked for, so only an answer without news is the end
        while page := await self._get("fetch_my_trades", self._symbols[one.id], since_ms, _PAGE, read=list):
            fresh = {str(told["id"]): told for told in page if str(told["id"]) not in found}
            found |= fresh
            newest = max(told["timestamp"] for told in page)
            if not fresh and newest < since_ms:
                break
            since_ms = newest if fresh and newest > since_ms else since_ms + 1
        trades = sorted(found.values(), key=lambda told: (told["timestamp"], str(told["id"])))
        return [self._fill(one, told, await self._name(one, str(told["order"]))) for told in trades]

    async def positions(self) -> list[VenuePosition]:
        """Return what is held; nothing where the exchange tells no positions (spot)."""
        if not self._has("fetchPositions"):
            return []
        by_symbol = {symbol: self._instruments[number] for number, symbol in self._symbols.items()}

        def read(told: Any) -> list[VenuePosition]:
            held = []
            for position in told:
                one = by_symbol.get(position["symbol"])
                lots = one.to_lots(str(position.get("contracts") or 0)) if one else 0
                if one is not None and lots:
                    held.append(_position(one, lots, position))
            return held

        return await self._get("fetch_positions", list(self._symbols.values()), read=read)

    async def balances(self) -> list[VenueBalance]:
        """Return the assets that the account has some of."""

        def read(told: Any) -> list[VenueBalance]:
            free = told.get("free") or {}
            return [
                VenueBalance(asset=asset, total=float(total), free=float(free.get(asset) or 0.0))
                for asset, total in sorted((told.get("total") or {}).items())
                if total
            ]

        return await self._get("fetch_balance", read=read)

    async def rights(self) -> KeyRights:
        """Return what little ccxt tells of a key: whether positions are one-way, where it can be asked."""
        if not self._has("fetchPositionMode"):
            return KeyRights()
        symbol = next(iter(self._symbols.values()))
        is_hedged = await self._get("fetch_position_mode", symbol, read=lambda told: bool(told["hedged"]))
        return KeyRights(is_one_way=not is_hedged)

    async def set_leverage(self, instrument: int, leverage: float) -> None:
        """Have an instrument held at isolated margin and `leverage`, where the exchange has such settings."""
        symbol = self._symbols[self._instrument(instrument).id]
        if self._has("setMarginMode"):
            await self._effect("set_margin_mode", "isolated", symbol)
        if self._has("setLeverage"):
            await self._effect("set_leverage", max(int(leverage), 1), symbol)

    async def cancel_all(self, instrument: int) -> None:
        """Take every open order of an instrument back, one by one where the exchange cannot do so at once."""
        one = self._instrument(instrument)
        if self._has("cancelAllOrders"):
            await self._effect("cancel_all_orders", self._symbols[one.id])
            return
        for told in await self._listed("fetch_open_orders", one):
            await self._effect("cancel_order", str(told["id"]), self._symbols[one.id])

    async def hold_switch(self, instrument: int, seconds: float) -> bool:
        """Have everything taken back in `seconds` unless asked again; the switch is the account's, not one's own."""
        if not self._has("cancelAllOrdersAfter"):
            return False
        await self._effect("cancel_all_orders_after", round(seconds * 1_000))
        return True

    async def close(self) -> None:
        """Let connections go."""
        await self._calls.close()

    # ── asking

    def _instrument(self, number: int) -> Instrument:
        try:
            return self._instruments[number]
        except KeyError:
            raise VenueRefused(self.name, 400, 0, f"instrument {number} is none of this trader's") from None

    def _has(self, what: str) -> bool:
        return bool(self._calls.client.has.get(what))

    async def _get(self, method: str, *about: Any, read: Callable[[Any], Read]) -> Read:
        await self._ready()
        return await self._calls.ask(method, lambda: getattr(self._calls.client, method)(*about), read)

    async def _do(self, method: str, one: Instrument, *about: Any, read: Callable[[Any], Read]) -> Read:
        await self._ready()
        symbol, run = self._symbols[one.id], getattr(self._calls.client, method)
        return await self._calls.ask(method, lambda: run(symbol, *about), read, is_effect=True, orders=1)

    async def _effect(self, method: str, *about: Any) -> None:
        await self._ready()

        async def run() -> None:
            try:
                await getattr(self._calls.client, method)(*about)
            except (self._ccxt.MarginModeAlreadySet, self._ccxt.NoChange):
                return

        await self._calls.ask(method, run, lambda told: None, is_effect=True)

    async def _ready(self) -> None:
        """Read the exchange's markets first, so that no effect can fail in between."""
        client = self._calls.client
        if not client.markets:
            await self._calls.ask("load_markets", client.load_markets, lambda told: None)

    async def _listed(self, method: str, one: Instrument) -> list[Any]:
        camel = "".join(part.title() if place else part for place, part in enumerate(method.split("_")))
        if not self._has(camel):
            return []
        told: list[Any] = await self._get(method, self._symbols[one.id], read=list)
        return told

    async def _name(self, one: Instrument, order_id: str) -> str:
        if (one.id, order_id) not in self._client_ids:
            if not self._has("fetchOrder"):
                return ""
            asked = (order_id, self._symbols[one.id])
            await self._get("fetch_order", *asked, read=lambda told: self._order(one, told))
        return self._client_ids.get((one.id, order_id), "")

    # ── reading

    def _order(self, one: Instrument, told: Mapping[str, Any], asked: SubmitOrder | None = None) -> VenueOrder:
        """Return an order as ccxt tells it; what it leaves out of one just placed is as it was `asked`."""
        order_id = str(told["id"])
        name = asked.client_order_id if asked else str(told.get("clientOrderId") or "")
        if asked is None and (one.id, name) not in self._ids and not self._is_ours(name):
            name = ""
        if name:
            self._ids[one.id, name] = order_id
        self._client_ids[one.id, order_id] = name
        filled = one.to_lots(str(told.get("filled") or 0))
        status = _STATUSES.get(told.get("status") or "open", OrderStatus.OPEN)
        if status is OrderStatus.OPEN and filled:
            status = OrderStatus.PARTIALLY_FILLED
        side = told.get("side") or (asked.side.name.lower() if asked else "")
        return VenueOrder(
            client_order_id=name,
            venue_order_id=order_id,
            instrument=one.id,
            side=Side.BUY if side == "buy" else Side.SELL,
            status=status,
            lots=one.to_lots(str(told["amount"])) if told.get("amount") else asked.lots if asked else 0,
            filled=filled,
            price=_price(one, told, asked),
            trigger=one.to_ticks(str(told.get("triggerPrice") or 0)),
            reduce_only=bool(told.get("reduceOnly")),
            ts_venue=int(told.get("lastUpdateTimestamp") or told.get("timestamp") or 0) * NS_PER_MS,
        )

    def _fill(self, one: Instrument, told: Mapping[str, Any], client_id: str) -> VenueFill:
        price, lots = one.to_ticks(str(told["price"])), one.to_lots(str(told["amount"]))
        fees = told.get("fees") or [told.get("fee") or {}]
        return VenueFill(
            fill_id=str(told["id"]),
            client_order_id=client_id,
            venue_order_id=str(told["order"]),
            instrument=one.id,
            side=Side.BUY if told["side"] == "buy" else Side.SELL,
            price=price,
            lots=lots,
            liquidity=Liquidity.MAKER if told.get("takerOrMaker") == "maker" else Liquidity.TAKER,
            fee=sum(
                in_quote(Decimal(str(fee.get("cost") or 0)), fee.get("currency"), one, price, lots) for fee in fees
            ),
            ts_venue=int(told["timestamp"]) * NS_PER_MS,
        )


def _price(one: Instrument, told: Mapping[str, Any], asked: SubmitOrder | None) -> int:
    """Return the limit; of a market order ccxt tells the average instead."""
    if asked is not None:
        return asked.price
    return 0 if told.get("type") == "market" else one.to_ticks(str(told.get("price") or 0))


def _position(one: Instrument, lots: int, told: Mapping[str, Any]) -> VenuePosition:
    return VenuePosition(
        instrument=one.id,
        lots=-lots if told.get("side") == "short" else lots,
        entry=float(told.get("entryPrice") or 0.0) / one.tick,
        liquidation=float(told.get("liquidationPrice") or 0.0) / one.tick,
        leverage=float(told.get("leverage") or 0.0),
        is_isolated=told.get("marginMode") == "isolated",
    )


def _fee(one: Instrument, told: Mapping[str, Any], price: int, lots: int) -> float:
    return in_quote(Decimal(str(told.get("cost") or 0)), told.get("currency"), one, price, lots)
