"""The ports between a venue's client and the network: one for sockets, one for HTTP.

The shipped implementations are `sockets.connect` and `https.HttpClient`; a test may put its own class behind either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Frame(NamedTuple):
    """One WebSocket message as it came; `ts_recv` is the clock's time of its arrival in this process."""

    ts_recv: int
    data: bytes


class Socket(Protocol):
    """An open WebSocket; pings of the venue are answered below this port."""

    async def frames(self) -> Sequence[Frame]:
        """Wait for messages and return all that have arrived, oldest first; raise ConnectionLost at the end."""
        ...

    def send(self, message: bytes) -> None:
        """Send one text message; raise ConnectionLost when the connection has ended."""
        ...

    async def close(self) -> None:
        """Close politely, waiting for the peer for a second at most; never raises."""
        ...


class Dial(Protocol):
    """Opens sockets."""

    async def __call__(self, url: str) -> Socket:
        """Return an open socket; raise ConnectFailed."""
        ...


class Response(NamedTuple):
    """An answer below 400; the times are the clock's, right before sending and right after the last byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    ts_sent: int
    ts_recv: int


class Http(Protocol):
    """Sends requests."""

    async def request(
        self, method: str, url: str, params: Mapping[str, str | int] | None = None, *, timeout_s: float = 10.0
    ) -> Response:
        """Return the answer; raise ConnectFailed, Throttled, VenueRefused, VenueUnavailable or OutcomeUnknown.

        Header names are in lower case.
        """
        ...

    async def close(self) -> None: ...
