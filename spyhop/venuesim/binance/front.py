"""Binance's two markets on their ports: sockets and routes, REST desks, streams, what happens in which order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from aiohttp import web

from spyhop.model.tape import Events, Venue
from spyhop.venuesim.binance import errors, listing
from spyhop.venuesim.binance.account_desk import AccountDesk
from spyhop.venuesim.binance.algo_desk import AlgoDesk
from spyhop.venuesim.binance.futures_rest import FuturesRest
from spyhop.venuesim.binance.grid import Grid
from spyhop.venuesim.binance.market_rest import MarketRest
from spyhop.venuesim.binance.messages import Frames
from spyhop.venuesim.binance.order_desk import OrderDesk
from spyhop.venuesim.binance.publisher import Publisher
from spyhop.venuesim.binance.rest import Desk
from spyhop.venuesim.binance.signing import Keyring
from spyhop.venuesim.binance.spot_desk import SpotDesk
from spyhop.venuesim.binance.spot_user import SpotUser
from spyhop.venuesim.binance.streams import Control, Route, Session, Streams
from spyhop.venuesim.binance.user_stream import ListenKeys, UserStreams
from spyhop.venuesim.binance.weights import Allowance
from spyhop.venuesim.blotter import KEPT
from spyhop.venuesim.connection import Connection, Manners
from spyhop.venuesim.floor import Floor
from spyhop.venuesim.keys import ApiKey
from spyhop.venuesim.words import Change, Execution, Order

USDM_MANNERS = Manners(ping_s=180.0, pong_s=600.0, max_messages_s=10)
SPOT_MANNERS = Manners(ping_s=20.0, pong_s=60.0, max_messages_s=5, farewell=b'{"e":"serverShutdown","E":%d}')
FUNDS = {
    Venue.BINANCE_USDM: {"USDT": Decimal(100_000)},
    Venue.BINANCE_SPOT: {"USDT": Decimal(100_000), "BTC": Decimal(10)},
}
"""What a key's account holds when it is opened."""
Answer: TypeAlias = Callable[[web.Request], Awaitable[web.WebSocketResponse]]


class _Market:
    """What both markets have: instruments, streams, market data, a ring of keys, orders' ids."""

    desk: Desk

    def __init__(
        self, floor: Floor, venue: Venue, keys: Sequence[ApiKey], prefix: str, manners: Manners, limits: Any
    ) -> None:
        self.floor, self.label, self.manners = floor, venue.label, manners
        is_spot = venue is Venue.BINANCE_SPOT
        frames = {i.id: Frames(Grid(i)) for i in floor.exchange.instruments if i.venue is venue}
        self.grids = {number: told.grid for number, told in frames.items()}
        symbols = {grid.instrument.symbol.lower(): number for number, grid in self.grids.items()}
        self.streams = Streams(symbols, is_spot=is_spot)
        self.publisher = Publisher(floor, self.label, frames, self.streams)
        self.market = MarketRest(floor, self.label, frames, prefix, is_spot=is_spot)
        self.keyring = Keyring(keys, getattr(floor.clock, "speed", 1.0))
        self.allowance = Allowance(limits)
        self.num_ids = 0
        for key in keys:
            floor.exchange.open_account(self.account_of(key), venue, FUNDS[venue])

    def next_id(self) -> str:
        """Return a client order id for an order that came without one."""
        self.num_ids += 1
        return f"sim{self.num_ids:019d}"

    def account_of(self, key: ApiKey) -> str:
        """Return the exchange's account of a key."""
        return f"{self.label}:{key.account}"

    def socket(
        self, route: Route, *, is_combined: bool, join: Callable[[Session, web.Request], None] | None = None
    ) -> Answer:
        """Return what answers a WebSocket handshake on `route`."""

        async def answer(request: web.Request) -> web.WebSocketResponse:
            connection = Connection(
                self.floor, self.label, request.path, self.manners, address=request.remote or "127.0.0.1"
            )
            session = Session(connection, route, is_combined)
            named = request.query.get("streams", request.match_info.get("streams", ""))

            def open_streams() -> None:
                for name in filter(None, named.split("/")):
                    self.streams.subscribe(session, name)
                if join is not None:
                    join(session, request)

            try:
                return await connection.serve(request, Control(self.streams, session).on_message, open_streams)
            finally:
                self.streams.leave(session)
                self.left(session)

        return answer

    def left(self, session: Session) -> None:
        """Forget a socket that has gone."""

    def state(self) -> dict[str, Any]:
        """Return accounts with their orders and positions, streams, and what was throttled."""
        exchange = self.floor.exchange
        accounts = {}
        for name in exchange.accounts(Venue[self.label.upper().replace("-", "_")]):
            accounts[name] = {
                "balances": {held.asset: str(held.wallet) for held in exchange.balances(name)},
                "positions": {
                    exchange.instruments[view.instrument].symbol: view.lots for view in exchange.positions(name)
                },
                "orders": [
                    {
                        "order_id": order.order_id,
                        "client_id": order.request.client_id,
                        "symbol": exchange.instruments[order.request.instrument].symbol,
                        "state": str(order.state),
                        "lots": order.lots,
                        "filled": order.filled,
                    }
                    for order in exchange.orders(name, limit=KEPT)
                ],
            }
        return {
            "accounts": accounts,
            "sent": [list(one) for one in self.desk.sent],
            "streams": sorted(self.streams.names()),
            "throttled": self.allowance.num_throttled,
            "banned": self.allowance.num_banned,
        }


