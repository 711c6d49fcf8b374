"""Faults on the way of orders: what a client sees of each, and what it learns when it asks the venue afterwards.

The client is a signed request and a user stream of Binance USDT-M and nothing else. The rule it follows is the one
that any client must: an error that says "unknown" is answered by asking for the order by its client id.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import threading
import urllib.error
import urllib.parse
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from benchmarks.venue_room import ask
from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.venues.endpoints import Endpoints
from spyhop.venuesim.keys import TEST_KEY

_SYMBOL = "BTCUSDT"
WRONG = "not as it should be"
_WAIT_S = 5.0  # of the machine
DELAY_S = 3.0
"""How far reply and event lie apart when a fault says so, market seconds."""


class OrderOutcome(msgspec.Struct, frozen=True):
    """What was seen; `after_s` is how long it took from sending the order to knowing the truth, market seconds."""

    name: str
    saw: str
    learned: str
    after_s: float
    verdict: str


class Reply(msgspec.Struct, frozen=True):
    """An answer of the venue and when it came."""

    status: int
    body: Any
    ts: int

    @property
    def text(self) -> str:
        """Return the answer in a few words."""
        if self.status >= 400:
            return f"{self.status} ({self.body['code']}): {self.body['msg'][:60]}"
        return f"{self.status} {self.body.get('status', '')}"


class Trader:
    """One account: signed requests, and the events of its user stream with the times they came at."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._rest, self._ws, self._admin = endpoints.binance_usdm.rest, endpoints.binance_usdm.ws, endpoints.admin
        self.clock = endpoints.clock.clock()
        self.events: list[tuple[int, dict[str, Any]]] = []
        self._came = threading.Condition()
        self._open = contextlib.ExitStack()
        self._reader: threading.Thread | None = None
        self._num_orders = 0

    def call(self, method: str, path: str, **params: Any) -> Reply:
        """Send a signed request."""
        query = urllib.parse.urlencode({**params, "timestamp": self.clock.now_ns() // NS_PER_MS, "recvWindow": 60_000})
        signature = hmac.new(TEST_KEY.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        url, headers = f"{self._rest}{path}?{query}&signature={signature}", {"X-MBX-APIKEY": TEST_KEY.key}
        try:
            return Reply(200, ask(url, method=method, headers=headers), self.clock.now_ns())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, json.loads(error.read()), self.clock.now_ns())

    def name(self) -> str:
        """Return a fresh client order id."""
        self._num_orders += 1
        return f"fault-{self._num_orders}"

    def market(self, name: str, quantity: str = "0.010") -> Reply:
        """Buy at market."""
        return self.call(
            "POST", "/fapi/v1/order", symbol=_SYMBOL, side="BUY", type="MARKET", quantity=quantity,
            newClientOrderId=name, newOrderRespType="RESULT",
        )  # fmt: skip

    def find(self, name: str) -> Reply:
        """Ask for an order by its client id."""
        return self.call("GET", "/fapi/v1/order", symbol=_SYMBOL, origClientOrderId=name)

    def held(self) -> Decimal:
        """Return the position."""
        rows = self.call("GET", "/fapi/v2/positionRisk", symbol=_SYMBOL).body
        return sum((Decimal(row["positionAmt"]) for row in rows), Decimal(0))

    def inject(self, kind: str, **about: Any) -> None:
        """Let a fault begin."""
        ask(f"{self._admin}/faults", method="POST", body=json.dumps({"kind": kind, **about}).encode())

    def listen(self) -> None:
        """Open the user stream, anew if one is open."""
        self.hang_up()
        key = ask(f"{self._rest}/fapi/v1/listenKey", method="POST", headers={"X-MBX-APIKEY": TEST_KEY.key})["listenKey"]
        socket = self._open.enter_context(connect(f"{self._ws}/private/ws?listenKey={key}", open_timeout=_WAIT_S))
        self._reader = threading.Thread(target=self._listen, args=(socket,), daemon=True)
        self._reader.start()

    def hang_up(self) -> None:
        """Close the user stream."""
        self._open.close()
        if self._reader is not None:
            self._reader.join(_WAIT_S)

    def event(self, kind: str, name: str = "") -> tuple[int, dict[str, Any]] | None:
        """Wait for an event of `kind` (about the order `name`) and return it with its time; None if none comes."""

        def found() -> tuple[int, dict[str, Any]] | None:
            for ts, body in self.events:
                if body["e"] == kind and (not name or body.get("o", {}).get("c") == name):
                    return ts, body
            return None

        with self._came:
            self._came.wait_for(lambda: found() is not None, _WAIT_S)
            return found()

    def _listen(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for message in socket:
                with self._came:
                    self.events.append((self.clock.now_ns(), json.loads(message)))
                    self._came.notify_all()


Scene = Callable[[Trader], OrderOutcome]


def _unknown_executed(trader: Trader) -> OrderOutcome:
    return _unknown(trader, "unknown_executed", expects_order=True, code=503)


def _unknown_lost(trader: Trader) -> OrderOutcome:
    return _unknown(trader, "unknown_lost", expects_order=False, code=503)


def _server_error(trader: Trader) -> OrderOutcome:
    return _unknown(trader, "server_error", expects_order=False, code=500)


def _unknown(trader: Trader, kind: str, *, expects_order: bool, code: int) -> OrderOutcome:
    trader.inject(kind, venue="binance-usdm", target="POST /fapi/v1/order", count=1)
    before, name, start = trader.held(), trader.name(), trader.clock.now_ns()
    saw = trader.market(name)
    asked = trader.find(name)
    after_s = (asked.ts - start) / NS_PER_S
    again = ""
    if asked.status == 400:  # nothing was executed: the same order may be sent again
        again = f"; sent again: {trader.market(name).text}"
    bought = trader.held() - before
    is_ok = saw.status == code and bought == Decimal("0.010") and (asked.status == 200) is expects_order
    return OrderOutcome(kind, saw.text, f"{asked.text}{again}; bought {bought}", after_s, _verdict(is_ok))


def _reject(trader: Trader) -> OrderOutcome:
    trader.inject("reject", venue="binance-usdm", target="POST /fapi/v1/order", code=-2019, count=1)
    before, name, start = trader.held(), trader.name(), trader.clock.now_ns()
    saw = trader.market(name)
    asked = trader.find(name)
    is_ok = (saw.body.get("code"), asked.body.get("code"), trader.held()) == (-2019, -2013, before)
    return OrderOutcome("reject", saw.text, asked.text, (asked.ts - start) / NS_PER_S, _verdict(is_ok))


def _partial_fill(trader: Trader) -> OrderOutcome:
    trader.inject("partial_fill", venue="binance-usdm", target="POST /fapi/v1/order", fraction=0.3, count=1)
    before, name, start = trader.held(), trader.name(), trader.clock.now_ns()
    saw = trader.market(name, "0.100")
    done = Decimal(saw.body.get("executedQty", "0"))
    asked = trader.find(name)
    bought = trader.held() - before
    is_ok = Decimal(0) < done <= Decimal("0.100") and Decimal(asked.body["executedQty"]) == bought
    told = f"{asked.text}, executed {asked.body['executedQty']} of {asked.body['origQty']}; bought {bought}"
    return OrderOutcome("partial_fill", f"{saw.text}, executed {done}", told, (asked.ts - start) / NS_PER_S,
                        _verdict(is_ok and done < Decimal("0.100")))  # fmt: skip


def _event_first(trader: Trader) -> OrderOutcome:
    return _ordered(trader, "event_first", sign=1)


def _reply_first(trader: Trader) -> OrderOutcome:
    return _ordered(trader, "reply_first", sign=-1)


def _ordered(trader: Trader, kind: str, *, sign: int) -> OrderOutcome:
    trader.inject(kind, venue="binance-usdm", target="POST /fapi/v1/order", delay_s=DELAY_S, count=1)
    name, start = trader.name(), trader.clock.now_ns()
    reply = trader.market(name)
    event = trader.event("ORDER_TRADE_UPDATE", name)
    if event is None:
        return OrderOutcome(kind, reply.text, "no event", -1.0, WRONG)
    apart_s = (reply.ts - event[0]) / NS_PER_S
    first = "event" if apart_s > 0 else "reply"
    told = f"{first} came first by {abs(apart_s):.2f} s"
    after_s = (max(reply.ts, event[0]) - start) / NS_PER_S
    return OrderOutcome(kind, reply.text, told, after_s, _verdict(apart_s * sign > DELAY_S / 3))


def _listen_key_expiry(trader: Trader) -> OrderOutcome:
    start = trader.clock.now_ns()
    trader.inject("listen_key_expiry", venue="binance-usdm", count=1)
    told = trader.event("listenKeyExpired")
    if told is None:
        return OrderOutcome("listen_key_expiry", "nothing", "nothing", -1.0, WRONG)
    unheard, heard = trader.name(), trader.name()
    trader.market(unheard)
    trader.listen()
    asked = trader.find(unheard)  # what happened in between is learned by asking
    trader.market(heard)
    event = trader.event("ORDER_TRADE_UPDATE", heard)
    missed = not any(body.get("o", {}).get("c") == unheard for _, body in trader.events)
    is_ok = asked.status == 200 and event is not None and missed
    learned = f"a new key; by asking: {asked.text}; next order {'heard' if event else 'not heard'}"
    return OrderOutcome("listen_key_expiry", "listenKeyExpired", learned, (told[0] - start) / NS_PER_S, _verdict(is_ok))


def _verdict(is_ok: object) -> str:
    return "ok" if is_ok else WRONG


SCENES: tuple[Scene, ...] = (
    _unknown_executed,
    _unknown_lost,
    _server_error,
    _reject,
    _partial_fill,
    _event_first,
    _reply_first,
    _listen_key_expiry,
)


def order_faults(endpoints: Endpoints) -> list[OrderOutcome]:
    """Return what became of an order under each fault, at a simulator that is there."""
    one = Trader(endpoints)
    one.listen()
    try:
        return [scene(one) for scene in SCENES]
    finally:
        one.hang_up()
