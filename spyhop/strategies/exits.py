"""Exits that a position is entered with: take profit, stop and the longest time it is held."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Annotated

import msgspec

from spyhop.clock import NS_PER_S
from spyhop.model.tape import Side

_Frac = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class ExitParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Distances are fractions of the reference price."""

    take_profit_frac: _Frac = 0.0015
    stop_loss_frac: _Frac = 0.0010
    max_hold_s: Annotated[float, msgspec.Meta(gt=0)] = 1_800.0


class Exits(msgspec.Struct, frozen=True):
    """Prices in ticks."""

    take_profit: int
    stop: int
    max_hold_ns: int


def reference(side: Side, bid: int, ask: int) -> int:
    """Return the mid in ticks, rounded toward our side: down for a buyer, up for a seller.

    A price paid is measured against it, so rounding never flatters the slippage.
    """
    return (bid + ask) // 2 if side is Side.BUY else -(-(bid + ask) // 2)


def exits(side: Side, reference: int, params: ExitParams) -> Exits | None:
    """Return the exits of a position entered at `reference` ticks.

    Both distances are rounded up to whole ticks (1 at least): the profit is harder to reach, the loss counted in full.
    None when there is no side, or the reference is so few ticks that an exit would lie at 0 or below.
    """
    if side is Side.NONE:
        return None
    gain, loss = _distance(reference, params.take_profit_frac), _distance(reference, params.stop_loss_frac)
    take_profit, stop = reference + side * gain, reference - side * loss
    if min(take_profit, stop) < 1:
        return None
    return Exits(take_profit, stop, round(params.max_hold_s * NS_PER_S))


# decimal, since in binary 0.0015 x 100,000 is a little more than 150
def _distance(reference: int, frac: float) -> int:
    return max(1, int((Decimal(str(frac)) * reference).to_integral_value(ROUND_CEILING)))
