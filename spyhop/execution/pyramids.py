"""Pyramiding: what to add to a winner and what to take off it, with one stop for all, and size by confidence.

A plan and nothing more: `next_add` and `next_cut` look at a trip and a price and say lots and the new common stop;
whoever trades them tells the trip what was filled. In a session adds are wished for by `engine.pyramiding`, judged by
the supervisor and sent by the order stage, which leaves cuts to take-profit orders at their levels.

R is the distance in ticks from the first entry to its stop. Risk is counted in whole tick-lots and so for linear
contracts: what all of it loses if it is closed at the common stop, where a part that would gain there makes up for
nothing.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from spyhop.errors import InvalidSetting
from spyhop.model.tape import Side

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class PyramidParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to add and when to take off; multiples are of R, fractions of the first entry's lots."""

    max_adds: Annotated[int, msgspec.Meta(ge=0, le=3)] = 0
    """None by default. The supervisor permits no more than `risk.sizing.max_adds` besides."""
    add_every_r: Annotated[float, msgspec.Meta(ge=1)] = 1.0
    """The k-th add comes no earlier than k times this beyond the first entry."""
    add_frac: Share = 0.5
    """Of the first entry; an add is smaller where the risk permits no more."""
    trail_r: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """With an add the common stop follows to so far behind the price; it is never loosened."""
    slippage_ticks: Annotated[int, msgspec.Meta(ge=0)] = 0
    """By which an add may be filled worse than its price and still be within the risk."""
    ask_every_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """How long after a refusal the supervisor is asked again."""
    cut_levels_r: tuple[Annotated[float, msgspec.Meta(gt=0)], ...] = ()
    """Where lots are taken off, ascending."""
    cut_fracs: tuple[Share, ...] = ()
    """How many at each of these levels."""

    def __post_init__(self) -> None:
        if len(self.cut_levels_r) != len(self.cut_fracs):
            raise InvalidSetting("cut_fracs", f"needs one for each of the {len(self.cut_levels_r)} levels")
        if list(self.cut_levels_r) != sorted(set(self.cut_levels_r)):
            raise InvalidSetting("cut_levels_r", "must ascend")
        if math.fsum(self.cut_fracs) > 1.0 + 1e-9:
            raise InvalidSetting("cut_fracs", "add up to more than everything")


class Pyramid(msgspec.Struct, frozen=True, kw_only=True):
    """A trip as its planner sees it: `entries` are (ticks, lots) still open in the order filled, `stop` is common.

    `first` is the first entry as it was; `risk` the tick-lots that were at stake then.
    """

    side: Side
    first: tuple[int, int]
    entries: tuple[tuple[int, int], ...]
    stop: int
    unit: int
    risk: int
    num_adds: int = 0
    num_cuts: int = 0

    @property
    def lots(self) -> int:
        """Return the lots that are open."""
        return sum(lots for _, lots in self.entries)


class Step(msgspec.Struct, frozen=True):
    """So many lots more (or fewer), the common stop with them, and how many cut levels are done then."""

    lots: int
    stop: int
    num_cuts: int


def opened(side: Side, price: int, lots: int, stop: int) -> Pyramid:
    """Return the trip after its entry; raise ValueError unless the stop lies behind it."""
    unit = (price - stop) * side
    if unit <= 0 or lots < 1:
        raise ValueError(f"{lots} lots at {price} with a stop at {stop} are no entry to add to")
    return Pyramid(side=side, first=(price, lots), entries=((price, lots),), stop=stop, unit=unit, risk=unit * lots)


def open_risk(pyramid: Pyramid, stop: int) -> int:
    """Return the tick-lots that are lost at `stop`, gains of single entries not counted."""
    return sum(lots * max(0, (price - stop) * pyramid.side) for price, lots in pyramid.entries)


def next_add(pyramid: Pyramid, price: int, params: PyramidParams) -> Step | None:
    """Return what may be added at `price` ticks and the stop that must stand before it is, None for nothing.

    It is no more than leaves the open risk to the new stop at or below that of the first entry.
    """
    side, reach = pyramid.side, (price - pyramid.first[0]) * pyramid.side
    if pyramid.num_adds >= params.max_adds or not pyramid.entries:
        return None
    if reach < (pyramid.num_adds + 1) * params.add_every_r * pyramid.unit:
        return None
    stop = _tighter(pyramid, price - side * math.ceil(params.trail_r * pyramid.unit))
    worst = (price - stop) * side + params.slippage_ticks
    spare = pyramid.risk - open_risk(pyramid, stop)
    if worst <= 0 or spare < worst:
        return None
    lots = min(math.floor(params.add_frac * pyramid.first[1]), spare // worst)
    return Step(lots, stop, pyramid.num_cuts) if lots > 0 else None


def next_cut(pyramid: Pyramid, price: int, params: PyramidParams) -> Step | None:
    """Return what is to be taken off at `price` ticks, None for nothing; the stop stays."""
    reach = (price - pyramid.first[0]) * pyramid.side
    passed = sum(reach >= level * pyramid.unit for level in params.cut_levels_r)
    fracs = params.cut_fracs[pyramid.num_cuts : passed]
    lots = min(sum(math.floor(frac * pyramid.first[1] + 1e-9) for frac in fracs), pyramid.lots)
    return Step(lots, pyramid.stop, passed) if lots > 0 else None


def added(pyramid: Pyramid, price: int, lots: int, stop: int) -> Pyramid:
    """Return the trip after an add was filled (`lots` may be fewer than planned); the stop is never loosened."""
    return msgspec.structs.replace(
        pyramid,
        entries=(*pyramid.entries, (price, lots)) if lots > 0 else pyramid.entries,
        stop=_tighter(pyramid, stop),
        num_adds=pyramid.num_adds + 1,
    )


def cut(pyramid: Pyramid, lots: int, num_cuts: int) -> Pyramid:
    """Return the trip after `lots` were taken off, those last added first, and `num_cuts` levels are done."""
    entries, left = list(pyramid.entries), lots
    while left > 0 and entries:
        at, held = entries.pop()
        if held > left:
            entries.append((at, held - left))
        left -= held
    return msgspec.structs.replace(pyramid, entries=tuple(entries), num_cuts=max(pyramid.num_cuts, num_cuts))


def lots_by_confidence(lots: int, confidence: float, least_frac: float = 0.0) -> int:
    """Return `lots` scaled by a model's confidence in [0, 1], whole and never more than `lots`.

    A confidence of c keeps the fraction max(c, `least_frac`); anything that is no number in [0, 1] keeps nothing.
    """
    if not 0.0 <= confidence <= 1.0:
        return 0
    return min(lots, math.floor(lots * max(confidence, least_frac) + 1e-9))


def tighter(side: Side, stop: int, other: int) -> int:
    """Return the one of two stops (ticks) at which less is lost."""
    return max(stop, other) if side is Side.BUY else min(stop, other)


def _tighter(pyramid: Pyramid, stop: int) -> int:
    return tighter(pyramid.side, pyramid.stop, stop)
