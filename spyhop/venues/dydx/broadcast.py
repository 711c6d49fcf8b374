"""Signed messages to a node: encoded and signed by our subclass of ccxt's class, sent by our own client.

A node answers what its checks say of a message, not what becomes of it. An answer is read by codespace and code; no
answer, or one without a code, says nothing about the message, though the request was a GET.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from spyhop.clock import NS_PER_MS, Clock
from spyhop.errors import (
    InvalidSetting,
    MissingInput,
    OutcomeUnknown,
    Throttled,
    VenueRefused,
    VenueUnavailable,
)
from spyhop.model.instruments import Instrument
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.answers import Market
from spyhop.venues.endpoints import DydxEndpoints
from spyhop.venues.net.transport import Http
from spyhop.venues.net.urls import shown

PLACE: Final = "/dydxprotocol.clob.MsgPlaceOrder"
CANCEL: Final = "/dydxprotocol.clob.MsgCancelOrder"
_CACHED: Final = "tx already exists in cache"
_BLOCK_S: Final = 1.0
_ALREADY_THERE: Final = frozenset({("sdk", 19)})
_ONCE_MORE: Final = frozenset({("sdk", 20), ("sdk", 32)})
"""A full mempool and a nonce that came too late: nothing was executed, and the next try may pass."""
_TOO_MANY: Final = frozenset({("clob", 5001)})
_THERE_BEFORE: Final = frozenset({("clob", 20), ("clob", 3005)})
"""An order of this id is there already: what became of it must be asked."""


class Nonces:
    """A clock whose every look at the time is a later millisecond: the chain takes no nonce twice."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._last_ms = clock, 0

    def now_ns(self) -> int:
        """Return the time, a millisecond later than ever before."""
        self._last_ms = max(self._clock.now_ns() // NS_PER_MS, self._last_ms + 1)
        return self._last_ms * NS_PER_MS

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never go backwards."""
        return self._clock.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        await self._clock.sleep(seconds)


class _Receipt(msgspec.Struct):
    code: int = 0
    codespace: str = ""
    log: str = ""
    hash: str = ""


class _Answer(msgspec.Struct):
    result: _Receipt | None = None


class _AbciResponse(msgspec.Struct):
    last_block_height: str = "0"


class _AbciResult(msgspec.Struct):
    response: _AbciResponse


class _AbciInfo(msgspec.Struct):
    result: _AbciResult


class Broadcaster:
    """Signs for one wallet and sends to one node; nothing of it ever shows the key.

    `check` is called when a transaction is signed and would leave: the VenueError that it raises keeps it here.
    """

    def __init__(
        self,
        http: Http,
        endpoints: DydxEndpoints,
        private_key: str,
        clock: Clock,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        # ccxt takes a while to import, and only who trades needs it
        from spyhop.venues.dydx.orders import DydxOrders

        digits = private_key.removeprefix("0x")
        if len(digits) != 64 or not set(digits.lower()) <= set("0123456789abcdef"):
            raise InvalidSetting("dydx private key", "not 64 hex digits")
        self._http, self._endpoints, self._check = http, endpoints, check
        self._exchange = DydxOrders({"options": {"privateKey": digits}, "clock": Nonces(clock)})
        self.address: str = self._exchange.walletAddress
        self._account: dict[str, Any] | None = None

    async def load(self, instruments: Iterable[Instrument]) -> dict[int, Market]:
        """Read the account's number and the markets of `instruments`; return these by instrument.

        Raise VenueRefused for a wallet that the chain does not know, MissingInput for a market that is not there.
        """
        await self._read_account()
        listed = await self._get(f"{self._endpoints.indexer}/perpetualMarkets", dict[str, dict[str, Any]])
        found, raws = {}, []
        for instrument in instruments:
            raw = listed.get("markets", {}).get(instrument.symbol)
            if raw is None:
                raise MissingInput(f"dydx lists no {instrument.symbol}")
            found[instrument.id] = Market(instrument, int(raw["clobPairId"]))
            raws.append(raw)
        self._exchange.set_markets([self._exchange.parse_market(raw) for raw in raws])
        return found

    async def height(self) -> int:
        """Return the newest block of the node."""
        told = await self._get(f"{self._endpoints.node_rpc}/abci_info", _AbciInfo)
        return int(told.result.response.last_block_height)

    async def place(
        self, market: Market, kind: str, side: str, lots: int, ticks: int, params: Mapping[str, Any]
    ) -> None:
        """Place an order of ccxt's `kind` and `params`; return when a node has taken it.

        Raise VenueRefused, Throttled, VenueUnavailable when it is certain that nothing was, OutcomeUnknown else.
        """
        instrument = market.instrument
        try:
            _, message = self._exchange.create_order_request(
                self._symbol(instrument),
                kind,
                side,
                format(instrument.quantity(lots), "f"),
                format(instrument.price(ticks), "f"),
                params,
            )
        except Exception as error:  # noqa: BLE001 - whatever ccxt would not encode was not sent
            raise VenueRefused(self._url, 0, 0, f"{type(error).__name__}: {str(error)[:200]}") from None
        await self._broadcast(message)

    async def cancel(self, order_id: Mapping[str, Any], *, block: int = 0, seconds: int = 0) -> None:
        """Cancel by the chain's id of an order, up to a block or a time (s); return when a node has taken it.

        A cancellation that is there already is as good as this one. Raise as `place` does.
        """
        value = {"orderId": dict(order_id), "goodTilBlock": block or None, "goodTilBlockTime": seconds or None}
        try:
            await self._broadcast({"typeUrl": CANCEL, "value": value})
        except VenueRefused as refusal:
            if refusal.code != 9 or not refusal.message.startswith("clob"):
                raise

    @property
    def _url(self) -> str:
        return f"{self._endpoints.node_rpc}/broadcast_tx_sync"

    def _symbol(self, instrument: Instrument) -> str:
        return str(self._exchange.safe_symbol(instrument.symbol))

    async def _read_account(self) -> None:
        if self._account is not None:
            return
        url = f"{self._endpoints.node_rest}/cosmos/auth/v1beta1/account_info/{self.address}"
        told = await self._get(url, dict[str, dict[str, Any]])
        credentials = self._exchange.retrieve_credentials()
        key = self._exchange.binary_to_base64(bytes.fromhex(credentials["publicKey"]))
        self._account = {**told["info"], "pub_key": {"key": key}}

    async def _broadcast(self, message: Mapping[str, Any]) -> None:
        await self._read_account()
        exchange = self._exchange
        secret = exchange.retrieve_credentials()["privateKey"]
        try:
            signed = exchange.sign_dydx_tx(secret, message, "", exchange.options["chainName"], self._account, None)
        except Exception as error:  # noqa: BLE001 - not sent; its text may hold what was signed with
            raise VenueRefused(self._url, 0, 0, f"cannot be signed: {type(error).__name__}") from None
        self._check()
        await self._judge(await self._send(signed))

    async def _send(self, signed: str) -> bytes:
        """Return the node's answer; a GET that fails on its way may have had its effect all the same."""
        try:
            response = await self._http.request("GET", self._url, {"tx": signed})
        except VenueUnavailable as error:
            if _CACHED in error.message:
                return b'{"result":{"code":19,"codespace":"sdk"}}'
            raise OutcomeUnknown(self._url, error.message or f"answered {error.status}") from None
        return response.body

    async def _judge(self, body: bytes) -> None:
        try:
            receipt = msgspec.json.decode(body, type=_Answer).result
        except wire.UNREADABLE:
            receipt = None
        if receipt is None:
            if _CACHED.encode() in body:
                return
            raise OutcomeUnknown(self._url, "an answer without a code")
        key = (receipt.codespace, receipt.code)
        if not receipt.code or key in _ALREADY_THERE:
            return
        said = f"{receipt.codespace} {receipt.code}: {receipt.log[:200]}"
        if key in _TOO_MANY:
            raise Throttled(self._url, 429, _BLOCK_S)
        if key in _ONCE_MORE:
            raise VenueUnavailable(self._url, 200, said)
        if key in _THERE_BEFORE:
            raise OutcomeUnknown(self._url, said)
        raise VenueRefused(self._url, 200, receipt.code, said)

    async def _get(self, url: str, shape: Any) -> Any:
        response = await self._http.request("GET", url)
        try:
            return msgspec.json.decode(response.body, type=shape)
        except wire.UNREADABLE:
            raise VenueUnavailable(shown(url), 200, "unreadable answer") from None
