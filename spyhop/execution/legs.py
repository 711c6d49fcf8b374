"""Two legs in words: what is asked, what is permitted, the table of their life, and all that is known of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from spyhop.execution.flights import Flight
from spyhop.model.orders import TimeInForce
from spyhop.model.tape import Side

Positive = Annotated[float, msgspec.Meta(gt=0)]


class PairStatus(StrEnum):
    """Where a pair is in its life."""

    LEADING = "leading"  # the leader is being filled, the hedge follows
    HEDGING = "hedging"  # the leader is done, the hedge is not
    UNWINDING = "unwinding"  # a leg failed: what the other does not match is closed
    HEDGED = "hedged"  # both legs hold the same
    FLAT = "flat"  # neither holds anything


_S = PairStatus

NEXT: dict[PairStatus, frozenset[PairStatus]] = {
    _S.LEADING: frozenset({_S.HEDGING, _S.UNWINDING}),
    _S.HEDGING: frozenset({_S.UNWINDING, _S.HEDGED, _S.FLAT}),
    _S.UNWINDING: frozenset({_S.HEDGED, _S.FLAT}),
    # a fill that nobody expected any more
    _S.HEDGED: frozenset({_S.UNWINDING}),
    _S.FLAT: frozenset({_S.UNWINDING}),
}
"""Where a pair may go from each status."""


class PairParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one leg may do without the other."""

    max_imbalance: Positive = 2_000.0
    """Quote currency at the leader's reference price that may be unhedged."""
    max_imbalance_ms: Positive = 2_000.0
    """How long anything may be unhedged before it is unwound."""
    leader_wait_ms: Positive = 30_000.0
    """How long the leader may take for all of it; then what is had is hedged."""
    retry_ms: Positive = 250.0
    """Before an order that got less than it asked for is tried again."""


class LegOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One leg as asked: `reference` ticks is its price now; `price` ticks makes it a limit order, 0 a market order."""

    instrument: int
    side: Side
    reference: int
    price: int = 0
    time_in_force: TimeInForce = TimeInForce.GTC
    leverage: float = 0.0


class PairState(msgspec.Struct):
    """Everything that is known of a pair.

    `held` and `retry_at` have an entry for the leader and one for the hedge: lots in the direction of the leg, and
    when to try again what got less than it asked for (0: nothing to try); `wanted` lots are the leader's.
    """

    ts: int
    wanted: int
    leader_until: int
    status: PairStatus = PairStatus.LEADING
    flights: dict[str, Flight] = {}
    held: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    retry_at: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    unhedged_since: int = 0
    num_orders: int = 0
    reason: str = ""
