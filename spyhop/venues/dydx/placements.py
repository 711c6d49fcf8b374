"""What we have placed at dYdX: our names of orders as the chain's numbers, and until when an order can still appear.

The chain tells an order from another by a number of 32 bits, our names are longer. A number is made of the name alone,
so that every life of a process finds the same; two names of one number are noticed before anything is sent.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5
from zlib import crc32

import msgspec

from spyhop.clock import NS_PER_S
from spyhop.errors import VenueRefused
from spyhop.model.accounts import VenueOrder
from spyhop.model.orders import OrderStatus, SubmitOrder
from spyhop.venues.dydx.answers import LAG_BLOCKS, Market

NAMESPACE: Final = UUID("0f9da948-a6fb-4c45-9edc-4685c3f3317d")
"""The indexer's own, of which it makes its ids of orders."""
SHORT_TERM, CONDITIONAL, LONG_TERM = 0, 32, 64
FLAGS: Final = (SHORT_TERM, CONDITIONAL, LONG_TERM)
SHORT_BLOCK_WINDOW: Final = 40
"""How many blocks ahead the chain lets a short-term order live."""
NONCE_NS: Final = 35 * NS_PER_S
"""The chain takes a stateful transaction up to 30 s after its nonce, by the clock of blocks."""


def number_of(client_order_id: str) -> int:
    """Return the chain's number of one of our names.

    The orders of a session count from a number that its name gives, so no two of one session can ever meet, and two
    sessions meet only where their ranges do. A name that is not `session-sequence` is hashed whole.
    """
    session, dash, sequence = client_order_id.rpartition("-")
    if dash and sequence.isascii() and sequence.isdigit():
        return (crc32(session.encode()) + int(sequence)) % (1 << 32)
    return crc32(client_order_id.encode())


def order_uuid(address: str, subaccount: int, number: int, clob_pair: int, flags: int) -> str:
    """Return the indexer's id of an order."""
    return str(uuid5(NAMESPACE, f"{uuid5(NAMESPACE, f'{address}-{subaccount}')}-{number}-{clob_pair}-{flags}"))


class Placed(msgspec.Struct):
    """An order that we tried to place at `sent` (nanoseconds).

    A short-term one may appear until the block `good_til_block`, 0 for others: their transactions are void some time
    after they were sent.
    """

    uuid: str
    number: int
    flags: int
    order: SubmitOrder
    good_til_block: int = 0
    sent: int = 0
    is_taken: bool = False
    """A node said that it passed the checks."""
    is_cancelled: bool = False
    """We asked for its end."""

    def is_over(self, height: int, block_time: int) -> bool:
        """Return whether a chain of this height and time (ns) can no longer bring it forth."""
        if self.flags == SHORT_TERM:
            return height >= self.good_til_block + LAG_BLOCKS
        return block_time > self.sent + NONCE_NS

    def told(self, status: OrderStatus) -> VenueOrder:
        """Return it as an order at the venue of which nothing is filled."""
        order = self.order
        return VenueOrder(
            client_order_id=order.client_order_id,
            venue_order_id=self.uuid,
            instrument=order.instrument,
            side=order.side,
            status=status,
            lots=order.lots,
            filled=0,
            price=order.price,
            trigger=order.trigger,
            reduce_only=order.reduce_only,
        )


class Placements:
    """The names and orders of one subaccount; shared by who places them and who reads what is told of them."""

    def __init__(self, address: str, subaccount: int, markets: dict[int, Market] | None = None) -> None:
        self.address, self.subaccount = address, subaccount
        self.markets: dict[int, Market] = dict(markets or {})
        self.placed: dict[str, Placed] = {}
        """By client order id."""
        self.waiting: dict[str, Placed] = {}
        """The short-term ones whose last block has not passed yet."""
        self.height, self.heard = 0, 0
        """The newest block that was told of, and when (nanoseconds)."""
        self._before = (0, 0)
        self._names: dict[int, str] = {}
        self._of_uuid: dict[str, str] = {}
        self._unlisted: list[str] = []

    def note_block(self, height: int, heard: int) -> None:
        """Note the height of a block, told at `heard`."""
        if height >= self.height:
            self.height, self.heard = height, heard

    def learn(self, client_order_id: str) -> int:
        """Return the number of a name and remember whose it is; raise VenueRefused when it is another one's."""
        number = number_of(client_order_id)
        if number not in self._names:
            self._names[number] = client_order_id
            self._unlisted.append(client_order_id)
        known = self._names[number]
        if known != client_order_id:
            raise VenueRefused("dydx", 0, 0, f"{client_order_id} and {known} come to the same number {number}")
        return number

    def name(self, number: str | int) -> str:
        """Return our name of a number, "" for nobody's."""
        return self._names.get(int(number), "") if str(number).isdigit() else ""

    def name_of_uuid(self, uuid: str) -> str:
        """Return our name of the indexer's id of an order, "" for nobody's."""
        if uuid and uuid not in self._of_uuid and self.markets:
            unlisted, self._unlisted = self._unlisted, []
            for name in unlisted:
                for market in self.markets.values():
                    self._of_uuid |= dict.fromkeys(self._uuids(number_of(name), market.clob_pair), name)
        return self._of_uuid.get(uuid, "")

    def note(self, uuid: str, client_order_id: str) -> None:
        """Remember whose order an id of the indexer is."""
        self._of_uuid[uuid] = client_order_id

    def place(self, placed: Placed) -> None:
        """Note an order before it is sent."""
        self.placed[placed.order.client_order_id] = placed
        self.note(placed.uuid, placed.order.client_order_id)
        if placed.flags == SHORT_TERM:
            self.waiting[placed.order.client_order_id] = placed

    def begin(self, height: int, now: int) -> None:
        """Note where the chain is as we begin: what an earlier life sent is void some time from here."""
        self._before = (height + SHORT_BLOCK_WINDOW, now + NONCE_NS)

    def is_over(self, client_order_id: str, height: int, block_time: int) -> bool:
        """Return whether an order, of this life or an earlier one, can no longer appear."""
        placed = self.placed.get(client_order_id)
        if placed is not None:
            return placed.is_over(height, block_time)
        good_til_block, void_from = self._before
        return height >= good_til_block + LAG_BLOCKS and block_time > void_from

    def withdraw(self, client_order_id: str) -> None:
        """Forget an order that certainly was not taken; its number stays its own."""
        self.placed.pop(client_order_id, None)
        self.waiting.pop(client_order_id, None)

    def passed(self, height: int) -> list[Placed]:
        """Return the short-term orders whose last block has passed since this was asked before, oldest first."""
        over = [placed for placed in self.waiting.values() if placed.is_over(height, 0)]
        for placed in over:
            del self.waiting[placed.order.client_order_id]
        return over

    def uuids(self, client_order_id: str, instrument: int) -> list[str]:
        """Return the ids that the indexer may have for a name, the likeliest first; raise KeyError without a market."""
        placed = self.placed.get(client_order_id)
        if placed is not None:
            return [placed.uuid]
        return self._uuids(self.learn(client_order_id), self.markets[instrument].clob_pair)

    def _uuids(self, number: int, clob_pair: int) -> list[str]:
        return [order_uuid(self.address, self.subaccount, number, clob_pair, flags) for flags in FLAGS]
