"""Binance's two private streams: USDT-M by listen key, spot by a signed subscription on the WebSocket API.

Both tell the events of `account_wire`. Neither numbers them, so a loss shows only as the end of a connection; events
told twice, as on two connections at a planned change, are known by what they say.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Hashable, Sequence
from typing import TypeAlias

import msgspec

from spyhop.clock import NS_PER_MINUTE
from spyhop.errors import ConnectionLost, Throttled, UnreadableLine, VenueError, VenueRefused, VenueUnavailable
from spyhop.venues.binance.account_wire import (
    ACCOUNT_EVENTS,
    AccountEvent,
    ListenKeyExpired,
    OrderTradeUpdate,
    TradeLite,
    account_event,
)
from spyhop.venues.binance.endpoints import private_url
from spyhop.venues.binance.spot_wire import ExecutionReport
from spyhop.venues.endpoints import BinanceEndpoints
from spyhop.venues.live.private_adapter import Heard
from spyhop.venues.net.https import meaning
from spyhop.venues.net.limits import BAN_S
from spyhop.venues.net.transport import Dial, Frame, Http, Socket
from spyhop.venues.net.urls import shown
from spyhop.venues.params import FeedParams

KEEP_NS = 30 * NS_PER_MINUTE
"""How often a listen key, which lives an hour, is prolonged."""
_NO_LISTEN_KEY = -1125
_GOING_AWAY = 1001
_LISTEN_KEY = "/fapi/v1/listenKey"
_FAREWELLS = frozenset({"serverShutdown", "eventStreamTerminated"})
_HOUR_S = 3_600.0

Identity: TypeAlias = tuple[object, ...]


class _Fault(msgspec.Struct):
    code: int = 0
    msg: str = ""


class _Answer(msgspec.Struct):
    """The answer to something we said, an event of the connection itself, or neither."""

    id: int | str | None = None
    status: int = 200
    error: _Fault | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    e: str = ""
    event: msgspec.Raw = msgspec.Raw(b"")

    @property
    def is_answer(self) -> bool:
        return self.id is not None or bool(self.result) or self.error is not None


class _Named(msgspec.Struct):
    e: str = ""


class _ServerTime(msgspec.Struct, rename="camel"):
    server_time: int


class _ListenKey(msgspec.Struct, rename="camel"):
    listen_key: str


_answers = msgspec.json.Decoder(_Answer)
_names = msgspec.json.Decoder(_Named)
_times = msgspec.json.Decoder(_ServerTime)
_listen_keys = msgspec.json.Decoder(_ListenKey)


def identity(event: AccountEvent) -> Identity:
    """Return what is equal for one event told on two connections; the time of sending is no part of it.

    A fill is known by symbol, trade id and order: both sides of a trade may be ours.
    """
    match event:
        case OrderTradeUpdate(order=order):
            if order.trade_id > 0:
                return ("fill", order.symbol, order.trade_id, order.order_id)
            state = (order.execution, order.status, order.filled_qty, order.qty, order.price)
            return ("order", order.symbol, order.order_id, event.ts_event, *state)
        case TradeLite():
            return ("lite", event.symbol, event.trade_id, event.order_id)
        case ExecutionReport():
            if event.trade_id >= 0:
                return ("fill", event.symbol, event.trade_id, event.order_id)
            told = (event.execution, event.status, event.filled_qty, event.qty, event.price)
            return ("order", event.symbol, event.order_id, event.ts_event, *told)
    is_stamped_twice = "ts_event" in event.__struct_fields__
    return (msgspec.json.encode(msgspec.structs.replace(event, ts=0) if is_stamped_twice else event),)


class ListenKeys:
    """The REST side of a USDT-M stream; `http` must send the header X-MBX-APIKEY, nothing is signed.

    The key belongs to the account, so it is never deleted: another process may listen by it.
    """

    def __init__(self, http: Http, rest: str) -> None:
        self._http, self._url = http, rest + _LISTEN_KEY

    async def create(self) -> str:
        """Return the account's listen key, made or prolonged; raise VenueError."""
        return await self._told("POST")

    async def keep(self) -> str:
        """Prolong and return the account's listen key; raise VenueError, VenueRefused (-1125) when there is none."""
        return await self._told("PUT")

    async def _told(self, method: str) -> str:
        answer = await self._http.request(method, self._url)
        try:
            return _listen_keys.decode(answer.body).listen_key
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise VenueUnavailable(shown(self._url), answer.status, "the answer holds no listen key") from None


class UsdmPrivate:
    """The user-data stream of a USDT-M account; a PrivateAdapter."""

    def __init__(
        self, endpoints: BinanceEndpoints, http: Http, params: FeedParams, *, name: str = "binance-usdm private"
    ) -> None:
        self.name, self.life_s = name, params.rollover_hours * _HOUR_S
        self._ws, self._keys = endpoints.ws, ListenKeys(http, endpoints.rest)

    async def join(self, dial: Dial, now: int) -> _UsdmConnection:
        """Ask for a listen key, open its stream and wait until it answers."""
        key = await self._keys.create()
        connection = _UsdmConnection(await dial(private_url(self._ws, key)), self.name, self._keys, key, now)
        try:
            # whatever it says: a stream that answers is up
            await connection.answer("LIST_SUBSCRIPTIONS")
        except BaseException:
            await connection.socket.close()
            raise
        return connection

    def identity(self, event: AccountEvent) -> Hashable:
        """Return what is equal for the same event told twice."""
        return identity(event)


