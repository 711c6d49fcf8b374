"""The indexer's REST: routes under /v4, their parameters, limits, errors, and the faults that strike requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec
from aiohttp import web

from spyhop.clock import NS_PER_MS
from spyhop.errors import SpyhopError
from spyhop.model.tape import Venue
from spyhop.venuesim.dydx import chain
from spyhop.venuesim.dydx.allowance import Allowance
from spyhop.venuesim.dydx.bodies import MAX_ROWS, RESOLUTIONS, Bodies
from spyhop.venuesim.dydx.books import Books
from spyhop.venuesim.dydx.snapshots import Snapshots
from spyhop.venuesim.dydx.tickets import account_name
from spyhop.venuesim.faults import FaultKind
from spyhop.venuesim.floor import Floor

LABEL: Final = Venue.DYDX.label


class BadRequest(SpyhopError):
    """A request that is answered with an error; `param` is the one at fault, if any."""

    def __init__(self, status: int, message: str, param: str = "") -> None:
        super().__init__(status, message, param)
        self.status, self.message, self.param = status, message, param


class Query:
    """The parameters of one request, read with the venue's own complaints."""

    def __init__(self, request: web.Request) -> None:
        self._values = {**request.query, **request.match_info}

    def text(self, name: str, default: str = "") -> str:
        """Return a parameter as it came."""
        return self._values.get(name, default)

    def need(self, name: str) -> str:
        """Return a parameter that must be there; raise 400."""
        value = self._values.get(name, "")
        if not value:
            raise BadRequest(400, f"{name} is required", name)
        return value

    def whole(self, name: str, default: int, most: int = 1 << 31) -> int:
        """Return a whole number between 0 and `most`; raise 400."""
        text = self._values.get(name, "")
        if not text:
            return default
        if not text.isdecimal() or int(text) > most:
            raise BadRequest(400, f"{name} must be a non-negative integer that is less than or equal to {most}", name)
        return int(text)

    def limit(self) -> int:
        """Return `limit`: 1000 rows unless fewer are asked for; raise 400."""
        limit = self.whole("limit", MAX_ROWS, MAX_ROWS)
        if not limit:
            raise BadRequest(400, f"limit must be a positive integer that is not greater than max: {MAX_ROWS}", "limit")
        return limit

    def moment(self, name: str) -> int:
        """Return an ISO 8601 time in nanoseconds, 0 when it is not there; raise 400."""
        text = self._values.get(name, "")
        if not text:
            return 0
        try:
            at = datetime.fromisoformat(text.replace("Z", "+00:00"))
            return round(at.timestamp() * 1000) * NS_PER_MS
        except (ValueError, OverflowError):
            raise BadRequest(400, f"{name} must be a valid ISO8601 date", name) from None

    def end(self, moment: str, height: str) -> int:
        """Return the end of a page by time or by height (the later one's nanoseconds), 0 for none."""
        at = self.moment(moment)
        if not at and (block := self.whole(height, 0)):
            return chain.time_of(block + 1) - 1
        return at + NS_PER_MS - 1 if at else 0

    def words(self, name: str) -> list[str]:
        """Return a list that is separated by commas, empty when it is not there."""
        return [word for word in self._values.get(name, "").split(",") if word]

    def subaccount(self) -> str:
        """Return the exchange's name of the subaccount asked for; raise 400."""
        return account_name(self.need("address"), self.whole("subaccountNumber", 0, 128_000))


Handler: TypeAlias = Callable[[Query], Any]
Answerer: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]


