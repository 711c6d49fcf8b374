"""Closing in slices that the book can take: the next when the one before has filled, and stops stay until all has.

A slice is what the newest quote shows on the side that it goes to, and at least one of so many equal parts of what was
held when closing began: so it ends, however thin the book. Without a quote nothing is known, and all goes at once, as
does a leg of a pair, which nothing may leave unhedged for longer than the other closes.
"""

from __future__ import annotations

import msgspec

from spyhop.model.orders import Purpose
from spyhop.model.tape import Side

SLICED = frozenset({Purpose.KILL, Purpose.SESSION_END})
"""Why somebody closes who does not wait for a price, but need not pay any either."""


class Slices(msgspec.Struct):
    """How far a close is: lots of the slice under way and still to fill, and the least that a slice takes.

    `bid` and `ask` are the lots of the newest quote, 0 unknown.
    """

    bid: int = 0
    ask: int = 0
    least: int = 0
    under_way: int = 0
    left: int = 0

    def next(self, lots: int, side: Side, num_parts: int) -> int:
        """Begin a slice of the `lots` still to close by orders of `side`; return how many it takes."""
        self.least = self.least or -(-lots // num_parts)
        seen = self.bid if side is Side.SELL else self.ask
        self.under_way = self.left = min(lots, max(seen, self.least)) if seen > 0 else lots
        return self.under_way

    def fill(self, lots: int) -> None:
        """Take a fill of an order that closes."""
        self.left = max(0, self.left - lots)

    def take_filled(self) -> bool:
        """Say, once of each slice, that it has filled."""
        is_filled = self.under_way > 0 and self.left == 0
        if is_filled:
            self.under_way = 0
        return is_filled
