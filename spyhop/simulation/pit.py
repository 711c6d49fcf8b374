"""What the simulated venue knows of one instrument, and the compiled loop that folds the tape into it.

The loop stops only after an event that may concern an order or a position of ours; until then it costs what the
book costs. What our aggressive orders took stays taken until the tape tells that very level anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spyhop.market import book, sequence, top
from spyhop.market.book import BOOK
from spyhop.market.sequence import SEQUENCE
from spyhop.market.top import TOP
from spyhop.model.tape import Flag, Kind, Status
from spyhop.numerics._jit import kernel

MAX_TAKEN = 512
MAX_WATCHED = 32
UNSEEN = -1
_FAR_FUTURE = 1 << 62

_TRADE, _QUOTE, _LEVEL, _SNAPSHOT = int(Kind.TRADE), int(Kind.QUOTE), int(Kind.LEVEL), int(Kind.SNAPSHOT)
_MARK, _FUNDING, _STATUS = int(Kind.MARK), int(Kind.FUNDING), int(Kind.STATUS)
_SETTLED = int(Flag.SETTLED)
_GAP, _DISCONNECTED, _SHED = int(Status.GAP), int(Status.DISCONNECTED), int(Status.SHED)

PIT = np.dtype(
    [
        ("book", BOOK),
        ("sequence", SEQUENCE),
        ("top", TOP),
        ("last", "i8"),  # newest trade, ticks; 0 before any
        ("mark", "i8"),  # ticks; the newest trade while no mark was ever told
        ("has_mark", "i8"),
        ("funding_due", "i8"),  # the stamp that the newest prediction is for
        ("funding_rate", "i8"),  # 1e-12
        ("funding_paid", "i8"),  # the newest stamp that was paid
        ("payable_stamp", "i8"),  # what the event that stopped the loop pays
        ("payable_rate", "i8"),
        # what to stop for, ticks; 0 = nothing
        ("rest_bid", "i8"),
        ("rest_ask", "i8"),
        ("last_up", "i8"),
        ("last_down", "i8"),
        ("mark_up", "i8"),
        ("mark_down", "i8"),
        ("has_position", "i8"),
        ("num_watched", "i8"),
        ("watched", "i8", (MAX_WATCHED,)),  # levels, bids above 0 and asks below 0
        ("num_taken", "i8"),
        ("taken_at", "i8", (MAX_TAKEN,)),  # likewise
        ("taken_lots", "i8", (MAX_TAKEN,)),
        ("num_bad", "i8"),
    ],
    align=True,
)


@kernel
def fold(pits: Any, slots: Any, events: Any, start: int, until: int) -> tuple[int, int]:
    """Fold events[start:] with ts_recv < `until` into `pits`; `slots` says which pit an instrument has (-1: none).

    Return the index of the first event not folded, and the pit that the event before it concerns or -1.
    """
    i = start
    n = len(events)
    while i < n:
        e = events[i]
        if e.ts_recv >= until:
            return i, -1
        slot = slots[e.instrument] if e.instrument < len(slots) else -1
        if slot < 0:
            i += 1
            continue
        p = pits[slot]
        kind = e.kind
        if kind == _LEVEL:
            stop, has_changed = sequence.on_levels(p.sequence, p.book, events, i)
            if has_changed:
                top.on_book(p.top, e.ts_recv, p.book, p.sequence.last_id)
                if (p.num_taken > 0 or p.num_watched > 0) and _concerns(p, events, i, stop):
                    return stop, slot
            i = stop
            continue
        i += 1
        if _on_row(p, e, kind):
            return i, slot
    return i, -1


@kernel
def _on_row(p: Any, e: Any, kind: int) -> bool:
    if kind == _TRADE:
        return _on_trade(p, e.price, e.qty)
    if kind == _MARK:
        return _on_mark(p, e.price)
    if kind == _FUNDING:
        return _on_funding(p, e.id, e.aux, (e.flags & _SETTLED) != 0)
    if kind == _QUOTE:
        _on_quote(p, e)
    elif kind == _SNAPSHOT:
        p.num_taken = 0
        if sequence.on_snapshot(p.sequence, p.book, e.ts_recv, e.id, e.qty):
            top.on_book(p.top, e.ts_recv, p.book, p.sequence.last_id)
    elif kind == _STATUS:
        _on_status(p, e.aux)
    return False


@kernel
def _on_status(p: Any, status: int) -> None:
    if status in (_GAP, _DISCONNECTED, _SHED):
        sequence.mark_gap(p.sequence, p.book)
        top.reset(p.top)


@kernel
def _on_trade(p: Any, price: int, qty: int) -> bool:
    if price <= 0 or qty <= 0:
        p.num_bad += 1
        return False
    p.last = price
    is_near = price <= p.rest_bid or (0 < p.rest_ask <= price) or (0 < p.last_up <= price) or price <= p.last_down
    if p.has_mark == 0:
        p.mark = price
        is_near = is_near or (0 < p.mark_up <= price) or price <= p.mark_down
    return bool(is_near)


@kernel
def _on_mark(p: Any, price: int) -> bool:
    if price <= 0:
        p.num_bad += 1
        return False
    p.has_mark = 1
    p.mark = price
    return bool((0 < p.mark_up <= price) or price <= p.mark_down)


@kernel
def _on_quote(p: Any, e: Any) -> None:
    t = p.top
    bid = t.bid
    ask = t.ask
    bid_qty = t.bid_qty
    ask_qty = t.ask_qty
    if top.on_quote(t, e.ts_recv, e.price, e.qty, e.aux, e.aux2, e.id) and p.num_taken > 0:
        if t.bid != bid or t.bid_qty != bid_qty:
            _refresh(p, t.bid)
        if t.ask != ask or t.ask_qty != ask_qty:
            _refresh(p, -t.ask)


@kernel
def _on_funding(p: Any, stamp: int, rate: int, is_settled: bool) -> bool:
    """Note a rate; return whether a position of ours pays now.

    A stamp is paid when its SETTLED row comes or, where a venue only predicts, when it predicts for a later one.
    """
    due = stamp
    payable = rate
    if not is_settled:
        due = p.funding_due
        payable = p.funding_rate
        p.funding_due = stamp
        p.funding_rate = rate
        if due == 0 or stamp <= due:
            return False
    if due <= p.funding_paid:
        return False
    p.funding_paid = due
    p.payable_stamp = due
    p.payable_rate = payable
    return bool(p.has_position != 0)


@kernel
def _concerns(p: Any, events: Any, start: int, stop: int) -> bool:
    """Give back what is told anew; return whether a level is told at which an order of ours rests."""
    is_watched = False
    for k in range(start, stop):
        key = events[k].price * events[k].side
        if p.num_taken > 0:
            _refresh(p, key)
        for w in range(p.num_watched):
            if p.watched[w] == key:
                is_watched = True
    return is_watched


@kernel
def _refresh(p: Any, key: int) -> None:
    for k in range(p.num_taken):
        if p.taken_at[k] == key:
            last = p.num_taken - 1
            p.taken_at[k] = p.taken_at[last]
            p.taken_lots[k] = p.taken_lots[last]
            p.num_taken = last
            return


@kernel
def _taken_slot(p: Any, key: int) -> int:
    for k in range(p.num_taken):
        if p.taken_at[k] == key:
            return k
    return -1


@kernel
def displayed(p: Any, side: int, price: int) -> int:
    """Return the lots shown at `price` on `side`: the newest quote at the touch, else the book; UNSEEN if neither."""
    t = p.top
    if t.is_ready == 1:
        touch = t.bid if side > 0 else t.ask
        if price == touch:
            return t.bid_qty if side > 0 else t.ask_qty  # type: ignore[no-any-return]
        if (price - touch) * side > 0:
            return 0
    if sequence.is_usable(p.sequence, p.book):
        return book.level(p.book, side, price)
    return UNSEEN


@kernel
def eat(p: Any, side: int, lots: int, limit: int, prices: Any, taken: Any) -> int:
    """Take up to `lots` from what is visible against an aggressor of `side`, no worse than `limit` ticks (0: any).

    Fill `prices` and `taken` level by level, remember what was taken, and return how many levels gave something.
    """
    resting = -side
    n = 0
    left = lots
    t = p.top
    has_book = sequence.is_usable(p.sequence, p.book)
    if t.is_ready == 1:
        price = t.ask if side > 0 else t.bid
    elif has_book:
        price = p.book.ask if side > 0 else p.book.bid
    else:
        return 0
    while price > 0 and left > 0 and n < len(prices):
        if limit > 0 and (price - limit) * side > 0:
            break
        there = displayed(p, resting, price)
        key = price * resting
        k = _taken_slot(p, key)
        if k >= 0:
            there -= p.taken_lots[k]
        if there > 0:
            if k < 0:
                if p.num_taken == MAX_TAKEN:
                    break
                k = p.num_taken
                p.num_taken += 1
                p.taken_at[k] = key
                p.taken_lots[k] = 0
            part = min(there, left)
            p.taken_lots[k] += part
            left -= part
            prices[n] = price
            taken[n] = part
            n += 1
        price = book.next_level(p.book, resting, price) if has_book else 0
    return n


@kernel
def touch(p: Any) -> tuple[int, int]:
    """Return the best visible prices (bid, ask) in ticks, 0 where unknown."""
    if p.top.is_ready == 1:
        return p.top.bid, p.top.ask
    if sequence.is_usable(p.sequence, p.book):
        return p.book.bid, p.book.ask
    return 0, 0
