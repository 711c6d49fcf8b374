"""How much: so many lots that the stop, costs included, loses the share of equity that was risked.

    notional = risk x equity / (stop distance / price + cost / price)

Leverage comes out of that; it never goes in. The caps (`max_leverage`, the venue's margin tiers, the margin of one
trade, capital in use) only ever make it smaller. So do volatility, confidence and a suspicious state; a bull market
alone makes what is wanted larger, and the caps hold for that as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor, inf, nextafter
from typing import Annotated

import msgspec

from spyhop.ledger.liquidation import bracket, isolated_price
from spyhop.ledger.positions import Position
from spyhop.model.decisions import Intent
from spyhop.model.instruments import Instrument

_Frac = Annotated[float, msgspec.Meta(gt=0, le=1)]
_NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class SizingParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`fee_frac` is charged on the way in and on the way out; slippage is the quoted spread plus `slippage_bps`.

    `position_size_usdt` is the most margin of one trade. With `atr_multiple` above 0 the stop is moved out to that
    many ATRs, and at least `min_stop_spreads` spreads and `min_stop_costs` round trips; 0 leaves the stop as decided.
    """

    risk_frac: _Frac = 0.01
    max_leverage: Annotated[float, msgspec.Meta(ge=1)] = 100.0
    position_size_usdt: Annotated[float, msgspec.Meta(gt=0)] = 100.0
    fee_frac: Annotated[float, msgspec.Meta(ge=0, lt=0.1)] = 0.0004
    slippage_bps: _NotNegative = 0.0
    atr_multiple: _NotNegative = 0.0
    min_stop_spreads: _NotNegative = 3.0
    min_stop_costs: _NotNegative = 2.0
    scale_by_confidence: bool = False
    target_sigma_1m: _NotNegative = 0.0
    """Above this volatility (a fraction per square-root minute) size falls as 1 / volatility; 0 leaves it."""
    regime_min: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    """How far timeframes must agree, upwards or downwards, for a bull or a bear market."""
    bull_leverage: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    bear_leverage: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """Factors of size in such a market, 1.5 and 0.5 for instance."""
    is_compounding: bool = True
    """Size from equity; otherwise from the start equity, while there is as much."""
    max_compounding: Annotated[float, msgspec.Meta(ge=1)] = 1e6
    """No more than so many start equities are sized from."""
    max_adds: Annotated[int, msgspec.Meta(ge=0, le=3)] = 0
    """How often a position may be added to."""
    min_add_profit_r: _NotNegative = 1.0
    """What the position must have gained before, in multiples of its first risk."""


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What size depends on besides intent and equity.

    `start_equity` 0.0 sizes from equity as it stands; `sigma_1m` is 0.0 and `aligned` (agreement of timeframes in
    [-1, 1]) 0.0 while unknown; `state_frac` is what the risk state leaves; `max_risk` and `max_notional` are quote
    currency.
    """

    start_equity: float = 0.0
    sigma_1m: float = 0.0
    aligned: float = 0.0
    state_frac: float = 1.0
    max_risk: float = inf
    max_notional: float = inf


PLAIN = Conditions()
"""Nothing known, nothing scaled."""


class Size(msgspec.Struct, frozen=True):
    """What an intent may become. Money in quote currency, `stop` in ticks.

    `leverage` is notional / equity; `venue_leverage` is what margin is computed with; `min_lots` is the least that the
    venue takes. `stop_frac` and `liquidation_frac` are how far from the reference the stop and an isolated liquidation
    lie.
    """

    lots: int
    min_lots: int
    stop: int
    notional: float
    margin: float
    risk: float
    leverage: float
    venue_leverage: float
    stop_frac: float
    liquidation_frac: float


def cost_frac(intent: Intent, instrument: Instrument, params: SizingParams) -> float:
    """Return what a round trip costs as a fraction of notional: fees in and out, spread and slippage, a hedge's too."""
    own = 2.0 * params.fee_frac + intent.spread / (intent.reference * instrument.tick) + params.slippage_bps * 1e-4
    if intent.hedge is None:
        return own
    return own + 2.0 * params.fee_frac + intent.hedge.spread_frac + params.slippage_bps * 1e-4


def stop_of(intent: Intent, instrument: Instrument, params: SizingParams) -> int:
    """Return the stop in ticks: as decided, or moved out by ATR, spread and cost; never nearer, never below 1."""
    if params.atr_multiple == 0.0:
        return intent.stop
    price = intent.reference * instrument.tick
    distance = max(
        params.atr_multiple * intent.atr,
        params.min_stop_spreads * intent.spread,
        params.min_stop_costs * cost_frac(intent, instrument, params) * price,
    )
    ticks = max(abs(intent.reference - intent.stop), ceil(distance / instrument.tick))
    return max(1, intent.reference - intent.side * ticks)


def sized_from(equity: float, start_equity: float, params: SizingParams) -> float:
    """Return the equity to size from: as it stands, or as it started, at most `max_compounding` times the start."""
    if start_equity <= 0.0:
        return max(equity, 0.0)
    most = start_equity * (params.max_compounding if params.is_compounding else 1.0)
    return min(max(equity, 0.0), most)


def regime_factor(aligned: float, params: SizingParams) -> float:
    """Return the factor of size in a bull market, a bear market, or neither (1.0)."""
    if aligned >= params.regime_min:
        return params.bull_leverage
    return params.bear_leverage if aligned <= -params.regime_min else 1.0


