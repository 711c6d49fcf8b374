"""USDT-M's order endpoints: single, batches, cancel-all, the dead man's switch, histories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from spyhop.clock import NS_PER_MS
from spyhop.venuesim.binance import errors
from spyhop.venuesim.binance import order_words as words
from spyhop.venuesim.binance.errors import BinanceError, missing
from spyhop.venuesim.binance.market_rest import MarketRest
from spyhop.venuesim.binance.rest import Access, Call, Endpoint
from spyhop.venuesim.binance.weights import Allowance
from spyhop.venuesim.thinning import thin
from spyhop.venuesim.words import Order, Refused

MAX_BATCH = 5
_DONE = {"code": 200, "msg": "The operation of cancel all open order is done."}


class OrderDesk:
    """Orders that stand in the book. Conditional ones are refused here with -4120: they belong to `algo_desk`."""

    def __init__(self, market: MarketRest, allowance: Allowance, next_id: Callable[[], str]) -> None:
        self._market, self._exchange = market, market.floor.exchange
        self._allowance, self._next_id = allowance, next_id
        self._countdowns: dict[tuple[str, int], int] = {}

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints, with the weights that the venue asks."""
        v1, signed, trading = "/fapi/v1", Access.SIGNED, Access.TRADING
        return [
            Endpoint("POST", f"{v1}/order", self.place, 0, trading),
            Endpoint("PUT", f"{v1}/order", self.amend, 1, trading),
            Endpoint("DELETE", f"{v1}/order", self.cancel, 1, trading),
            Endpoint("GET", f"{v1}/order", self.query, 1, signed),
            Endpoint("POST", f"{v1}/order/test", self.check, 1, signed),
            Endpoint("POST", f"{v1}/batchOrders", self.place_batch, 5, trading),
            Endpoint("PUT", f"{v1}/batchOrders", self.amend_batch, 5, trading),
            Endpoint("DELETE", f"{v1}/batchOrders", self.cancel_batch, 1, trading),
            Endpoint("DELETE", f"{v1}/allOpenOrders", self.cancel_all, 1, trading),
            Endpoint("POST", f"{v1}/countdownCancelAll", self.countdown, 10, trading),
            Endpoint("GET", f"{v1}/openOrder", self.query_open, 1, signed),
            Endpoint("GET", f"{v1}/openOrders", self.open_orders, lambda asked: 1 if "symbol" in asked else 40, signed),
            Endpoint("GET", f"{v1}/allOrders", self.all_orders, 5, signed),
            Endpoint("GET", f"{v1}/userTrades", self.trades, 5, signed),
        ]

    def place(self, call: Call) -> object:
        """Take an order."""
        call.headers |= self._allowance.count_order(call.account, call.now)
        return self._place(call, call.params)

    def check(self, call: Call) -> object:
        """Say what `place` would, without taking the order."""
        number = self._market.number(call)
        self._refuse_algo(call.params)
        asked = words.request(call.params, call.account, self._market.grid(number), "test", "stopPrice")
        self._exchange.check(asked)
        return {}

    def amend(self, call: Call) -> object:
        """Change price and quantity of a resting order."""
        call.headers |= self._allowance.count_order(call.account, call.now)
        return self._amend(call, call.params)

    def cancel(self, call: Call) -> object:
        """Take an order back."""
        return self._cancel(call, call.params)

    def query(self, call: Call) -> object:
        """Return an order, open or not."""
        return self._told(call, self._found(call, call.params, errors.NO_SUCH_ORDER))

    def query_open(self, call: Call) -> object:
        """Return an open order."""
        order = self._found(call, call.params, errors.NO_SUCH_ORDER)
        if not order.is_open:
            raise errors.NO_SUCH_ORDER
        return self._told(call, order)

    def place_batch(self, call: Call) -> object:
        """Take up to five orders, each with its own answer."""
        return self._batch(call, self._place)

    def amend_batch(self, call: Call) -> object:
        """Change up to five orders, each with its own answer."""
        return self._batch(call, self._amend)

    def cancel_batch(self, call: Call) -> object:
        """Take back the orders of orderIdList or origClientOrderIdList, each with its own answer."""
        symbol = call.need("symbol")
        name, lists = ("orderId", "orderIdList") if call.text("orderIdList") else ("origClientOrderId", "")
        wanted = _list(call.need(lists or "origClientOrderIdList"), lists or "origClientOrderIdList")
        if len(wanted) > 10:
            raise missing(lists or "origClientOrderIdList")
        return [self._answered(call, self._cancel, {"symbol": symbol, name: str(value)}) for value in wanted]

    def cancel_all(self, call: Call) -> object:
        """Take back every order of a symbol that stands in the book."""
        self._cancel_open(call.account, self._market.number(call))
        return _DONE

    def countdown(self, call: Call) -> object:
        """Start, restart or (with 0) stop the dead man's switch of a symbol."""
        number, length_ms = self._market.number(call), call.integer("countdownTime", -1)
        if length_ms < 0:
            raise missing("countdownTime")
        if length_ms:
            self._countdowns[call.account, number] = call.now + length_ms * NS_PER_MS
        else:
            self._countdowns.pop((call.account, number), None)
        return {"symbol": call.need("symbol"), "countdownTime": str(length_ms)}

    def fire(self, now: int) -> None:
        """Let the switches go off whose time is over."""
        for (account, number), due in list(self._countdowns.items()):
            if now >= due:
                del self._countdowns[account, number]
                self._cancel_open(account, number)

    def open_orders(self, call: Call) -> object:
        """Return the orders in the book."""
        number = self._market.number(call) if call.text("symbol") else -1
        orders = self._exchange.open_orders(call.account, number)
        return [self._told(call, order) for order in orders if not words.is_waiting(order)]

    def all_orders(self, call: Call) -> object:
        """Return orders open or not, by id or by time."""
        start, end = call.span()
        orders = self._exchange.orders(
            call.account, self._market.number(call), call.integer("orderId"), start, end, call.limit(500, 1_000)
        )
        return [self._told(call, order) for order in orders if not words.is_waiting(order)]

    def trades(self, call: Call) -> object:
        """Return fills, by order, id or time."""
        number = self._market.number(call)
        start, end = call.span()
        fills = self._exchange.executions(
            call.account,
            number,
            call.integer("orderId"),
            call.integer("fromId"),
            start,
            end,
            call.limit(500, 1_000),
        )
        grid = self._market.grid(number)
        return [words.trade_body(fill, grid, call.skew_ms) for fill in fills]

    def _place(self, call: Call, params: Mapping[str, str]) -> dict[str, Any]:
        number = self._number(params)
        self._refuse_algo(params)
        asked = words.request(params, call.account, self._market.grid(number), self._next_id(), "stopPrice")
        if call.partial is not None:
            thin(self._exchange, asked, call.partial.fraction)
        told = self._told(call, self._exchange.submit(asked))
        return told if params.get("newOrderRespType") == "RESULT" else words.acknowledged(told)

    def _amend(self, call: Call, params: Mapping[str, str]) -> dict[str, Any]:
        order = self._found(call, params, errors.NO_SUCH_ORDER)
        grid = self._market.grid(order.request.instrument)
        for name in ("quantity", "price"):
            if not params.get(name):
                raise missing(name)
        lots, price = grid.lots(params["quantity"]), grid.ticks(params["price"])
        if not order.is_open:
            raise errors.NO_SUCH_ORDER
        if (lots, price) == (order.lots, order.price):
            raise BinanceError(-5027, "No need to modify the order.")
        return self._told(call, self._exchange.amend(call.account, order.order_id, lots, price))

    def _cancel(self, call: Call, params: Mapping[str, str]) -> dict[str, Any]:
        order = self._found(call, params, errors.CANCEL_REJECTED)
        return self._told(call, self._exchange.cancel(call.account, order.order_id))

    def _cancel_open(self, account: str, number: int) -> None:
        for order in self._exchange.open_orders(account, number):
            if not words.is_waiting(order):
                self._exchange.cancel(account, order.order_id)

    def _batch(self, call: Call, act: Callable[[Call, Mapping[str, str]], dict[str, Any]]) -> list[dict[str, Any]]:
        wanted = _list(call.need("batchOrders"), "batchOrders")
        if not 0 < len(wanted) <= MAX_BATCH or not all(isinstance(order, dict) for order in wanted):
            raise BinanceError(-4082, "Invalid number of batch orders.")
        call.headers |= self._allowance.count_order(call.account, call.now, len(wanted))
        return [self._answered(call, act, _texts(order)) for order in wanted]

    @staticmethod
    def _answered(
        call: Call, act: Callable[[Call, Mapping[str, str]], dict[str, Any]], params: Mapping[str, str]
    ) -> dict[str, Any]:
        try:
            return act(call, params)
        except Refused as refused:
            error = errors.usdm(refused)
        except BinanceError as refusal:
            error = refusal
        return {"code": error.code, "msg": error.text}

    def _found(self, call: Call, params: Mapping[str, str], unknown: BinanceError) -> Order:
        number = self._number(params)
        number_text, client_id = params.get("orderId", ""), params.get("origClientOrderId", "")
        if not number_text and not client_id:
            raise BinanceError(-1102, "Either orderId or origClientOrderId must be sent.")
        try:
            order_id = int(number_text) if number_text else 0
            order = self._exchange.order(call.account, order_id, "" if order_id else client_id)
        except ValueError:
            raise missing("orderId") from None
        except Refused:
            raise unknown from None
        if order.request.instrument != number or words.is_waiting(order):
            raise unknown
        return order

    def _number(self, params: Mapping[str, str]) -> int:
        return self._market.number_of(params.get("symbol", ""))

    def _told(self, call: Call, order: Order) -> dict[str, Any]:
        return words.body(order, self._market.grid(order.request.instrument), call.skew_ms)

    @staticmethod
    def _refuse_algo(params: Mapping[str, str]) -> None:
        kind = words.KINDS.get(params.get("type", ""))
        if kind is not None and kind not in words.PLAIN:
            raise errors.USE_ALGO


def _list(text: str, name: str) -> list[Any]:
    try:
        return msgspec.json.decode(text, type=list[Any])
    except msgspec.MsgspecError:
        raise missing(name) from None


def _texts(order: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in order.items()}
