"""Where the venues are: base URLs, of the real ones or of a simulator that says where it listens."""

from __future__ import annotations

import msgspec

from spyhop.clock import Clock, ScaledClock, WallClock


class BinanceEndpoints(msgspec.Struct, frozen=True):
    """Base URLs of one of Binance's markets, without a trailing slash; `ws` is what routes are appended to.

    `ws_api` is the WebSocket API by which spot tells of an account, "" where that is not needed.
    """

    rest: str
    ws: str
    ws_api: str = ""


class DydxEndpoints(msgspec.Struct, frozen=True):
    """Base URLs of dYdX v4; `indexer` ends in /v4, `ws` in /v4/ws."""

    indexer: str
    ws: str
    node_rpc: str
    node_rest: str


class ClockSpec(msgspec.Struct, frozen=True):
    """The three numbers of a ScaledClock; speed 0 is the machine's own clock."""

    anchor_ns: int = 0
    start_ns: int = 0
    speed: float = 0.0

    def clock(self) -> Clock:
        """Return the clock that these venues live by."""
        return ScaledClock(self.anchor_ns, self.start_ns, self.speed) if self.speed else WallClock()


class Endpoints(msgspec.Struct, frozen=True):
    """Everything that must be known to reach the venues; what a simulator prints when it is ready."""

    binance_usdm: BinanceEndpoints
    binance_spot: BinanceEndpoints
    dydx: DydxEndpoints
    clock: ClockSpec = ClockSpec()
    admin: str = ""
    """Where a simulator takes orders for faults; "" for real venues."""
    is_simulated: bool = False


LIVE = Endpoints(
    BinanceEndpoints("https://fapi.binance.com", "wss://fstream.binance.com"),
    BinanceEndpoints(
        "https://api.binance.com", "wss://stream.binance.com:9443", "wss://ws-api.binance.com:443/ws-api/v3"
    ),
    DydxEndpoints(
        "https://indexer.dydx.trade/v4",
        "wss://indexer.dydx.trade/v4/ws",
        "https://dydx-ops-rpc.kingnodes.com",
        "https://dydx-rest.publicnode.com",
    ),
)
