"""A generative market: self-exciting orders against a book of makers, with planted whale episodes.

Time goes in steps of 100 ms. In a step the fundamental moves (stochastic volatility, a shock that symbols share),
aggressive orders of both sides arrive as a two-sided Hawkes process with exponential kernel and eat the book from the
top, each pushes the price (part of it for good), a whale's orders come on top while an episode lasts; then
makers quote around the new price and one depth frame tells what changed.

    log price = fundamental + impact       impact decays; an episode drifts the fundamental
"""

from __future__ import annotations

import math
from typing import Any

from spyhop.model.tape import Flag, Kind, Status
from spyhop.numerics._jit import kernel
from spyhop.simulation.draws import normal, normal_at
from spyhop.simulation.episodes import PHASES
from spyhop.simulation.makers import (
    RING,
    STEP_NS,
    drawn,
    frame,
    hear,
    maybe_drawn,
    put,
    quote,
    quote_around,
    set_lots,
    snapshot,
)
from spyhop.simulation.takers import orders

MAX_STEP_ROWS = 4 * RING
_STEPS_PER_S = 1_000_000_000 // STEP_NS
_COMMON_STREAM = 11

_MARK, _FUNDING, _OPEN_INTEREST = int(Kind.MARK), int(Kind.FUNDING), int(Kind.OPEN_INTEREST)
_STATUS, _SETTLED = int(Kind.STATUS), int(Flag.SETTLED)
_CONNECTED, _EPISODE = int(Status.CONNECTED), int(Status.EPISODE)


@kernel
def _slow_rows(s: Any, law: Any, out: Any, n: int, ts: int, step: int) -> int:
    """Append mark, funding and open interest when they are due."""
    index = math.exp(s.log_fundamental)
    mid = 0.5 * (s.bid + s.ask) * law.tick
    s.premium += (mid / index - 1.0 - s.premium) / 600.0
    mark = index * (1.0 + s.premium)
    rate = round(1e12 * (min(max(1e-4 - s.premium, -5e-4), 5e-4) + s.premium))
    if step % law.mark_steps == 0:
        n = put(s, law, out, n, ts, _MARK, 0, round(mark / law.tick), 0, s.next_funding)
        out[n - 1].aux = round(mark * 1e8)
        out[n - 1].aux2 = round(index * 1e8)
        n = put(s, law, out, n, ts, _FUNDING, 0, 0, 0, s.next_funding)
        out[n - 1].aux = rate
        out[n - 1].aux2 = law.funding_interval
    if ts >= s.next_funding:
        n = put(s, law, out, n, ts, _FUNDING, 0, 0, 0, s.next_funding)
        out[n - 1].aux = rate
        out[n - 1].aux2 = law.funding_interval
        out[n - 1].flags |= _SETTLED
        s.next_funding += law.funding_interval
    if step % law.open_interest_steps == 0:
        n = put(s, law, out, n, ts, _OPEN_INTEREST, 0, 0, int(s.open_interest), 0)
    return n


@kernel
def open_market(s: Any, law: Any, price: float, open_interest: float, ts: int) -> None:
    """Set a zeroed record `s` (its draws begun) to a market at `price` (quote currency) that opens at `ts`."""
    s.start = ts
    s.recv = ts - 1
    s.log_fundamental = math.log(price)
    s.open_interest = open_interest
    s.update_id = 1_000
    s.next_funding = (ts // law.funding_interval + 1) * law.funding_interval
    s.bid = int(price / law.tick)
    s.ask = s.bid + 1
    for side in (1, -1):
        best = s.bid if side > 0 else s.ask
        set_lots(s, best, drawn(s, law, side, 0, 0.0))
        for distance in range(1, law.reach + 1):
            set_lots(s, best - side * distance, maybe_drawn(s, law, side, distance, 0.0))


@kernel
def _phase_of(plan: Any, e: int, ts: int) -> int:
    share = (ts - plan[e].start) / (plan[e].end - plan[e].start)
    k = 0
    while k < PHASES - 1 and share >= plan[e].phases[k].until:
        k += 1
    return k


@kernel
def _move(s: Any, law: Any, phase: Any, drift: float, step: int) -> None:
    """Move fundamental, volatility and impact over one step."""
    before = s.log_fundamental + s.impact
    s.log_vol = s.log_vol * law.vol_keep + law.vol_noise * normal(s.draws)
    shock = law.own_load * normal(s.draws)
    if law.common_load != 0.0:
        shock += law.common_load * normal_at(law.common_seed, _COMMON_STREAM, s.start // STEP_NS + step)
    s.log_fundamental += law.sigma_step * math.exp(s.log_vol) * phase.volatility * shock + drift
    s.impact *= law.impact_keep
    s.return_1m += s.log_fundamental + s.impact - before - s.return_1m / (60.0 * _STEPS_PER_S)


@kernel
def advance(s: Any, law: Any, calm: Any, plan: Any, out: Any, until: int) -> int:
    """Append whole steps that begin before `until` to `out` while it has room for one; return the rows written.

    `calm` is the PHASE outside of episodes. Going on from the same `s` gives the same rows whatever the cuts.
    """
    n = 0
    while s.start + s.step * STEP_NS < until and n + MAX_STEP_ROWS <= len(out):
        step = s.step
        ts = s.start + step * STEP_NS
        if step == 0:
            hear(s, law, ts)
            n = put(s, law, out, n, ts, _STATUS, 0, 0, 0, _CONNECTED)
            out[n - 1].aux = _CONNECTED
            n = snapshot(s, law, out, n, ts)
            n = quote(s, law, out, n, ts)
        while s.next_episode < len(plan) and ts >= plan[s.next_episode].end:
            s.next_episode += 1
        e = s.next_episode
        phase = calm
        drift = 0.0
        strength = 1.0
        if e < len(plan) and ts >= plan[e].start:
            if ts - plan[e].start < STEP_NS:
                hear(s, law, ts)
                n = put(s, law, out, n, ts, _STATUS, 0, 0, plan[e].kind, _EPISODE)
                out[n - 1].aux = _EPISODE
                out[n - 1].aux2 = plan[e].end - plan[e].start
            k = _phase_of(plan, e, ts)
            phase = plan[e].phases[k]
            strength = plan[e].strength
            share = phase.until - (plan[e].phases[k - 1].until if k > 0 else 0.0)
            steps = share * (plan[e].end - plan[e].start) / STEP_NS
            drift = strength * phase.drift_bps * 1e-4 / max(steps, 1.0)
        _move(s, law, phase, drift, step)
        n = orders(s, law, out, n, ts, phase, strength)
        quote_around(s, law, phase.skew + 0.3 * math.tanh(s.pressure))
        end = ts + STEP_NS
        hear(s, law, end)
        s.update_id += 1  # a frame without a change still has an id of its own
        n = quote(s, law, out, n, end)
        n = frame(s, law, out, n, end)
        n = _slow_rows(s, law, out, n, end, step)
        s.step = step + 1
    return n
