"""Binance's sequencing of depth diffs around snapshots, as a state machine over book frames.

    WAITING  no snapshot, or a break: diffs are kept aside (bounded), the book is empty
    LOADING  between a SNAPSHOT row and the last of its levels: diffs are still kept aside
    SYNCED   every frame continues the one before

Futures frames (`pu` >= 0) continue when pu equals the last u; spot frames when U equals the last u + 1. The first one
after a snapshot must straddle its lastUpdateId L: U <= L <= u (futures; pu == L does as well, it says that
nothing lies between) or U <= L + 1 <= u (spot). Frames that the book already holds are dropped and counted.

When a snapshot is complete, the frames kept aside are played over it by the same rules, so a recording whose first
snapshot comes after its first diffs (all recordings do) gives the right book from that snapshot on. Should the
frames kept aside outgrow their room, all of them are dropped and counted; the next snapshot then has to
straddle what came later, so a hole can never go unnoticed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spyhop.market.book import clear, set_level, settle
from spyhop.model.tape import Flag, Kind
from spyhop.numerics._jit import kernel

WAITING, LOADING, SYNCED = 0, 1, 2

_DROP, _APPLY, _KEEP, _LOAD = 0, 1, 2, 3
_LEVELS = 1 << 14
_FRAMES = 1 << 10
_LEVEL = int(Kind.LEVEL)
_FROM_SNAPSHOT = int(Flag.FROM_SNAPSHOT)
_LAST = int(Flag.LAST)
_EMPTY = int(Flag.EMPTY)
_ABSURD = 1 << 60

SEQUENCE = np.dtype(
    [
        ("state", "i8"),
        ("last_id", "i8"),  # u of the newest frame in the book
        ("is_first", "i8"),  # the next frame is the first after a snapshot
        ("snapshot_id", "i8"),
        ("frame_id", "i8"),  # u of the frame under way
        ("frame_use", "i8"),  # what is done with its levels
        ("in_frame", "i8"),
        ("has_gap", "i8"),  # a break since this was last set to 0
        ("ts", "i8"),  # receive time of the newest frame applied
        ("num_frames", "i8"),
        ("num_applied", "i8"),
        ("num_old", "i8"),  # frames that the book already held
        ("num_gaps", "i8"),
        ("num_snapshots", "i8"),
        ("num_stale_snapshots", "i8"),  # older than the book, or than every diff kept aside
        ("num_crossed", "i8"),
        ("num_bad_levels", "i8"),
        ("num_unfinished", "i8"),  # frames without a last row
        ("num_overflows", "i8"),  # frames dropped because too many were kept aside
        ("num_kept_frames", "i8"),
        ("num_kept_levels", "i8"),
        ("kept_u", "i8", (_FRAMES,)),
        ("kept_first", "i8", (_FRAMES,)),  # U
        ("kept_pu", "i8", (_FRAMES,)),
        ("kept_start", "i8", (_FRAMES,)),
        ("kept_price", "i8", (_LEVELS,)),  # negative for asks
        ("kept_qty", "i8", (_LEVELS,)),
    ],
    align=True,
)


@kernel
def invalidate(s: Any, b: Any) -> None:
    """Forget the book: events are missing, and only a snapshot can mend it."""
    s.state = WAITING
    s.in_frame = 0
    s.frame_use = _DROP
    s.num_kept_frames = 0
    s.num_kept_levels = 0
    clear(b)


@kernel
def mark_gap(s: Any, b: Any) -> None:
    """Count a break and wait for a snapshot."""
    s.num_gaps += 1
    s.has_gap = 1
    invalidate(s, b)


@kernel
def on_snapshot(s: Any, b: Any, ts: int, snapshot_id: int, num_levels: int) -> bool:
    """Begin a snapshot of `num_levels` levels; return True when it changed the book already."""
    s.in_frame = 0
    if s.state == SYNCED and snapshot_id < s.last_id:
        s.num_stale_snapshots += 1
        s.snapshot_id = -1
        return False
    s.num_snapshots += 1
    clear(b)
    s.state = LOADING
    s.snapshot_id = snapshot_id
    if num_levels == 0:
        _finish_snapshot(s, b, ts)
        return True
    return False


@kernel
def on_levels(s: Any, b: Any, events: Any, start: int) -> tuple[int, bool]:
    """Fold the LEVEL rows of one frame from `start` on; return (the index after them, whether the book changed).

    Stops after the frame's last row, before a row of another kind, frame or instrument, or at the end of the batch;
    what is left of the frame continues with the next call.
    """
    first = events[start]
    frame_id = first.id
    instrument = first.instrument
    if s.in_frame != 0 and s.frame_id != frame_id:
        _abandon(s)
    if s.in_frame == 0:
        s.in_frame = 1
        s.frame_id = frame_id
        s.frame_use = _use_of(s, b, first.flags, frame_id, first.aux, first.aux2)
    use = s.frame_use
    i = start
    n = len(events)
    is_last = False
    while i < n and not is_last:
        e = events[i]
        if e.kind != _LEVEL or e.id != frame_id or e.instrument != instrument:
            break
        i += 1
        flags = e.flags
        is_last = (flags & _LAST) != 0
        if use == _DROP or (flags & _EMPTY) != 0:
            continue
        price = e.price
        qty = e.qty
        if price <= 0 or qty < 0 or price > _ABSURD or qty > _ABSURD or e.side == 0:
            s.num_bad_levels += 1
            continue
        if use == _KEEP:
            _keep(s, price if e.side > 0 else -price, qty)
            use = s.frame_use
        else:
            set_level(b, e.side, price, qty)
    if not is_last:
        return i, False
    s.in_frame = 0
    if use == _APPLY:
        s.last_id = frame_id
        s.is_first = 0
        _applied(s, b, first.ts_recv)
        return i, True
    if use == _LOAD:
        _finish_snapshot(s, b, first.ts_recv)
        return i, True
    return i, False


@kernel
def _abandon(s: Any) -> None:
    """Give up a frame without a last row; the next one will be seen not to continue the book."""
    s.num_unfinished += 1
    s.in_frame = 0
    if s.frame_use == _KEEP:
        s.num_kept_frames -= 1
        s.num_kept_levels = s.kept_start[s.num_kept_frames]


@kernel
def _applied(s: Any, b: Any, ts: int) -> None:
    s.num_applied += 1
    s.ts = ts
    settle(b)
    if b.bid >= b.ask and b.bid > 0 and b.ask > 0:
        s.num_crossed += 1


@kernel
def _is_held(s: Any, u: int, pu: int) -> bool:
    """Return whether the book holds a frame already; futures play the one that ends at the snapshot once more."""
    return bool(u < s.last_id or (u == s.last_id and (s.is_first == 0 or pu < 0)))


@kernel
def _continues(s: Any, u: int, first: int, pu: int) -> bool:
    """Return whether a frame newer than the book continues it."""
    if pu >= 0:
        return bool(pu == s.last_id or (s.is_first == 1 and first <= s.last_id <= u))
    return bool(first == s.last_id + 1 or (s.is_first == 1 and first <= s.last_id + 1 <= u))


@kernel
def _use_of(s: Any, b: Any, flags: int, u: int, first: int, pu: int) -> int:
    if flags & _FROM_SNAPSHOT:
        return _LOAD if s.state == LOADING and u == s.snapshot_id else _DROP
    s.num_frames += 1
    if s.state == SYNCED:
        if _is_held(s, u, pu):
            s.num_old += 1
            return _DROP
        if _continues(s, u, first, pu):
            return _APPLY
        mark_gap(s, b)
        s.in_frame = 1
    return _begin_keeping(s, u, first, pu)


@kernel
def _begin_keeping(s: Any, u: int, first: int, pu: int) -> int:
    n = s.num_kept_frames
    if n > 0:
        newest = s.kept_u[n - 1]
        if u <= newest:
            s.num_old += 1
            return _DROP
        is_next = pu == newest if pu >= 0 else first == newest + 1
        if not is_next:
            s.num_gaps += 1
            s.has_gap = 1
            n = 0
            s.num_kept_levels = 0
    if n == _FRAMES:
        s.num_overflows += n
        n = 0
        s.num_kept_levels = 0
    s.kept_u[n] = u
    s.kept_first[n] = first
    s.kept_pu[n] = pu
    s.kept_start[n] = s.num_kept_levels
    s.num_kept_frames = n + 1
    return _KEEP


@kernel
def _keep(s: Any, price: int, qty: int) -> None:
    n = s.num_kept_levels
    if n == _LEVELS:
        # without this frame's first levels it is worthless, and so is all before it
        s.num_overflows += s.num_kept_frames
        s.num_kept_frames = 0
        s.num_kept_levels = 0
        s.frame_use = _DROP
        return
    s.kept_price[n] = price
    s.kept_qty[n] = qty
    s.num_kept_levels = n + 1


@kernel
def _finish_snapshot(s: Any, b: Any, ts: int) -> None:
    """Play the frames kept aside over the snapshot that has just been loaded."""
    s.last_id = s.snapshot_id
    s.is_first = 1
    s.state = SYNCED
    s.ts = ts
    settle(b)
    for f in range(s.num_kept_frames):
        u = s.kept_u[f]
        if _is_held(s, u, s.kept_pu[f]):
            s.num_old += 1
            continue
        if not _continues(s, u, s.kept_first[f], s.kept_pu[f]):
            s.num_stale_snapshots += 1
            s.has_gap = 1
            s.state = WAITING
            clear(b)
            return
        end = s.kept_start[f + 1] if f + 1 < s.num_kept_frames else s.num_kept_levels
        for k in range(s.kept_start[f], end):
            price = s.kept_price[k]
            set_level(b, 1 if price > 0 else -1, abs(price), s.kept_qty[k])
        s.last_id = u
        s.is_first = 0
        _applied(s, b, ts)
    s.num_kept_frames = 0
    s.num_kept_levels = 0


@kernel
def is_usable(s: Any, b: Any) -> bool:
    """Return whether the book is in sequence, two-sided and not crossed."""
    return bool(s.state == SYNCED and 0 < b.bid < b.ask)