class UsdmFront(_Market):
    """USDT-M futures: three routes of sockets, REST under /fapi and /futures/data."""

    def __init__(self, floor: Floor, keys: Sequence[ApiKey] = (), seed: int = 0) -> None:
        super().__init__(floor, Venue.BINANCE_USDM, keys, "/fapi/v1", USDM_MANNERS, listing.USDM_LIMITS)
        self.listen_keys = ListenKeys(seed)
        self.users = UserStreams(floor, self.label, self.grids, self.listen_keys)
        self.desk = Desk(floor, self.label, self.keyring, self.allowance, errors.usdm, self.account_of, self.users.hold)
        self.orders = OrderDesk(self.market, self.allowance, self.next_id)

    def routes(self, app: web.Application) -> None:
        """Add the REST endpoints and the three routes; an unrouted socket behaves as /public."""
        algo = AlgoDesk(self.market, self.allowance, self.next_id)
        account = AccountDesk(self.market, self.listen_keys)
        for desk in (self.market, FuturesRest(self.market), self.orders, algo, account):
            self.desk.add(app, desk.endpoints())
        for prefix, route in (("", Route.PUBLIC), ("/public", Route.PUBLIC), ("/market", Route.MARKET)):
            app.router.add_get(f"{prefix}/ws", self.socket(route, is_combined=False))
            app.router.add_get(f"{prefix}/ws/{{streams:.+}}", self.socket(route, is_combined=False))
            app.router.add_get(f"{prefix}/stream", self.socket(route, is_combined=True))
        for path, is_combined in (("ws", False), ("ws/{streams:.+}", False), ("stream", True)):
            app.router.add_get(f"/private/{path}", self.socket(Route.PRIVATE, is_combined=is_combined, join=self._join))

    def on_market(self, instrument: int, events: Events) -> None:
        """Send market frames."""
        self.publisher.on_market(instrument, events)

    def on_order(self, order: Order, change: Change, execution: Execution | None) -> None:
        """Tell the account."""
        self.users.on_order(order, change, execution)

    def on_account(self, account: str, change: Change, instruments: tuple[int, ...]) -> None:
        """Tell the account."""
        if account.startswith(self.label):
            self.users.on_account(account, change, instruments)

    def publish(self) -> None:
        """Send what waits and what is due; fire dead man's switches."""
        self.orders.fire(self.floor.exchange.now)
        self.market.keep_old_books()
        self.publisher.publish()
        self.users.publish()

    def left(self, session: Session) -> None:
        """Forget a socket that has gone."""
        self.users.leave(session)

    def _join(self, session: Session, request: web.Request) -> None:
        events = frozenset(filter(None, request.query.get("events", "").split("/")))
        named = request.query.get("streams", request.match_info.get("streams", "")).split("/")
        for key in (*request.query.getall("listenKey", []), *named):
            if key:
                self.users.join(session, key, events)


class SpotFront(_Market):
    """Spot: one route of sockets, REST under /api/v3, user data on the WebSocket API."""

    def __init__(self, floor: Floor, keys: Sequence[ApiKey] = ()) -> None:
        super().__init__(floor, Venue.BINANCE_SPOT, keys, "/api/v3", SPOT_MANNERS, listing.SPOT_LIMITS)
        self.users = SpotUser(floor, self.label, self.grids, self.keyring, f"{self.label}:")
        self.desk = Desk(floor, self.label, self.keyring, self.allowance, errors.spot, self.account_of, self.users.hold)

    def routes(self, app: web.Application) -> None:
        """Add the REST endpoints and the sockets; `/stream/ws` is where ccxt looks for spot."""
        spot = SpotDesk(self.market, self.allowance, self.next_id)
        for desk in (self.market, spot):
            self.desk.add(app, desk.endpoints())
        for prefix in ("", "/stream"):
            app.router.add_get(f"{prefix}/ws", self.socket(Route.ANY, is_combined=False))
            app.router.add_get(f"{prefix}/ws/{{streams:.+}}", self.socket(Route.ANY, is_combined=False))
        app.router.add_get("/stream", self.socket(Route.ANY, is_combined=True))
        app.router.add_get("/ws-api/v3", self._api)

    def on_market(self, instrument: int, events: Events) -> None:
        """Send market frames."""
        self.publisher.on_market(instrument, events)

    def on_order(self, order: Order, change: Change, execution: Execution | None) -> None:
        """Tell the account."""
        self.users.on_order(order, change, execution)

    def on_account(self, account: str, change: Change, instruments: tuple[int, ...]) -> None:
        """Tell the account."""
        if account.startswith(self.label):
            self.users.on_account(account)

    def publish(self) -> None:
        """Send what waits and what is due."""
        self.market.keep_old_books()
        self.publisher.publish()
        self.users.publish()

    async def _api(self, request: web.Request) -> web.WebSocketResponse:
        connection = Connection(self.floor, self.label, request.path, self.manners)
        try:
            return await connection.serve(request, lambda message: self.users.on_message(connection, message))
        finally:
            self.users.leave(connection)
