"""Real sockets on loopback: a peer made of bytes where the protocol is at stake, aiohttp's server elsewhere."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trustme
from aiohttp import web

from spyhop.clock import Clock, EventClock, WallClock
from spyhop.errors import ConnectFailed, ConnectionLost
from spyhop.venues.net import sockets
from spyhop.venues.net.arrivals import BATCH_BYTES
from spyhop.venues.net.sockets import connect
from spyhop.venues.net.transport import Frame, Socket

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Peer:
    """The other end, speaking RFC 6455 by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.is_gone = False

    async def accept(self, status: str = "101 Switching Protocols", headers: str = "") -> None:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        self.head = head
        key = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
        accepted = base64.b64encode(
            hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode(), usedforsecurity=False).digest()
        ).decode()
        self.writer.write(
            f"HTTP/1.1 {status}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accepted}\r\n{headers}\r\n".encode()
        )

    def say(self, kind: int, payload: bytes, *, is_last: bool = True) -> None:
        self.writer.write(framed(kind, payload, is_last=is_last))

    async def heard(self) -> tuple[int, bytes]:
        kind, length = await self.reader.readexactly(2)
        assert length & 0x80, "clients mask what they send"
        length &= 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", await self.reader.readexactly(2))
        mask = await self.reader.readexactly(4)
        payload = await self.reader.readexactly(length)
        return kind & 0xF, bytes(byte ^ mask[k % 4] for k, byte in enumerate(payload))


def framed(kind: int, payload: bytes, *, is_last: bool = True) -> bytes:
    head = bytes([kind | 0x80 * is_last])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    if len(payload) < 1 << 16:
        return head + b"\x7e" + struct.pack(">H", len(payload)) + payload
    return head + b"\x7f" + struct.pack(">Q", len(payload)) + payload


