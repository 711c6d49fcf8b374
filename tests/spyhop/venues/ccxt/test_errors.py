"""What answers and exceptions mean, after the venue's own tables."""

from __future__ import annotations

import json
import socket
from typing import Any

import aiohttp
import ccxt
import pytest
from aiohttp.client_reqrep import ConnectionKey

from spyhop.errors import OutcomeUnknown, Throttled, VenueError, VenueRefused, VenueUnavailable
from spyhop.venues.ccxt.errors import failure, said, verdict

URL = "https://fapi.binance.com/fapi/v1/order?symbol=BTCUSDT&signature=abcdef0123456789"
UNKNOWN = "Unknown error, please check your request or try again later."
INTERNAL = "Internal error; unable to process your request. Please try again."
BUSY = "Request throttled by system-level protection. Reduce-only/close-position orders are exempt."
PLACE = ConnectionKey(
    host="127.0.0.1", port=1, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None
)


def answer(code: int, message: str) -> str:
    return json.dumps({"code": code, "msg": message})


@pytest.mark.parametrize(
    ("status", "body", "posted", "asked"),
    [
        # the three meanings of 503, and the codes that leave all open
        (503, answer(-1006, UNKNOWN), OutcomeUnknown, VenueUnavailable),
        (503, answer(0, UNKNOWN), OutcomeUnknown, VenueUnavailable),
        (503, "Service Unavailable.", VenueUnavailable, VenueUnavailable),
        (503, answer(-1001, INTERNAL), VenueUnavailable, VenueUnavailable),
        (503, answer(-1008, BUSY), VenueUnavailable, VenueUnavailable),
        (400, answer(-1008, BUSY), VenueUnavailable, VenueUnavailable),
        (400, answer(-1007, "Timeout waiting for response from backend server."), OutcomeUnknown, VenueUnavailable),
        (408, "", OutcomeUnknown, VenueUnavailable),
        (500, "<html>", OutcomeUnknown, VenueUnavailable),
        (502, "<html>", OutcomeUnknown, VenueUnavailable),
        (504, answer(-1007, "Timeout"), OutcomeUnknown, VenueUnavailable),
        # too many
        (429, answer(-1003, "Too many requests"), Throttled, Throttled),
        (418, answer(-1003, "IP banned until 1573370680974."), Throttled, Throttled),
        (400, answer(-1015, "Too many new orders."), Throttled, Throttled),
        # no
        (400, answer(-2019, "Margin is insufficient."), VenueRefused, VenueRefused),
        (400, answer(-2011, "Unknown order sent."), VenueRefused, VenueRefused),
        (400, answer(-1021, "Timestamp for this request is outside of the recvWindow."), VenueRefused, VenueRefused),
        (401, answer(-2015, "Invalid API-key, IP, or permissions for action."), VenueRefused, VenueRefused),
        (403, "<html>WAF</html>", VenueRefused, VenueRefused),
        # it is there already
        (400, answer(-4116, "ClientOrderId is duplicated."), OutcomeUnknown, OutcomeUnknown),
        (400, answer(-2010, "Duplicate order sent."), OutcomeUnknown, OutcomeUnknown),
    ],
)
def test_answers_of_binance(status: int, body: str, posted: type, asked: type) -> None:
    for method, kind in (("POST", posted), ("DELETE", posted), ("GET", asked)):
        error = verdict(method, URL, status, {}, body)
        assert type(error) is kind
        assert "signature" not in str(error)


def test_a_refusal_keeps_code_and_words() -> None:
    error = verdict("POST", URL, 400, {}, answer(-2019, "Margin is insufficient."))
    assert isinstance(error, VenueRefused)
    assert (error.status, error.code, error.message) == (400, -2019, "Margin is insufficient.")
    assert verdict("POST", URL, 200, {}, answer(200, "success")) is None


