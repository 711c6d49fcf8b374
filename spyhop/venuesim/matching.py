"""Price-time priority between the public tape and our orders, for one instrument.

At each price the public queue (the anonymous lots that the tape shows) and our orders stand in the order of arrival:
an order of ours is behind what the tape showed when it came. Trades of the tape at its price eat the queue before it,
then it; a trade beyond its price would have met it first, so it takes from that trade up to the trade's size. Lots
that vanish without a trade were ahead of us with probability f(ahead) / (f(ahead) + f(behind)), f(x) = log(1 + x)
(`simulation.resting`). A quote or frame that comes to or through our price would have traded with us and does, at our
price and up to what it shows. Our aggressive orders eat the book level by level, our resting orders in their turn; what
was eaten stays eaten until the tape tells that level anew. Two orders of one account never meet: the resting one is
expired (self-trade prevention EXPIRE_MAKER).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np

from spyhop.model.tape import Side
from spyhop.simulation import pit, resting
from spyhop.simulation.resting import Place
from spyhop.venuesim import depth
from spyhop.venuesim.words import Order

_MAX_LEVELS = 1_024


class Resting(msgspec.Struct):
    """An order of ours in the book: its place among the public lots of its level, its turn among ours."""

    order: Order
    place: Place
    turn: int


class Match(NamedTuple):
    """Lots that an aggressor gets at a price: from `maker`, or from the public book. 0 lots: `maker` must go."""

    price: int
    lots: int
    maker: Resting | None


class Floor:
    """Our resting orders at one instrument and their meetings with the tape folded into `pits[slot]`.

    `permitted` tells how many lots an order may fill now (reduce-only orders no more than is held).
    """

    def __init__(self, pits: Any, slot: int, permitted: Callable[[Order], int]) -> None:
        self._pits, self._slot = pits, slot
        self._permitted = permitted
        self._rests: dict[Side, list[Resting]] = {Side.BUY: [], Side.SELL: []}
        self._turn = 0
        self._prices = np.zeros(_MAX_LEVELS, np.int64)
        self._taken = np.zeros(_MAX_LEVELS, np.int64)

    @property
    def pit(self) -> Any:
        return self._pits[self._slot]

    def touch(self) -> tuple[int, int]:
        """Return the best public prices (bid, ask) in ticks, 0 where unknown."""
        bid, ask = pit.touch(self.pit)
        return int(bid), int(ask)

    def resting(self, side: Side) -> list[Resting]:
        """Return our orders of one side, best first."""
        return self._rests[side]

    # in and out

    def enter(self, order: Order) -> None:
        """Let an order wait behind all that is shown at its price."""
        side = order.request.side
        shown = int(pit.displayed(self.pit, int(side), order.price))
        self._turn += 1
        entry = Resting(order, resting.entered(shown), self._turn)
        insort(self._rests[side], entry, key=lambda r: (-r.order.price * side, r.turn))

    def leave(self, order: Order) -> None:
        """Take an order out of the book, if it is there."""
        rests = self._rests[order.request.side]
        rests[:] = [r for r in rests if r.order is not order]

    # aggressors

    def would_take(self, side: Side, price: int) -> bool:
        """Return whether an order at `price` would trade at once, with the public or with one of ours."""
        bid, ask = self.touch()
        public = ask if side is Side.BUY else bid
        opposite = self._rests[side.opposite]
        ours = opposite[0].order.price if opposite else 0
        return any(best > 0 and (price - best) * side >= 0 for best in (public, ours))

    def fillable(self, side: Side, limit: int, lots: int, account: str) -> int:
        """Return how many of `lots` an aggressor would get no worse than `limit` ticks (0: any)."""
        total = int(depth.within(self.pit, int(side), limit, lots))
        for maker in self._rests[side.opposite]:
            if limit > 0 and (maker.order.price - limit) * side > 0:
                break
            if maker.order.request.account != account:
                total += self._permitted(maker.order)
        return min(total, lots)

    def take(self, order: Order, lots: int, limit: int) -> Iterator[Match]:
        """Yield what an aggressive order gets, best price first; apply each match before asking for the next."""
        side = order.request.side
        left = lots
        while left > 0:
            opposite = self._rests[side.opposite]
            maker = opposite[0] if opposite else None
            if maker is None or (limit > 0 and (maker.order.price - limit) * side > 0):
                yield from self._eat(side, left, limit)
                return
            price = maker.order.price
            # all that is better than the maker; no price is below the first tick
            for match in self._eat(side, left, price - side) if price > side else ():
                left -= match.lots
                yield match
            ahead = int(min(maker.place.ahead, left))
            if ahead > 0:
                for match in self._eat(side, ahead, price):
                    left -= match.lots
                    self._moved_up(side.opposite, price, match.lots)
                    yield match
            if left == 0:
                return
            is_same = maker.order.request.account == order.request.account
            got = 0 if is_same else min(left, self._permitted(maker.order))
            left -= got
            yield Match(price, got, maker)

    def _eat(self, side: Side, lots: int, limit: int) -> list[Match]:
        if lots <= 0:
            return []
        count = pit.eat(self.pit, int(side), lots, limit, self._prices, self._taken)
        return [Match(int(self._prices[k]), int(self._taken[k]), None) for k in range(count)]

    def _moved_up(self, side: Side, price: int, lots: int) -> None:
        for entry in self._rests[side]:
            if entry.order.price == price:
                entry.place.ahead = max(0.0, entry.place.ahead - lots)

    # the tape

    def on_trade(self, price: int, lots: int, aggressor: int) -> Iterator[tuple[Resting, int]]:
        """Yield (order, lots) that a public trade fills, in price-time order; never more than its lots in all.

        0 lots: the order may fill no more and must go.
        """
        for side in (Side.BUY, Side.SELL):
            for entry in list(self._rests[side]):
                beyond = (entry.order.price - price) * side
                if beyond < 0 or lots <= 0 or (beyond == 0 and aggressor != -side):
                    break
                reached = lots if beyond > 0 else resting.after_trade(entry.place, lots)
                got = min(reached, self._permitted(entry.order))
                lots -= got
                if got > 0 or (reached > 0 and lots > 0):
                    yield entry, got

    def on_depth(self) -> None:
        """Let the queues before our orders shrink to what the tape shows."""
        for side, rests in self._rests.items():
            for entry in rests:
                shown = int(pit.displayed(self.pit, int(side), entry.order.price))
                if shown >= 0:
                    resting.after_depth(entry.place, shown, "probabilistic")

    def on_meeting(self) -> Iterator[tuple[Resting, int]]:
        """Yield (order, lots) that quotes at or through the prices of our orders fill, in price-time order."""
        for side in (Side.BUY, Side.SELL):
            for entry in list(self._rests[side]):
                bid, ask = self.touch()
                public = ask if side is Side.BUY else bid
                if public <= 0 or (entry.order.price - public) * side < 0:
                    break
                got = sum(m.lots for m in self._eat(side, self._permitted(entry.order), entry.order.price))
                if got > 0:
                    yield entry, got