@asynccontextmanager
async def peer(talk: Callable[[Peer], Awaitable[None]]) -> AsyncIterator[str]:
    """A server whose every connection does `talk`; yields its URL and lets what it raised come out."""
    failures: list[BaseException] = []

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(Peer(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:  # noqa: BLE001  # told by `peer`
            failures.append(error)
        finally:
            writer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/public/ws"
    finally:
        server.close()
        await server.wait_closed()
    assert not failures, failures


async def until_end(connection: Socket) -> tuple[list[Frame], ConnectionLost]:
    frames: list[Frame] = []
    try:
        async with asyncio.timeout(10.0):
            while True:
                frames += await connection.frames()
    except ConnectionLost as lost:
        return frames, lost


def run(work: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20.0):
            await work

    asyncio.run(bounded())


def talked(talk: Callable[[Peer], Awaitable[None]], clock: Clock | None = None) -> tuple[list[Frame], ConnectionLost]:
    async def work() -> tuple[list[Frame], ConnectionLost]:
        async with peer(talk) as url, asyncio.timeout(20.0):
            connection = await connect(clock or WallClock())(url)
            try:
                return await until_end(connection)
            finally:
                await connection.close()

    return asyncio.run(work())


def test_what_arrives_together_is_handed_out_together_and_in_order() -> None:
    async def talk(it: Peer) -> None:
        await it.accept()
        it.writer.write(b"".join(framed(TEXT, b"%d" % k) for k in range(500)) + framed(CLOSE, struct.pack(">H", 1000)))

    async def work() -> None:
        async with peer(talk) as url:
            connection = await connect(WallClock())(url)
            first = await connection.frames()
            rest, _ = await until_end(connection)
            assert len(first) > 100
            assert [frame.data for frame in [*first, *rest]] == [b"%d" % k for k in range(500)]

    run(work())


def test_a_batch_is_bounded_and_the_next_one_follows_without_a_wait() -> None:
    said = [b"%06d" % k * 100 for k in range(2_000)]

    async def talk(it: Peer) -> None:
        await it.accept()
        it.writer.write(b"".join(framed(TEXT, payload) for payload in said) + framed(CLOSE, struct.pack(">H", 1000)))

    async def work() -> None:
        async with peer(talk) as url:
            connection = await connect(WallClock())(url)
            batches = []
            while sum(map(len, batches)) < len(said):
                batches.append(await connection.frames())
            await connection.close()
            assert max(sum(len(frame.data) for frame in batch) for batch in batches) <= BATCH_BYTES + len(said[0])
            assert len(batches) < 100
            assert [frame.data for batch in batches for frame in batch] == said

    run(work())


def test_text_and_binary_of_every_length_arrive_unchanged() -> None:
    said = [b"", b"a", b"x" * 125, b"y" * 126, b"z" * 65_535, b"w" * 65_536, bytes(range(256)) * 4_000]

    async def talk(it: Peer) -> None:
        await it.accept()
        for payload in said:
            it.say(TEXT, payload)
            it.say(BINARY, payload)
        it.say(CLOSE, struct.pack(">H", 1000))
        await it.writer.drain()
        await it.heard()

    frames, _ = talked(talk)
    assert [frame.data for frame in frames] == [payload for payload in said for _ in range(2)]


def test_parts_of_a_message_are_joined_around_a_ping() -> None:
    async def talk(it: Peer) -> None:
        await it.accept()
        it.say(TEXT, b'{"a":', is_last=False)
        it.say(0, b"", is_last=False)
        it.say(PING, b"between")
        it.say(0, b"1}")
        it.say(TEXT, b"whole")
        assert await it.heard() == (PONG, b"between")
        it.say(CLOSE, struct.pack(">H", 1000))

    frames, _ = talked(talk)
    assert [frame.data for frame in frames] == [b'{"a":1}', b"whole"]


@pytest.mark.parametrize("order", [[(0, b"no beginning", True)], [(TEXT, b"one", False), (TEXT, b"two", True)]])
def test_parts_out_of_order_end_the_connection(order: list[tuple[int, bytes, bool]]) -> None:
    async def talk(it: Peer) -> None:
        await it.accept()
        it.say(TEXT, b"before")
        for kind, payload, is_last in order:
            it.say(kind, payload, is_last=is_last)
        kind, payload = await it.heard()
        assert (kind, payload[:2]) == (CLOSE, struct.pack(">H", 1002))

    frames, lost = talked(talk)
    assert [frame.data for frame in frames] == [b"before"]
    assert lost.code == 1002


def test_a_frame_that_breaks_the_protocol_ends_the_connection() -> None:
    async def talk(it: Peer) -> None:
        await it.accept()
        it.say(TEXT, b"before")
        it.writer.write(b"\x83\x00")  # no such opcode
        await it.heard()

    frames, lost = talked(talk)
    assert [frame.data for frame in frames] == [b"before"]
    assert lost.code == 1002


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_message_longer_than_the_bound_ends_the_connection(in_parts: bool) -> None:
    async def talk(it: Peer) -> None:
        await it.accept()
        if in_parts:
            it.say(TEXT, b"x" * 600, is_last=False)
            it.say(0, b"x" * 600)
        else:
            it.say(TEXT, b"x" * 1_200)
        await it.heard()

    async def work() -> None:
        async with peer(talk) as url:
            connection = await connect(WallClock(), max_queued_bytes=1_000)(url)
            frames, lost = await until_end(connection)
            assert (frames, lost.code) == ([], 1009)

    run(work())


def test_frames_carry_the_time_of_the_clock_when_they_came() -> None:
    clock = EventClock(1_000)

    async def talk(it: Peer) -> None:
        await it.accept()
        it.say(TEXT, b"early")
        it.say(PING, b"")  # as the last of a read, it must not leave an old time behind
        assert await it.heard() == (PONG, b"")
        clock.advance(500)
        it.say(TEXT, b"late")
        it.say(CLOSE, struct.pack(">H", 1000))

    frames, _ = talked(talk, clock)
    assert frames == [Frame(1_000, b"early"), Frame(1_500, b"late")]


def test_a_server_that_demands_pongs_keeps_us() -> None:
    async def on_request(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse(heartbeat=0.05)  # without a pong it hangs up after 25 ms more
        await response.prepare(request)
        await response.send_str("hello")
        async for message in response:
            await response.send_str(message.data)
        return response

    async def work() -> None:
        app = web.Application()
        app.router.add_get("/ws", on_request)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            connection = await connect(WallClock())(f"ws://127.0.0.1:{port}/ws")
            assert [frame.data for frame in await connection.frames()] == [b"hello"]
            await asyncio.sleep(0.2)  # several of its deadlines
            connection.send(b"still here")
            assert [frame.data for frame in await connection.frames()] == [b"still here"]
            await connection.close()
        finally:
            await runner.cleanup()

    run(work())


def test_a_peer_that_is_there_but_mute_is_lost_when_it_answers_no_ping() -> None:
    async def talk(it: Peer) -> None:
        await it.accept()
        it.say(TEXT, b"hello")
        assert await it.heard() == (PING, b"")
        await it.reader.read()  # says nothing more

    async def work() -> None:
        async with peer(talk) as url:
            connection = await connect(WallClock(), ping_s=0.05, pong_s=0.05)(url)
            _, lost = await until_end(connection)
            assert (lost.code, lost.reason) == (1006, "no answer to a ping within 0.05 s")

    run(work())


def test_a_peer_that_answers_pings_is_kept() -> None:
    num_pings = 5

    async def talk(it: Peer) -> None:
        await it.accept()
        for _ in range(num_pings):
            kind, payload = await it.heard()
            assert kind == PING
            it.say(PONG, payload)
        it.say(TEXT, b"done")
        it.say(CLOSE, struct.pack(">H", 1000))

    async def work() -> None:
        async with peer(talk) as url:
            connection = await connect(WallClock(), ping_s=0.02, pong_s=0.02)(url)
            frames, lost = await until_end(connection)
            assert [frame.data for frame in frames] == [b"done"]
            assert lost.code == 1000

    run(work())


@pytest.mark.slow
def test_a_reader_that_lags_stops_the_peer_and_loses_nothing() -> None:
    said = b"x" * 10_000
    num_said, bound = 3_000, 200_000
    written = 0

    async def talk(it: Peer) -> None:
        nonlocal written
        await it.accept()
        for _ in range(num_said):
            it.say(TEXT, said)
            await it.writer.drain()
            written += 1
        it.say(CLOSE, struct.pack(">H", 1000))
        await it.heard()

    async def work() -> None:
        async with peer(talk) as url:
            # the pings would find the peer mute, were they not held back while we do not read
            connection = await connect(WallClock(), max_queued_bytes=bound, ping_s=0.1, pong_s=1.0)(url)
            before = -1
            while before != written:  # until the peer is stuck
                before = written
                await asyncio.sleep(1.5)
            assert 0 < written < num_said
            first = await connection.frames()
            assert sum(len(frame.data) for frame in first) < bound
            rest, lost = await until_end(connection)
            assert len(first) + len(rest) == num_said
            assert lost.code == 1000

    run(work())


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        (struct.pack(">H", 1001) + b"24 hours", 1001, "24 hours"),
        (struct.pack(">H", 1012) + b'{"message":"Service restarting"}', 1012, '{"message":"Service restarting"}'),
        (struct.pack(">H", 4321), 4321, ""),
        (b"", 1005, ""),
    ],
)
def test_a_close_frame_tells_its_code_and_is_answered(payload: bytes, code: int, reason: str) -> None:
    answered: list[int] = []

    async def talk(it: Peer) -> None:
        await it.accept()
        it.say(TEXT, b"last words")
        it.say(CLOSE, payload)
        answered.append((await it.heard())[0])

    frames, lost = talked(talk)
    assert [frame.data for frame in frames] == [b"last words"]
    assert (lost.code, lost.reason) == (code, reason)
    assert answered == [CLOSE]


@pytest.mark.parametrize("is_reset", [False, True])
def test_an_end_without_a_close_frame_is_1006(is_reset: bool) -> None:
    async def talk(it: Peer) -> None:
        await it.accept()
        await it.writer.drain()
        if is_reset:
            it.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    _, lost = talked(talk)
    assert (lost.code, lost.reason) == (1006, "ended without a close frame")


def test_after_the_end_everything_says_so() -> None:
    async def talk(it: Peer) -> None:
        await it.accept()
        it.say(CLOSE, struct.pack(">H", 1000) + b"bye")

    async def work() -> None:
        async with peer(talk) as url:
            connection = await connect(WallClock())(url + "?listenKey=secret")
            _, lost = await until_end(connection)
            assert "secret" not in str(lost)
            with pytest.raises(ConnectionLost, match="bye"):
                await connection.frames()
            with pytest.raises(ConnectionLost, match="bye"):
                connection.send(b"anyone?")
            await connection.close()

    run(work())


def test_sending_and_closing_by_ourselves() -> None:
    heard: list[tuple[int, bytes]] = []

    async def talk(it: Peer) -> None:
        await it.accept()
        heard.append(await it.heard())
        heard.append(await it.heard())
        it.say(TEXT, b"too late")
        it.say(CLOSE, heard[1][1])

    async def work() -> None:
        async with peer(talk) as url:
            connection = await connect(WallClock())(url)
            connection.send(b'{"method":"SUBSCRIBE"}')
            await connection.close()
            assert heard == [(TEXT, b'{"method":"SUBSCRIBE"}'), (CLOSE, struct.pack(">H", 1000))]
            with pytest.raises(ConnectionLost, match="closed by us"):
                await connection.frames()
            with pytest.raises(ConnectionLost, match="closed by us"):
                connection.send(b"more")

    run(work())


@pytest.mark.slow
def test_closing_waits_a_second_for_a_mute_peer_and_no_longer() -> None:
    async def talk(it: Peer) -> None:
        await it.accept()
        await it.heard()
        await it.heard()
        assert await it.reader.read() == b""

    async def work() -> None:
        async with peer(talk) as url:
            connection = await connect(WallClock())(url)
            connection.send(b"x")
            async with asyncio.timeout(3.0):
                await connection.close()

    run(work())


def test_a_waiting_reader_may_be_cancelled_without_loss() -> None:
    go = asyncio.Event()

    async def talk(it: Peer) -> None:
        await it.accept()
        await go.wait()
        it.say(TEXT, b"kept")
        it.say(CLOSE, struct.pack(">H", 1000))

    async def work() -> None:
        async with peer(talk) as url:
            connection = await connect(WallClock())(url)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await connection.frames()
            go.set()
            frames, _ = await until_end(connection)
            assert [frame.data for frame in frames] == [b"kept"]

    run(work())


@pytest.mark.parametrize("status", ["429 Too Many Requests", "418 I'm a teapot", "302 Found", "200 OK"])
def test_an_upgrade_that_is_refused_says_with_what(status: str) -> None:
    async def talk(it: Peer) -> None:
        await it.accept(status, "Location: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n")

    async def work() -> None:
        async with peer(talk) as url:
            with pytest.raises(ConnectFailed, match=f"answered with {status[:3]}") as failed:
                await connect(WallClock())(url + "?listenKey=secret")
            assert "secret" not in str(failed.value)

    run(work())


@pytest.mark.slow
def test_every_way_not_to_connect_is_one_error_with_a_reason() -> None:
    async def hang_up(it: Peer) -> None:
        await it.reader.readuntil(b"\r\n\r\n")

    async def babble(it: Peer) -> None:
        it.writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        await it.writer.drain()

    async def mute(it: Peer) -> None:
        await it.reader.read()

    async def work() -> None:
        dial = connect(WallClock(), open_timeout_s=0.2)
        async with peer(hang_up) as url:
            with pytest.raises(ConnectFailed, match="hung up during the handshake"):
                await dial(url)
        async with peer(babble) as url:
            with pytest.raises(ConnectFailed, match="not that of a WebSocket"):
                await dial(url)
        async with peer(mute) as url:
            with pytest.raises(ConnectFailed, match="timed out"):
                await dial(url)
            with pytest.raises(ConnectFailed):  # TLS with somebody who does not speak it
                await dial(url.replace("ws://", "wss://"))
        with pytest.raises(ConnectFailed, match="refused"):
            await dial(url)
        with pytest.raises(ConnectFailed, match="cannot be resolved"):
            await dial("ws://no-such-host.invalid/ws")
        with pytest.raises(ConnectFailed):
            await dial("http://127.0.0.1/ws")

    run(work())


def test_a_dial_that_is_cancelled_leaves_nothing_open() -> None:
    seen: list[bytes] = []

    async def mute(it: Peer) -> None:
        await it.reader.readuntil(b"\r\n\r\n")
        arrived.set()
        seen.append(await it.reader.read())

    arrived = asyncio.Event()

    async def work() -> None:
        async with peer(mute) as url:
            dialling = asyncio.create_task(connect(WallClock())(url))
            await arrived.wait()
            dialling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dialling
            while not seen:
                await asyncio.sleep(0.001)
            assert seen == [b""]

    run(work())


def test_an_open_socket_does_not_outlive_its_loop() -> None:
    ended: list[bytes] = []

    async def talk(it: Peer) -> None:
        await it.accept()
        ended.append(await it.reader.read())

    async def work() -> None:
        async with peer(talk) as url:
            await connect(WallClock())(url)  # never closed; unclosed transports would warn, and warnings are errors

    run(work())


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.slow
def test_tls_is_verified_and_its_failure_named(authority: trustme.CA) -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(served)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        it = Peer(reader, writer)
        await it.accept()
        it.say(TEXT, b"private")
        it.say(CLOSE, struct.pack(">H", 1000))
        writer.close()

    async def work() -> None:
        server = await asyncio.start_server(on_connection, "127.0.0.1", 0, ssl=served)
        port = server.sockets[0].getsockname()[1]
        async with server:
            connection = await connect(WallClock(), ssl=trusting)(f"wss://localhost:{port}/ws")
            frames, _ = await until_end(connection)
            assert [frame.data for frame in frames] == [b"private"]
            with pytest.raises(ConnectFailed, match="TLS: unable to get local issuer certificate"):
                await connect(WallClock())(f"wss://localhost:{port}/ws")
            with pytest.raises(ConnectFailed, match="TLS: IP address mismatch"):
                await connect(WallClock(), ssl=trusting)(f"wss://127.0.0.1:{port}/ws")

    run(work())


def test_the_machines_trust_is_read_once_for_all_dials(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []
    create = ssl.create_default_context

    def counted() -> ssl.SSLContext:
        made.append(create())
        return made[-1]

    async def babble(it: Peer) -> None:
        it.writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        await it.writer.drain()

    async def work() -> None:
        dial = connect(WallClock())
        async with peer(babble) as url:
            for _ in range(3):
                with pytest.raises(ConnectFailed):
                    await dial(url.replace("ws://", "wss://"))

    monkeypatch.setattr(ssl, "create_default_context", counted)
    sockets._usual_trust.cache_clear()
    run(work())
    assert len(made) == 1


def test_no_key_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def talk(it: Peer) -> None:
        await it.accept()
        it.writer.write(b"\x83\x00")

    async def work() -> None:
        async with peer(talk) as url:
            await until_end(await connect(WallClock())(url + "?listenKey=secret"))

    with caplog.at_level(1):
        logging.getLogger("asyncio").setLevel(logging.INFO)
        run(work())
    assert "secret" not in caplog.text
