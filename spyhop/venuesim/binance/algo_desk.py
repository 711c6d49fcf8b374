"""USDT-M's conditional orders: the algoOrder family, the only place that takes them since December 2025."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spyhop.venuesim.binance import errors
from spyhop.venuesim.binance import order_words as words
from spyhop.venuesim.binance.errors import BinanceError
from spyhop.venuesim.binance.market_rest import MarketRest
from spyhop.venuesim.binance.rest import Access, Call, Endpoint
from spyhop.venuesim.binance.weights import Allowance
from spyhop.venuesim.words import Order, Refused


class AlgoDesk:
    """Orders that wait for a price. An algo order that was triggered is an order of the book under an id of its own."""

    def __init__(self, market: MarketRest, allowance: Allowance, next_id: Callable[[], str]) -> None:
        self._market, self._exchange = market, market.floor.exchange
        self._allowance, self._next_id = allowance, next_id

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints, with the weights that the venue asks."""
        v1, signed, trading = "/fapi/v1", Access.SIGNED, Access.TRADING
        return [
            Endpoint("POST", f"{v1}/algoOrder", self.place, 0, trading),
            Endpoint("DELETE", f"{v1}/algoOrder", self.cancel, 1, trading),
            Endpoint("GET", f"{v1}/algoOrder", self.query, 1, signed),
            Endpoint("GET", f"{v1}/openAlgoOrders", self.open_orders, 1, signed),
            Endpoint("GET", f"{v1}/allAlgoOrders", self.all_orders, 5, signed),
            Endpoint("DELETE", f"{v1}/algoOpenOrders", self.cancel_all, 1, trading),
        ]

    def place(self, call: Call) -> object:
        """Take a conditional order."""
        call.headers |= self._allowance.count_order(call.account, call.now)
        number = self._market.number(call)
        if call.need("algoType") != "CONDITIONAL":
            raise BinanceError(-1102, "Mandatory parameter 'algotype' was not sent, was empty/null, or malformed.")
        if words.KINDS.get(call.need("type")) in words.PLAIN:
            raise BinanceError(-1116, "Invalid orderType.")
        asked = words.request(call.params, call.account, self._market.grid(number), self._next_id(), "triggerPrice")
        return self._told(call, self._exchange.submit(asked))

    def cancel(self, call: Call) -> object:
        """Take a conditional order back that was not triggered."""
        order = self._found(call, errors.CANCEL_REJECTED)
        if order.triggered:
            raise errors.CANCEL_REJECTED
        told = self._told(call, self._exchange.cancel(call.account, order.order_id))
        return {**told, "code": "200", "msg": "success"}

    def query(self, call: Call) -> object:
        """Return a conditional order, waiting or not."""
        return self._told(call, self._found(call, errors.NO_SUCH_ORDER))

    def open_orders(self, call: Call) -> object:
        """Return the conditional orders that wait."""
        number = self._market.number(call) if call.text("symbol") else -1
        orders = self._exchange.open_orders(call.account, number)
        return [self._told(call, order) for order in orders if words.is_waiting(order)]

    def all_orders(self, call: Call) -> object:
        """Return conditional orders, waiting or not, by id or by time."""
        start, end = call.span()
        from_id = max(call.integer("algoId") - words.ALGO_BASE, 0)
        orders = self._exchange.orders(
            call.account, self._market.number(call), from_id, start, end, call.limit(500, 1_000)
        )
        return [self._told(call, order) for order in orders if words.is_algo(order)]

    def cancel_all(self, call: Call) -> object:
        """Take back every conditional order of a symbol that waits."""
        for order in self._exchange.open_orders(call.account, self._market.number(call)):
            if words.is_waiting(order):
                self._exchange.cancel(call.account, order.order_id)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _found(self, call: Call, unknown: BinanceError) -> Order:
        algo_id, client_id = call.integer("algoId"), call.text("clientAlgoId")
        if not algo_id and not client_id:
            raise BinanceError(-1102, "Either algoId or clientAlgoId must be sent.")
        try:
            order = self._exchange.order(
                call.account, max(algo_id - words.ALGO_BASE, 0) if algo_id else 0, "" if algo_id else client_id
            )
        except Refused:
            raise unknown from None
        if not words.is_algo(order):
            raise unknown
        return order

    def _told(self, call: Call, order: Order) -> dict[str, Any]:
        return words.algo_body(order, self._market.grid(order.request.instrument), call.skew_ms)
