"""USDT-M's private streams: listen keys that expire, and what an account is told, in the venue's order."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from spyhop.clock import NS_PER_HOUR, NS_PER_MS
from spyhop.venuesim.binance import order_words as words
from spyhop.venuesim.binance.errors import NO_LISTEN_KEY
from spyhop.venuesim.binance.grid import Grid, fixed
from spyhop.venuesim.binance.streams import Session
from spyhop.venuesim.faults import FaultKind
from spyhop.venuesim.floor import Floor
from spyhop.venuesim.views import MarginMode
from spyhop.venuesim.words import Change, Execution, Order

LIFE_NS = NS_PER_HOUR
STREAM = "userData"
"""What faults call these streams, whatever the listen key is."""


class ListenKeys:
    """One key for each account, valid for an hour of the exchange's clock after it was last asked for or kept."""

    def __init__(self, seed: int) -> None:
        self._seed, self._made = seed, 0
        self._by_account: dict[str, tuple[str, int]] = {}

    def create(self, account: str, now: int) -> str:
        """Return the account's key, made or prolonged."""
        key = self._by_account.get(account, ("", 0))[0]
        if not key:
            self._made += 1
            key = f"{self._seed:08x}{self._made:08x}".ljust(64, "k")
        self._by_account[account] = (key, now + LIFE_NS)
        return key

    def keep(self, account: str, now: int) -> str:
        """Prolong and return the account's key; raise -1125 when there is none."""
        if account not in self._by_account:
            raise NO_LISTEN_KEY
        return self.create(account, now)

    def delete(self, account: str) -> None:
        """Forget the account's key."""
        self._by_account.pop(account, None)

    def expired(self, now: int, *, all_of_them: bool = False) -> list[tuple[str, str]]:
        """Return and forget the (account, key) pairs whose hour is over."""
        gone = [(account, key) for account, (key, end) in self._by_account.items() if all_of_them or now >= end]
        for account, _ in gone:
            del self._by_account[account]
        return gone

    def account(self, key: str) -> str | None:
        """Return whose valid key this is."""
        return next((account for account, (known, _) in self._by_account.items() if known == key), None)


