"""The takers' side of the generative market: who eats the book, how much of it, and what that does to the price."""

from __future__ import annotations

import math
from typing import Any

from spyhop.model.tape import Kind
from spyhop.numerics._jit import kernel
from spyhop.simulation.draws import exponential, normal, pareto, uniform
from spyhop.simulation.makers import MASK, STEP_NS, hear, put, quote, set_lots

MAX_ORDERS = 256
MAX_WALK = 24
_STEP_S = STEP_NS / 1e9

_TRADE, _LIQUIDATION = int(Kind.TRADE), int(Kind.LIQUIDATION)


@kernel
def take(s: Any, law: Any, out: Any, n: int, ts: int, side: int, lots: int, impact: float) -> int:
    """Let an aggressive order eat the book: one TRADE a price, then a QUOTE; push the price."""
    left = lots
    tick = s.ask if side > 0 else s.bid
    limit = tick + side * law.reach
    walked = 0
    while left > 0 and tick != limit and walked < MAX_WALK:
        there = abs(s.lots[tick & MASK])
        if there > 0:
            taken = min(left, there)
            left -= taken
            s.trade_id += 1
            n = put(s, law, out, n, ts, _TRADE, side, tick, taken, s.trade_id)
            set_lots(s, tick, -side * (there - taken))
            walked += 1
            if there > taken:
                break
        tick += side
    while s.lots[tick & MASK] == 0 and tick != limit:
        tick += side
    if s.lots[tick & MASK] == 0:
        set_lots(s, tick, -side)
    if side > 0:
        s.ask = tick
    else:
        s.bid = tick
    push = side * law.impact * impact * math.sqrt((lots - left) / law.trade_lots)
    s.log_fundamental += push * law.impact_kept
    s.impact += push * (1.0 - law.impact_kept)
    return quote(s, law, out, n, ts)


@kernel
def liquidate(s: Any, law: Any, out: Any, n: int, ts: int, side: int, lots: int, impact: float) -> int:
    """Force an order of `side` through the book and tell it as a LIQUIDATION."""
    touch = s.ask if side > 0 else s.bid
    first = n
    n = take(s, law, out, n, ts, side, lots, impact)
    filled = 0
    cost = 0.0
    for i in range(first, n):
        if out[i].kind == _TRADE:
            filled += out[i].qty
            cost += float(out[i].qty) * float(out[i].price)
    s.open_interest = max(s.open_interest - filled, 1.0)
    n = put(s, law, out, n, ts, _LIQUIDATION, side, touch, filled, 0)
    out[n - 1].aux = round(cost / max(filled, 1))
    return n


@kernel
def orders(s: Any, law: Any, out: Any, n: int, ts: int, phase: Any, strength: float) -> int:
    """Append the aggressive orders of one step, by thinning."""
    s.pressure = s.pressure * law.pressure_keep + law.pressure_noise * normal(s.draws)
    lean = math.tanh(law.pressure_gain * s.pressure)
    base_buy = law.base_rate * (1.0 + lean)
    base_sell = law.base_rate * (1.0 - lean)
    whale = phase.whale_rate * strength
    # minute's move in sigmas decides whose stops and margins are hit
    stress = s.return_1m / (law.sigma_step * 24.5)
    forced_sell = law.liquidation_rate * max(-stress, 0.0) ** 2
    forced_buy = law.liquidation_rate * max(stress, 0.0) ** 2
    fixed = whale + forced_buy + forced_sell
    now = 0.0
    for _ in range(MAX_ORDERS):
        bound = base_buy + base_sell + s.excited_buy + s.excited_sell + fixed
        wait = exponential(s.draws) / bound
        if now + wait >= _STEP_S:
            break
        now += wait
        keep = math.exp(-law.beta * wait)
        s.excited_buy *= keep
        s.excited_sell *= keep
        pick = uniform(s.draws) * bound
        at = ts + int(now * 1e9)
        buy = base_buy + s.excited_buy
        sell = base_sell + s.excited_sell
        if pick >= buy + sell + fixed:
            continue
        hear(s, law, at)
        side = 1 if pick < buy else -1
        size = law.trade_lots
        if pick < buy + sell:
            lots = 1 + int(size * pareto(s.draws, law.trade_tail, law.trade_cap))
            n = take(s, law, out, n, at, side, lots, phase.impact)
            s.open_interest = max(s.open_interest + 0.2 * lots * normal(s.draws), 1.0)
        elif pick < buy + sell + whale:
            side = phase.whale_side
            lots = 1 + int(size * phase.whale_size * (0.5 + exponential(s.draws)))
            if phase.is_forced > 0.0:
                n = liquidate(s, law, out, n, at, side, lots, phase.impact)
            else:
                n = take(s, law, out, n, at, side, lots, phase.impact)
                s.open_interest = max(s.open_interest + phase.open_interest * lots, 1.0)
        else:
            side = 1 if pick < buy + sell + whale + forced_buy else -1
            lots = 1 + int(2.0 * size * pareto(s.draws, law.trade_tail, law.trade_cap))
            n = liquidate(s, law, out, n, at, side, lots, phase.impact)
        s.excited_buy += law.self_jump if side > 0 else law.cross_jump
        s.excited_sell += law.cross_jump if side > 0 else law.self_jump
    keep = math.exp(-law.beta * (_STEP_S - now))
    s.excited_buy *= keep
    s.excited_sell *= keep
    return n