def test_how_long_to_wait_is_the_venues_word_or_the_usual() -> None:
    told = verdict("GET", URL, 429, {"Retry-After": "17"}, "")
    silent = verdict("GET", URL, 418, {}, "")
    assert isinstance(told, Throttled)
    assert isinstance(silent, Throttled)
    assert (told.retry_after_s, silent.retry_after_s) == (17.0, 120.0)


def because(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


NOBODY = aiohttp.ClientConnectorError(PLACE, OSError(111, "refused"))


@pytest.mark.parametrize(
    ("error", "status", "effect", "question"),
    [
        (because(ccxt.ExchangeNotAvailable("x"), NOBODY), 0, VenueUnavailable, VenueUnavailable),
        (because(ccxt.ExchangeNotAvailable("x"), socket.gaierror(-2, "x")), 0, VenueUnavailable, VenueUnavailable),
        (because(ccxt.RequestTimeout("x"), aiohttp.ConnectionTimeoutError()), 0, VenueUnavailable, VenueUnavailable),
        (because(ccxt.RequestTimeout("x"), TimeoutError()), 0, OutcomeUnknown, VenueUnavailable),
        (
            because(ccxt.ExchangeNotAvailable("x"), aiohttp.ServerDisconnectedError()),
            0,
            OutcomeUnknown,
            VenueUnavailable,
        ),
        (because(ccxt.ExchangeError("x"), aiohttp.ClientPayloadError()), 200, OutcomeUnknown, VenueUnavailable),
        (ccxt.ExchangeNotAvailable("x"), 503, OutcomeUnknown, VenueUnavailable),
        (ccxt.OperationFailed("x"), 500, OutcomeUnknown, VenueUnavailable),
        (ccxt.BadResponse("x"), 200, OutcomeUnknown, VenueUnavailable),
        (ccxt.ExchangeError("x"), 500, OutcomeUnknown, VenueUnavailable),
        (ccxt.OnMaintenance("x"), 503, VenueUnavailable, VenueUnavailable),
        (ccxt.RateLimitExceeded("x"), 429, Throttled, Throttled),
        (ccxt.DDoSProtection("x"), 418, Throttled, Throttled),
        (ccxt.InvalidNonce("x"), 400, VenueRefused, VenueRefused),
        (ccxt.InsufficientFunds("x"), 400, VenueRefused, VenueRefused),
        (ccxt.AuthenticationError("x"), 401, VenueRefused, VenueRefused),
        (ccxt.NotSupported("x"), 0, VenueRefused, VenueRefused),
        (ccxt.ArgumentsRequired("x"), 0, VenueRefused, VenueRefused),
        (ccxt.DuplicateOrderId("x"), 400, OutcomeUnknown, OutcomeUnknown),
        (KeyError("orderId"), 200, OutcomeUnknown, VenueUnavailable),
        (ValueError("price 1.05 is not a multiple of 0.1"), 200, OutcomeUnknown, VenueUnavailable),
        (TimeoutError(), 0, OutcomeUnknown, VenueUnavailable),
    ],
)
def test_exceptions_of_ccxt(error: Exception, status: int, effect: type, question: type) -> None:
    assert type(failure(error, "here", status, is_effect=True)) is effect
    assert type(failure(error, "here", status, is_effect=False)) is question


def test_an_error_of_ours_stays_what_it_is() -> None:
    error: VenueError = Throttled("there", 429, 3.0)
    assert failure(error, "here", 429, is_effect=True) is error


@pytest.mark.parametrize(
    "leak",
    [
        "binanceusdm POST https://fapi.binance.com/fapi/v1/order?timestamp=1&signature=0123abcd",
        "{'X-MBX-APIKEY': 'very-secret-key'}",
        '{"apiKey":"very-secret-key"}',
        "timestamp=1&signature=0123abcd&x=1",
        "listenKey=very-secret-key",
    ],
)
def test_what_gives_access_is_not_repeated(leak: Any) -> None:
    for error in (ccxt.ExchangeError(leak), ccxt.NetworkError(leak)):
        told = said(error) + str(failure(error, "here", 400, is_effect=True))
        assert "0123abcd" not in told
        assert "very-secret-key" not in told
