"""What a venue knows of an account after a run, in its own words, and where the ledger and the desk say otherwise.

The requests are made here, not by the client under test.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.chaos_child import read_tickets
from benchmarks.chaos_life import Job
from benchmarks.chaos_script import WINDOW_S
from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.execution.account import Account
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Fill, OrderChanged, OrderStatus
from spyhop.model.verdicts import Approved
from spyhop.storage.database import Ledger
from spyhop.storage.journal import read_facts
from spyhop.venues.desk.log import DeskLog, Known, Record, Taken
from spyhop.wiring.accounts import account_of, desk_folder
from spyhop.wiring.plan import LiveSource
from spyhop.wiring.records import LEDGER_FILE, ledger_url

BARE_S = 15.0
"""How long, market seconds, a position may be without a stop once everything is quiet.

An order that was on its way at a kill is known only when no request for it can arrive any more, after 1.2 windows, and
what it brought is closed or armed then; the rest is for a machine whose every second is twelve of the market. A close
takes no part of it: the stop stands until the close has filled.
"""
_STOPS = ("STOP_MARKET", "STOP", "TRAILING_STOP_MARKET")
_ENDS = {
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELLED,
    "EXPIRED": OrderStatus.EXPIRED,
    "REJECTED": OrderStatus.REJECTED,
}


class Order(msgspec.Struct):
    """An order as the venue tells it; `venue_id` is that of the book's order, times are nanoseconds."""

    client_id: str
    venue_id: int
    instrument: int
    side: int
    lots: int
    filled: int
    status: OrderStatus | None
    created: int
    updated: int
    is_stop: bool


class Trade(msgspec.Struct, frozen=True):
    """A fill as the venue tells it."""

    trade_id: str
    venue_id: int
    instrument: int
    side: int
    lots: int
    price: int
    ts: int


class Word(msgspec.Struct):
    """All that the venue says of one account."""

    orders: list[Order]
    trades: list[Trade]
    positions: dict[int, int]


