"""Spot's signed endpoints: orders, fills, balances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spyhop.venuesim.binance import errors
from spyhop.venuesim.binance import spot_words as words
from spyhop.venuesim.binance.errors import BinanceError, missing
from spyhop.venuesim.binance.grid import fixed
from spyhop.venuesim.binance.market_rest import MarketRest
from spyhop.venuesim.binance.rest import Access, Call, Endpoint
from spyhop.venuesim.binance.weights import Allowance
from spyhop.venuesim.thinning import thin
from spyhop.venuesim.words import Order, OrderKind, Refused

FEE = "0.00100000"


class SpotDesk:
    """Orders and balances of spot accounts."""

    def __init__(self, market: MarketRest, allowance: Allowance, next_id: Callable[[], str]) -> None:
        self._market, self._exchange = market, market.floor.exchange
        self._allowance, self._next_id = allowance, next_id

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints, with the weights that the venue asks."""
        v3, signed, trading = "/api/v3", Access.SIGNED, Access.TRADING
        return [
            Endpoint("POST", f"{v3}/order", self.place, 1, trading),
            Endpoint("DELETE", f"{v3}/order", self.cancel, 1, trading),
            Endpoint("GET", f"{v3}/order", self.query, 4, signed),
            Endpoint("POST", f"{v3}/order/test", self.check, 1, signed),
            Endpoint("POST", f"{v3}/order/cancelReplace", self.replace, 1, trading),
            Endpoint("DELETE", f"{v3}/openOrders", self.cancel_all, 1, trading),
            Endpoint("GET", f"{v3}/openOrders", self.open_orders, lambda asked: 6 if "symbol" in asked else 80, signed),
            Endpoint("GET", f"{v3}/allOrders", self.all_orders, 20, signed),
            Endpoint("GET", f"{v3}/myTrades", self.trades, 20, signed),
            Endpoint("GET", f"{v3}/account", self.account, 20, signed),
            Endpoint("GET", f"{v3}/account/commission", self.commission, 20, signed),
        ]

    def place(self, call: Call) -> object:
        """Take an order."""
        call.headers |= self._allowance.count_order(call.account, call.now)
        number = self._market.number(call)
        grid = self._market.grid(number)
        asked = words.request(call.params, call.account, grid, self._next_id(), self._exchange.best(number)[3])
        if call.partial is not None:
            thin(self._exchange, asked, call.partial.fraction)
        order = self._exchange.submit(asked)
        usual = "FULL" if asked.kind in (OrderKind.LIMIT, OrderKind.MARKET) else "ACK"
        fills = self._exchange.executions(call.account, number, order.order_id)
        return words.reply(order, grid, fills, call.skew_ms, call.text("newOrderRespType", usual))

    def check(self, call: Call) -> object:
        """Say what `place` would, without taking the order."""
        number = self._market.number(call)
        grid, ask = self._market.grid(number), self._exchange.best(number)[3]
        self._exchange.check(words.request(call.params, call.account, grid, "test", ask))
        return {}

    def cancel(self, call: Call) -> object:
        """Take an order back."""
        order = self._found(call, errors.CANCEL_REJECTED)
        return self._canceled(call, self._exchange.cancel(call.account, order.order_id))

    def replace(self, call: Call) -> object:
        """Take an order back and place another; when the first fails the second is not tried (STOP_ON_FAILURE)."""
        if call.need("cancelReplaceMode") not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise missing("cancelReplaceMode")
        params = dict(call.params)
        named = {
            "orderId": params.pop("cancelOrderId", ""),
            "origClientOrderId": params.pop("cancelOrigClientOrderId", ""),
        }
        cancelled = self.cancel(call.asking({"symbol": call.need("symbol"), **named}))
        return {
            "cancelResult": "SUCCESS",
            "newOrderResult": "SUCCESS",
            "cancelResponse": cancelled,
            "newOrderResponse": self.place(call.asking(params)),
        }

    def query(self, call: Call) -> object:
        """Return an order, open or not."""
        return self._told(call, self._found(call, errors.NO_SUCH_ORDER))

    def cancel_all(self, call: Call) -> object:
        """Take back every open order of a symbol; raise -2011 when there is none."""
        orders = self._exchange.cancel_all(call.account, self._market.number(call))
        if not orders:
            raise errors.CANCEL_REJECTED
        return [self._canceled(call, order) for order in orders]

    def open_orders(self, call: Call) -> object:
        """Return open orders, conditional ones too."""
        number = self._market.number(call) if call.text("symbol") else -1
        return [self._told(call, order) for order in self._exchange.open_orders(call.account, number)]

    def all_orders(self, call: Call) -> object:
        """Return orders open or not, by id or by time."""
        start, end = call.span()
        number, limit = self._market.number(call), call.limit(500, 1_000)
        orders = self._exchange.orders(call.account, number, call.integer("orderId"), start, end, limit)
        return [self._told(call, order) for order in orders]

    def trades(self, call: Call) -> object:
        """Return fills, by order, id or time."""
        start, end = call.span()
        number, limit = self._market.number(call), call.limit(500, 1_000)
        fills = self._exchange.executions(
            call.account, number, call.integer("orderId"), call.integer("fromId"), start, end, limit
        )
        return [words.trade_body(fill, self._market.grid(number), call.skew_ms) for fill in fills]

    def account(self, call: Call) -> object:
        """Return the balances."""
        balances = [
            {"asset": held.asset, "free": fixed(held.available), "locked": fixed(held.locked)}
            for held in self._exchange.balances(call.account)
        ]
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": {"maker": FEE, "taker": FEE, "buyer": "0.00000000", "seller": "0.00000000"},
            "canTrade": True,
            "canWithdraw": True,
            "canDeposit": True,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": call.now_ms,
            "accountType": "SPOT",
            "balances": balances,
            "permissions": ["SPOT"],
            "uid": 354_937_868,
        }

    def commission(self, call: Call) -> object:
        """Return the fees."""
        self._market.number(call)
        rates = {"maker": FEE, "taker": FEE, "buyer": "0.00000000", "seller": "0.00000000"}
        return {"symbol": call.need("symbol"), "standardCommission": rates}

    def _found(self, call: Call, unknown: BinanceError) -> Order:
        number, order_id = self._market.number(call), call.integer("orderId")
        client_id = call.text("origClientOrderId")
        if not order_id and not client_id:
            raise BinanceError(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        try:
            order = self._exchange.order(call.account, order_id, "" if order_id else client_id)
        except Refused:
            raise unknown from None
        if order.request.instrument != number:
            raise unknown
        return order

    def _told(self, call: Call, order: Order) -> dict[str, Any]:
        return words.body(order, self._market.grid(order.request.instrument), call.skew_ms)

    def _canceled(self, call: Call, order: Order) -> dict[str, Any]:
        grid = self._market.grid(order.request.instrument)
        return words.canceled(order, grid, call.skew_ms, call.text("newClientOrderId") or self._next_id())
