"""Levels far from the mid: a bounded hash table inside the book's record, linear probing without tombstones.

A key is 2 * price + (1 for asks), prices in ticks above 0, so 0 means free.
"""

from __future__ import annotations

from typing import Any

from spyhop.numerics._jit import kernel

CAPACITY = 1 << 14
_LIMIT = CAPACITY - (CAPACITY >> 2)


@kernel
def _home(key: int) -> int:
    # a multiplier spreads neighbouring prices over the table (Fibonacci hashing)
    return ((key * 0x9E3779B97F4A7C1) >> 20) & (CAPACITY - 1)


@kernel
def find(b: Any, key: int) -> int:
    """Return the slot that holds `key`, or -1 - (the free slot where it would go)."""
    slot = _home(key)
    while b.far_key[slot] != 0:
        if b.far_key[slot] == key:
            return slot
        slot = (slot + 1) & (CAPACITY - 1)
    return -1 - slot


@kernel
def put(b: Any, key: int, qty: int) -> None:
    """Set the quantity under `key`; 0 frees it; a full table counts the level as lost."""
    slot = find(b, key)
    if slot >= 0:
        if qty > 0:
            b.far_qty[slot] = qty
        else:
            _free(b, slot)
        return
    if qty == 0:
        return
    if b.num_far >= _LIMIT:
        b.num_lost += 1
        return
    b.far_key[-1 - slot] = key
    b.far_qty[-1 - slot] = qty
    b.num_far += 1
    if _is_inverted(b, key):
        b.num_inverted += 1


@kernel
def _free(b: Any, slot: int) -> None:
    # linear probing without tombstones: pull back whatever the hole would hide
    if _is_inverted(b, b.far_key[slot]):
        b.num_inverted -= 1
    hole = slot
    probe = (slot + 1) & (CAPACITY - 1)
    while b.far_key[probe] != 0:
        home = _home(b.far_key[probe])
        if ((probe - home) & (CAPACITY - 1)) >= ((probe - hole) & (CAPACITY - 1)):
            b.far_key[hole] = b.far_key[probe]
            b.far_qty[hole] = b.far_qty[probe]
            hole = probe
        probe = (probe + 1) & (CAPACITY - 1)
    b.far_key[hole] = 0
    b.far_qty[hole] = 0
    b.num_far -= 1


@kernel
def better_bid(b: Any) -> None:
    """Take the best bid of the table if it beats the window's."""
    for slot in range(CAPACITY if b.num_far > 0 else 0):
        key = b.far_key[slot]
        if key != 0 and (key & 1) == 0 and (key >> 1) > b.bid:
            b.bid = key >> 1
            b.bid_qty = b.far_qty[slot]


@kernel
def better_ask(b: Any) -> None:
    """Take the best ask of the table if it beats the window's."""
    for slot in range(CAPACITY if b.num_far > 0 else 0):
        key = b.far_key[slot]
        if (key & 1) == 1 and (b.ask == 0 or (key >> 1) < b.ask):
            b.ask = key >> 1
            b.ask_qty = b.far_qty[slot]


@kernel
def _is_inverted(b: Any, key: int) -> bool:
    """Return whether a level lies on the wrong side of the window, where it beats all that is inside."""
    return bool((key >> 1) < b.base if key & 1 else (key >> 1) > b.base)
