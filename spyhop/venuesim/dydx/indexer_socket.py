"""The indexer's WebSocket, /v4/ws: subscriptions, ids of messages, batches, limits, as the venue's own server has them.

An id is reserved when a subscription is asked for, and its `subscribed` goes out when the data has been fetched, some
milliseconds later: frames of other channels with higher ids may come first. What happens to the channel in between is
sent after the snapshot, so it may say again what the snapshot said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import uuid5

import msgspec
from aiohttp import web

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.model.tape import Venue
from spyhop.venues.dydx.address import is_address
from spyhop.venuesim.connection import Connection, Manners
from spyhop.venuesim.dydx.bodies import RESOLUTIONS, Bodies
from spyhop.venuesim.dydx.names import NAMESPACE
from spyhop.venuesim.floor import Floor

LABEL: Final = Venue.DYDX.label
BATCH_NS: Final = 250 * NS_PER_MS
ORDERBOOK, TRADES, CANDLES = "v4_orderbook", "v4_trades", "v4_candles"
MARKETS, BLOCK_HEIGHT, SUBACCOUNTS = "v4_markets", "v4_block_height", "v4_subaccounts"
_LIMITS: Final = {ORDERBOOK: 32, TRADES: 32, CANDLES: 32, MARKETS: 32, SUBACCOUNTS: 256, BLOCK_HEIGHT: 1}
_VERSIONS: Final = {TRADES: "2.1.0", SUBACCOUNTS: "3.0.0"}
_FETCH_NS: Final = {ORDERBOOK: 20, TRADES: 12, CANDLES: 15, MARKETS: 30, SUBACCOUNTS: 18, BLOCK_HEIGHT: 3}
"""How long the data of a subscription takes to fetch, milliseconds."""
_MANNERS: Final = Manners(ping_s=30.0, pong_s=10.0, life_s=0.0, late_code=1011)
_NUM_TRIES: Final = 2
_POLICY_VIOLATION: Final = 1008
_RATE_LIMITED: Final = '{"message":"Rate limited"}'
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


class Subscription:
    """One channel and id of one session; pending until its data was sent."""

    def __init__(self, channel: str, key: str, message_id: int, due: int, *, is_batched: bool) -> None:
        self.channel, self.key, self.message_id, self.due = channel, key, message_id, due
        self.is_batched, self.is_pending = is_batched, True
        self.waiting: list[bytes] = []

    @property
    def stream(self) -> str:
        return f"{self.channel}/{self.key}"


class _Tries:
    """At most two tries a second for every key."""

    def __init__(self) -> None:
        self._tries: dict[str, list[int]] = {}

    def has_room(self, key: str, now: int) -> bool:
        recent = [at for at in self._tries.get(key, ()) if now - at < NS_PER_S]
        self._tries[key] = [*recent, now]
        return len(recent) < _NUM_TRIES


class Session:
    """One connection as the indexer sees it."""

    def __init__(self, socket: IndexerSocket, connection: Connection, connection_id: str) -> None:
        self._socket, self._connection, self.id = socket, connection, connection_id
        self.message_id = 0
        self.subscriptions: dict[tuple[str, str], Subscription] = {}
        self._tries = _Tries()

    def greet(self) -> None:
        """Send the first message."""
        self._say({"type": "connected", "connection_id": self.id, "message_id": 0})

    def on_message(self, data: bytes) -> None:
        """Do what the client asks."""
        try:
            message = _decode(data)
        except msgspec.DecodeError:
            self._complain_invalid("Invalid message: could not parse")
            return
        kind = message.get("type")
        if not kind:
            self._complain_invalid("Invalid message: type is required")
        elif kind in ("subscribe", "unsubscribe"):
            self._on_subscription(message, is_new=kind == "subscribe")
        elif kind != "ping":
            self._complain_invalid(f"Invalid message type: {kind}")

    def send(self, subscription: Subscription, contents: bytes, *, is_batch: bool) -> None:
        """Send an update under the next id; while the snapshot is being fetched it waits for that."""
        if subscription.is_pending:
            subscription.waiting.append(contents)
            return
        self.message_id += 1
        kind = "channel_batch_data" if is_batch else "channel_data"
        channel, key = subscription.channel, subscription.key
        named = "" if channel == MARKETS else f'"id":"{key}",'
        head = (
            f'{{"type":"{kind}","connection_id":"{self.id}","message_id":{self.message_id},{named}'
            f'"channel":"{channel}","version":"{_VERSIONS.get(channel, "1.0.0")}","contents":'
        )
        self._connection.send(head.encode() + contents + b"}", subscription.stream)

    def settle(self, subscription: Subscription) -> None:
        """Send the snapshot of a subscription and what has happened since it was asked for."""
        channel, key = subscription.channel, subscription.key
        contents = self._socket.snapshot(channel, key)
        named = "" if channel == MARKETS else f'"id":"{key}",'
        head = (
            f'{{"type":"subscribed","connection_id":"{self.id}","message_id":{subscription.message_id},'
            f'"channel":"{channel}",{named}"contents":'
        )
        self._connection.say(head.encode() + _encode(contents) + b"}")
        subscription.is_pending = False
        waiting, subscription.waiting = subscription.waiting, []
        for update in waiting:
            self.send(subscription, update, is_batch=False)

    def _on_subscription(self, message: dict[str, Any], *, is_new: bool) -> None:
        channel, key = message.get("channel"), message.get("id")
        if not channel:
            self._complain("Invalid subscribe message: channel is required", self.message_id)
        elif channel not in _LIMITS:
            self._complain(f"Invalid channel: {channel}", self.message_id)
        elif channel in (MARKETS, BLOCK_HEIGHT):
            self._change(channel, key if isinstance(key, str) else channel, message, is_new=is_new)
        elif not isinstance(key, str):
            self._complain(f"Invalid id: {key}", self.message_id)
        else:
            self._change(channel, key, message, is_new=is_new)

    def _change(self, channel: str, key: str, message: dict[str, Any], *, is_new: bool) -> None:
        self.message_id += 1
        if is_new:
            self._subscribe(channel, key, is_batched=bool(message.get("batched")))
            return
        subscription = self.subscriptions.get((channel, key))
        if subscription is not None and not subscription.is_pending:
            self._socket.leave(self, subscription)
            self._connection.streams.pop(subscription.stream, None)
        told = {
            "type": "unsubscribed",
            "connection_id": self.id,
            "message_id": self.message_id,
            "channel": channel,
            "id": key,
        }
        if channel == MARKETS:
            told.pop("id")
        self._say(told)

    def _subscribe(self, channel: str, key: str, *, is_batched: bool) -> None:
        limit, now = _LIMITS[channel], self._socket.now
        if not self._socket.is_valid(channel, key):
            self._complain(f"Invalid subscription id for channel: ({channel}-{key})", self.message_id)
        elif sum(1 for other, _ in self.subscriptions if other == channel) >= limit and (
            (channel, key) not in self.subscriptions
        ):
            self._complain(f"Per-connection subscription limit reached for {channel} (limit={limit}).", self.message_id)
        elif not self._tries.has_room(f"{channel}/{key}", now):
            self._complain(
                f"Too many subscribe attempts for channel {channel}-{key}. Please  reconnect and try again.",
                self.message_id,
            )
            self._connection.close(_POLICY_VIOLATION, _RATE_LIMITED)
        elif (channel, key) in self.subscriptions:
            self._complain(f"Invalid subscribe message: already subscribed ({channel}-{key})", self.message_id)
        else:
            due = now + _FETCH_NS[channel] * NS_PER_MS
            subscription = Subscription(channel, key, self.message_id, due, is_batched=is_batched)
            self._connection.streams[subscription.stream] = None
            self._socket.join(self, subscription)

    def _complain_invalid(self, message: str) -> None:
        if self._tries.has_room("invalid message", self._socket.now):
            self._complain(message, self.message_id)
            return
        self._complain("Too many invalid messages. Please reconnect and try again.", self.message_id)
        self._connection.close(_POLICY_VIOLATION, _RATE_LIMITED)

    def _complain(self, message: str, message_id: int) -> None:
        self._say({"type": "error", "message": message, "connection_id": self.id, "message_id": message_id})

    def _say(self, message: dict[str, Any]) -> None:
        self._connection.say(_encode(message))


class IndexerSocket:
    """All sessions, and who is subscribed to what."""

    def __init__(self, floor: Floor, bodies: Bodies, snapshot: Callable[[str, str], dict[str, Any]]) -> None:
        self._floor, self._bodies, self.snapshot = floor, bodies, snapshot
        self._sessions: dict[str, Session] = {}
        self._members: dict[tuple[str, str], dict[Session, Subscription]] = {}
        self._pending: list[tuple[Session, Subscription]] = []
        self._batches: dict[tuple[str, str], list[bytes]] = {}
        self._next_batch = 0
        self._num_opened = 0

    @property
    def now(self) -> int:
        """Return the exchange's time."""
        return self._floor.exchange.now

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one client until it leaves."""
        connection = Connection(self._floor, LABEL, request.path, _MANNERS, address=request.remote or "")
        self._num_opened += 1
        session = Session(self, connection, str(uuid5(NAMESPACE, f"connection-{self._num_opened}-{self.now}")))
        self._sessions[session.id] = session
        try:
            return await connection.serve(request, session.on_message, session.greet)
        finally:
            del self._sessions[session.id]
            for subscription in list(session.subscriptions.values()):
                self.leave(session, subscription)

    def has_members(self, channel: str, key: str) -> bool:
        """Return whether anybody is subscribed."""
        return bool(self._members.get((channel, key)))

    def keys(self, channel: str) -> list[str]:
        """Return the ids of a channel that somebody is subscribed to."""
        return [key for of, key in self._members if of == channel]

    def publish(self, channel: str, key: str, contents: dict[str, Any]) -> None:
        """Send an update to everybody who is subscribed, at once or with the next batch."""
        members = self._members.get((channel, key))
        if not members:
            return
        encoded = _encode(contents)
        is_batched = False
        for session, subscription in members.items():
            if subscription.is_batched and not subscription.is_pending:
                is_batched = True
            else:
                session.send(subscription, encoded, is_batch=False)
        if is_batched:
            self._batches.setdefault((channel, key), []).append(encoded)

    def turn(self) -> None:
        """Send the snapshots and batches that are due."""
        now = self.now
        due = [one for one in self._pending if one[1].due <= now]
        if due:
            self._pending = [one for one in self._pending if one[1].due > now]
            for session, subscription in due:
                if session.id in self._sessions:
                    session.settle(subscription)
        if now >= self._next_batch:
            self._next_batch = now + BATCH_NS
            batches, self._batches = self._batches, {}
            for name, updates in batches.items():
                contents = b"[" + b",".join(updates) + b"]"
                for session, subscription in self._members.get(name, {}).items():
                    if subscription.is_batched and not subscription.is_pending:
                        session.send(subscription, contents, is_batch=True)

    def join(self, session: Session, subscription: Subscription) -> None:
        """Let a subscription hear its channel, and its snapshot come when it is due."""
        name = (subscription.channel, subscription.key)
        session.subscriptions[name] = subscription
        self._members.setdefault(name, {})[session] = subscription
        self._pending.append((session, subscription))

    def leave(self, session: Session, subscription: Subscription) -> None:
        """End a subscription."""
        name = (subscription.channel, subscription.key)
        session.subscriptions.pop(name, None)
        members = self._members.get(name, {})
        members.pop(session, None)
        if not members:
            self._members.pop(name, None)

    def is_valid(self, channel: str, key: str) -> bool:
        """Return whether a channel has such an id."""
        if channel in (ORDERBOOK, TRADES):
            return key in self._bodies.pairs
        if channel == CANDLES:
            ticker, _, resolution = key.partition("/")
            return ticker in self._bodies.pairs and resolution in RESOLUTIONS
        if channel == SUBACCOUNTS:
            address, _, number = key.partition("/")
            return is_address(address) and number.isdecimal() and int(number) <= 128_000
        return True

    def state(self) -> list[dict[str, Any]]:
        """Return what is known of every session."""
        return [
            {
                "connection_id": session.id,
                "message_id": session.message_id,
                "subscriptions": [subscription.stream for subscription in session.subscriptions.values()],
            }
            for session in self._sessions.values()
        ]
