"""What the traders of Binance's two markets have in common: signed requests by path, time, fills, other coins' prices.

ccxt signs and sends; what is sent is made here, so numbers are exact and no broker's prefix gets into an id.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from spyhop.clock import NS_PER_MS, Clock, ScaledClock
from spyhop.errors import VenueError, VenueRefused
from spyhop.model.accounts import VenueFill
from spyhop.model.instruments import Instrument
from spyhop.model.orders import OrderType
from spyhop.model.tape import Venue
from spyhop.venues.binance.limits import weigh
from spyhop.venues.ccxt.binance_words import fill_of
from spyhop.venues.ccxt.calls import TIMEOUT_S, Calls, exchange
from spyhop.venues.ccxt.errors import verdict
from spyhop.venues.endpoints import Endpoints
from spyhop.venues.ids import IsOurs, made_by_us
from spyhop.venues.net.limits import Budget

Read = TypeVar("Read")

PATHS = {
    "fapiPublic": "/fapi/v1/",
    "fapiPrivate": "/fapi/v1/",
    "fapiPrivateV3": "/fapi/v3/",
    "public": "/api/v3/",
    "private": "/api/v3/",
    "sapi": "/sapi/v1/",
}
"""Where ccxt's groups of endpoints are."""
RECEIVE_WINDOW_MS = 5_000
"""How old a request may be when the venue gets it; longer where the clock runs faster than the machine's."""
_LONGEST_WINDOW_MS = 59_999
NO_SUCH_ORDER, UNKNOWN_ORDER, OUT_OF_TIME = -2013, -2011, -1021
GONE = frozenset({NO_SUCH_ORDER, UNKNOWN_ORDER})
_NOT_FOUND = 404
_PAGE = 1_000
_MOST_WINDOWS = 30
_NUM_REMEMBERED = 1 << 16
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
_PLACES = frozenset({"order", "algoOrder"})


class BinanceCalls(Calls):
    """Signed requests to Binance, by group of endpoints and path.

    Before the first of them, and again after the venue has found one to be out of time, its clock is read.
    """

    def __init__(
        self,
        client: Any,
        clock: Clock,
        *,
        name: str,
        time_api: str,
        timeout_s: float = TIMEOUT_S,
        budget: Budget | None = None,
    ) -> None:
        super().__init__(client, clock, name=name, timeout_s=timeout_s, budget=budget)
        self._time_api, self._must_sync = time_api, True

    async def get(self, api: str, path: str, params: Mapping[str, Any], read: Callable[[Any], Read]) -> Read:
        """Ask; raise VenueError, never OutcomeUnknown."""
        return await self._send("GET", api, path, params, read)

    async def act(
        self, method: str, api: str, path: str, params: Mapping[str, Any], read: Callable[[Any], Read]
    ) -> Read:
        """Have something done; raise VenueError, OutcomeUnknown where nobody can say whether it was."""
        return await self._send(method, api, path, params, read)

    async def _send(
        self, method: str, api: str, path: str, params: Mapping[str, Any], read: Callable[[Any], Read]
    ) -> Read:
        if self._must_sync:
            await self._read_clock()

        def request() -> Awaitable[Any]:
            sent: Awaitable[Any] = self.client.request(path, [api], method, dict(params))
            return sent

        try:
            return await self.ask(
                f"{method} {path}",
                request,
                read,
                is_effect=method != "GET",
                weight=weigh(method, PATHS[api] + path, params),
                orders=int(method == "POST" and path in _PLACES),
            )
        except VenueRefused as refused:
            self._must_sync = self._must_sync or refused.code == OUT_OF_TIME
            raise

    async def _read_clock(self) -> None:
        sent = self.clock.now_ns()

        def taken(answer: Any) -> None:
            middle_ms = (sent + self.clock.now_ns()) // 2 // NS_PER_MS
            self.client.options["timeDifference"] = middle_ms - int(answer["serverTime"])

        await self.ask("GET time", lambda: self.client.request("time", [self._time_api], "GET", {}), taken)
        self._must_sync = False


