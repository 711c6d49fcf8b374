"""What the compiled loop over the tape must stop for, told to it after every change of orders or positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spyhop.model.tape import Side
from spyhop.simulation.pit import MAX_WATCHED
from spyhop.venuesim import triggers
from spyhop.venuesim.matching import Floor
from spyhop.venuesim.triggers import Trail
from spyhop.venuesim.words import Order


def watch(p: Any, floor: Floor, waiting: Sequence[Order], trails: dict[int, Trail], *, is_held: bool) -> None:
    """Set the thresholds of the pit `p`: resting orders of `floor`, conditional orders `waiting`, positions held.

    Queues are followed by depth at the sixteen best prices of each side; behind the others only trades eat.
    """
    bids = [r.order.price for r in floor.resting(Side.BUY)]
    asks = [r.order.price for r in floor.resting(Side.SELL)]
    p["rest_bid"], p["rest_ask"] = bids[0] if bids else 0, asks[0] if asks else 0
    half = MAX_WATCHED // 2
    keys = [*dict.fromkeys(bids)][:half] + [-ask for ask in dict.fromkeys(asks)][:half]
    p["num_watched"] = len(keys)
    p["watched"][: len(keys)] = keys
    p["last_up"], p["last_down"] = triggers.bounds(waiting, trails, by_mark=False)
    mark_up, mark_down = triggers.bounds(waiting, trails, by_mark=True)
    p["has_position"] = int(is_held)
    # who holds something is looked at with every mark: a cross account may be broken by another instrument
    p["mark_up"], p["mark_down"] = (1, mark_down) if is_held else (mark_up, mark_down)
