"""Whole lots: an order cut into children that add up to it, none smaller than the venue takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from spyhop.model.instruments import Instrument

_HEADROOM = 1.1  # a price may fall between the plan and its last child


def smallest_lots(instrument: Instrument, ticks: int) -> int:
    """Return the fewest lots that the venue takes at about `ticks` (at least 1; notional counts where ticks > 0)."""
    fewest = max(1, math.ceil(instrument.min_qty / instrument.lot_size))
    lot = instrument.notional(ticks, 1)
    if lot > 0.0 and instrument.min_notional > 0:
        fewest = max(fewest, math.ceil(float(instrument.min_notional) * _HEADROOM / lot))
    return fewest


def apportioned(lots: int, weights: Sequence[float]) -> list[int]:
    """Return whole parts of `lots` in proportion to `weights` (at least 0, not all 0).

    The sum up to any part is the ideal one cut to a whole lot, so a schedule is never ahead and never a whole lot
    behind; the last part takes what is left, and the parts add up to `lots`.
    """
    total = math.fsum(weights)
    if lots < 0 or not weights or min(weights) < 0.0 or not 0.0 < total < math.inf:
        raise ValueError(f"{lots} lots cannot be shared by the weights {list(weights)[:8]}")
    parts, given, weight = [], 0, 0.0
    for share in weights[:-1]:
        weight += share
        until = math.floor(lots * min(1.0, weight / total) + 1e-9)
        parts.append(until - given)
        given = until
    return [*parts, lots - given]


def merged(parts: Sequence[tuple[int, int]], smallest: int) -> list[tuple[int, int]]:
    """Return (time, lots) parts none of which has fewer than `smallest` lots, unless all together do.

    A part that is too small waits for the next one; where the last ones stay too small, the part before them waits for
    the last, too. Parts of no lots are left out.
    """
    whole: list[tuple[int, int]] = []
    waiting = 0
    for ts, lots in parts:
        waiting += lots
        if waiting > 0 and waiting >= smallest:
            whole.append((ts, waiting))
            waiting = 0
    if waiting:
        whole.append(((parts[-1][0]), waiting + (whole.pop()[1] if whole else 0)))
    return whole


def bite(left: int, wanted: int, smallest: int) -> int:
    """Return how many of `left` lots to send when `wanted` are due: never more, 0 to wait, and no rest too small."""
    lots = min(left, wanted)
    if 0 < left - lots < smallest:
        lots = left - smallest
    return lots if lots >= min(smallest, left) else 0
