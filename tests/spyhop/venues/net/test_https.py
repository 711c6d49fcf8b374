"""A real server on loopback that answers with the bytes it is told."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from spyhop.clock import NS_PER_S, EventClock, ScaledClock, WallClock
from spyhop.errors import (
    ConnectFailed,
    OutcomeUnknown,
    SpyhopError,
    Throttled,
    VenueError,
    VenueRefused,
    VenueUnavailable,
)
from spyhop.venues.net.https import HttpClient, meaning, told
from spyhop.venues.net.limits import BINANCE_USDM, DYDX, SharedBudget

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


def saying(status: str, body: bytes = b"", headers: str = "", asked: list[str] | None = None) -> Answer:
    """Answer every request of a connection so."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if asked is not None:
                asked.append(head.decode())
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)

    return answer


async def failure(answer: Answer, method: str = "GET", *, timeout_s: float = 5.0, unit_s: float = 1.0) -> VenueError:
    client = HttpClient(WallClock(), retry_after_unit_s=unit_s, max_body_bytes=10_000)
    try:
        async with serving(answer) as base:
            with pytest.raises(VenueError) as raised:
                await client.request(
                    method, base + "/v1/thing?signature=secret", {"key": "secret"}, timeout_s=timeout_s
                )
            assert "secret" not in str(raised.value) + repr(raised.value)
            return raised.value
    finally:
        await client.close()


def test_an_answer_carries_its_times_headers_and_body() -> None:
    asked: list[str] = []

    async def work() -> None:
        clock = WallClock()
        client = HttpClient(clock, headers={"X-MBX-APIKEY": "k"})
        async with serving(saying("200 OK", b'{"a":1}', "X-MBX-USED-WEIGHT-1M: 7\r\n", asked)) as base:
            before = clock.now_ns()
            answer = await client.request("GET", base + "/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": 5})
            assert (answer.status, answer.body) == (200, b'{"a":1}')
            assert answer.headers["x-mbx-used-weight-1m"] == "7"
            assert before <= answer.ts_sent < answer.ts_recv <= clock.now_ns()
            await client.close()
            await client.request("GET", base + "/again")  # a closed client opens anew
            await client.close()
            await client.close()

    asyncio.run(work())
    assert asked[0].startswith("GET /fapi/v1/depth?symbol=BTCUSDT&limit=5 HTTP/1.1\r\n")
    assert "X-MBX-APIKEY: k\r\n" in asked[0]


def test_times_are_those_of_the_clock_that_is_given() -> None:
    clock = EventClock(500)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        clock.advance(30)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async def work() -> None:
        client = HttpClient(clock)
        async with serving(answer) as base:
            got = await client.request("GET", base)
            assert (got.ts_sent, got.ts_recv) == (500, 530)
            await client.close()

    asyncio.run(work())


def test_a_packed_body_is_unpacked() -> None:
    async def work() -> None:
        client = HttpClient(WallClock())
        async with serving(saying("200 OK", gzip.compress(b"x" * 9_000), "Content-Encoding: gzip\r\n")) as base:
            assert (await client.request("GET", base)).body == b"x" * 9_000
            await client.close()

    asyncio.run(work())


@pytest.mark.parametrize("body", [b"x" * 10_001, gzip.compress(b"x" * 1_000_000)])
def test_a_body_beyond_the_bound_is_no_answer(body: bytes) -> None:
    packed = "Content-Encoding: gzip\r\n" if body[:2] == b"\x1f\x8b" else ""
    error = asyncio.run(failure(saying("200 OK", body, packed)))
    assert type(error) is VenueUnavailable


REFUSED = b'{"code":-1121,"msg":"Invalid symbol."}'
UNKNOWN = b'{"code":0,"msg":"Unknown error, please check your request or try again later."}'
BUSY = b'{"code":-1008,"msg":"Request throttled by system-level protection. Reduce-only orders are exempt."}'