class UserStreams:
    """Builds the events when things happen and sends them with the next publication, unless they are held back.

    Events of one account go out in order. A fill is told by TRADE_LITE at once, by ACCOUNT_UPDATE, then by
    ORDER_TRADE_UPDATE.
    """

    def __init__(self, floor: Floor, label: str, grids: Mapping[int, Grid], keys: ListenKeys) -> None:
        self._floor, self._label, self._grids, self.keys = floor, label, grids, keys
        self._sessions: dict[Session, dict[str, frozenset[str]]] = {}
        self._queue: list[tuple[str, str, bytes]] = []
        self._fills: dict[str, list[bytes]] = {}
        self._held: dict[str, int] = {}
        self._wallets: dict[tuple[str, str], Decimal] = {}

    def join(self, session: Session, key: str, events: frozenset[str] = frozenset()) -> None:
        """Send what the key's account is told to this socket too, or only the named events; a dead key is silent."""
        self._sessions.setdefault(session, {})[key] = events

    def leave(self, session: Session) -> None:
        """Forget a socket."""
        self._sessions.pop(session, None)

    def hold(self, account: str, until: int) -> None:
        """Send nothing to the account before `until`."""
        self._held[account] = until

    def on_order(self, order: Order, change: Change, execution: Execution | None) -> None:
        """Tell what happened to an order."""
        grid = self._grids.get(order.request.instrument)
        if grid is None:
            return
        account, now_ms = order.request.account, self._now_ms()
        if words.is_waiting(order):
            self._tell(account, "ALGO_UPDATE", _algo_update(order, grid, words.STATES[order.state], now_ms))
            return
        if change is Change.TRIGGERED:
            for state in ("TRIGGERING", "TRIGGERED"):
                self._tell(account, "ALGO_UPDATE", _algo_update(order, grid, state, now_ms))
        if execution is not None and change is Change.TRADE:
            self._tell(account, "TRADE_LITE", _trade_lite(order, execution, grid, now_ms))
        update = msgspec.json.encode(_order_update(order, change, execution, grid, now_ms))
        if execution is not None:
            self._fills.setdefault(account, []).append(update)
        else:
            self._queue.append((account, "ORDER_TRADE_UPDATE", update))
        if words.is_algo(order) and not order.is_open:
            self._after_fills(account)
            self._tell(account, "ALGO_UPDATE", _algo_update(order, grid, "FINISHED", now_ms))

    def on_account(self, account: str, change: Change, instruments: tuple[int, ...]) -> None:
        """Tell a change of balance, position or leverage."""
        if not any(number in self._grids for number in instruments) and instruments:
            return
        if change is Change.LEVERAGE:
            self._config(account, instruments)
        else:
            self._account(account, change, instruments)
        self._after_fills(account)

    def publish(self) -> None:
        """Send what waits; expire listen keys."""
        now = self._floor.exchange.now
        for account in list(self._fills):
            self._after_fills(account)
        waiting: list[tuple[str, str, bytes]] = []
        for account, name, frame in self._queue:
            if now < self._held.get(account, 0):
                waiting.append((account, name, frame))
            else:
                self._send(self.keys_of(account), name, frame)
        self._queue = waiting
        must = self._floor.faults.hit(FaultKind.LISTEN_KEY_EXPIRY, self._label, STREAM) is not None
        for _, key in self.keys.expired(now, all_of_them=must):
            body = {"e": "listenKeyExpired", "E": self._now_ms(), "listenKey": key}
            self._send({key}, "listenKeyExpired", msgspec.json.encode(body))

    def keys_of(self, account: str) -> set[str]:
        """Return the listen keys in use that belong to `account`."""
        return {key for keys in self._sessions.values() for key in keys if self.keys.account(key) == account}

    def _now_ms(self) -> int:
        return (self._floor.exchange.now + self._floor.faults.skew_ns(self._label)) // NS_PER_MS

    def _tell(self, account: str, name: str, body: Mapping[str, Any]) -> None:
        self._queue.append((account, name, msgspec.json.encode(body)))

    def _after_fills(self, account: str) -> None:
        self._queue.extend((account, "ORDER_TRADE_UPDATE", update) for update in self._fills.pop(account, ()))

    def _send(self, keys: set[str], name: str, frame: bytes) -> None:
        for session, joined in self._sessions.items():
            for key, wanted in joined.items():
                if key in keys and (not wanted or name in wanted):
                    whole = (
                        b'{"stream":"' + key.encode() + b'","data":' + frame + b"}" if session.is_combined else frame
                    )
                    session.connection.send(whole, STREAM)

    def _config(self, account: str, instruments: tuple[int, ...]) -> None:
        now_ms = self._now_ms()
        for number in instruments:
            view = self._floor.exchange.position(account, number)
            told = {"s": self._grids[number].instrument.symbol, "l": view.leverage}
            body = {"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ac": told}
            self._tell(account, "ACCOUNT_CONFIG_UPDATE", body)

    def _account(self, account: str, change: Change, instruments: tuple[int, ...]) -> None:
        exchange, now_ms = self._floor.exchange, self._now_ms()
        reasons = {Change.FUNDING: "FUNDING_FEE", Change.TRANSFER: "DEPOSIT"}
        quotes = {self._grids[number].instrument.quote for number in instruments}
        balances = []
        for balance in exchange.balances(account):
            before = self._wallets.get((account, balance.asset))
            self._wallets[account, balance.asset] = balance.wallet
            moved = before is None or before != balance.wallet
            if balance.asset not in quotes and (instruments or not moved):
                continue
            moves = change in reasons and before is not None
            moved_by = balance.wallet - (before or Decimal(0)) if moves else Decimal(0)
            balances.append(
                {
                    "a": balance.asset,
                    "wb": fixed(balance.wallet),
                    "cw": fixed(balance.cross_wallet),
                    "bc": fixed(moved_by) if moved_by else "0",
                }
            )
        positions = []
        for number in instruments:
            view = exchange.position(account, number)
            if change is Change.FUNDING and view.mode is MarginMode.CROSS:
                continue
            grid = self._grids[number]
            positions.append(
                {
                    "s": grid.instrument.symbol,
                    "pa": grid.qty(view.lots),
                    "ep": fixed(view.entry, 5),
                    "bep": fixed(view.entry, 5),
                    "cr": fixed(view.realized),
                    "up": fixed(view.unrealized),
                    "mt": "isolated" if view.mode is MarginMode.ISOLATED else "cross",
                    "iw": fixed(view.margin),
                    "ps": "BOTH",
                    "ma": grid.instrument.quote,
                }
            )
        told = {"m": reasons.get(change, "ORDER"), "B": balances, "P": positions}
        self._tell(account, "ACCOUNT_UPDATE", {"e": "ACCOUNT_UPDATE", "T": now_ms, "E": now_ms, "a": told})


