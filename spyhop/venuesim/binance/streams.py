"""Stream names, the route each belongs to, and who has subscribed; a frame is made once for all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from spyhop.venuesim.binance.messages import INTERVALS_S
from spyhop.venuesim.connection import Connection


class Route(StrEnum):
    """Which of the venue's sockets. Only USDT-M has several; a stream on a wrong one is acknowledged and silent."""

    PUBLIC = "public"
    MARKET = "market"
    PRIVATE = "private"
    ANY = "any"  # spot


class Topic(StrEnum):
    """What a stream tells."""

    AGG_TRADE = "aggTrade"
    TRADE = "trade"
    BOOK_TICKER = "bookTicker"
    DEPTH = "depth"
    PARTIAL_DEPTH = "partialDepth"
    KLINE = "kline"
    MARK_PRICE = "markPrice"
    FORCE_ORDER = "forceOrder"
    TICKER = "ticker"
    MINI_TICKER = "miniTicker"


ON_PUBLIC = frozenset({Topic.TRADE, Topic.BOOK_TICKER, Topic.DEPTH, Topic.PARTIAL_DEPTH})
FUTURES_ONLY = frozenset({Topic.MARK_PRICE, Topic.FORCE_ORDER})
ALL = -1
"""The instrument of a stream of all instruments."""

_PLAIN = {
    "aggTrade": Topic.AGG_TRADE,
    "trade": Topic.TRADE,
    "bookTicker": Topic.BOOK_TICKER,
    "forceOrder": Topic.FORCE_ORDER,
    "ticker": Topic.TICKER,
    "miniTicker": Topic.MINI_TICKER,
}
_ALL = {
    "!bookTicker": (Topic.BOOK_TICKER, 0),
    "!markPrice@arr": (Topic.MARK_PRICE, 3_000),
    "!markPrice@arr@1s": (Topic.MARK_PRICE, 1_000),
    "!forceOrder@arr": (Topic.FORCE_ORDER, 1_000),
    "!ticker@arr": (Topic.TICKER, 1_000),
    "!miniTicker@arr": (Topic.MINI_TICKER, 1_000),
}
_DEPTH = re.compile(r"depth(5|10|20)?(?:@(0|100|250|500|1000)ms)?")
_MARK = re.compile(r"markPrice(@1s)?")


class Stream:
    """One stream by its name: `every_ms` is its pace (0 = as it happens), `argument` an interval or a depth."""

    def __init__(self, name: str, topic: Topic, instrument: int, every_ms: int = 0, argument: str = "") -> None:
        self.name, self.topic, self.instrument = name, topic, instrument
        self.every_ms, self.argument = every_ms, argument
        self.members: dict[Session, None] = {}
        self.slot = -1
        """Which period of its pace it was last sent in."""
        self.seen = 0
        """From when on it has to be told: a bar's opening time."""
        self.told: dict[int, object] = {}
        """What was last sent of it, by instrument (ALL where it has but one)."""
        self._head = b'{"stream":"' + name.encode() + b'","data":'

    @property
    def route(self) -> Route:
        return Route.PUBLIC if self.topic in ON_PUBLIC else Route.MARKET

    def is_due(self, now_ms: int) -> bool:
        """Return whether a new period of its pace has begun, and take note."""
        slot = now_ms // self.every_ms
        if slot == self.slot:
            return False
        self.slot = slot
        return True

    def send(self, frame: bytes) -> None:
        """Send `frame` to all who subscribed, wrapped for those whose socket is combined."""
        wrapped = None
        for session in self.members:
            if session.is_combined:
                if wrapped is None:
                    wrapped = self._head + frame + b"}"
                session.connection.send(wrapped, self.name)
            else:
                session.connection.send(frame, self.name)


class Session:
    """A client's socket on one route."""

    def __init__(self, connection: Connection, route: Route, is_combined: bool) -> None:
        self.connection, self.route, self.is_combined = connection, route, is_combined


