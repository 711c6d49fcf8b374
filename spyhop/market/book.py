"""The order book of one instrument, of any depth, as one record of fixed size.

Quantities lie in two dense arrays of lots indexed by tick around `base`, with a bitmap of what is occupied, so a
level costs one store and the next best price a few words of bitmap. Levels outside the window lie in a small hash
table; when the mid leaves the middle half of the window, the window moves and the table is sorted anew into it.
What even the table cannot hold is the far end of nowhere, and counted in `num_lost`.

The distance-weighted depth sum_k q_k exp(-d_k / delta) is kept running for both sides. Distances are measured from
an `anchor` tick; exp((mid - anchor) c) turns both sums to the true mid afterwards. With the anchor at most
`REANCHOR_BPS` away from the mid, what is left is the cut (weight below exp(-9.6)) and the slope of the
distance in bp, at most 2e-4 of the exponent; both vanish each time the sums are taken anew.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spyhop.market import far
from spyhop.numerics._jit import kernel

WINDOW = 1 << 17
_WORDS = WINDOW >> 6
_FINE = 256
_COARSE = 1024

DELTA_BPS = 5.0
CUT_BPS = 50.0
REANCHOR_BPS = 2.0
_MARGIN_BPS = 5.0

BOOK = np.dtype(
    [
        ("base", "i8"),  # tick of index 0
        ("bid", "i8"),  # best prices in ticks, 0 = none; right after `settle`
        ("ask", "i8"),
        ("bid_qty", "i8"),
        ("ask_qty", "i8"),
        ("high_bid", "i8"),  # no bid of the window is above this index
        ("low_ask", "i8"),  # no ask of the window is below this index
        ("num_levels", "i8"),
        ("num_far", "i8"),
        ("num_inverted", "i8"),  # far bids above the window, far asks below it
        ("num_lost", "i8"),
        ("num_rebased", "i8"),
        ("anchor", "i8"),  # tick
        ("drift", "i8"),  # ticks that the mid may be away from the anchor
        ("margin", "i8"),
        ("span", "i8"),  # margin + cut, ticks
        ("rate", "f8"),  # c, per tick
        ("sum_bid", "f8"),
        ("sum_ask", "f8"),
        ("fine", "f8", (_FINE,)),
        ("coarse", "f8", (_COARSE,)),
        ("far_key", "i8", (far.CAPACITY,)),  # 2 * price + (1 for asks); 0 = free
        ("far_qty", "i8", (far.CAPACITY,)),
        ("bits", "i8", (2 * _WORDS,)),
        ("near", "i8", (2 * WINDOW,)),
    ],
    align=True,
)


@kernel
def clear(b: Any) -> None:
    """Empty the book."""
    b.base = 0
    b.bid = 0
    b.ask = 0
    b.bid_qty = 0
    b.ask_qty = 0
    b.high_bid = -1
    b.low_ask = WINDOW
    b.num_levels = 0
    b.num_far = 0
    b.num_inverted = 0
    b.anchor = 0
    b.span = 0
    b.sum_bid = 0.0
    b.sum_ask = 0.0
    b.far_key[:] = 0
    b.far_qty[:] = 0
    b.bits[:] = 0
    b.near[:] = 0


@kernel
def set_level(b: Any, side: int, price: int, qty: int) -> None:
    """Set the quantity (lots, 0 = gone) resting at `price` (ticks, above 0) on `side`; call `settle` after a frame."""
    if b.num_levels == 0 and b.num_far == 0:
        b.base = price - (WINDOW >> 1)
        b.high_bid = -1
        b.low_ask = WINDOW
    index = price - b.base
    if index < 0 or index >= WINDOW:
        far.put(b, 2 * price + (1 if side < 0 else 0), qty)
        return
    if side > 0:
        old = b.near[index]
        if old == qty:
            return
        b.near[index] = qty
        if qty > 0 and index > b.high_bid:
            b.high_bid = index
        at = b.anchor - price + b.margin
        if 0 <= at < b.span:
            b.sum_bid += (qty - old) * (b.fine[at & 255] * b.coarse[at >> 8])
        slot = index
    else:
        slot = index + WINDOW
        old = b.near[slot]
        if old == qty:
            return
        b.near[slot] = qty
        if qty > 0 and index < b.low_ask:
            b.low_ask = index
        at = price - b.anchor + b.margin
        if 0 <= at < b.span:
            b.sum_ask += (qty - old) * (b.fine[at & 255] * b.coarse[at >> 8])
    if old == 0:
        b.bits[slot >> 6] |= 1 << (slot & 63)
        b.num_levels += 1
    elif qty == 0:
        b.bits[slot >> 6] &= ~(1 << (slot & 63))
        b.num_levels -= 1


@kernel
def settle(b: Any) -> None:
    """Bring the best prices, the window and the anchor up to date after the levels of a frame."""
    high = _bit_at_or_below(b, b.high_bid)
    low = _bit_at_or_above(b, b.low_ask)
    b.high_bid = high
    b.low_ask = low
    if high >= 0:
        b.bid = b.base + high
        b.bid_qty = b.near[high]
    else:
        b.bid = 0
        b.bid_qty = 0
    if high < 0 or b.num_inverted > 0:
        far.better_bid(b)
    if low < WINDOW:
        b.ask = b.base + low
        b.ask_qty = b.near[WINDOW + low]
    else:
        b.ask = 0
        b.ask_qty = 0
    if low >= WINDOW or b.num_inverted > 0:
        far.better_ask(b)
    middle = b.bid + b.ask
    if middle == 0:
        return
    if b.bid > 0 and b.ask > 0:
        middle >>= 1
    if abs(middle - b.base - (WINDOW >> 1)) > (WINDOW >> 2):
        _rebase(b, middle - (WINDOW >> 1))
        anchor(b, middle)
    elif b.span == 0 or abs(middle - b.anchor) > b.drift:
        anchor(b, middle)


@kernel
def anchor(b: Any, middle: int) -> None:
    """Measure distances from `middle` (ticks) from now on and take the weighted sums anew, exactly."""
    b.anchor = middle
    per_bp = middle * 1e-4
    b.rate = 1.0 / (DELTA_BPS * per_bp)
    b.drift = int(REANCHOR_BPS * per_bp)
    b.margin = int(_MARGIN_BPS * per_bp) + 1
    b.span = min(b.margin + int(CUT_BPS * per_bp) + 1, _FINE * _COARSE)
    for i in range(_FINE):
        b.fine[i] = math.exp(-(i - b.margin) * b.rate)
    for i in range((b.span >> 8) + 1):
        if i < _COARSE:
            b.coarse[i] = math.exp(-256.0 * i * b.rate)
    b.sum_bid = _weighted(b, 0, max(middle + b.margin - b.span + 1 - b.base, 0), middle + b.margin - b.base)
    b.sum_ask = _weighted(b, 1, max(middle - b.margin - b.base, 0), middle - b.margin + b.span - 1 - b.base)


@kernel
def _weighted(b: Any, ask: int, first: int, last: int) -> float:
    """Sum the weighted quantity of the indices first..last of one side, from the anchor outwards in tick order."""
    total = 0.0
    shift = ask * WINDOW
    last = min(last, WINDOW - 1)
    centre = b.anchor - b.base
    for word in range(first >> 6, (last >> 6) + 1):
        if b.bits[(shift >> 6) + word] == 0:
            continue
        for index in range(max(word << 6, first), min((word << 6) + 63, last) + 1):
            qty = b.near[shift + index]
            if qty != 0:
                at = (index - centre if ask else centre - index) + b.margin
                total += qty * (b.fine[at & 255] * b.coarse[at >> 8])
    return total


@kernel
def weighted_imbalance(b: Any) -> float:
    """Return sum w (q_bid - q_ask) / sum w (q_bid + q_ask) in -1..1, w = exp(-distance / 5 bp) within 50 bp.

    0 while a side is empty or nothing lies within 50 bp (methods 2, D1).
    """
    if b.bid <= 0 or b.ask <= 0:
        return 0.0
    turn = math.exp(-(0.5 * (b.bid + b.ask) - b.anchor) * b.rate)
    bids = max(b.sum_bid, 0.0) * turn
    asks = max(b.sum_ask, 0.0) / turn
    total = bids + asks
    if total <= 0.0:
        return 0.0
    return float((bids - asks) / total)


@kernel
def level(b: Any, side: int, price: int) -> int:
    """Return the lots resting at `price` on `side`."""
    index = price - b.base
    if 0 <= index < WINDOW:
        return b.near[index if side > 0 else index + WINDOW]  # type: ignore[no-any-return]
    slot = far.find(b, 2 * price + (1 if side < 0 else 0))
    return b.far_qty[slot] if slot >= 0 else 0


@kernel
def next_level(b: Any, side: int, price: int) -> int:
    """Return the occupied price next behind `price` on `side` (ticks), 0 when the window holds none.

    Behind is lower for bids and higher for asks; start with best price plus or minus one.
    """
    if side > 0:
        index = _bit_at_or_below(b, min(price - 1 - b.base, WINDOW - 1))
        return b.base + index if index >= 0 else 0
    index = _bit_at_or_above(b, max(price + 1 - b.base, 0))
    return b.base + index if index < WINDOW else 0


@kernel
def depth(b: Any, side: int, reach: int) -> float:
    """Return sum of price x quantity (ticks x lots) on `side` within `reach` ticks of the best price."""
    total = 0.0
    best = b.bid if side > 0 else b.ask
    price = best
    while price > 0 and abs(price - best) <= reach:
        total += float(price) * level(b, side, price)
        price = next_level(b, side, price)
    return total


@kernel
def walk(b: Any, side: int, lots: int) -> tuple[float, int]:
    """Return what an aggressor on `side` pays for `lots`: (average price in ticks, lots that the window holds).

    A buyer walks the asks upwards. (0.0, 0) on an empty side.
    """
    resting = -side
    price = b.ask if side > 0 else b.bid
    left = lots
    cost = 0.0
    while price > 0 and left > 0:
        taken = min(left, level(b, resting, price))
        cost += float(price) * taken
        left -= taken
        price = next_level(b, resting, price)
    filled = lots - left
    if filled <= 0:
        return 0.0, 0
    return cost / filled, filled


@kernel
def _highest_bit(word: int) -> int:
    if word < 0:
        return 63
    n = 0
    if word >> 32:
        word >>= 32
        n += 32
    if word >> 16:
        word >>= 16
        n += 16
    if word >> 8:
        word >>= 8
        n += 8
    if word >> 4:
        word >>= 4
        n += 4
    if word >> 2:
        word >>= 2
        n += 2
    return n + (word >> 1)


@kernel
def _bit_at_or_below(b: Any, index: int) -> int:
    """Return the highest occupied bid index at or below `index`, -1 when none."""
    if index < 0:
        return -1
    if b.near[index] != 0:
        return index
    word = index >> 6
    found = b.bits[word] & ((1 << (index & 63)) - 1)
    while found == 0:
        word -= 1
        if word < 0:
            return -1
        found = b.bits[word]
    return (word << 6) + _highest_bit(found)


@kernel
def _bit_at_or_above(b: Any, index: int) -> int:
    """Return the lowest occupied ask index at or above `index`, WINDOW when none."""
    if index >= WINDOW:
        return WINDOW
    if b.near[WINDOW + index] != 0:
        return index
    word = index >> 6
    found = b.bits[_WORDS + word] & ~((1 << (index & 63)) - 1)
    while found == 0:
        word += 1
        if word >= _WORDS:
            return WINDOW
        found = b.bits[_WORDS + word]
    return (word << 6) + _highest_bit(found & -found)


@kernel
def _rebase(b: Any, base: int) -> None:
    """Move the window to `base`: what leaves it goes to the table, what enters it comes from there."""
    b.num_rebased += 1
    keys = b.far_key.copy()
    quantities = b.far_qty.copy()
    near = b.near.copy()
    old = b.base
    best_bid = b.bid
    best_ask = b.ask
    bid_qty = b.bid_qty
    ask_qty = b.ask_qty
    clear(b)
    b.base = base
    b.num_levels = 1  # so that the first level set does not choose a base of its own
    for index in range(WINDOW):
        if near[index] != 0:
            set_level(b, 1, old + index, near[index])
        if near[WINDOW + index] != 0:
            set_level(b, -1, old + index, near[WINDOW + index])
    for slot in range(far.CAPACITY):
        if keys[slot] != 0:
            set_level(b, -1 if keys[slot] & 1 else 1, keys[slot] >> 1, quantities[slot])
    b.num_levels -= 1
    b.bid = best_bid
    b.ask = best_ask
    b.bid_qty = bid_qty
    b.ask_qty = ask_qty