class IndexerRest:
    """Answers the indexer's REST on `floor`."""

    def __init__(
        self, floor: Floor, bodies: Bodies, books: Books, snapshots: Snapshots, height: Callable[[], int]
    ) -> None:
        self._floor, self._bodies, self._books, self._snapshots, self._height = floor, bodies, books, snapshots, height
        self._allowance = Allowance()
        self.num_requests = 0
        self.num_refused = 0

    def routes(self, app: web.Application) -> None:
        """Add every route."""
        for path, handler in self._handlers():
            app.router.add_get(f"/v4{path}", self._answerer(path, handler))

    def _handlers(self) -> Iterable[tuple[str, Handler]]:
        bodies = self._bodies
        yield "/perpetualMarkets", lambda query: bodies.markets(self._ticker(query, query.text("ticker")))
        yield "/orderbooks/perpetualMarket/{ticker}", lambda query: self._snapshots.book(self._market(query))
        yield "/trades/perpetualMarket/{ticker}", self._trades
        yield "/candles/perpetualMarkets/{ticker}", self._candles
        yield "/historicalFunding/{ticker}", self._funding
        yield "/sparklines", self._sparklines
        yield "/height", lambda query: self.height()
        yield "/time", lambda query: self._time()
        yield "/addresses/{address}", self._address
        yield "/addresses/{address}/subaccountNumber/{subaccountNumber}", self._subaccount
        yield "/orders", self._orders
        yield "/orders/{orderId}", self._order
        yield "/fills", self._fills
        yield "/perpetualPositions", self._positions
        yield "/assetPositions", lambda query: {"positions": [self._books.asset(self._known(query))]}
        yield "/transfers", self._transfers

    def height(self) -> dict[str, Any]:
        """Return the newest block."""
        height = self._height()
        return {"height": str(height), "time": chain.iso(chain.time_of(height))}

    def _answerer(self, path: str, handler: Handler) -> Answerer:
        async def answer(request: web.Request) -> web.Response:
            return self._answer(path, handler, request)

        return answer

    def _answer(self, path: str, handler: Handler, request: web.Request) -> web.Response:
        self.num_requests += 1
        floor = self._floor
        now = floor.advance()
        floor.publish()
        names = (request.path, request.match_info.get("ticker", ""))
        throttle = floor.faults.hit(FaultKind.THROTTLE, LABEL, *names)
        verdict = self._allowance.spend(
            request.remote or "",
            now,
            is_candles=path.startswith("/candles"),
            retry_ns=max(throttle.delay_ns, NS_PER_MS) if throttle else 0,
        )
        if not verdict.is_allowed:
            self.num_refused += 1
            return _json(_errors("Too many requests"), 429, verdict.headers)
        if failure := floor.faults.hit(FaultKind.SERVER_ERROR, LABEL, *names):
            return _json(_errors("Internal Server Error"), failure.status, verdict.headers)
        try:
            return _json(handler(Query(request)), 200, verdict.headers)
        except BadRequest as reason:
            self.num_refused += 1
            return _json(_errors(reason.message, reason.param), reason.status, verdict.headers)

    # markets

    def _ticker(self, query: Query, ticker: str) -> str:
        if ticker and ticker not in self._bodies.pairs:
            raise BadRequest(400, "ticker must be a valid ticker (BTC-USD, etc)", "ticker")
        return ticker

    def _market(self, query: Query) -> str:
        return self._ticker(query, query.need("ticker"))

    def _trades(self, query: Query) -> Any:
        end = query.end("createdBeforeOrAt", "createdBeforeOrAtHeight")
        return self._bodies.trades(self._market(query), query.limit(), end)

    def _candles(self, query: Query) -> Any:
        ticker, resolution = self._market(query), query.need("resolution")
        if resolution not in RESOLUTIONS:
            raise BadRequest(
                400, f"resolution must be a valid Candle Resolution, one of {','.join(RESOLUTIONS)}", "resolution"
            )
        start, end = query.moment("fromISO"), query.moment("toISO")
        return {"candles": self._bodies.candles(ticker, resolution, query.limit(), start, end)}

    def _funding(self, query: Query) -> Any:
        end = query.end("effectiveBeforeOrAt", "effectiveBeforeOrAtHeight")
        return self._bodies.funding(self._market(query), query.limit(), end)

    def _sparklines(self, query: Query) -> Any:
        period = query.need("timePeriod")
        if period not in ("ONE_DAY", "SEVEN_DAYS"):
            raise BadRequest(400, "timePeriod must be a valid Time Period (ONE_DAY, etc)", "timePeriod")
        return self._bodies.sparklines(period)

    def _time(self) -> Any:
        now = self._floor.exchange.now + self._floor.faults.skew_ns(LABEL)
        return {"iso": chain.iso(now), "epoch": chain.epoch_ms(now) / 1000}

    # subaccounts

    def _known(self, query: Query) -> str:
        account = query.subaccount()
        if account not in self._books.accounts():
            address, _, number = account.rpartition("/")
            raise BadRequest(404, f"No subaccount found with address {address} and subaccountNumber {number}")
        return account

    def _address(self, query: Query) -> Any:
        address = query.need("address")
        found = [name for name in self._books.accounts() if name.rpartition("/")[0] == address]
        if not found:
            raise BadRequest(404, f"No subaccounts found for address {address}")
        return {
            "subaccounts": [self._books.subaccount(name, self._height()) for name in found],
            "totalTradingRewards": "0",
        }

    def _subaccount(self, query: Query) -> Any:
        return {"subaccount": self._books.subaccount(self._known(query), self._height())}

    def _orders(self, query: Query) -> Any:
        account, statuses = query.subaccount(), query.words("status")
        ticker, side, kind = query.text("ticker"), query.text("side"), query.text("type")
        rows = []
        for ticket in reversed(self._books.tickets.values()):
            if ticket.account != account or (ticker and ticket.pair.ticker != ticker):
                continue
            body = ticket.body()
            if (
                (not statuses or body["status"] in statuses)
                and side in ("", body["side"])
                and kind in ("", body["type"])
            ):
                rows.append(body)
        return rows[: query.limit()]

    def _order(self, query: Query) -> Any:
        ticket = self._books.tickets.get(query.need("orderId"))
        if ticket is None:
            raise BadRequest(404, f"Unable to find order id {query.need('orderId')}")
        return ticket.body()

    def _fills(self, query: Query) -> Any:
        account, market = query.subaccount(), query.text("market")
        end = query.end("createdBeforeOrAt", "createdBeforeOrAtHeight")
        rows = [
            fill.body()
            for fill in reversed(self._books.fills)
            if fill.execution.account == account
            and market in ("", fill.pair.ticker)
            and (not end or fill.execution.ts <= end)
        ]
        return _page(query, "fills", rows)

    def _positions(self, query: Query) -> Any:
        account, statuses = self._known(query), query.words("status")
        rows = [self._books.position(holding) for holding in reversed(self._books.holdings.of(account))]
        return {"positions": [row for row in rows if not statuses or row["status"] in statuses][: query.limit()]}

    def _transfers(self, query: Query) -> Any:
        account = query.subaccount()
        rows = [
            transfer.body(account)
            for transfer in reversed(self._books.transfers)
            if account in (transfer.move.sender.account, transfer.move.recipient.account)
        ]
        return _page(query, "transfers", rows)


def _page(query: Query, name: str, rows: Sequence[Any]) -> dict[str, Any]:
    size, page = query.limit(), query.whole("page", 0)
    if not page:
        return {name: rows[:size]}
    offset = (page - 1) * size
    return {name: rows[offset : offset + size], "pageSize": size, "totalResults": len(rows), "offset": offset}


def _errors(message: str, param: str = "") -> dict[str, Any]:
    error = {"msg": message, "param": param, "location": "query"} if param else {"msg": message}
    return {"errors": [error]}


def _json(body: Any, status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, headers=headers, content_type="application/json")