class Asking:
    """Signed questions to the venue."""

    def __init__(self, job: Job) -> None:
        source = job.plan.source
        assert isinstance(source, LiveSource)
        self._job, self._rest, self._clock = job, source.endpoints.binance_usdm.rest, source.endpoints.clock.clock()

    def get(self, path: str, *, is_patient: bool = True, **params: Any) -> Any:
        """Return the answer to a signed GET; who is patient waits while shut out."""
        query = urllib.parse.urlencode({**params, "timestamp": self._clock.now_ns() // NS_PER_MS, "recvWindow": 60_000})
        signature = hmac.new(self._job.api_secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        url = f"{self._rest}{path}?{query}&signature={signature}"
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, headers={"X-MBX-APIKEY": self._job.api_key})
            ) as said:
                return json.load(said)
        except urllib.error.HTTPError as error:
            with error:
                if error.code not in (418, 429) or not is_patient:
                    raise
                wait_s = float(error.headers.get("Retry-After", "1"))
        asyncio.run(self._clock.sleep(wait_s + 0.1))
        return self.get(path, **params)

    def unintended(self) -> Iterable[str]:
        """Say which orders are at the venue now and not in the ledger; nothing when the venue does not answer."""
        names: set[str] = set()
        try:
            for one in self._job.plan.session.instruments:
                asked = {"symbol": one.symbol, "limit": 1_000}
                names |= {body["clientOrderId"] for body in self.get("/fapi/v1/allOrders", is_patient=False, **asked)}
                names |= {
                    body["clientAlgoId"] for body in self.get("/fapi/v1/allAlgoOrders", is_patient=False, **asked)
                }
        except OSError:
            pass
        # read by hand: a Ledger would migrate a database that somebody else may be writing to
        with contextlib.closing(sqlite3.connect(self._job.plan.folder.parent / LEDGER_FILE, timeout=10.0)) as database:
            known = {name for (name,) in database.execute("SELECT client_order_id FROM orders")} if names else set()
        for name in sorted(names - known):
            yield f"intent: {name} was at the venue before the ledger had it"

    def word(self) -> Word:
        """Ask for everything."""
        orders: dict[int, Order] = {}
        trades: list[Trade] = []
        for one in self._job.plan.session.instruments:
            asked = {"symbol": one.symbol, "limit": 1_000}
            for body in self.get("/fapi/v1/allAlgoOrders", **asked):
                order = _algo(one, body)
                orders[order.venue_id] = order
            for body in self.get("/fapi/v1/allOrders", **asked):
                order = _plain(one, body)
                was = orders.get(order.venue_id)
                if was is not None:
                    # a conditional order that became one of the book: when it was made counts, and whether it stops
                    order.created, order.is_stop = was.created, was.is_stop
                orders[order.venue_id] = order
            trades += [_trade(one, body) for body in self.get("/fapi/v1/userTrades", **asked)]
        numbers = {one.symbol: one for one in self._job.plan.session.instruments}
        positions = {
            numbers[body["symbol"]].id: numbers[body["symbol"]].to_lots(body["positionAmt"])
            for body in self.get("/fapi/v2/positionRisk")
            if body["symbol"] in numbers
        }
        return Word(list(orders.values()), sorted(trades, key=lambda trade: (trade.ts, int(trade.trade_id))), positions)


def _algo(one: Instrument, body: dict[str, Any]) -> Order:
    return Order(
        body["clientAlgoId"],
        int(body["algoId"]) - 1_000_000_000_000_000,
        one.id,
        1 if body["side"] == "BUY" else -1,
        one.to_lots(body["quantity"]),
        one.to_lots(body.get("actualQty", "0")),
        _ENDS.get(body["algoStatus"]),
        int(body["createTime"]) * NS_PER_MS,
        int(body["updateTime"]) * NS_PER_MS,
        body["orderType"] in _STOPS,
    )


def _plain(one: Instrument, body: dict[str, Any]) -> Order:
    return Order(
        body["clientOrderId"],
        int(body["orderId"]),
        one.id,
        1 if body["side"] == "BUY" else -1,
        one.to_lots(body["origQty"]),
        one.to_lots(body["executedQty"]),
        _ENDS.get(body["status"]),
        int(body["time"]) * NS_PER_MS,
        int(body["updateTime"]) * NS_PER_MS,
        is_stop=False,
    )


def _trade(one: Instrument, body: dict[str, Any]) -> Trade:
    return Trade(
        str(body["id"]),
        int(body["orderId"]),
        one.id,
        1 if body["side"] == "BUY" else -1,
        one.to_lots(body["qty"]),
        one.to_ticks(body["price"]),
        int(body["time"]) * NS_PER_MS,
    )


class Findings(msgspec.Struct):
    """What was compared and what was wrong; `bare_s` is the longest time without a stop in quiet, market seconds."""

    violations: list[str]
    num_orders: int = 0
    num_fills: int = 0
    num_trips: int = 0
    bare_s: float = 0.0


def compare(job: Job, word: Word, quiet: int) -> Findings:
    """Compare the venue's word with ledger, journal, desk and approvals; `quiet` is when kills and faults had ended."""
    ledger = Ledger(ledger_url(job.plan))
    try:
        session = job.plan.session.id
        steps = [entry.message for entry in ledger.entries(session, OrderChanged)]
        booked = [entry.message for entry in ledger.entries(session, Fill)]
        fills = ledger.fills(session)
        held = ledger.positions(session)
        journal = read_facts(job.plan.folder)
        num_entries = len(ledger.entries(session))
    finally:
        ledger.close()
    newest: dict[str, OrderChanged] = {}
    for step in steps:
        assert isinstance(step, OrderChanged)
        newest[step.client_order_id] = step
    wrong = [
        *_flat(word, held),
        *_orders(word, newest),
        *_fills(word, [fill for fill in booked if isinstance(fill, Fill)], fills),
        *_desk(job, word, newest),
        *_limits(job, word, newest),
    ]
    if len(journal) != num_entries:
        wrong.append(f"journal: {len(journal)} entries, the database has {num_entries}")
    bare_s = _bare_s(job, word, quiet)
    if bare_s > BARE_S:
        wrong.append(f"stop: a position was without one for {bare_s:.1f} s")
    num_trips = sum(type(entry.message).__name__ == "TradeClosed" for entry in journal)
    return Findings(wrong, len(word.orders), len(word.trades), num_trips, bare_s)


def _flat(word: Word, held: dict[int, int]) -> Iterable[str]:
    for instrument, lots in word.positions.items():
        if lots:
            yield f"position: the venue holds {lots} lots of {instrument}"
        if lots != held.get(instrument, 0):
            yield f"position: {instrument}: venue {lots}, ledger {held.get(instrument, 0)}"
    for order in word.orders:
        if order.status is None:
            yield f"open: {order.client_id} is still open at the venue"


def _orders(word: Word, newest: dict[str, OrderChanged]) -> Iterable[str]:
    for name, count in Counter(order.client_id for order in word.orders).items():
        if count > 1:
            yield f"twice: {name} is at the venue {count} times"
    theirs = {order.client_id: order for order in word.orders}
    for name, order in theirs.items():
        ours = newest.get(name)
        if ours is None:
            yield f"stranger: {name} is at the venue and not in the ledger"
        elif (ours.status, ours.filled) != (order.status, order.filled):
            yield f"order: {name}: venue {order.status} {order.filled}, ledger {ours.status} {ours.filled}"
    for name, ours in newest.items():
        if name not in theirs and (
            ours.filled or ours.status not in (OrderStatus.REJECTED, OrderStatus.CANCELLED, OrderStatus.EXPIRED)
        ):
            yield f"absent: {name}: ledger {ours.status} {ours.filled}, the venue never had it"


def _fills(word: Word, booked: Sequence[Fill], projected: Sequence[Fill]) -> Iterable[str]:
    theirs = {(trade.instrument, trade.trade_id): trade for trade in word.trades}
    for key, count in Counter((fill.instrument, fill.fill_id) for fill in booked).items():
        if count > 1:
            yield f"fill: {key} is booked {count} times"
    if len(projected) != len(booked):
        yield f"fill: {len(booked)} entries, {len(projected)} rows"
    ours = {(fill.instrument, fill.fill_id): fill for fill in booked}
    names = {order.venue_id: order.client_id for order in word.orders}
    for key in sorted(theirs.keys() | ours.keys()):
        trade, fill = theirs.get(key), ours.get(key)
        if trade is None:
            yield f"fill: {key} is in the ledger and not at the venue"
        elif fill is None:
            yield f"fill: {key} of {names.get(trade.venue_id)} is lost"
        else:
            told = (names.get(trade.venue_id), trade.side, trade.lots, trade.price)
            if told != (fill.client_order_id, int(fill.side), fill.lots, fill.price):
                yield f"fill: {key}: venue {told}, ledger {fill}"


def _desk(job: Job, word: Word, newest: dict[str, OrderChanged]) -> Iterable[str]:
    instruments = {one.id: one for one in job.plan.session.instruments}
    account = folded(desk_folder(job.plan, account_of(job.plan.session.instruments[0])), instruments)
    if account.alive:
        yield f"desk: {sorted(account.alive)} are alive in its log"
    if account.num_overfills:
        yield f"desk: {account.num_overfills} fills beyond their orders"
    for instrument, lots in word.positions.items():
        if account.lots.get(instrument, 0) != lots:
            yield f"desk: {instrument}: venue {lots}, log {account.lots.get(instrument, 0)}"
    for order in word.orders:
        own = account.orders.get(order.client_id)
        if own is None:
            yield f"desk: {order.client_id} left without a note in its log"
        elif (own.status, own.filled) != (order.status, order.filled):
            yield f"desk: {order.client_id}: venue {order.status} {order.filled}, log {own.status} {own.filled}"
    for name in account.orders.keys() - newest.keys():
        yield f"desk: {name} was taken and is not in the ledger"


def folded(folder: Path, instruments: dict[int, Instrument]) -> Account:
    """Return the account that a desk's log comes to."""
    account = Account(instruments)

    def fold(record: Record) -> None:
        match record:
            case Taken():
                account.take(record.command, record.reference)
            case Known():
                account.know(record.instrument, record.venue_order_id, record.client_order_id)
            case _:
                if account.news(record) is None:
                    account.num_overfills += 1
                account.hear(record)

    DeskLog(folder, fold).close()
    return account


def _limits(job: Job, word: Word, newest: dict[str, OrderChanged]) -> Iterable[str]:
    approved = {ticket.seq: ticket for ticket in read_tickets(job.plan.folder) if isinstance(ticket, Approved)}
    entries: Counter[int] = Counter()
    for order in word.orders:
        if (ours := newest.get(order.client_id)) is None:
            continue
        ticket = approved.get(ours.order.intent_seq)
        if ticket is None:
            yield f"limit: {order.client_id} stands for no approval"
            continue
        if order.lots > ticket.lots:
            yield f"limit: {order.client_id} has {order.lots} lots, {ticket.lots} were approved"
        if not ours.order.reduce_only:
            entries[ticket.seq] += 1
            asked = job.plan.settings.desk.requests
            age_s = (order.created - ticket.ts) / NS_PER_S
            # it may not leave when it is older than the first, and may be on its way for as long as the others
            if age_s > asked.max_age_s + asked.request_s + WINDOW_S:
                yield f"limit: {order.client_id} entered {age_s:.1f} s after its approval"
    for seq, count in entries.items():
        if count > 1:
            yield f"limit: approval {seq} was used {count} times"
    most: dict[int, int] = {}
    for ticket in approved.values():
        number = ticket.intent.instrument
        most[number] = max(most.get(number, 0), ticket.lots)
    lots: Counter[int] = Counter()
    for trade in word.trades:
        lots[trade.instrument] += trade.side * trade.lots
        if abs(lots[trade.instrument]) > most.get(trade.instrument, 0):
            yield f"limit: {lots[trade.instrument]} lots of {trade.instrument} were held at once"


def _bare_s(job: Job, word: Word, quiet: int) -> float:
    """Return the longest time from `quiet` on in which a position stood without stops for all of it."""
    end = job.plan.session.started + round(job.end_s * NS_PER_S)
    longest = 0
    for one in job.plan.session.instruments:
        trades = [trade for trade in word.trades if trade.instrument == one.id]
        stops = [order for order in word.orders if order.instrument == one.id and order.is_stop]
        marks = {quiet, end, *(trade.ts for trade in trades)}
        marks |= {ts for order in stops for ts in (order.created, order.updated)}
        since = 0
        for ts in sorted(mark for mark in marks if quiet <= mark <= end):
            lots = sum(trade.side * trade.lots for trade in trades if trade.ts <= ts)
            alive = (order for order in stops if order.created <= ts and (order.status is None or ts < order.updated))
            covered = sum(order.lots for order in alive if order.side * lots < 0)
            if since:
                longest = max(longest, ts - since)
            since = (since or ts) if covered < abs(lots) else 0
    return longest / NS_PER_S
