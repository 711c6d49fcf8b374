"""What a venue says of an account when it is asked: orders, fills, positions, balances, and what its key may do."""

from __future__ import annotations

import msgspec

from spyhop.model.orders import Liquidity, OrderStatus
from spyhop.model.tape import Side


class VenueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the venue has it. `client_order_id` is ours, "" when the order is not of our making.

    `lots` and `filled` are lots, `price` and `trigger` ticks (0 where it has none); times are nanoseconds UTC.
    """

    client_order_id: str
    venue_order_id: str
    instrument: int
    side: Side
    status: OrderStatus
    lots: int
    filled: int
    price: int = 0
    trigger: int = 0
    reduce_only: bool = False
    ts_venue: int = 0


class VenueFill(msgspec.Struct, frozen=True, kw_only=True):
    """An execution as the venue has it; `fill_id` is its own and unique in the instrument."""

    fill_id: str
    client_order_id: str
    venue_order_id: str
    instrument: int
    side: Side
    price: int  # ticks
    lots: int
    liquidity: Liquidity
    fee: float  # quote currency paid
    ts_venue: int


class VenuePosition(msgspec.Struct, frozen=True, kw_only=True):
    """A position as the venue has it; `lots` has a sign, prices are ticks (0.0 unknown), leverage 0.0 unknown."""

    instrument: int
    lots: int
    entry: float = 0.0
    liquidation: float = 0.0
    leverage: float = 0.0
    is_isolated: bool = True


class VenueBalance(msgspec.Struct, frozen=True, kw_only=True):
    """Money at the venue: `total` and what of it is `free`, in `asset`."""

    asset: str
    total: float
    free: float


class KeyRights(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue says of a key; None where it does not tell. `created` is nanoseconds UTC, 0 unknown."""

    can_trade: bool | None = None
    can_withdraw: bool | None = None
    is_ip_restricted: bool | None = None
    created: int = 0
    is_one_way: bool | None = None
    """Whether positions are held one-way, long or short, not both."""
