"""Spot's user data on the WebSocket API: signed subscriptions, execution reports, account positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from spyhop.clock import NS_PER_MS
from spyhop.venuesim.binance import spot_words as words
from spyhop.venuesim.binance.errors import BinanceError
from spyhop.venuesim.binance.grid import Grid, fixed
from spyhop.venuesim.binance.signing import Keyring
from spyhop.venuesim.binance.user_stream import STREAM
from spyhop.venuesim.connection import Connection
from spyhop.venuesim.floor import Floor
from spyhop.venuesim.keys import ApiKey
from spyhop.venuesim.words import Change, Execution, Order

_LIMITS = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6_000, "count": 2}]


class Request(msgspec.Struct):
    """A call of the WebSocket API."""

    method: str
    id: int | str | None = None
    params: dict[str, Any] = {}


class SpotUser:
    """Who has subscribed to what is told to accounts, and the queue of it."""

    def __init__(self, floor: Floor, label: str, grids: Mapping[int, Grid], keyring: Keyring, prefix: str) -> None:
        self._floor, self._label, self._grids, self._keyring, self._prefix = floor, label, grids, keyring, prefix
        self._members: dict[Connection, dict[int, str]] = {}
        self._queue: list[tuple[str, bytes]] = []
        self._held: dict[str, int] = {}
        self._num_reports = 0

    def account_of(self, key: ApiKey) -> str:
        """Return the exchange's account of a key."""
        return self._prefix + key.account

    @property
    def num_subscriptions(self) -> int:
        return sum(len(subscriptions) for subscriptions in self._members.values())

    def leave(self, connection: Connection) -> None:
        """Forget a socket."""
        self._members.pop(connection, None)

    def hold(self, account: str, until: int) -> None:
        """Send nothing to the account before `until`."""
        self._held[account] = until

    def on_message(self, connection: Connection, message: bytes) -> None:
        """Answer a call."""
        try:
            request = msgspec.json.decode(message, type=Request)
        except msgspec.MsgspecError:
            error = {"code": -1000, "msg": "JSON sent could not be parsed."}
            connection.say(msgspec.json.encode({"id": None, "status": 400, "error": error}))
            return
        try:
            result = self._result(connection, request)
            body: dict[str, Any] = {"id": request.id, "status": 200, "result": result, "rateLimits": _LIMITS}
        except BinanceError as refusal:
            error = {"code": refusal.code, "msg": refusal.text}
            body = {"id": request.id, "status": refusal.status, "error": error, "rateLimits": _LIMITS}
        connection.say(msgspec.json.encode(body))

    def on_order(self, order: Order, change: Change, execution: Execution | None) -> None:
        """Queue the execution report."""
        grid = self._grids.get(order.request.instrument)
        if grid is not None:
            self._num_reports += 1
            told = words.report(order, change, execution, grid, self._now_ms(), self._num_reports)
            self._queue.append((order.request.account, msgspec.json.encode(told)))

    def on_account(self, account: str) -> None:
        """Queue what the account holds now."""
        now_ms = self._now_ms()
        held = [
            {"a": balance.asset, "f": fixed(balance.available), "l": fixed(balance.locked)}
            for balance in self._floor.exchange.balances(account)
        ]
        told = {"e": "outboundAccountPosition", "E": now_ms, "u": now_ms, "B": held}
        self._queue.append((account, msgspec.json.encode(told)))

    def publish(self) -> None:
        """Send what waits."""
        now = self._floor.exchange.now
        waiting: list[tuple[str, bytes]] = []
        for account, event in self._queue:
            if now < self._held.get(account, 0):
                waiting.append((account, event))
                continue
            for connection, subscriptions in self._members.items():
                for number, member in subscriptions.items():
                    if member == account:
                        frame = b'{"subscriptionId":' + str(number).encode() + b',"event":' + event + b"}"
                        connection.send(frame, STREAM)
        self._queue = waiting

    def _now_ms(self) -> int:
        return (self._floor.exchange.now + self._floor.faults.skew_ns(self._label)) // NS_PER_MS

    def _result(self, connection: Connection, request: Request) -> object:
        if request.method == "ping":
            return {}
        if request.method == "time":
            return {"serverTime": self._now_ms()}
        subscriptions = self._members.setdefault(connection, {})
        if request.method == "userDataStream.subscribe.signature":
            owner = self._keyring.check_call(request.params, self._now_ms())
            number = max(subscriptions, default=-1) + 1
            subscriptions[number] = self.account_of(owner)
            return {"subscriptionId": number}
        if request.method == "userDataStream.unsubscribe":
            one = request.params.get("subscriptionId")
            for gone in [one] if one is not None else list(subscriptions):
                subscriptions.pop(gone, None)
            return {}
        raise BinanceError(-1000, f"Unknown method {request.method}.")