class Streams:
    """All streams that somebody has subscribed to. `symbols` gives the instrument of a symbol in lower case."""

    def __init__(self, symbols: Mapping[str, int], *, is_spot: bool) -> None:
        self._symbols, self._is_spot = symbols, is_spot
        self._by_name: dict[str, Stream] = {}
        self._by_topic: dict[tuple[Topic, int], list[Stream]] = {}
        self.timed: list[Stream] = []
        """Those that have a pace."""

    def of(self, topic: Topic, instrument: int) -> list[Stream]:
        """Return the streams of a topic about an instrument (or ALL)."""
        return self._by_topic.get((topic, instrument), _NONE)

    def subscribe(self, session: Session, name: str) -> None:
        """Note the subscription; an unknown stream or one of another route is taken and stays silent."""
        session.connection.streams[name] = None
        stream = self._by_name.get(name) or self._parsed(name)
        if stream is None or session.route not in (stream.route, Route.ANY):
            return
        if name not in self._by_name:
            self._by_name[name] = stream
            self._by_topic.setdefault((stream.topic, stream.instrument), []).append(stream)
            if stream.every_ms:
                self.timed.append(stream)
        stream.members[session] = None

    def unsubscribe(self, session: Session, name: str) -> None:
        """Forget the subscription; one that is not there is no error."""
        session.connection.streams.pop(name, None)
        stream = self._by_name.get(name)
        if stream is None:
            return
        stream.members.pop(session, None)
        if not stream.members:
            del self._by_name[name]
            self._by_topic[stream.topic, stream.instrument].remove(stream)
            if stream.every_ms:
                self.timed.remove(stream)

    def leave(self, session: Session) -> None:
        """Forget all subscriptions of a socket that is gone."""
        for name in list(session.connection.streams):
            self.unsubscribe(session, name)

    def names(self) -> Iterable[str]:
        """Return the streams that are sent to somebody."""
        return self._by_name.keys()

    def _parsed(self, name: str) -> Stream | None:
        if name in _ALL:
            topic, every_ms = _ALL[name]
            return None if self._is_spot and topic in FUTURES_ONLY else Stream(name, topic, ALL, every_ms)
        symbol, _, rest = name.partition("@")
        instrument = self._symbols.get(symbol)
        if instrument is None:
            return None
        stream = self._one(name, rest, instrument)
        return None if stream is None or (self._is_spot and stream.topic in FUTURES_ONLY) else stream

    def _one(self, name: str, rest: str, instrument: int) -> Stream | None:
        slow = 1_000 if self._is_spot else 2_000
        if (plain := _PLAIN.get(rest)) is not None:
            paces = {Topic.TICKER: slow, Topic.MINI_TICKER: slow, Topic.FORCE_ORDER: 1_000}
            return Stream(name, plain, instrument, paces.get(plain, 0))
        if depth := _DEPTH.fullmatch(rest):
            every_ms = max(int(depth[2] or (1_000 if self._is_spot else 250)), 1)
            return (
                Stream(name, Topic.PARTIAL_DEPTH, instrument, every_ms, depth[1])
                if depth[1]
                else Stream(name, Topic.DEPTH, instrument)
            )
        if mark := _MARK.fullmatch(rest):
            return Stream(name, Topic.MARK_PRICE, instrument, 1_000 if mark[1] else 3_000)
        kind, _, interval = rest.partition("_")
        if kind == "kline" and interval in INTERVALS_S:
            return Stream(name, Topic.KLINE, instrument, 250, interval)
        return None


_NONE: list[Stream] = []


class Command(msgspec.Struct):
    """What a client says on a market socket."""

    method: str
    params: list[object] = []
    id: int | str | None = None


class Control:
    """Answers SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY and GET_PROPERTY of one socket."""

    MAX_STREAMS = 1_024

    def __init__(self, streams: Streams, session: Session) -> None:
        self._streams, self._session = streams, session

    def on_message(self, message: bytes) -> None:
        """Do what the message asks and answer it."""
        try:
            command = msgspec.json.decode(message, type=Command)
        except msgspec.MsgspecError as error:
            self._say({"error": {"code": 2, "msg": f"Invalid request: {error}"}})
            return
        connection, names = self._session.connection, [str(name) for name in command.params]
        result: object = None
        if command.method == "SUBSCRIBE":
            if len(connection.streams) + len(names) > self.MAX_STREAMS:
                connection.close(1008, "Too many streams")
                return
            for name in names:
                self._streams.subscribe(self._session, name)
        elif command.method == "UNSUBSCRIBE":
            for name in names:
                self._streams.unsubscribe(self._session, name)
        elif command.method == "LIST_SUBSCRIPTIONS":
            result = list(connection.streams)
        elif command.method == "SET_PROPERTY" and len(names) == 2 and names[0] == "combined":
            self._session.is_combined = command.params[1] is True
        elif command.method == "GET_PROPERTY" and names == ["combined"]:
            result = self._session.is_combined
        else:
            self._say({"code": 2, "msg": f"Invalid request: unknown method {command.method}", "id": command.id})
            return
        self._say({"result": result, "id": command.id})

    def _say(self, body: object) -> None:
        self._session.connection.say(msgspec.json.encode(body))
