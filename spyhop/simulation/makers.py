"""The makers' side of the generative market: its record, its book, and the rows that tell of it.

The book is one array of signed lots (bids above 0, asks below 0) on a ring of ticks, so that it cannot be crossed;
`shown` is what frames have told, and a frame is the difference. Resting sizes are drawn anew level by level from
their stationary law (heat bath), nearer levels more often.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spyhop.model.tape import Flag, Kind
from spyhop.numerics._jit import kernel
from spyhop.simulation.draws import DRAWS, exponential, uniform

STEP_NS = 100_000_000
RING = 1 << 13
MASK = RING - 1
_NS_PER_MS = 1_000_000

_QUOTE, _LEVEL, _SNAPSHOT = int(Kind.QUOTE), int(Kind.LEVEL), int(Kind.SNAPSHOT)
_SIMULATED, _LAST, _EMPTY = int(Flag.SIMULATED), int(Flag.LAST), int(Flag.EMPTY)
_FROM_SNAPSHOT = int(Flag.FROM_SNAPSHOT)

LAW = np.dtype(
    [
        ("instrument", "i8"),
        ("venue", "i8"),
        ("tick", "f8"),
        ("common_seed", "i8"),
        ("common_load", "f8"),  # of the shared shock; own_load^2 + common_load^2 = 1
        ("own_load", "f8"),
        ("sigma_step", "f8"),  # of the log fundamental
        ("vol_keep", "f8"),  # of log volatility, a step
        ("vol_noise", "f8"),
        ("base_rate", "f8"),  # of each side, a second
        ("self_jump", "f8"),  # branching x beta
        ("cross_jump", "f8"),
        ("beta", "f8"),
        ("pressure_keep", "f8"),
        ("pressure_noise", "f8"),
        ("pressure_gain", "f8"),
        ("trade_lots", "f8"),  # mean
        ("trade_tail", "f8"),
        ("trade_cap", "f8"),
        ("impact", "f8"),  # log price of a mean trade
        ("impact_kept", "f8"),
        ("impact_keep", "f8"),  # decay a step
        ("level_lots", "f8"),  # mean of an occupied level at the top
        ("occupancy", "f8"),
        ("reach", "i8"),  # ticks of depth on each side
        ("refreshes", "i8"),  # levels drawn anew, a frame
        ("wide_chance", "f8"),
        ("mark_steps", "i8"),
        ("open_interest_steps", "i8"),
        ("funding_interval", "i8"),  # ns
        ("liquidation_rate", "f8"),  # of each side, a second, at one sigma a minute
        ("latency", "f8"),  # ns
        ("latency_jitter", "f8"),
    ]
)

MARKET = np.dtype(
    [
        ("draws", DRAWS),
        ("step", "i8"),  # counts from 0 at the start
        ("start", "i8"),
        ("recv", "i8"),  # newest receive time handed out
        ("log_fundamental", "f8"),
        ("impact", "f8"),
        ("log_vol", "f8"),  # 0 = as the law says
        ("pressure", "f8"),
        ("excited_buy", "f8"),
        ("excited_sell", "f8"),
        ("return_1m", "f8"),  # decayed sum of log returns
        ("premium", "f8"),  # decayed mean of mid / index - 1
        ("open_interest", "f8"),  # lots
        ("bid", "i8"),
        ("ask", "i8"),
        ("update_id", "i8"),
        ("last_u", "i8"),
        ("trade_id", "i8"),
        ("next_funding", "i8"),
        ("next_episode", "i8"),
        ("quoted_bid", "i8"),
        ("quoted_ask", "i8"),
        ("quoted_bid_qty", "i8"),
        ("quoted_ask_qty", "i8"),
        ("num_dirty", "i8"),
        ("dirty", "i8", (RING,)),
        ("is_dirty", "i1", (RING,)),
        ("lots", "i8", (RING,)),
        ("shown", "i8", (RING,)),
    ],
    align=True,
)


@kernel
def put(s: Any, law: Any, out: Any, n: int, ts: int, kind: int, side: int, price: int, qty: int, key: int) -> int:
    """Append one row at `n`, heard at the newest receive time; return n + 1."""
    row = out[n]
    row.kind = kind
    row.side = side
    row.venue = law.venue
    row.flags = _SIMULATED
    row.instrument = law.instrument
    row.interval_s = 0
    row.ts_event = ts // _NS_PER_MS * _NS_PER_MS
    row.ts_recv = s.recv
    row.price = price
    row.qty = qty
    row.id = key
    row.aux = 0
    row.aux2 = 0
    return n + 1


@kernel
def hear(s: Any, law: Any, ts: int) -> None:
    """Let what happens at `ts` arrive after its latency, never before what came earlier."""
    s.recv = max(s.recv + 1, ts + int(law.latency + law.latency_jitter * exponential(s.draws)))


@kernel
def _mark_dirty(s: Any, tick: int) -> None:
    slot = tick & MASK
    if s.is_dirty[slot] == 0:
        s.is_dirty[slot] = 1
        s.dirty[s.num_dirty] = tick
        s.num_dirty += 1


@kernel
def set_lots(s: Any, tick: int, lots: int) -> None:
    """Let signed `lots` rest at `tick`; an update id is used when that changes anything."""
    slot = tick & MASK
    if s.lots[slot] != lots:
        s.lots[slot] = lots
        s.update_id += 1
        _mark_dirty(s, tick)


@kernel
def drawn(s: Any, law: Any, side: int, distance: int, skew: float) -> int:
    """Return a signed size from the law of an occupied level `distance` ticks behind the best."""
    mean = law.level_lots * (1.0 + 2.0 * distance / law.reach) * math.exp(side * skew)
    return side * (1 + int(mean * exponential(s.draws)))


@kernel
def maybe_drawn(s: Any, law: Any, side: int, distance: int, skew: float) -> int:
    """Return a signed size from the law of a level, 0 where it happens to be empty."""
    if uniform(s.draws) >= law.occupancy:
        return 0
    return drawn(s, law, side, distance, skew)


@kernel
def _move_bids(s: Any, law: Any, bid: int, skew: float) -> None:
    if bid > s.bid:
        for tick in range(s.bid + 1, bid):
            set_lots(s, tick, maybe_drawn(s, law, 1, bid - tick, skew))
        for tick in range(s.bid - law.reach, bid - law.reach):
            set_lots(s, tick, 0)
        return
    for tick in range(bid + 1, s.bid + 1):
        set_lots(s, tick, 0)
    for tick in range(bid - law.reach, s.bid - law.reach):
        set_lots(s, tick, maybe_drawn(s, law, 1, bid - tick, skew))


@kernel
def _move_asks(s: Any, law: Any, bid: int, ask: int, skew: float) -> None:
    if ask < s.ask:
        for tick in range(ask + 1, s.ask):
            set_lots(s, tick, maybe_drawn(s, law, -1, tick - ask, skew))
        for tick in range(ask + law.reach + 1, s.ask + law.reach + 1):
            set_lots(s, tick, 0)
        return
    for tick in range(max(s.ask, bid + 1), ask):
        set_lots(s, tick, 0)
    for tick in range(s.ask + law.reach + 1, ask + law.reach + 1):
        set_lots(s, tick, maybe_drawn(s, law, -1, tick - ask, skew))


@kernel
def requote(s: Any, law: Any, bid: int, ask: int, skew: float) -> None:
    """Move the best prices to `bid` < `ask`: what stands in the way goes, what is laid bare is filled."""
    _move_bids(s, law, bid, skew)
    _move_asks(s, law, bid, ask, skew)
    if s.lots[bid & MASK] <= 0:
        set_lots(s, bid, drawn(s, law, 1, 0, skew))
    if s.lots[ask & MASK] >= 0:
        set_lots(s, ask, drawn(s, law, -1, 0, skew))
    s.bid = bid
    s.ask = ask


@kernel
def refresh(s: Any, law: Any, skew: float) -> None:
    """Draw some levels anew, nearer ones more often."""
    for _ in range(law.refreshes):
        u = uniform(s.draws)
        distance = int(law.reach * u * u * u)
        side = 1 if uniform(s.draws) < 0.5 else -1
        tick = s.bid - distance if side > 0 else s.ask + distance
        if distance == 0:
            set_lots(s, tick, drawn(s, law, side, 0, skew))
        else:
            set_lots(s, tick, maybe_drawn(s, law, side, distance, skew))


@kernel
def quote(s: Any, law: Any, out: Any, n: int, ts: int) -> int:
    """Append a QUOTE when the top changed since the last one."""
    bid_qty = s.lots[s.bid & MASK]
    ask_qty = -s.lots[s.ask & MASK]
    if s.bid == s.quoted_bid and s.ask == s.quoted_ask and bid_qty == s.quoted_bid_qty and ask_qty == s.quoted_ask_qty:
        return n
    s.quoted_bid = s.bid
    s.quoted_ask = s.ask
    s.quoted_bid_qty = bid_qty
    s.quoted_ask_qty = ask_qty
    n = put(s, law, out, n, ts, _QUOTE, 0, s.bid, bid_qty, s.update_id)
    out[n - 1].aux = s.ask
    out[n - 1].aux2 = ask_qty
    return n


@kernel
def _level(s: Any, law: Any, out: Any, n: int, ts: int, first: int, tick: int, lots: int, side: int) -> int:
    n = put(s, law, out, n, ts, _LEVEL, side, tick, abs(lots), s.update_id)
    out[n - 1].aux = first
    out[n - 1].aux2 = s.last_u
    return n


@kernel
def frame(s: Any, law: Any, out: Any, n: int, ts: int) -> int:
    """Append the depth frame: every level that differs from what was shown."""
    begin = n
    first = s.last_u + 1
    for i in range(s.num_dirty):
        tick = s.dirty[i]
        slot = tick & MASK
        s.is_dirty[slot] = 0
        now = s.lots[slot]
        before = s.shown[slot]
        if now == before:
            continue
        if before != 0 and now * before <= 0:
            n = _level(s, law, out, n, ts, first, tick, 0, 1 if before > 0 else -1)
        if now != 0:
            n = _level(s, law, out, n, ts, first, tick, now, 1 if now > 0 else -1)
        s.shown[slot] = now
    s.num_dirty = 0
    if n == begin:
        n = _level(s, law, out, n, ts, first, 0, 0, 0)
        out[n - 1].flags |= _EMPTY
    out[n - 1].flags |= _LAST
    s.last_u = s.update_id
    return n


@kernel
def snapshot(s: Any, law: Any, out: Any, n: int, ts: int) -> int:
    """Put the rows of a full book snapshot and return the number of rows after it."""
    head = n
    n = put(s, law, out, n, ts, _SNAPSHOT, 0, 0, 0, s.update_id)
    for side in (1, -1):
        best = s.bid if side > 0 else s.ask
        for distance in range(law.reach + 1):
            tick = best - side * distance
            lots = s.lots[tick & MASK]
            if lots != 0:
                n = put(s, law, out, n, ts, _LEVEL, side, tick, abs(lots), s.update_id)
                out[n - 1].aux = s.update_id
                out[n - 1].aux2 = -1
                out[n - 1].flags |= _FROM_SNAPSHOT
                s.shown[tick & MASK] = lots
    out[head].qty = n - head - 1
    out[n - 1].flags |= _LAST
    for i in range(s.num_dirty):
        s.is_dirty[s.dirty[i] & MASK] = 0
    s.num_dirty = 0
    s.last_u = s.update_id
    return n


@kernel
def quote_around(s: Any, law: Any, skew: float) -> None:
    """Let makers quote around the price: mostly one tick wide, wider by chance and when volatile."""
    wide = law.wide_chance * math.exp(s.log_vol)
    spread = 1
    while spread < 5 and uniform(s.draws) < wide:
        spread += 1
    price = math.exp(s.log_fundamental + s.impact) / law.tick
    bid = max(math.floor(price - 0.5 * spread + 0.5), law.reach + 2)
    # a single frame moves within the ring; what is left of a wilder jump follows with the next one
    bid = min(max(bid, s.bid - RING // 8), s.bid + RING // 8)
    requote(s, law, bid, bid + spread, skew)
    refresh(s, law, skew)
