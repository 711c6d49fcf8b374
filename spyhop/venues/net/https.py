"""HTTP to venues: aiohttp behind the port of `transport`, and what each kind of answer means.

Nothing is retried here and no redirect is followed. What matters is whether a request can have had an effect: a GET
never has one, anything else may once it has been sent.
"""

from __future__ import annotations

import asyncio
import os
import ssl as tls
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import aiohttp
import msgspec

from spyhop.clock import Clock, ScaledClock
from spyhop.errors import ConnectFailed, OutcomeUnknown, Throttled, VenueError, VenueRefused, VenueUnavailable
from spyhop.venues.net.limits import BAN_S, Budget, retry_after_s
from spyhop.venues.net.transport import Response
from spyhop.venues.net.urls import shown

Params: TypeAlias = Mapping[str, str | int]
Weigh: TypeAlias = Callable[[str, str, Params], int]
"""What a request of (method, path, parameters) costs."""

_NONE: Params = MappingProxyType({})
_SHORTEST_S = 0.5
_MESSAGE_CHARS = 300
_UNKNOWN, _OVERLOADED = (-1006, -1007), -1008
# Binance's 503 has three meanings; two of them say that nothing was executed
_NOT_EXECUTED = ("service unavailable", "internal error; unable to process your request")


def weigh_one(method: str, path: str, params: Params) -> int:
    """Return 1, what a request costs where nothing else is known."""
    return 1


class HttpClient:
    """Sends requests to one venue; `budget` is asked first and told what the answers say.

    `retry_after_unit_s` is what the venue counts Retry-After in: 1 for seconds, 0.001 for dYdX's milliseconds.
    `headers` go with every request and are never shown. A body longer than `max_body_bytes` counts as a failed
    answer. Open connections wait for the next request until `close`.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        budget: Budget | None = None,
        weigh: Weigh = weigh_one,
        retry_after_unit_s: float = 1.0,
        ssl: tls.SSLContext | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        max_body_bytes: int = 64 << 20,
    ) -> None:
        self._clock = clock
        self._budget = budget
        self._weigh = weigh
        self._retry_after_unit_s = retry_after_unit_s
        self._ssl = ssl
        self._headers = dict(headers)
        self._max_body_bytes = max_body_bytes
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self, method: str, url: str, params: Params | None = None, *, timeout_s: float = 10.0
    ) -> Response:
        """Return an answer below 400; header names are in lower case.

        Raise ConnectFailed when nothing was sent; Throttled for 429 and 418, and, without sending anything, until
        the budget may be used again; VenueRefused for any other 4xx; VenueUnavailable for what failed without
        effect; OutcomeUnknown for what may have had one. `timeout_s` is time of the clock, though at least half a
        second of the machine's, and does not count the wait for the budget.
        """
        params = _NONE if params is None else params
        if self._budget is not None:
            await self._budget.acquire(self._weigh(method, _path(url), params))
        limit_s = self._machine_s(timeout_s)
        try:
            async with asyncio.timeout(limit_s):
                answer = await self._exchange(method, url, params, aiohttp.ClientTimeout(connect=0.8 * limit_s))
        except (OSError, aiohttp.ClientError) as error:
            raise _failure(method, shown(url), error) from None
        await self._judge(method, shown(url), answer)
        return answer

    async def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(self, method: str, url: str, params: Params, timeout: aiohttp.ClientTimeout) -> Response:
        sending = self._opened().request(method, url, params=params or None, allow_redirects=False, timeout=timeout)
        ts_sent = self._clock.now_ns()
        async with sending as reply:
            body = bytearray()
            async for part in reply.content.iter_any():
                body += part
                if len(body) > self._max_body_bytes:
                    raise aiohttp.ClientPayloadError(f"a body of more than {self._max_body_bytes} bytes")
            ts_recv = self._clock.now_ns()
            headers = {name.lower(): value for name, value in reply.headers.items()}
            return Response(reply.status, headers, bytes(body), ts_sent, ts_recv)

    async def _judge(self, method: str, url: str, answer: Response) -> None:
        """Tell the budget what was said and raise what the status means, if it is 400 or more."""
        wait_s = retry_after_s(answer.headers, self._retry_after_unit_s)
        if self._budget is not None:
            await self._budget.note(answer.headers, answer.status, wait_s)
        if answer.status < 300:
            return
        code, message = told(answer.body)
        if answer.status in (418, 429):
            raise Throttled(url, answer.status, BAN_S[answer.status] if wait_s is None else wait_s)
        raise meaning(method, url, answer.status, code, message)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._ssl or True),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _machine_s(self, timeout_s: float) -> float:
        speed = self._clock.speed if isinstance(self._clock, ScaledClock) else 1.0
        return max(timeout_s / speed, _SHORTEST_S)


def meaning(method: str, url: str, status: int, code: int, message: str) -> VenueError:
    """Return the error that stands for an answer of `status`, with Binance's `code` and message where it has them."""
    if 400 <= status < 500 and status != 408 and code not in _UNKNOWN:
        return VenueRefused(url, status, code, message)
    is_without_effect = method == "GET" or (
        status == 503 and code not in _UNKNOWN and (code == _OVERLOADED or message.lower().startswith(_NOT_EXECUTED))
    )
    if is_without_effect:
        return VenueUnavailable(url, status, message)
    return OutcomeUnknown(url, f"answered {status}: {message}")


def told(body: bytes) -> tuple[int, str]:
    """Return the code and message of an error's body, Binance's or dYdX's; otherwise 0 and the text as it is."""
    try:
        content = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        content = None
    match content:
        case {"code": int(code), "msg": str(message)}:
            return code, message[:_MESSAGE_CHARS]
        case {"errors": [{"msg": str(message)}, *_]}:
            return 0, message[:_MESSAGE_CHARS]
    return 0, body[:_MESSAGE_CHARS].decode("utf-8", "replace")


def _failure(method: str, url: str, error: Exception) -> VenueError:
    """Return the error that stands for an exchange without an answer."""
    match error:
        case aiohttp.ClientConnectorCertificateError(certificate_error=cause):
            return ConnectFailed(url, f"TLS: {getattr(cause, 'verify_message', '') or cause}")
        case aiohttp.ClientConnectorSSLError():
            return ConnectFailed(url, "TLS: handshake failed")
        case aiohttp.ClientConnectorDNSError():
            return ConnectFailed(url, "the name cannot be resolved")
        case aiohttp.ClientConnectorError(os_error=cause):
            return ConnectFailed(url, os.strerror(cause.errno).lower() if cause.errno else "no connection")
        case aiohttp.ConnectionTimeoutError():
            return ConnectFailed(url, "timed out")
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return ConnectFailed(url, "this is not a URL")
    # only the error's name: its text may repeat the URL, and so a signature
    broken_off = f"the exchange broke off: {type(error).__name__}"
    reason = "no answer in time" if isinstance(error, TimeoutError) else broken_off
    if method == "GET":
        return VenueUnavailable(url, 0, reason)
    return OutcomeUnknown(url, reason)


def _path(url: str) -> str:
    """Return the path of a URL, as `weigh` sees it."""
    return "/" + url.partition("://")[2].partition("?")[0].partition("/")[2]