@pytest.mark.parametrize(
    ("status", "body", "of_a_get", "of_a_post"),
    [
        (400, REFUSED, VenueRefused, VenueRefused),
        (403, b"<html>WAF</html>", VenueRefused, VenueRefused),
        (404, b'{"errors":[{"msg":"No candles"}]}', VenueRefused, VenueRefused),
        (408, b'{"code":-1007,"msg":"Timeout waiting for response"}', VenueUnavailable, OutcomeUnknown),
        (400, b'{"code":-1006,"msg":"An unexpected response was received"}', VenueUnavailable, OutcomeUnknown),
        (503, UNKNOWN, VenueUnavailable, OutcomeUnknown),
        (503, b"Unknown error, please check your request or try again later.", VenueUnavailable, OutcomeUnknown),
        (503, b'{"code":0,"msg":"Service Unavailable."}', VenueUnavailable, VenueUnavailable),
        (
            503,
            b'{"code":0,"msg":"Internal error; unable to process your request. Please try again."}',
            VenueUnavailable,
            VenueUnavailable,
        ),
        (503, BUSY, VenueUnavailable, VenueUnavailable),
        (502, b"Bad Gateway", VenueUnavailable, OutcomeUnknown),
        (500, b"", VenueUnavailable, OutcomeUnknown),
        (302, b"", VenueUnavailable, OutcomeUnknown),
    ],
)
def test_what_a_status_means(
    status: int, body: bytes, of_a_get: type[SpyhopError], of_a_post: type[SpyhopError]
) -> None:
    answer = saying(f"{status} So", body, "Location: http://localhost:1/\r\n" if status == 302 else "")
    for method, expected in (("GET", of_a_get), ("POST", of_a_post), ("DELETE", of_a_post)):
        assert type(asyncio.run(failure(answer, method))) is expected


def test_a_refusal_repeats_the_venues_words() -> None:
    error = asyncio.run(failure(saying("400 Bad Request", REFUSED)))
    assert isinstance(error, VenueRefused)
    assert (error.status, error.code, error.message) == (400, -1121, "Invalid symbol.")
    assert error.url.endswith("/v1/thing")


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (REFUSED, -1121, "Invalid symbol."),
        (b'{"errors":[{"msg":"Too many requests"},{"msg":"b"}]}', 0, "Too many requests"),
        (b'{"errors":[]}', 0, '{"errors":[]}'),
        (b'{"code":"x","msg":1}', 0, '{"code":"x","msg":1}'),
        (b"\xff\xfe", 0, "\ufffd\ufffd"),
        (b"x" * 1_000, 0, "x" * 300),
        (b"", 0, ""),
    ],
)
def test_an_errors_body_is_read_whoever_wrote_it(body: bytes, code: int, message: str) -> None:
    assert told(body) == (code, message)


@pytest.mark.parametrize(
    ("status", "headers", "unit_s", "wait_s"),
    [
        ("429 Too Many Requests", "Retry-After: 3\r\n", 1.0, 3.0),
        ("429 Too Many Requests", "Retry-After: 2500\r\n", 0.001, 2.5),
        ("418 I'm a teapot", "Retry-After: 600\r\n", 1.0, 600.0),
        ("429 Too Many Requests", "", 1.0, 10.0),
        ("418 I'm a teapot", "", 1.0, 120.0),
    ],
)
def test_being_throttled_says_for_how_long(status: str, headers: str, unit_s: float, wait_s: float) -> None:
    for method in ("GET", "POST"):
        error = asyncio.run(failure(saying(status, b"{}", headers), method, unit_s=unit_s))
        assert isinstance(error, Throttled)
        assert (error.status, error.retry_after_s) == (int(status[:3]), wait_s)


def test_after_a_429_nothing_is_sent_until_it_is_over(tmp_path: Path) -> None:
    asked: list[str] = []
    clock = EventClock(1_700_000_000 * NS_PER_S)
    one, other = (SharedBudget(clock, DYDX, tmp_path / "budget") for _ in range(2))

    async def work() -> None:
        clients = [HttpClient(clock, budget=budget, retry_after_unit_s=0.001) for budget in (one, other)]
        headers = "Retry-After: 4000\r\nRateLimit-Limit: 100\r\nRateLimit-Remaining: 0\r\n"
        async with serving(saying("429 Too Many Requests", b"{}", headers, asked)) as base:
            for client in clients:
                with pytest.raises(Throttled):
                    await client.request("GET", base + "/v4/time")
            assert len(asked) == 1
            clock.advance(4 * NS_PER_S)
            with pytest.raises(Throttled):
                await clients[1].request("GET", base + "/v4/time")
            assert len(asked) == 2
            for client in clients:
                await client.close()

    asyncio.run(work())