def _order_update(order: Order, change: Change, execution: Execution | None, grid: Grid, now_ms: int) -> dict[str, Any]:
    asked, zero = order.request, grid.qty(0)
    name = words.TYPES[asked.kind] if not words.is_algo(order) else words.becomes(order)
    told: dict[str, Any] = {
        "s": grid.instrument.symbol,
        "c": asked.client_id,
        "S": asked.side.name,
        "o": name,
        "f": words.lasting_name(order),
        "q": grid.qty(order.lots),
        "p": grid.price(order.price),
        "ap": fixed(grid.average(order.tick_lots, order.filled), grid.price.decimals),
        "sp": grid.price(asked.trigger),
        "x": words.EXECUTION_TYPES[change],
        "X": words.STATES[order.state],
        "i": order.order_id,
        "l": grid.qty(execution.lots) if execution else zero,
        "z": grid.qty(order.filled),
        "L": grid.price(execution.price) if execution else grid.price(0),
        "n": fixed(execution.fee) if execution else "0",
        "N": grid.instrument.quote,
        "T": now_ms,
        "t": execution.trade_id if execution else 0,
        "b": "0",
        "a": "0",
        "m": execution.is_maker if execution else False,
        "R": asked.reduce_only,
        "wt": asked.extra.get("workingType", "CONTRACT_PRICE"),
        "ot": name,
        "ps": "BOTH",
        "cp": asked.close_position,
        "rp": fixed(execution.realized) if execution else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": asked.extra.get("selfTradePreventionMode", "EXPIRE_MAKER"),
        "pm": "NONE",
        "gtd": asked.expires // NS_PER_MS,
        "er": "0",
    }
    if words.callback_rate(order):
        told |= {"AP": asked.extra.get("activatePrice", "0"), "cr": words.callback_rate(order)}
    return {"e": "ORDER_TRADE_UPDATE", "T": now_ms, "E": now_ms, "o": told}


def _trade_lite(order: Order, execution: Execution, grid: Grid, now_ms: int) -> dict[str, Any]:
    return {
        "e": "TRADE_LITE",
        "E": now_ms,
        "T": now_ms,
        "s": grid.instrument.symbol,
        "q": grid.qty(order.lots),
        "p": grid.price(order.price),
        "m": execution.is_maker,
        "c": order.request.client_id,
        "S": order.request.side.name,
        "L": grid.price(execution.price),
        "l": grid.qty(execution.lots),
        "t": execution.trade_id,
        "i": order.order_id,
    }


def _algo_update(order: Order, grid: Grid, state: str, now_ms: int) -> dict[str, Any]:
    asked = order.request
    told = {
        "caid": asked.client_id,
        "aid": words.ALGO_BASE + order.order_id,
        "at": "CONDITIONAL",
        "o": words.TYPES[asked.kind],
        "s": grid.instrument.symbol,
        "S": asked.side.name,
        "ps": "BOTH",
        "f": words.lasting_name(order),
        "q": grid.qty(order.lots),
        "X": state,
        "ai": str(order.order_id) if state in ("TRIGGERED", "FINISHED") else "",
        "ap": fixed(grid.average(order.tick_lots, order.filled), 5),
        "aq": grid.qty(order.filled),
        "act": words.becomes(order) if order.triggered else "0",
        "tp": grid.price(asked.trigger),
        "p": grid.price(asked.price),
        "V": asked.extra.get("selfTradePreventionMode", "EXPIRE_MAKER"),
        "wt": asked.extra.get("workingType", "CONTRACT_PRICE"),
        "pm": "NONE",
        "cp": asked.close_position,
        "pP": False,
        "R": asked.reduce_only,
        "tt": order.triggered // NS_PER_MS,
        "gtd": asked.expires // NS_PER_MS,
    }
    if order.reason:
        told["rm"] = order.reason
    return {"e": "ALGO_UPDATE", "T": now_ms, "E": now_ms, "o": told}
