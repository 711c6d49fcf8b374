"""Where an order of ours stands in the queue at its price, and what a trade or a change of depth leaves of it.

`risk_averse`: whoever was there at acceptance stays ahead until trades have eaten it all. `probabilistic`: depth that
vanishes without a trade was ahead of us with probability f(ahead) / (f(ahead) + f(behind)), f(x) = log(1 + x)
(Rigtorp; hftbacktest's log queue). In neither is an order filled because a quote touched its price.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

QueueModel = Literal["risk_averse", "probabilistic"]


class Place(msgspec.Struct):
    """A place in a queue: lots ahead, what the level showed last, and what was traded there since."""

    ahead: float
    shown: float
    traded: float = 0.0


def entered(displayed: int) -> Place:
    """Return the last place behind the `displayed` lots; below 0 (nothing is known) only a trade through fills."""
    if displayed < 0:
        return Place(math.inf, math.inf)
    return Place(float(displayed), float(displayed))


def after_trade(place: Place, lots: int) -> int:
    """Let `lots` trade at the price; return how many of them are left for us."""
    reached = max(0.0, lots - place.ahead)
    place.ahead = max(0.0, place.ahead - lots)
    place.traded += lots
    return int(reached)


def after_depth(place: Place, displayed: int, model: QueueModel) -> None:
    """Let the level show `displayed` lots."""
    if model == "probabilistic" and math.isfinite(place.ahead):
        vanished = place.shown - displayed - place.traded
        if vanished > 0.0:
            behind = max(0.0, place.shown - place.traded - place.ahead)
            ahead, back = math.log1p(place.ahead), math.log1p(behind)
            share = ahead / (ahead + back) if ahead + back > 0.0 else 0.0
            # what cannot have been behind us was ahead of us
            gone = max(share * vanished, vanished - behind)
            place.ahead = max(0.0, place.ahead - gone)
        place.ahead = min(place.ahead, float(displayed))
    place.shown = float(displayed)
    place.traded = 0.0