def volatility_factor(sigma_1m: float, params: SizingParams) -> float:
    """Return min(1, target / volatility), 1.0 while there is no target or no volatility."""
    if params.target_sigma_1m == 0.0 or not sigma_1m > 0.0:
        return 1.0
    return min(1.0, params.target_sigma_1m / sigma_1m)


def size(
    intent: Intent,
    instrument: Instrument,
    equity: float,
    margin_room: float,
    params: SizingParams,
    conditions: Conditions = PLAIN,
) -> Size:
    """Return the size of `intent` at `equity`, with at most `margin_room` of margin; lots may be 0.

    Lots are rounded down, so no cap is ever passed by rounding. What enlarges acts before the caps, what reduces after
    them, so a cap never hides a reduction.
    """
    stop = stop_of(intent, instrument, params)
    stop_frac = abs(intent.reference - stop) / intent.reference
    loss_frac = stop_frac + cost_frac(intent, instrument, params)
    trust = min(1.0, max(0.0, intent.confidence)) if params.scale_by_confidence else 1.0
    regime = regime_factor(conditions.aligned, params)
    at_risk = params.risk_frac * trust * sized_from(equity, conditions.start_equity, params) * max(1.0, regime)
    wanted = max(0.0, min(at_risk, conditions.max_risk)) / loss_frac
    room = max(0.0, min(params.position_size_usdt, margin_room))
    one = instrument.notional(intent.reference, 1)
    within = _within_tiers(wanted, room, max(equity, 0.0), instrument, params.max_leverage)
    reduced = within * min(1.0, regime) * volatility_factor(conditions.sigma_1m, params) * conditions.state_frac
    lots = floor(max(0.0, min(reduced, conditions.max_notional)) / one)
    return of_lots(intent, instrument, lots, equity, params, stop, loss_frac)


def of_lots(
    intent: Intent,
    instrument: Instrument,
    lots: int,
    equity: float,
    params: SizingParams,
    stop: int,
    loss_frac: float,
) -> Size:
    """Return what `lots` of an intent are, that lose `loss_frac` of their notional at `stop` ticks."""
    notional = instrument.notional(intent.reference, lots)
    venue_leverage = leverage_at(notional, instrument, params.max_leverage)
    return Size(
        lots=lots,
        min_lots=_least(instrument, instrument.notional(intent.reference, 1)),
        stop=stop,
        notional=notional,
        margin=notional / venue_leverage,
        risk=notional * loss_frac,
        leverage=notional / equity if equity > 0.0 else 0.0,
        venue_leverage=venue_leverage,
        stop_frac=abs(intent.reference - stop) / intent.reference,
        liquidation_frac=_liquidation_frac(intent, instrument, lots, notional / venue_leverage),
    )


def leverage_at(notional: float, instrument: Instrument, max_leverage: float) -> float:
    """Return the highest leverage for a position of `notional`: ours or the venue's tier, whichever is lower."""
    venue = 1.0
    for low, _, leverage in _brackets(instrument):
        if notional >= low:
            venue = leverage
    return min(max_leverage, venue)


# each bracket permits its own leverage, so the largest position is sought in each
def _within_tiers(wanted: float, room: float, equity: float, instrument: Instrument, max_leverage: float) -> float:
    best = 0.0
    for low, high, venue in _brackets(instrument):
        leverage = min(max_leverage, venue)
        # a tier ends below the floor of the next one, which lends less from that very notional on
        most = min(wanted, room * leverage, equity * leverage, nextafter(high, 0.0))
        if most >= low:
            best = max(best, most)
    return best


# a venue that told us no tiers is taken to lend nothing
def _brackets(instrument: Instrument) -> Iterator[tuple[float, float, float]]:
    tiers = instrument.margin_tiers
    if not tiers:
        yield 0.0, float("inf"), 1.0
    for n, tier in enumerate(tiers):
        high = float(tiers[n + 1].floor) if n + 1 < len(tiers) else float("inf")
        yield float(tier.floor), high, float(tier.max_leverage)


def _liquidation_frac(intent: Intent, instrument: Instrument, lots: int, margin: float) -> float:
    if lots == 0:
        return 1.0
    notional = instrument.notional(intent.reference, lots)
    if not instrument.margin_tiers:
        return margin / notional
    if instrument.is_inverse:
        return max(0.0, margin / notional - float(bracket(instrument.margin_tiers, notional).maintenance_rate))
    entry = intent.reference * instrument.tick
    price = isolated_price(margin, intent.side, lots * instrument.lot, entry, instrument.margin_tiers)
    return max(0.0, intent.side * (entry - price) / entry)


def profit_r(held: Position, reference: float, instrument: Instrument, risk: float) -> float:
    """Return what `held` would gain at `reference` ticks, in multiples of `risk`; 0.0 when there is neither."""
    return held.unrealized(instrument, reference) / risk if risk > 0.0 else 0.0


def add_budget(intent: Intent, held: Position, instrument: Instrument, risk: float, params: SizingParams) -> float:
    """Return what an add may risk: all that is held loses at the common stop no more than the first entry risked.

    Quote currency; the cost of leaving what is held counts. Never negative.
    """
    profit = held.unrealized(instrument, stop_of(intent, instrument, params))
    cost = cost_frac(intent, instrument, params) * instrument.notional(held.average, abs(held.lots))
    return max(0.0, risk - max(0.0, cost - profit))


def _least(instrument: Instrument, one: float) -> int:
    by_quantity = ceil(instrument.min_qty / instrument.lot_size)
    by_notional = ceil(float(instrument.min_notional) / one)
    return max(1, by_quantity, by_notional)
