"""Best prices: the freshest of quotes (bookTicker) and the book, by update id, in ticks and lots.

Both count in one id space at Binance, so at equal ids they must agree; disagreements are counted. Quotes without an id
(0) are believed in the order they come.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spyhop.numerics._jit import kernel

TOP = np.dtype(
    [
        ("bid", "i8"),
        ("ask", "i8"),
        ("bid_qty", "i8"),
        ("ask_qty", "i8"),
        ("id", "i8"),
        ("ts", "i8"),  # receive time of what said so; 0 before any
        ("is_ready", "i8"),  # two-sided and not crossed
        ("num_quotes", "i8"),
        ("num_old", "i8"),
        ("num_bad", "i8"),  # not positive, or crossed
        ("num_mismatches", "i8"),  # quote and book disagree at one id
    ],
    align=True,
)


@kernel
def on_quote(t: Any, ts: int, bid: int, bid_qty: int, ask: int, ask_qty: int, update_id: int) -> bool:
    """Take a quote; return whether the top changed."""
    t.num_quotes += 1
    if bid <= 0 or ask <= bid or bid_qty < 0 or ask_qty < 0:
        t.num_bad += 1
        return False
    if update_id != 0 and update_id <= t.id:
        if update_id == t.id and (bid != t.bid or ask != t.ask):
            t.num_mismatches += 1
        else:
            t.num_old += 1
        return False
    t.id = update_id
    t.ts = ts
    t.is_ready = 1
    if bid == t.bid and ask == t.ask and bid_qty == t.bid_qty and ask_qty == t.ask_qty:
        return False
    t.bid = bid
    t.ask = ask
    t.bid_qty = bid_qty
    t.ask_qty = ask_qty
    return True


@kernel
def on_book(t: Any, ts: int, b: Any, update_id: int) -> bool:
    """Take the best prices of a book that has just been settled; return whether the top changed."""
    if b.bid <= 0 or b.ask <= b.bid:
        return False
    if update_id <= t.id:
        if update_id == t.id and t.is_ready == 1 and (b.bid != t.bid or b.ask != t.ask):
            t.num_mismatches += 1
        return False
    t.id = update_id
    t.ts = ts
    t.is_ready = 1
    if b.bid == t.bid and b.ask == t.ask and b.bid_qty == t.bid_qty and b.ask_qty == t.ask_qty:
        return False
    t.bid = b.bid
    t.ask = b.ask
    t.bid_qty = b.bid_qty
    t.ask_qty = b.ask_qty
    return True


@kernel
def reset(t: Any) -> None:
    """Forget the prices (a break in the stream: ids may start anew), keep the counters."""
    t.bid = 0
    t.ask = 0
    t.bid_qty = 0
    t.ask_qty = 0
    t.id = 0
    t.is_ready = 0
