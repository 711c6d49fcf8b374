"""What went wrong in ccxt, in our words: did anything happen at the venue, did nothing, or can nobody say.

ccxt's errors repeat URLs, and so signatures; of their texts only those are kept that the venue itself said. Its tables
also depend on the host that is asked, so for Binance the answer itself is judged (`verdict`), not ccxt's class.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from spyhop.errors import OutcomeUnknown, Throttled, VenueError, VenueRefused, VenueUnavailable
from spyhop.venues.net.https import meaning, told
from spyhop.venues.net.limits import BAN_S, retry_after_s
from spyhop.venues.net.urls import shown

_TOO_MANY = frozenset({-1003, -1015})
_OVERLOADED, _DUPLICATE = -1008, -4116
_REQUEST_TIMEOUT = 408
_SECRET = re.compile(r"(signature|apiKey|listenKey|X-MBX-APIKEY)[\"']?\s*[=:]\s*[\"']?[\w%/+.-]+", re.IGNORECASE)
_URL = re.compile(r"https?://\S+")
_MESSAGE_CHARS = 300


def verdict(method: str, url: str, status: int, headers: Mapping[str, str], body: str) -> VenueError | None:
    """Return what an answer of Binance's REST says went wrong, None when nothing did.

    503 has three meanings, told apart by code and text; a client order id that is taken means that the order is there,
    which leaves open what became of it.
    """
    if status < 300:
        return None
    where = shown(url)
    code, message = told(body.encode())
    if status in BAN_S or code in _TOO_MANY:
        wait_s = retry_after_s({name.lower(): value for name, value in headers.items()}, 1.0)
        return Throttled(where, status, BAN_S.get(status, BAN_S[429]) if wait_s is None else wait_s)
    if code == _OVERLOADED:
        return VenueUnavailable(where, status, message)
    if code == _DUPLICATE or "duplicate order sent" in message.lower():
        return OutcomeUnknown(where, "the venue has an order of this client order id")
    return meaning(method, where, status, code, message)


def failure(error: Exception, where: str, status: int, *, is_effect: bool, secrets: Sequence[str] = ()) -> VenueError:
    """Return what an exception of ccxt, or of reading its answer, means; `status` is HTTP's, 0 without an answer.

    What ccxt refuses to send, and what a venue refuses, is VenueRefused. Where a request may have left and no clear
    word came back, an effect is unknown; a question was in vain.
    """
    ccxt: Any = importlib.import_module("ccxt")
    cause, words = error.__cause__, said(error, secrets)
    if _never_sent(error, cause):
        return VenueUnavailable(where, 0, f"no connection: {type(cause or error).__name__}")
    match error:
        case VenueError():
            return error
        case ccxt.RateLimitExceeded() | ccxt.DDoSProtection():
            return Throttled(where, status or 429, BAN_S.get(status, BAN_S[429]))
        case ccxt.OnMaintenance():
            return VenueUnavailable(where, status, words)
        case ccxt.InvalidNonce():
            return VenueRefused(where, status, 0, words)
        case ccxt.DuplicateOrderId():
            return OutcomeUnknown(where, "the venue has an order of this client order id")
        case ccxt.NetworkError() | ccxt.OperationFailed() | ccxt.BadResponse():
            return _no_word(where, status, words, is_effect=is_effect)
        case ccxt.BaseError() if status < 500 and status != _REQUEST_TIMEOUT and not isinstance(cause, _BROKEN):
            return VenueRefused(where, status or 400, 0, words)
    return _no_word(where, status, words, is_effect=is_effect)


def said(error: BaseException, secrets: Sequence[str] = ()) -> str:
    """Return the class and text of an error without URLs and what gives access, such as any of `secrets`."""
    text = _SECRET.sub(r"\1=***", _URL.sub("***", str(error)))
    for secret in secrets:
        text = text.replace(secret, "***")
    return f"{type(error).__name__}: {text[:_MESSAGE_CHARS]}"


_BROKEN = (aiohttp.ClientError, OSError)


def _never_sent(error: Exception, cause: BaseException | None) -> bool:
    return any(
        isinstance(one, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorDNSError)
        or type(one).__name__ == "gaierror"
        for one in (error, cause)
    )


def _no_word(where: str, status: int, reason: str, *, is_effect: bool) -> VenueError:
    return OutcomeUnknown(where, reason) if is_effect else VenueUnavailable(where, status, reason)
