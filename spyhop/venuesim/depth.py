"""Compiled looks at a pit: levels to publish, lots within reach, and where a tape reaches a resting order of ours."""

from __future__ import annotations

from typing import Any

import numpy as np

from spyhop.market import book, sequence
from spyhop.model.tape import Flag, Kind
from spyhop.numerics._jit import kernel
from spyhop.simulation import pit

_QUOTE, _LEVEL, _LAST = int(Kind.QUOTE), int(Kind.LEVEL), int(Flag.LAST)


@kernel
def levels(p: Any, side: int, prices: Any, lots: Any) -> int:
    """Fill `prices` and `lots` with the best levels of one side of the book of `p`; return how many there were."""
    if not sequence.is_usable(p.sequence, p.book):
        return 0
    price = p.book.bid if side > 0 else p.book.ask
    n = 0
    while price > 0 and n < len(prices):
        prices[n] = price
        lots[n] = book.level(p.book, side, price)
        n += 1
        price = book.next_level(p.book, side, price)
    return n


def side_of(p: Any, side: int, limit: int) -> list[tuple[int, int]]:
    """Return at most `limit` (price, lots) of one side of the book of `p`, best first, from however far away."""
    prices, lots = np.zeros((2, limit), np.int64)
    count = int(levels(p, side, prices, lots))
    found = list(zip(prices[:count].tolist(), lots[:count].tolist(), strict=True))
    if 0 < count < limit and p["book"]["num_far"] > 0:
        keys, quantities = p["book"]["far_key"], p["book"]["far_qty"]
        is_own = (keys != 0) & (quantities > 0) & ((keys & 1) == (side < 0))
        far = sorted(zip((keys[is_own] >> 1).tolist(), quantities[is_own].tolist(), strict=True), reverse=side > 0)
        found += far[: limit - count]
    return found


@kernel
def within(p: Any, side: int, limit: int, enough: int) -> int:
    """Return the lots that an aggressor of `side` finds no worse than `limit` ticks (0: any), `enough` at most."""
    bid, ask = pit.touch(p)
    price = ask if side > 0 else bid
    has_book = sequence.is_usable(p.sequence, p.book)
    total = 0
    while price > 0 and total < enough:
        if limit > 0 and (price - limit) * side > 0:
            break
        there = pit.displayed(p, -side, price)
        for k in range(p.num_taken):
            if p.taken_at[k] == -side * price:
                there -= p.taken_lots[k]
        total += max(there, 0)
        price = book.next_level(p.book, -side, price) if has_book else 0
    return min(total, enough)


@kernel
def meeting(pits: Any, events: Any, start: int) -> int:
    """Return the index after the first quote or frame at or after `start` that may reach an order of ours, or -1.

    Rows of `events` are numbered as `pits`.
    """
    n = len(events)
    for i in range(start, n):
        e = events[i]
        kind = e.kind
        if kind not in (_QUOTE, _LEVEL):
            continue
        p = pits[e.instrument]
        bid = p.rest_bid
        ask = p.rest_ask
        if kind == _QUOTE:
            if (0 < e.aux <= bid) or (0 < ask <= e.price):
                return i + 1
        elif e.qty > 0 and ((e.side < 0 and e.price <= bid) or (e.side > 0 and 0 < ask <= e.price)):
            last = i
            while (events[last].flags & _LAST) == 0 and last + 1 < n and events[last + 1].id == e.id:
                last += 1
            return last + 1
    return -1
