"""Orders on dYdX v4 through ccxt, with what its class of 4.5.90 does wrong put right.

    1  sizes and prices convert, though the venue sends the exponents as whole numbers
    2  coins with an atomic resolution of 0 or more get the size that was asked for
    3  a market order without a price is not broadcast
    4  short-term orders may be post-only or rest until a block: `timeInForce` PO or GTB, or `goodTillBlock`
    5  a cancel finds a short-term order without being told its flags
    6  candles since and until are asked for by the names that the venue reads
    7  a refused transaction says why: a wrong sequence, a duplicate and a bad signature are no invalid orders
    8  nobody's router address is put on an order unless one is configured
    9  open orders are all of them: short-term ones before their first block, and those that wait for a trigger
    10 the venue's time is in milliseconds

This is the only module that imports ccxt's dYdX class; importing it takes a while, so import it where it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import ccxt.pro
from ccxt.base.errors import (
    ArgumentsRequired,
    AuthenticationError,
    DuplicateOrderId,
    InsufficientFunds,
    InvalidNonce,
    InvalidOrder,
    NotSupported,
    OrderImmediatelyFillable,
    OrderNotFound,
    RateLimitExceeded,
)

from spyhop.clock import NS_PER_MS, NS_PER_S, Clock, WallClock
from spyhop.venues.dydx.address import address_of

SHORT_TERM, CONDITIONAL, LONG_TERM = 0, 32, 64
_IOC, _POST_ONLY = 1, 2
_QUOTE_EXPONENT: Final = -6
_BLOCKS_AHEAD: Final = 20
_SHORT_TERM_WORDS: Final = ("IOC", "PO", "GTB")
_BY_CODE: Final[Mapping[tuple[str, int], type[Exception]]] = {
    ("sdk", 4): AuthenticationError,
    ("sdk", 5): InsufficientFunds,
    ("sdk", 19): DuplicateOrderId,
    ("sdk", 32): InvalidNonce,
    ("clob", 2003): OrderImmediatelyFillable,
    ("clob", 3006): OrderNotFound,
    ("clob", 3007): InsufficientFunds,
    ("clob", 5001): RateLimitExceeded,
}
_OPEN: Final = "OPEN,UNTRIGGERED,BEST_EFFORT_OPENED"
_CACHED: Final = "tx already exists in cache"


def quantums(amount: str, atomic_resolution: int) -> int:
    """Return `amount` of the base currency in quantums; raise InvalidOrder when they are not whole."""
    return _whole(Decimal(amount).scaleb(-atomic_resolution), "amount", amount)


def subticks(price: str, atomic_resolution: int, conversion_exponent: int) -> int:
    """Return `price` in subticks; raise InvalidOrder when they are not whole."""
    exponent = atomic_resolution - conversion_exponent - _QUOTE_EXPONENT
    return _whole(Decimal(price).scaleb(exponent), "price", price)


def _whole(number: Decimal, what: str, text: str) -> int:
    if number != number.to_integral_value() or number <= 0:
        raise InvalidOrder(f"dydx {what} {text} is not a whole number of the chain's units")
    return int(number)


class DydxOrders(ccxt.pro.dydx):  # type: ignore[misc]
    """ccxt's class with the defects above mended; options are ccxt's own.

    `options.privateKey` is the key in hex and `walletAddress` its address, which follows from the key when it is left
    out. `clock` is the venue's: nonces and ends of orders are times. `options.latestBlockHeight`, if it is kept up to
    date from the block channel, saves the request that asks for it. Orders need `clientOrderId`; `goodTillBlock` or
    `timeInForce` IOC, PO or GTB make them short-term; the rest is as in ccxt.
    """

    clock: Clock = WallClock()

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(dict(config or {}))
        if self.safe_string(self.options, "privateKey") is not None:
            self.retrieve_credentials()

    def milliseconds(self) -> int:
        """Return the venue's time in milliseconds; ccxt's nonces are made of it."""
        return self.clock.now_ns() // NS_PER_MS

    def seconds(self) -> int:
        """Return the venue's time in seconds."""
        return self.clock.now_ns() // NS_PER_S

    def describe(self) -> Any:
        """Return ccxt's description without a router's address."""
        return self.deep_extend(super().describe(), {"options": {"routerAddress": ""}})

    def retrieve_credentials(self) -> Any:
        """Return the keys; the address follows from them when it is not configured."""
        credentials = super().retrieve_credentials()
        if not getattr(self, "walletAddress", None):
            self.walletAddress: str = address_of(bytes.fromhex(credentials["publicKey"]))
        return credentials

    async def fetch_dydx_account(self) -> Any:
        """Return number and key of the account; the key is our own, since a chain that never saw it has none."""
        credentials = self.retrieve_credentials()
        account = self.safe_dict(self.options, "dydxAccount")
        if account is None:
            response = await self.nodeRestGetCosmosAuthV1beta1AccountInfoDydxAddress(
                {"dydxAddress": self.get_wallet_address()}
            )
            account = dict(self.safe_dict(response, "info", {}))
            public_key = bytes.fromhex(credentials["publicKey"])
            account["pub_key"] = {"key": self.binary_to_base64(public_key)}
            self.options["dydxAccount"] = account
        return account

    def create_order_request(
        self, symbol: str, type: str, side: str, amount: Any, price: Any = None, params: Any = None
    ) -> list[Any]:
        """Return (order id, message to sign) of an order; raise InvalidOrder, ArgumentsRequired or NotSupported."""
        params = dict(params or {})
        market = self.market(symbol)
        info = market["info"]
        if price is None:
            raise ArgumentsRequired(f"{self.id} orders need a price, market orders too: the worst one to accept")
        trigger = self.safe_string_n(params, ["stopLossPrice", "takeProfitPrice", "triggerPrice", "stopPrice"])
        flags, time_in_force = self._lasting(type.upper(), params, is_conditional=trigger is not None)
        resolution, conversion = int(info["atomicResolution"]), int(info["quantumConversionExponent"])

        def units(number: Any) -> int:
            return subticks(self.price_to_precision(symbol, number), resolution, conversion)

        order: dict[str, Any] = {
            "orderId": self._order_id(market, params, flags),
            "side": 1 if side.upper() == "BUY" else 2,
            "quantums": quantums(self.amount_to_precision(symbol, amount), resolution),
            "subticks": units(price),
            **self._good_til(flags, params, "createOrder"),
            "timeInForce": time_in_force,
            "reduceOnly": bool(params.get("reduceOnly", params.get("reduce_only"))),
            "clientMetadata": 1 if type.upper() == "MARKET" else 0,
            "conditionType": 0,
            "conditionalOrderTriggerSubticks": 0,
        }
        if trigger is not None:
            order["conditionType"] = 2 if "takeProfitPrice" in params else 1
            order["conditionalOrderTriggerSubticks"] = units(trigger)
        router = self.safe_string(self.options, "routerAddress", "")
        if router:
            order["orderRouterAddress"] = router
        order_id = order["orderId"]
        uuid = self.create_order_id_from_parts(
            order_id["subaccountId"]["owner"],
            order_id["subaccountId"]["number"],
            order_id["clientId"],
            flags,
            order_id["clobPairId"],
        )
        return [uuid, {"typeUrl": "/dydxprotocol.clob.MsgPlaceOrder", "value": {"order": order}}]

    async def fetch_time(self, params: Any = None) -> int:
        """Return the venue's time in milliseconds (ccxt's class returns seconds)."""
        response = await self.indexerGetTime(params or {})
        return int(self.parse8601(response["iso"]))

    async def fetch_latest_block_height(self, params: Any = None) -> int:
        """Return the height that `options.latestBlockHeight` holds if it does, else ask the node."""
        known = self.safe_integer(self.options, "latestBlockHeight")
        return int(known or await super().fetch_latest_block_height(params or {}))

    async def cancel_order(self, id: str, symbol: Any = None, params: Any = None) -> Any:
        """Cancel by client id; the flags are those of the order, looked up by its client id when they are not given."""
        params = dict(params or {})
        if "orderFlags" not in params:
            await self.load_markets()
            params["orderFlags"] = await self._flags_of(id, symbol, params)
        return await super().cancel_order(id, symbol, params)

    def parse_order_status(self, status: Any) -> Any:
        """Return ccxt's word for a status; an order that a validator has seen is open."""
        return "open" if status == "BEST_EFFORT_OPENED" else super().parse_order_status(status)

    async def fetch_open_orders(
        self, symbol: Any = None, since: Any = None, limit: Any = None, params: Any = None
    ) -> Any:
        """Return all orders that may still be filled, those too that wait for a block or a trigger."""
        return await super().fetch_open_orders(symbol, since, limit, {"status": _OPEN, **(params or {})})

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str = "1m", since: Any = None, limit: Any = None, params: Any = None
    ) -> Any:
        """Return candles from `since` (ms) on, up to `params.until`, oldest first."""
        params = dict(params or {})
        until = self.safe_integer(params, "until")
        params.pop("until", None)
        if since is not None:
            params["fromISO"] = self.iso8601(since)
        if until is not None:
            params["toISO"] = self.iso8601(until)
        elif since is not None and limit is not None:
            # the venue gives the newest of a range, ccxt means the first from `since` on
            span = limit * self.parse_timeframe(timeframe) * 1000
            params["toISO"] = self.iso8601(since + span)
        return await super().fetch_ohlcv(symbol, timeframe, None, limit, params)

    def handle_errors(
        self,
        httpCode: int,
        reason: str,
        url: str,
        method: str,
        headers: Any,
        body: str,
        response: Any,
        requestHeaders: Any,
        requestBody: Any,
    ) -> None:
        """Raise what a refused transaction means, by codespace and code."""
        result = self.safe_dict(response, "result") if isinstance(response, dict) else None
        code = self.safe_integer(result, "code", 0) if result else 0
        if code:
            codespace = self.safe_string(result, "codespace", "")
            found = _BY_CODE.get((codespace, code))
            if found is not None:
                raise found(f"{self.id} {codespace} {code}: {self.safe_string(result, 'log', '')}")
        if body and _CACHED in body:
            raise DuplicateOrderId(f"{self.id} {_CACHED}")
        super().handle_errors(httpCode, reason, url, method, headers, body, response, requestHeaders, requestBody)

    def _lasting(self, kind: str, params: Mapping[str, Any], *, is_conditional: bool) -> tuple[int, int]:
        """Return (flags, time in force) of an order."""
        word = str(params.get("timeInForce", "")).upper()
        is_post_only = word == "PO" or bool(params.get("postOnly"))
        if word == "FOK":
            raise InvalidOrder(f"{self.id} has no fill-or-kill any more")
        if is_conditional:
            if is_post_only:
                raise NotSupported(f"{self.id} conditional orders are not post-only here")
            return CONDITIONAL, _IOC if kind == "MARKET" or word == "IOC" else 0
        if kind == "MARKET" or word == "IOC":
            return SHORT_TERM, _IOC
        is_short_term = word in _SHORT_TERM_WORDS or params.get("goodTillBlock") is not None
        return (SHORT_TERM if is_short_term else LONG_TERM), _POST_ONLY if is_post_only else 0

    def _order_id(self, market: Any, params: Mapping[str, Any], flags: int) -> dict[str, Any]:
        client_id = self.safe_integer_2(params, "clientOrderId", "clientId")
        if client_id is None:
            raise ArgumentsRequired(f"{self.id} orders need a clientOrderId between 0 and 4294967295")
        if not 0 <= client_id < 1 << 32:
            raise InvalidOrder(f"{self.id} clientOrderId {client_id} is not between 0 and 4294967295")
        return {
            "subaccountId": {
                "owner": self.get_wallet_address(),
                "number": self.safe_integer_2(params, "subAccountId", "subaccountId", 0),
            },
            "clientId": client_id,
            "orderFlags": flags,
            "clobPairId": int(market["info"]["clobPairId"]),
        }

    def _good_til(self, flags: int, params: Mapping[str, Any], method: str) -> dict[str, int]:
        """Return the one end that an order of these flags has."""
        if flags != SHORT_TERM:
            seconds, _ = self.handle_option_integer_and_params(
                params, method, "goodTillBlockTimeInSeconds", 30 * 86_400
            )
            return {"goodTilBlockTime": self.seconds() + seconds}
        block = self.safe_integer(params, "goodTillBlock")
        if block is None:
            block = self.safe_integer(params, "latestBlockHeight", 0) + _BLOCKS_AHEAD
        return {"goodTilBlock": block}

    async def _flags_of(self, client_id: str, symbol: Any, params: Mapping[str, Any]) -> int:
        if params.get("trigger") or params.get("stop"):
            return CONDITIONAL
        number = self.safe_integer(params, "subAccountId", 0)
        market = self.market(symbol)
        request = {"address": self.get_wallet_address(), "subaccountNumber": number, "ticker": market["id"]}
        wanted = str(params.get("clientOrderId", client_id))
        orders = await self.indexerGetOrders(self.extend(request, {"returnLatestOrders": "true"}))
        for order in orders:
            if order["clientId"] == wanted and order["status"] not in ("FILLED", "CANCELED", "BEST_EFFORT_CANCELED"):
                return int(order["orderFlags"])
        raise OrderNotFound(f"{self.id} has no open order with client id {wanted}")
