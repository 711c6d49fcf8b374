"""A market that follows another: compiled steps of 50 ms over what its traders hear of the leader.

What they hear is the leader's tape of `lag` before (receive time): a cross-correlation of the mids finds the lag.

    target = leader mid (t - lag) x exp(basis + noise)      both mean-reverting, the basis slow, the noise quick
    takers arrive at a rate that grows with the gap between target and own mid, mostly on the side that closes it;
    then makers quote around the target and one frame tells what changed (`simulation.makers`)

The oracle price is the leader's as heard, smoothed over a second; funding is the hour's mean premium of the mid over
it. Traders behind the trades hold positions with leverage (cohorts of an entry price and a price at which
they are liquidated): a trade either opens a long and a short or closes both, so that longs = shorts = open interest;
when the oracle passes a cohort's price, its lots are forced through the book and told as LIQUIDATION right after the
trades that they made.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spyhop.model.tape import Flag, Kind, Status
from spyhop.numerics._jit import kernel
from spyhop.simulation.draws import exponential, normal, pareto, uniform
from spyhop.simulation.makers import (
    LAW,
    MARKET,
    RING,
    drawn,
    frame,
    hear,
    maybe_drawn,
    put,
    quote,
    quote_around,
    refresh,
    set_lots,
    snapshot,
)
from spyhop.simulation.takers import liquidate, take

STEP_NS = 50_000_000
COHORTS = 256
MAX_STEP_ROWS = 4 * RING
_STEP_S = STEP_NS / 1e9
_MAX_ORDERS = 32
_MAX_FORCED = 8

_TRADE, _QUOTE, _MARK, _FUNDING = int(Kind.TRADE), int(Kind.QUOTE), int(Kind.MARK), int(Kind.FUNDING)
_OPEN_INTEREST, _STATUS, _SETTLED = int(Kind.OPEN_INTEREST), int(Kind.STATUS), int(Flag.SETTLED)
_CONNECTED = int(Status.CONNECTED)

COHORT = np.dtype([("lots", "i8"), ("entry", "f8"), ("broken_at", "f8")])

RULES = np.dtype(
    [
        ("law", LAW),
        ("lag", "i8"),  # ns
        ("leader_tick", "f8"),
        ("noise_keep", "f8"),  # a step
        ("noise_jump", "f8"),
        ("basis_mean", "f8"),
        ("basis_keep", "f8"),
        ("basis_jump", "f8"),
        ("orders", "f8"),  # a second, both sides, when there is no gap
        ("orders_per_bp", "f8"),  # more of them for each basis point of the gap
        ("is_perpetual", "i8"),
        ("mark_steps", "i8"),
        ("oracle_keep", "f8"),
        ("forced_lots", "f8"),  # most that one liquidation order takes
    ],
    align=True,
)

STATE = np.dtype(
    [
        ("market", MARKET),
        ("is_open", "i8"),
        ("heard", "f8"),  # leader's price, quote currency; 0 before any
        ("has_quotes", "i8"),
        ("noise", "f8"),
        ("basis", "f8"),
        ("oracle", "f8"),
        ("premium_sum", "f8"),  # over the funding interval under way
        ("premium_count", "i8"),
        ("held", "i8", (2,)),  # lots of all longs, of all shorts
        ("cursor", "i8", (2,)),
        ("cohorts", COHORT, (2, COHORTS)),
    ],
    align=True,
)


@kernel
def _listen(f: Any, rules: Any, e: Any) -> None:
    if e.kind == _QUOTE and 0 < e.price < e.aux:
        f.heard = 0.5 * (e.price + e.aux) * rules.leader_tick
        f.has_quotes = 1
    elif e.kind == _TRADE and f.has_quotes == 0 and e.price > 0:
        f.heard = e.price * rules.leader_tick


@kernel
def _open(f: Any, rules: Any, out: Any, n: int, ts: int) -> int:
    """Open the book at what was heard and hand the open interest to cohorts along a path that nobody saw."""
    s = f.market
    law = rules.law
    f.is_open = 1
    f.oracle = f.heard
    f.basis = rules.basis_mean
    s.recv = ts - 1
    s.update_id = 1_000
    s.next_funding = (ts // law.funding_interval + 1) * law.funding_interval
    s.bid = int(f.heard / law.tick)
    s.ask = s.bid + 1
    for side in (1, -1):
        best = s.bid if side > 0 else s.ask
        set_lots(s, best, drawn(s, law, side, 0, 0.0))
        for distance in range(1, law.reach + 1):
            set_lots(s, best - side * distance, maybe_drawn(s, law, side, distance, 0.0))
    if rules.is_perpetual == 1:
        lots = max(int(s.open_interest) // COHORTS, 1)
        for _ in range(COHORTS):
            for k in range(2):
                entry = f.heard * math.exp(0.015 * normal(s.draws))
                _hold(f, k, entry, lots, _leverage(s), f.heard)
        s.open_interest = f.held[0]
    hear(s, law, ts)
    n = put(s, law, out, n, ts, _STATUS, 0, 0, 0, _CONNECTED)
    out[n - 1].aux = _CONNECTED
    n = snapshot(s, law, out, n, ts)
    return quote(s, law, out, n, ts)


@kernel
def _leverage(s: Any) -> float:
    u = uniform(s.draws)
    if u < 0.4:
        return 3.0
    if u < 0.7:
        return 5.0
    if u < 0.9:
        return 10.0
    return 20.0


@kernel
def _hold(f: Any, k: int, entry: float, lots: int, leverage: float, price: float) -> None:
    """Let longs (k = 0) or shorts (1) hold `lots` more; a full ring puts them into its oldest cohort."""
    sign = 1.0 - 2.0 * k
    broken_at = entry * (1.0 - sign * (1.0 / leverage - 0.012))
    if (price - broken_at) * sign <= 0.0:
        broken_at = price * (1.0 - sign * 0.05)
    c = f.cohorts[k, f.cursor[k]]
    total = c.lots + lots
    c.entry = (c.entry * c.lots + entry * lots) / total
    c.broken_at = (c.broken_at * c.lots + broken_at * lots) / total
    c.lots = total
    f.held[k] += lots
    f.cursor[k] = (f.cursor[k] + 1) % COHORTS


@kernel
def _release(f: Any, k: int, lots: int) -> None:
    """Let longs or shorts close `lots`, the oldest cohorts first; they hold as many."""
    left = lots
    for j in range(COHORTS):
        c = f.cohorts[k, (f.cursor[k] + j) % COHORTS]
        part = min(c.lots, left)
        c.lots -= part
        left -= part
        if left == 0:
            break
    f.held[k] -= lots - left


@kernel
def _exchange(f: Any, side: int, price: float, lots: int) -> None:
    """Let a trade of a taker on `side` open positions on both sides, or close them."""
    s = f.market
    if uniform(s.draws) < 0.5:
        taker = 0 if side > 0 else 1
        _hold(f, taker, price, lots, _leverage(s), price)
        _hold(f, 1 - taker, price, lots, 3.0, price)
    else:
        closed = min(lots, f.held[0] - 1, f.held[1] - 1)
        if closed > 0:
            _release(f, 0, closed)
            _release(f, 1, closed)
    s.open_interest = f.held[0]


@kernel
def _liquidations(f: Any, rules: Any, out: Any, n: int, ts: int) -> int:
    """Force out the cohorts that the oracle has broken, a few at a time; who takes them over closes the other side."""
    s = f.market
    law = rules.law
    forced = 0
    for k in range(2):
        sign = 1 - 2 * k
        for j in range(COHORTS):
            c = f.cohorts[k, j]
            if c.lots == 0 or (f.oracle - c.broken_at) * sign > 0.0 or forced == _MAX_FORCED:
                continue
            lots = min(c.lots, int(rules.forced_lots), f.held[1 - k] - 1)
            if lots < 1:
                continue
            forced += 1
            n = liquidate(s, law, out, n, ts, -sign, lots, 0.0)
            filled = out[n - 1].qty
            c.lots -= filled
            f.held[k] -= filled
            _release(f, 1 - k, filled)
            s.open_interest = f.held[0]
    return n


@kernel
def _takers(f: Any, rules: Any, out: Any, n: int, ts: int, gap: float) -> int:
    """Append the trades of the step that ends at `ts`; `gap` is log(target / mid)."""
    s = f.market
    law = rules.law
    bps = gap * 1e4
    quick = rules.orders_per_bp * min(abs(bps), 20.0)
    rate = rules.orders + quick
    now = 0.0
    for _ in range(_MAX_ORDERS):
        now += exponential(s.draws) / rate
        if now >= _STEP_S * 0.999:
            break
        at = ts - STEP_NS + int(now * 1e9)
        hear(s, law, at)
        side = 1 if bps > 0.0 else -1
        if uniform(s.draws) * rate < rules.orders:
            side = 1 if uniform(s.draws) < 0.5 else -1
        first = n
        lots = 1 + int(law.trade_lots * pareto(s.draws, law.trade_tail, law.trade_cap))
        n = take(s, law, out, n, at, side, lots, 0.0)
        if rules.is_perpetual == 1:
            for i in range(first, n):
                if out[i].kind == _TRADE:
                    _exchange(f, side, out[i].price * law.tick, out[i].qty)
    return n


@kernel
def _slow_rows(f: Any, rules: Any, out: Any, n: int, ts: int) -> int:
    """Append oracle price, predicted and paid funding, open interest."""
    s = f.market
    law = rules.law
    f.premium_sum += 0.5 * (s.bid + s.ask) * law.tick / f.oracle - 1.0
    f.premium_count += 1
    rate = round(1e12 * min(max(f.premium_sum / f.premium_count / 8.0, -0.0015), 0.0015))
    if ts >= s.next_funding:
        n = put(s, law, out, n, ts, _FUNDING, 0, 0, 0, s.next_funding)
        out[n - 1].aux = rate
        out[n - 1].aux2 = law.funding_interval
        out[n - 1].flags |= _SETTLED
        s.next_funding += law.funding_interval
        f.premium_sum = 0.0
        f.premium_count = 0
    n = put(s, law, out, n, ts, _MARK, 0, round(f.oracle / law.tick), 0, s.next_funding)
    out[n - 1].aux = round(f.oracle * 1e8)
    out[n - 1].aux2 = out[n - 1].aux
    n = put(s, law, out, n, ts, _FUNDING, 0, 0, 0, s.next_funding)
    out[n - 1].aux = rate
    out[n - 1].aux2 = law.funding_interval
    return put(s, law, out, n, ts, _OPEN_INTEREST, 0, 0, f.held[0], 0)


@kernel
def _step(f: Any, rules: Any, out: Any, n: int, ts: int, step: int) -> int:
    s = f.market
    law = rules.law
    f.noise = f.noise * rules.noise_keep + rules.noise_jump * normal(s.draws)
    f.basis = rules.basis_mean + (f.basis - rules.basis_mean) * rules.basis_keep + rules.basis_jump * normal(s.draws)
    f.oracle += (f.heard - f.oracle) * (1.0 - rules.oracle_keep)
    s.log_fundamental = math.log(f.heard) + f.basis + f.noise
    target = math.exp(s.log_fundamental) / law.tick
    mid = 0.5 * (s.bid + s.ask)
    gap = math.log(target / mid)
    n = _takers(f, rules, out, n, ts, gap)
    hear(s, law, ts)
    is_slow = rules.is_perpetual == 1 and step % rules.mark_steps == 0
    if is_slow:
        n = _liquidations(f, rules, out, n, ts)
    # a spread of its own: makers move when the target leaves their quotes, seldom otherwise
    if abs(target - 0.5 * (s.bid + s.ask)) > 0.5 * (s.ask - s.bid) or uniform(s.draws) < 0.05:
        quote_around(s, law, 3e3 * gap)
    else:
        refresh(s, law, 0.0)
    if s.num_dirty > 0:
        n = quote(s, law, out, n, ts)
        n = frame(s, law, out, n, ts)
    if is_slow:
        n = _slow_rows(f, rules, out, n, ts)
    return n


@kernel
def advance(f: Any, rules: Any, leader: Any, out: Any, until: int) -> tuple[int, int]:
    """Append the steps that end at or before `until` to `out` while it has room; return (rows written, rows heard).

    `leader` holds the leader's rows up to `until` that were not heard yet. Going on from the same `f` gives the same
    rows whatever the cuts.
    """
    n = 0
    at = 0
    s = f.market
    while s.start + s.step * STEP_NS <= until and n + MAX_STEP_ROWS <= len(out):
        ts = s.start + s.step * STEP_NS
        while at < len(leader) and leader[at].ts_recv <= ts - rules.lag:
            _listen(f, rules, leader[at])
            at += 1
        if f.is_open == 1:
            n = _step(f, rules, out, n, ts, s.step)
        elif f.heard > 0.0:
            n = _open(f, rules, out, n, ts)
        s.step += 1
    return n, at