class BinanceAccount:
    """One account of one of the markets; the base of both traders."""

    venue: ClassVar[Venue]
    kinds: ClassVar[frozenset[OrderType]]
    _public: ClassVar[str]
    _private: ClassVar[str]
    _trades: ClassVar[str]
    _window_ns: ClassVar[int]
    """How much time one request for fills may span."""

    def __init__(
        self, calls: BinanceCalls, instruments: Sequence[Instrument], account: str, is_ours: IsOurs = made_by_us
    ) -> None:
        self.name = f"{self.venue.label}:{account}"
        self._calls, self._is_ours = calls, is_ours
        self._instruments = {one.id: one for one in instruments}
        self._by_symbol = {one.symbol: one for one in instruments}
        self._client_ids: dict[tuple[int, str], str] = {}
        """By instrument and the venue's order id; fills do not tell it."""
        self._prices: dict[tuple[str, str], float] = {}

    @property
    def validity_s(self) -> float:
        """Return for how many seconds of the clock the venue may still take a request that was sent."""
        return float(self._calls.client.options["recvWindow"]) / 1_000.0

    async def close(self) -> None:
        """Let connections go."""
        await self._calls.close()

    async def fills(self, instrument: int, since: int) -> list[VenueFill]:
        """Return the account's executions from `since` (nanoseconds UTC) on, oldest first."""
        one = self._instrument(instrument)
        bodies = await self._bodies(one, since)
        names = await self._names(one, {str(body["orderId"]) for body in bodies}, since)
        await self._learn_prices(one, {str(body.get("commissionAsset", "")) for body in bodies})
        return [fill_of(body, one, names[str(body["orderId"])], self.price_of) for body in bodies]

    def price_of(self, asset: str, quote: str) -> float | None:
        """Return the last price that was heard of a coin that fees were paid in."""
        return self._prices.get((asset, quote))

    async def learn_price(self, asset: str, quote: str) -> float | None:
        """Ask what a coin costs that fees are paid in and return it, None where nobody says; never raises."""
        try:
            price = await self._calls.get(
                "public", "ticker/price", {"symbol": asset + quote}, lambda told: float(told["price"])
            )
        except VenueError:
            return self.price_of(asset, quote)
        self._prices[asset, quote] = price
        return price

    def _instrument(self, number: int) -> Instrument:
        try:
            return self._instruments[number]
        except KeyError:
            raise VenueRefused(self.name, 400, 0, f"instrument {number} is none of this trader's") from None

    def _checked(self, client_order_id: str) -> str:
        if not _CLIENT_ID.fullmatch(client_order_id):
            raise VenueRefused(self.name, 400, 0, "a client order id has 1 to 36 letters, digits and . : / _ -")
        return client_order_id

    def _mine(self, one: Instrument, order_id: str, client_id: str) -> None:
        self._client_ids[one.id, order_id] = client_id
        if len(self._client_ids) > _NUM_REMEMBERED:
            del self._client_ids[next(iter(self._client_ids))]

    # the first page by time, those behind it by id, which leaps over stretches of time without fills
    async def _bodies(self, one: Instrument, since: int) -> list[dict[str, Any]]:
        now = self._calls.clock.now_ns()
        start = max(since, 0)
        if now - start > _MOST_WINDOWS * self._window_ns:
            page, end = await self._page(one, fromId=1), now + 1
        else:
            page, end = [], start
        while not page and end <= now:
            start, end = end, end + self._window_ns
            page = await self._page(one, startTime=start // NS_PER_MS, endTime=(end - 1) // NS_PER_MS)
        found: dict[int, dict[str, Any]] = {}
        while page:
            fresh = {int(body["id"]): body for body in page if int(body["id"]) not in found}
            found |= fresh
            if not fresh or (len(page) < _PAGE and end > now):
                break
            end = now + 1
            page = await self._page(one, fromId=max(found) + 1)
        told = (found[number] for number in sorted(found))
        return [body for body in told if int(body["time"]) >= since // NS_PER_MS]

    async def _page(self, one: Instrument, **which: int) -> list[dict[str, Any]]:
        asked = {"symbol": one.symbol, "limit": _PAGE, **which}
        return await self._calls.get(self._private, self._trades, asked, list)

    async def _names(self, one: Instrument, order_ids: set[str], since: int) -> dict[str, str]:
        """Return the client id of each order, "" for those of others."""
        for order_id in sorted(order_ids):
            if (one.id, order_id) not in self._client_ids:
                self._mine(one, order_id, await self._name(one, order_id))
        return {order_id: self._client_ids[one.id, order_id] for order_id in order_ids}

    async def _name(self, one: Instrument, order_id: str) -> str:
        asked = {"symbol": one.symbol, "orderId": order_id}
        try:
            name = await self._calls.get(self._private, "order", asked, lambda told: str(told["clientOrderId"]))
        except VenueRefused as refused:
            if refused.code not in GONE:
                raise
            return ""  # the venue forgets orders sooner than their fills
        return name if self._is_ours(name) else ""

    async def _learn_prices(self, one: Instrument, assets: set[str]) -> None:
        for asset in sorted(assets - {"", one.base, one.quote}):
            await self.learn_price(asset, one.quote)

    async def _restrictions(self) -> dict[str, Any]:
        """Return what the venue says of the key itself, nothing where it has no such word (a simulator)."""
        try:
            return await self._calls.get("sapi", "account/apiRestrictions", {}, dict)
        except VenueRefused as refused:
            if refused.status != _NOT_FOUND:
                raise
            return {}


def guarded(client: Any, check: Callable[[], None]) -> Any:
    """Have `check` called when a request that may have an effect is signed and would leave: raising keeps it here."""
    fetch = client.fetch

    async def checked(url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        if method != "GET":
            check()
        return await fetch(url, method, headers, body)

    client.fetch = checked
    return client


def made_client(name: str, endpoints: Endpoints, key: str, secret: str, clock: Clock) -> Any:
    """Return ccxt's class for Binance pointed at the endpoints, answers judged by us."""
    speed = clock.speed if isinstance(clock, ScaledClock) else 1.0
    window_ms = min(round(RECEIVE_WINDOW_MS * max(speed, 1.0)), _LONGEST_WINDOW_MS)
    client = exchange(
        name,
        {
            "apiKey": key,
            "secret": secret,
            "enableRateLimit": False,
            "options": {"recvWindow": window_ms},
        },
    )
    for api, path in PATHS.items():
        market = endpoints.binance_usdm if api.startswith("fapi") else endpoints.binance_spot
        client.urls["api"][api] = market.rest + path.rstrip("/")

    def judge(code: int, reason: str, url: str, method: str, headers: Any, body: str, *rest: Any) -> None:
        error: VenueError | None = verdict(method, url, code, headers, body)
        if error is not None:
            raise error

    client.handle_errors = judge
    return client
