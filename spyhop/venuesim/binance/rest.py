"""From an HTTP request to a body: weights, signatures, faults and headers, the same for every endpoint."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from enum import Enum
from typing import TypeAlias
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from spyhop.clock import NS_PER_MS
from spyhop.venuesim.binance.errors import UNKNOWN, BinanceError, missing
from spyhop.venuesim.binance.signing import Keyring
from spyhop.venuesim.binance.weights import Allowance
from spyhop.venuesim.blotter import KEPT
from spyhop.venuesim.faults import Fault, FaultKind
from spyhop.venuesim.floor import Floor
from spyhop.venuesim.keys import ApiKey
from spyhop.venuesim.words import Refused


class Access(Enum):
    """Who may ask."""

    PUBLIC = 0
    KEYED = 1  # an API key, no signature
    SIGNED = 2
    TRADING = 3  # signed, and it changes orders: what the faults of execution strike


class Call:
    """One request that passed the door. `headers` may be added to."""

    def __init__(self, params: Mapping[str, str], account: str, floor: Floor, skew_ns: int, path: str) -> None:
        self.params, self.account, self.floor, self.path = params, account, floor, path
        self.now = floor.exchange.now
        self.skew_ms = skew_ns // NS_PER_MS
        self.headers: dict[str, str] = {}
        self.partial: Fault | None = None

    @property
    def now_ms(self) -> int:
        return self.now // NS_PER_MS + self.skew_ms

    def asking(self, params: Mapping[str, str]) -> Call:
        """Return the same call with other parameters; headers are shared."""
        call = Call(params, self.account, self.floor, self.skew_ms * NS_PER_MS, self.path)
        call.headers, call.partial = self.headers, self.partial
        return call

    def need(self, name: str) -> str:
        """Return a parameter that must be there; raise -1102."""
        text = self.params.get(name, "")
        if not text:
            raise missing(name)
        return text

    def text(self, name: str, default: str = "") -> str:
        return self.params.get(name, default)

    def integer(self, name: str, default: int = 0) -> int:
        """Return a whole number, `default` when it is not there; raise -1102."""
        text = self.params.get(name, "")
        if not text:
            return default
        try:
            return int(text)
        except ValueError:
            raise missing(name) from None

    def limit(self, default: int, largest: int) -> int:
        """Return `limit`, at most `largest`; raise -1130."""
        number = self.integer("limit", default)
        if number <= 0:
            raise BinanceError(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(number, largest)

    def span(self) -> tuple[int, int]:
        """Return startTime and endTime in nanoseconds, 0 where they are not there; the end's whole millisecond."""
        start, end = self.integer("startTime"), self.integer("endTime")
        if start and end and start > end:
            raise BinanceError(-1023, "Start time is greater than end time.")
        skew = self.skew_ms
        return (
            (start - skew) * NS_PER_MS if start else 0,
            (end - skew + 1) * NS_PER_MS - 1 if end else 0,
        )


Handler: TypeAlias = Callable[[Call], object]
Weight: TypeAlias = int | Callable[[Mapping[str, str]], int]


class Endpoint(msgspec.Struct, frozen=True):
    """One method of one path."""

    method: str
    path: str
    handler: Handler
    weight: Weight = 1
    access: Access = Access.PUBLIC


class Desk:
    """Answers the endpoints of one venue. `account_of` makes the exchange's account of a key's."""

    def __init__(
        self,
        floor: Floor,
        label: str,
        keyring: Keyring,
        allowance: Allowance,
        refusal: Callable[[Refused], BinanceError],
        account_of: Callable[[ApiKey], str],
        hold: Callable[[str, int], None],
    ) -> None:
        self.floor, self.label, self.allowance = floor, label, allowance
        self._keyring, self._refusal, self._account_of, self._hold = keyring, refusal, account_of, hold
        self.num_requests = 0
        self.sent: deque[tuple[int, str, str, str]] = deque(maxlen=KEPT)
        """When who asked from which address for something that only who trades may; the newest of them."""

    def add(self, app: web.Application, endpoints: Iterable[Endpoint]) -> None:
        """Add the endpoints to `app`."""
        for endpoint in endpoints:
            app.router.add_route(endpoint.method, endpoint.path, self._answerer(endpoint))

    def _answerer(self, endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            body = (await request.read()).decode("utf-8", "replace")
            return await self._answer(endpoint, request, body)

        return answer

    async def _answer(self, endpoint: Endpoint, request: web.Request, body: str) -> web.Response:
        self.num_requests += 1
        floor, faults = self.floor, self.floor.faults
        now = floor.advance()
        address = request.remote or "127.0.0.1"
        params = {**request.query, **_form(body)}
        names = (endpoint.path, f"{endpoint.method} {endpoint.path}", params.get("symbol", ""))
        call = Call(params, "", floor, faults.skew_ns(self.label), endpoint.path)
        weight = endpoint.weight if isinstance(endpoint.weight, int) else endpoint.weight(params)
        try:
            if throttle := faults.hit(FaultKind.THROTTLE, self.label, *names):
                self.allowance.stop(address, now + throttle.delay_ns)
            call.headers["X-MBX-USED-WEIGHT-1M"] = str(self.allowance.charge(address, weight, now))
            if endpoint.access is not Access.PUBLIC:
                owner = self._keyring.owner(request.headers.get("X-MBX-APIKEY"))
                if endpoint.access is not Access.KEYED:
                    self._keyring.check(owner, request.rel_url.raw_query_string, body, call.now_ms)
                call.account = self._account_of(owner)
                if endpoint.access is Access.TRADING:
                    self.sent.append((now, call.account, address, f"{endpoint.method} {endpoint.path}"))
            if failure := faults.hit(FaultKind.SERVER_ERROR, self.label, *names):
                raise BinanceError(0, "Service Unavailable.", failure.status)
            answer = await self._execute(endpoint, call, names)
        except Refused as refused:
            floor.publish()
            return _refused(self._refusal(refused), call)
        except BinanceError as error:
            floor.publish()
            return _refused(error, call)
        return _reply(answer, 200, call)

    async def _execute(self, endpoint: Endpoint, call: Call, names: tuple[str, ...]) -> object:
        faults, label = self.floor.faults, self.label
        if endpoint.access is not Access.TRADING or not faults.kinds:
            answer = endpoint.handler(call)
            self.floor.publish()
            return answer
        if reject := faults.hit(FaultKind.REJECT, label, *names):
            raise BinanceError(reject.code, "Rejected on request.")
        if faults.hit(FaultKind.UNKNOWN_LOST, label, *names):
            raise UNKNOWN
        call.partial = faults.hit(FaultKind.PARTIAL_FILL, label, *names)
        if later := faults.hit(FaultKind.REPLY_FIRST, label, *names):
            self._hold(call.account, call.now + later.delay_ns)
        answer = endpoint.handler(call)
        self.floor.publish()
        if faults.hit(FaultKind.UNKNOWN_EXECUTED, label, *names):
            raise UNKNOWN
        if sooner := faults.hit(FaultKind.EVENT_FIRST, label, *names):
            await self.floor.clock.sleep(sooner.delay_s)
        return answer


def _form(body: str) -> dict[str, str]:
    if not body:
        return {}
    return dict(parse_qsl(body, keep_blank_values=True))


def _refused(error: BinanceError, call: Call) -> web.Response:
    if error.retry_after_s:
        call.headers["Retry-After"] = str(error.retry_after_s)
    return _reply({"code": error.code, "msg": error.text}, error.status, call)


def _reply(body: object, status: int, call: Call) -> web.Response:
    encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return web.Response(body=encoded, status=status, headers=call.headers, content_type="application/json")