class SpotPrivate:
    """The user data of a spot account, by a subscription that `key` and `secret` sign; a PrivateAdapter.

    `endpoints` are spot's; its WebSocket API tells of the account. The venue's own time is signed, so our clock may be
    wrong.
    """

    def __init__(
        self,
        endpoints: BinanceEndpoints,
        key: str,
        secret: str,
        params: FeedParams,
        *,
        name: str = "binance-spot private",
    ) -> None:
        self.name, self.life_s = name, params.rollover_hours * _HOUR_S
        self._url, self._key, self._secret = endpoints.ws_api, key, secret

    def __repr__(self) -> str:
        return f"SpotPrivate({self.name!r}, ***)"

    async def join(self, dial: Dial, now: int) -> _SpotConnection:
        """Open a connection, ask for the time and subscribe."""
        socket = await dial(self._url)
        connection = _SpotConnection(socket, self.name)
        try:
            told = await connection.ask("time", {})
            try:
                time_ms = _times.decode(told).server_time
            except (msgspec.MsgspecError, UnicodeDecodeError):
                raise VenueUnavailable(shown(self._url), 200, "the answer holds no time") from None
            await connection.ask("userDataStream.subscribe.signature", self._signed(time_ms))
        except BaseException:
            await socket.close()
            raise
        return connection

    def identity(self, event: AccountEvent) -> Hashable:
        """Return what is equal for the same event told twice."""
        return identity(event)

    def _signed(self, time_ms: int) -> dict[str, str | int]:
        signed = f"apiKey={self._key}&timestamp={time_ms}"
        signature = hmac.new(self._secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        return {"apiKey": self._key, "timestamp": time_ms, "signature": signature}


class _Connection:
    """What both have: frames to events, answers to what we said."""

    def __init__(self, socket: Socket, name: str) -> None:
        self.socket, self.name = socket, name
        self.early: Heard[AccountEvent] = Heard()
        self._num_said = 0

    async def answer(self, method: str, params: object = None) -> _Answer:
        """Say something and return the answer; what else comes until then is kept in `early`."""
        number = self._say(method, params)
        found: _Answer | None = None
        while found is None:
            for frame in await self.socket.frames():
                answer = _answer_in(frame.data)
                if found is None and answer is not None and answer.id == number:
                    found = answer
                else:
                    self._take(frame, self.early)
        return found

    def decode(self, frames: Sequence[Frame]) -> Heard[AccountEvent]:
        """Turn frames into events."""
        heard: Heard[AccountEvent] = Heard()
        for frame in frames:
            self._take(frame, heard)
        return heard

    def _take(self, frame: Frame, heard: Heard[AccountEvent]) -> None:
        try:
            event = account_event(frame.data)
        except UnreadableLine as unreadable:
            self._take_other(frame, unreadable.reason, heard)
            return
        if isinstance(event, ListenKeyExpired):
            if event.listen_key in ("", self._listen_key):
                heard.end = self._over("the listen key has expired")
            return
        heard.events.append((frame.ts_recv, event))

    def _take_other(self, frame: Frame, reason: str, heard: Heard[AccountEvent]) -> None:
        answer = _answer_in(frame.data)
        name = answer.e or _name_in(answer.event) if answer is not None else ""
        if name in _FAREWELLS:
            heard.end = self._over(name)
        elif name in ACCOUNT_EVENTS:
            # what happened to the account cannot be known from here on
            heard.set_aside.append((reason, frame.data))
            heard.end = self._over(f"an event {name} that cannot be read")
        elif answer is not None and answer.is_answer and not name:
            heard.ignored["answer" if answer.error is None else f"error {answer.error.code}"] += 1
        else:
            heard.set_aside.append((reason, frame.data))

    @property
    def _listen_key(self) -> str:
        return ""

    def _over(self, reason: str) -> ConnectionLost:
        return ConnectionLost(self.name, _GOING_AWAY, reason)

    def _say(self, method: str, params: object = None) -> int:
        self._num_said += 1
        words = {"method": method, "id": self._num_said}
        self.socket.send(msgspec.json.encode(words if params is None else {**words, "params": params}))
        return self._num_said


class _UsdmConnection(_Connection):
    """A socket of the route /private, and the key that it listens by."""

    def __init__(self, socket: Socket, name: str, keys: ListenKeys, key: str, now: int) -> None:
        super().__init__(socket, name)
        self._keys, self._key, self._ts_kept = keys, key, now

    @property
    def _listen_key(self) -> str:
        return self._key

    async def keep(self, now: int) -> None:
        """Make the venue answer, and prolong the key every half hour."""
        self._say("LIST_SUBSCRIPTIONS")
        if now - self._ts_kept < KEEP_NS:
            return
        try:
            key = await self._keys.keep()
        except VenueRefused as refused:
            if refused.code != _NO_LISTEN_KEY:
                raise
            raise self._over("the listen key is gone") from None
        if key != self._key:
            raise self._over("the listen key is no longer the account's")
        self._ts_kept = now


class _SpotConnection(_Connection):
    """A socket of the WebSocket API with a subscription."""

    async def ask(self, method: str, params: object) -> bytes:
        """Return the result of a call; raise VenueError."""
        answer = await self.answer(method, params)
        if answer.error is None and answer.status < 300:
            return bytes(answer.result)
        raise _refusal(self.name, answer.status, answer.error or _Fault())

    async def keep(self, now: int) -> None:
        """Make the venue answer."""
        self._say("ping")


def _refusal(name: str, status: int, fault: _Fault) -> VenueError:
    if status in BAN_S:
        return Throttled(name, status, BAN_S[status])
    return meaning("GET", name, status, fault.code, fault.msg)


def _answer_in(frame: bytes | msgspec.Raw) -> _Answer | None:
    try:
        return _answers.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _name_in(event: msgspec.Raw) -> str:
    try:
        return _names.decode(event).e if bytes(event) else ""
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
