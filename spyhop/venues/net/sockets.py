"""WebSockets of venues: picows behind the port of `transport`.

Messages are stamped when the read that completed them returns, and handed out together, so that whoever decodes them
works in batches, though not in larger ones than fit a processor's cache. Pings are answered with their payload.
Compression and redirects are never accepted. Times are the machine's, not the market's: they bound a network.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket
import ssl as tls
from collections.abc import Callable, Sequence
from typing import Any

from picows import WSCloseCode as Code
from picows import (
    WSError,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSParsedURL,
    WSProtocolError,
    WSTransport,
    ws_connect,
)

from spyhop.clock import Clock
from spyhop.errors import ConnectFailed, ConnectionLost
from spyhop.venues.net.arrivals import Arrivals
from spyhop.venues.net.transport import Dial, Frame, Socket
from spyhop.venues.net.urls import shown

_LAST_OF_DATA, _PING, _CLOSE = WSMsgType.BINARY.value, WSMsgType.PING.value, WSMsgType.CLOSE.value
_NO_STATUS, _ABNORMAL = 1005, 1006
_CLOSE_S = 1.0
# picows speaks of paths and addresses; what a caller must know is told by our errors
_SILENT = logging.Logger("picows", logging.CRITICAL + 1)


def connect(
    clock: Clock,
    *,
    ssl: tls.SSLContext | None = None,
    max_queued_bytes: int = 16 << 20,
    open_timeout_s: float = 10.0,
    ping_s: float = 15.0,
    pong_s: float = 10.0,
) -> Dial:
    """Return what opens sockets whose frames are stamped by `clock`.

    `ssl` replaces the machine's usual trust for wss. Opening takes at most `open_timeout_s` for each of the name and
    route, TLS and the upgrade. Every `ping_s` the peer is pinged; it is lost when nothing at all comes within
    `pong_s`. When `max_queued_bytes` wait to be taken, nothing is read any more and TCP slows the peer down; that is
    also the longest message.
    """

    async def dial(url: str) -> Socket:
        connection = _Connection(clock, shown(url), max_queued_bytes, ping_s, pong_s)
        opened: list[socket.socket] = []
        is_tls = url.startswith("wss:")
        options: dict[str, Any] = {"ssl_handshake_timeout": open_timeout_s} if is_tls else {}

        async def route(parsed: WSParsedURL) -> socket.socket:
            async with asyncio.timeout(open_timeout_s):
                opened.append(await _routed(parsed.host, parsed.port))
            return opened[0]

        try:
            transport, _ = await ws_connect(
                lambda: connection,
                url,
                ssl_context=(ssl or _usual_trust()) if is_tls else None,
                socket_factory=route,
                websocket_handshake_timeout=open_timeout_s,
                enable_auto_pong=False,
                max_frame_size=max_queued_bytes,
                max_redirects=0,
                logger_name=_SILENT,
                **options,
            )
        except asyncio.CancelledError:
            _abandon(opened)
            raise
        except (OSError, WSError, ValueError) as error:
            raise ConnectFailed(shown(url), _reason(error)) from None
        if not connection.is_open:
            transport.disconnect(graceful=False)
            raise ConnectFailed(shown(url), "the peer hung up during the handshake")
        return connection

    return dial


# reading all certificates takes 25 ms, in which other sockets of the loop would wait
@functools.cache
def _usual_trust() -> tls.SSLContext:
    return tls.create_default_context()


class _Connection(WSListener):
    """Both sides of an open socket: what picows calls, and what a session calls."""

    def __init__(self, clock: Clock, url: str, max_queued_bytes: int, ping_s: float, pong_s: float) -> None:
        self._url = url
        self._now_ns: Callable[[], int] = clock.now_ns
        self._max_queued_bytes = max_queued_bytes
        self._ping_s, self._pong_s = ping_s, pong_s
        self._transport: WSTransport | None = None
        self._arrivals = Arrivals()
        self._messages: list[bytes] = []  # of the read that goes on
        self._parts: list[bytes] = []
        self._stamp = 0
        self._waiter: asyncio.Future[None] | None = None
        self._is_paused = self._is_closing = self._has_heard = self._has_pinged = False
        self._fault: tuple[int, str] | None = None  # why we ended it, if we did
        self._end: tuple[int, str] | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    # ── called by the session

    async def frames(self) -> Sequence[Frame]:
        """Wait for messages and return what has arrived, a batch at most; raise ConnectionLost at the end."""
        if self._arrivals:
            await self._give_way()
        while not self._arrivals:
            if self._end is not None:
                raise ConnectionLost(self._url, *self._end)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        taken = self._arrivals.take()
        if self._arrivals.num_bytes <= self._max_queued_bytes // 2:
            self._read_on()
        return taken

    def send(self, message: bytes) -> None:
        """Send one text message; raise ConnectionLost when the connection has ended or is ending."""
        transport = self._opened()
        if self._end is not None or transport.is_disconnected or transport.is_close_frame_sent:
            raise ConnectionLost(self._url, *(self._end or self._fault or (_ABNORMAL, "the connection is ending")))
        transport.send(WSMsgType.TEXT, message)

    async def close(self) -> None:
        """Close politely, waiting for the peer for a second at most; what was not taken is dropped."""
        if self._end is not None:
            return
        self._is_closing = True
        self._fault = self._fault or (Code.OK.value, "closed by us")
        self._arrivals.clear()
        self._read_on()
        self._opened().send_close(Code.OK)
        await asyncio.wait({self._watch}, timeout=_CLOSE_S)
        self._opened().disconnect(graceful=False)
        await asyncio.wait({self._watch}, timeout=_CLOSE_S)

    # ── called by picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        loop = asyncio.get_running_loop()
        self._transport = transport
        self._watch = loop.create_task(transport.wait_disconnected())
        self._watch.add_done_callback(self._on_end)
        self._timer = loop.call_later(self._ping_s, self._keep_alive)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if not self._stamp:
            self._stamp = self._now_ns()
        kind: int = frame.msg_type  # type: ignore[assignment]  # the stub says Enum; it is a plain int
        if kind <= _LAST_OF_DATA:
            if kind and frame.fin and not self._parts:
                self._messages.append(frame.get_payload_as_bytes())
            else:
                self._on_part(frame, is_first=kind > 0)
        elif kind == _PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == _CLOSE:
            transport.send_close(Code.OK)
            transport.disconnect()
        if frame.last_in_buffer:
            self._on_read()

    def pause_writing(self) -> None:
        """Do nothing: we send little, and a peer that reads nothing fails to answer a ping."""

    def resume_writing(self) -> None:
        """Do nothing."""

    # ── in between

    def _on_read(self) -> None:
        stamp, self._stamp = self._stamp, 0
        messages, self._messages = self._messages, []
        self._has_heard = True
        if not messages or self._is_closing:
            return
        self._arrivals.add(stamp, messages)
        if self._arrivals.num_bytes > self._max_queued_bytes:
            self._pause()
        self._wake()

    def _on_part(self, frame: WSFrame, *, is_first: bool) -> None:
        if is_first == bool(self._parts):
            self._hang_up(Code.PROTOCOL_ERROR.value, "parts of messages out of order")
            return
        self._parts.append(frame.get_payload_as_bytes())
        if sum(map(len, self._parts)) > self._max_queued_bytes:
            self._hang_up(Code.MESSAGE_TOO_BIG.value, "message too big")
        elif frame.fin:
            self._messages.append(b"".join(self._parts))
            self._parts.clear()

    async def _give_way(self) -> None:
        """Let others have a turn between two batches, without reading more than is already waiting."""
        is_paused_for_this = not self._is_paused
        self._pause()
        try:
            await asyncio.sleep(0)
        finally:
            if is_paused_for_this:
                self._read_on()

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._opened().underlying_transport.pause_reading()

    def _keep_alive(self) -> None:
        transport = self._opened()
        loop = asyncio.get_running_loop()
        if self._has_pinged and not self._has_heard and not self._is_paused:
            self._fault = (_ABNORMAL, f"no answer to a ping within {self._pong_s:g} s")
            transport.disconnect(graceful=False)
        elif self._has_pinged:
            self._has_pinged = False
            self._timer = loop.call_later(max(self._ping_s - self._pong_s, 0.0), self._keep_alive)
        else:
            self._has_pinged, self._has_heard = True, False
            transport.send_ping(b"")
            self._timer = loop.call_later(self._pong_s, self._keep_alive)

    def _hang_up(self, code: int, reason: str) -> None:
        self._fault = (code, reason)
        self._opened().send_close(Code(code), reason)
        self._opened().disconnect()

    def _read_on(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._opened().underlying_transport.resume_reading()

    def _on_end(self, watch: asyncio.Task[None]) -> None:
        self._timer.cancel()
        transport = self._opened()
        if watch.cancelled():  # the loop shuts down around us
            transport.disconnect(graceful=False)
            self._end = (_ABNORMAL, "cancelled")
        else:
            self._end = self._fault or _ending(transport, watch.exception())
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _opened(self) -> WSTransport:
        assert self._transport is not None
        return self._transport


def _ending(transport: WSTransport, error: BaseException | None) -> tuple[int, str]:
    """Return the close code and reason of a connection that we did not end."""
    if isinstance(error, WSProtocolError):
        return int(error.code), f"the peer broke the protocol: {error}"
    if error is not None:
        return _ABNORMAL, f"{type(error).__name__}: {error}"
    handshake = transport.close_handshake
    if handshake is not None and handshake.recv is not None:
        return int(handshake.recv.code) or _NO_STATUS, handshake.recv.reason or ""  # type: ignore[call-overload]
    return _ABNORMAL, "ended without a close frame"


async def _routed(host: str, port: int) -> socket.socket:
    """Return a TCP connection to the first address of `host` that answers."""
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(0.0)
        try:
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure or OSError("the name has no address")


def _abandon(opened: list[socket.socket]) -> None:
    """End a connection whose upgrade nobody waits for: its transport sees the end of the stream and closes."""
    for sock in opened:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    match error:
        case WSHandshakeError(response=response) if response is not None:
            return f"the upgrade was answered with {int(response.status)}"
        case tls.SSLCertVerificationError():  # a ValueError too
            return f"TLS: {error.verify_message}"
        case WSError() | ValueError():
            return "the handshake is not that of a WebSocket"
        case tls.SSLError():
            return f"TLS: {error.reason or 'handshake failed'}"
        case socket.gaierror():
            return f"the name cannot be resolved: {error.strerror}"
        case TimeoutError():
            return "timed out"
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
    return str(error) or type(error).__name__
