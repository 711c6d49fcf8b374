"""A book of price levels that un-crosses itself.

The indexer sends absolute sizes of levels whose order is certain for an order and not for a price, and removes stale
crossed levels only for itself. So each level carries a stamp of when it was told; while the best bid is not below the
best ask, the older of the two goes (the smaller at equal stamps, the bid at equal sizes). A level told by an earlier
message than the one that was told last is not taken, whenever it arrives.
"""

from __future__ import annotations

from collections.abc import Iterable

_FORGET_AFTER = 4_096  # messages after which the stamp of a level that is gone is forgotten
_INDEX_BITS = 16

Level = tuple[int, int, int]
"""(side, price in ticks, lots); side is 1 for bids and -1 for asks."""


def stamp_of(message_id: int, index: int) -> int:
    """Return the stamp of the update at `index` of a message; later ones are larger."""
    return message_id << _INDEX_BITS | min(index, (1 << _INDEX_BITS) - 1)


class UncrossedBook:
    """One instrument's levels with stamps; changes are gathered until they are taken."""

    def __init__(self) -> None:
        self._lots: dict[int, int] = {}  # by key: the price of a bid, minus the price of an ask
        self._stamps: dict[int, int] = {}
        self._changed: dict[int, int] = {}
        self._bid = 0  # best prices; 0 = none, -1 = to be looked up
        self._ask = 0
        self._forgotten_at = 0

    def load(self, stamp: int, levels: Iterable[Level]) -> int:
        """Start anew with `levels` of a snapshot, un-crossed; return how many had to go."""
        self._lots = {side * price: lots for side, price, lots in levels if lots > 0}
        self._stamps = dict.fromkeys(self._lots, stamp)
        self._bid = self._ask = -1
        self._forgotten_at = stamp
        num_removed = self.uncross()
        self._changed.clear()
        return num_removed

    def put(self, stamp: int, side: int, price: int, lots: int) -> bool:
        """Set the lots at a price (0 = gone); return False where something newer was told."""
        key = side * price
        if stamp < self._stamps.get(key, 0):
            return False
        self._stamps[key] = stamp
        self._set(key, lots)
        if stamp - self._forgotten_at > _FORGET_AFTER << _INDEX_BITS:
            self._forget(stamp)
        return True

    def uncross(self) -> int:
        """Remove touching levels until the best bid is below the best ask; return how many went."""
        num_removed = 0
        while 0 < self.ask <= self.bid:
            bid, ask = self._bid, -self._ask
            of_bid = (self._stamps[bid], self._lots[bid])
            of_ask = (self._stamps[ask], self._lots[ask])
            self._set(ask if of_ask < of_bid else bid, 0)
            num_removed += 1
        return num_removed

    def take_changes(self) -> list[Level]:
        """Return the levels changed since the last call, as they are now."""
        changes = [(1 if key > 0 else -1, abs(key), lots) for key, lots in self._changed.items()]
        self._changed.clear()
        return changes

    def levels(self) -> list[Level]:
        """Return all levels, best first, bids before asks."""
        bids = sorted((key for key in self._lots if key > 0), reverse=True)
        asks = sorted((key for key in self._lots if key < 0), reverse=True)
        return [(1, key, self._lots[key]) for key in bids] + [(-1, -key, self._lots[key]) for key in asks]

    def __len__(self) -> int:
        return len(self._lots)

    @property
    def bid(self) -> int:
        """Return the best bid in ticks, 0 without bids."""
        if self._bid < 0:
            self._bid = max((key for key in self._lots if key > 0), default=0)
        return self._bid

    @property
    def ask(self) -> int:
        """Return the best ask in ticks, 0 without asks."""
        if self._ask < 0:
            self._ask = -max((key for key in self._lots if key < 0), default=0)
        return self._ask

    def _set(self, key: int, lots: int) -> None:
        self._changed[key] = lots
        if lots == 0:
            self._lots.pop(key, None)
            if key == self._bid:
                self._bid = -1
            elif key == -self._ask:
                self._ask = -1
            return
        self._lots[key] = lots
        if key > 0 and self._bid >= 0:
            self._bid = max(self._bid, key)
        elif key < 0 and self._ask >= 0:
            self._ask = min(self._ask, -key) if self._ask else -key

    def _forget(self, stamp: int) -> None:
        oldest = stamp - (_FORGET_AFTER << _INDEX_BITS)
        self._stamps = {key: at for key, at in self._stamps.items() if at >= oldest or key in self._lots}
        self._forgotten_at = stamp