def test_the_budget_is_asked_with_what_a_request_weighs() -> None:
    weighed: list[tuple[str, str, dict[str, str | int]]] = []

    def weigh(method: str, path: str, params: Mapping[str, str | int]) -> int:
        weighed.append((method, path, dict(params)))
        return 20

    budget = SharedBudget(EventClock(0), BINANCE_USDM)

    async def work() -> None:
        client = HttpClient(EventClock(0), budget=budget, weigh=weigh)
        async with serving(saying("200 OK", b"", "X-MBX-USED-WEIGHT-1M: 33\r\n")) as base:
            await client.request("GET", base + "/fapi/v1/depth", {"limit": 1000})
            await client.close()

    asyncio.run(work())
    assert weighed == [("GET", "/fapi/v1/depth", {"limit": 1000})]
    assert budget.statistics()["weight/60"] == 33


async def _mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


async def _babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")


@pytest.mark.parametrize("answer", [_hang_up, _reset, _half, _babble])
def test_an_exchange_that_breaks_off_may_have_had_an_effect(answer: Answer) -> None:
    assert type(asyncio.run(failure(answer, "GET"))) is VenueUnavailable
    assert type(asyncio.run(failure(answer, "POST"))) is OutcomeUnknown


@pytest.mark.slow
def test_a_time_out_is_unknown_unless_it_was_only_a_question() -> None:
    read, written = (asyncio.run(failure(_mute, method, timeout_s=0.01)) for method in ("GET", "POST"))
    assert isinstance(read, VenueUnavailable)
    assert isinstance(written, OutcomeUnknown)
    assert "no answer in time" in str(written)


@pytest.mark.slow
def test_time_outs_are_those_of_the_clock() -> None:
    async def work() -> None:
        client = HttpClient(ScaledClock(0, 0, 100.0))
        async with serving(_mute) as base, asyncio.timeout(5.0):
            with pytest.raises(VenueUnavailable, match="in time"):
                await client.request("GET", base, timeout_s=60.0)
        await client.close()

    asyncio.run(work())


def test_when_nothing_was_sent_the_error_says_why() -> None:
    async def work() -> None:
        client = HttpClient(WallClock())
        async with serving(_mute) as base:
            pass
        for url, reason in (
            (base, "refused"),
            ("http://no-such-host.invalid/", "cannot be resolved"),
            ("gopher://localhost/", "not a URL"),
            ("nonsense", "not a URL"),
        ):
            with pytest.raises(ConnectFailed) as failed:
                await client.request("POST", url)
            assert reason in str(failed.value)
        await client.close()

    asyncio.run(work())


@pytest.mark.slow
def test_tls_is_verified() -> None:
    authority = trustme.CA()
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(served)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def work() -> None:
        async with serving(saying("200 OK", b"private"), served) as base:
            trusted, usual = HttpClient(WallClock(), ssl=trusting), HttpClient(WallClock())
            assert (await trusted.request("GET", base)).body == b"private"
            with pytest.raises(ConnectFailed, match="TLS: unable to get local issuer certificate"):
                await usual.request("GET", base)
            with pytest.raises(ConnectFailed, match="TLS: "):
                await trusted.request("GET", base.replace("localhost", "127.0.0.1"))
            await trusted.close()
            await usual.close()
        async with serving(_babble) as base:
            client = HttpClient(WallClock())
            with pytest.raises(ConnectFailed):
                await client.request("POST", base.replace("http://", "https://"), timeout_s=1.0)
            await client.close()

    asyncio.run(work())


def test_a_meaning_is_a_venue_error_for_every_status() -> None:
    for status in range(300, 600):
        for method in ("GET", "POST"):
            assert isinstance(meaning(method, "u", status, 0, ""), VenueError)
