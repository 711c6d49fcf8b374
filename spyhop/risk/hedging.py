"""An intent of two legs before the limits: how large its hedge is, and what a limit sees of both.

Each leg is judged as if it were wished alone beside the other one. So every limit holds for both: those of notional and
margin see the gross of the two, value at risk and expected shortfall, which take signs, the net. What can be lost at
the stop is lost by both together and counts once, with the intent's own leg.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import floor

from msgspec.structs import replace

from spyhop.model.decisions import Intent
from spyhop.model.instruments import Instrument
from spyhop.risk.limits import Case
from spyhop.risk.sizing import Size, SizingParams, of_lots


def leg(
    intent: Intent, sized: Size, own: Instrument, other: Instrument, equity: float, params: SizingParams
) -> tuple[Intent, Size]:
    """Return the hedge of a sized intent as an intent of the other market: as many whole lots as its quantity has."""
    hedge = intent.hedge
    assert hedge is not None
    lots = floor(sized.lots * Fraction(own.lot_size * own.multiplier) / Fraction(other.lot_size * other.multiplier))
    distance = round(hedge.reference * sized.stop_frac)
    stop = max(1, hedge.reference + intent.side * distance)
    wish = replace(
        intent,
        instrument=hedge.instrument,
        side=intent.side.opposite,
        reference=hedge.reference,
        take_profit=0,
        stop=stop,
        spread=hedge.spread_frac * hedge.reference * other.tick,
        hedge=None,
    )
    return wish, of_lots(wish, other, lots, equity, params, stop, 0.0)


def depth(intent: Intent, own: Instrument, other: Instrument, ours: float | None, theirs: float | None) -> float | None:
    """Return the shallower of two depths in the intent's own notional, of which its hedge has more or less."""
    assert intent.hedge is not None
    if theirs is None:
        return ours
    theirs *= intent.reference * own.tick / (intent.hedge.reference * other.tick)
    return theirs if ours is None else min(ours, theirs)


def beside(case: Case, first: Case, instruments: Mapping[int, Instrument]) -> Case:
    """Return the case of a hedge with the leg of the case `first` held already."""
    own, other = instruments[first.intent.instrument], instruments[case.intent.instrument]
    notional = first.size.notional
    return replace(
        case,
        open_risk=case.open_risk + first.size.risk,
        open_margin=case.open_margin + first.size.margin,
        open_notional=case.open_notional + notional,
        open_notional_symbol=case.open_notional_symbol + (notional if base(own) == base(other) else 0.0),
        open_notional_venue=case.open_notional_venue + (notional if own.venue == other.venue else 0.0),
        num_open=case.num_open + (first.num_open_here == 0),
    )


def alone(case: Case) -> Case:
    """Return the case of a leg: nothing may be held where it goes, whatever may be added to otherwise."""
    return replace(case, sizing=replace(case.sizing, max_adds=0))


def base(instrument: Instrument) -> str:
    """Return the base currency that exposures are summed by."""
    return instrument.base or instrument.key
