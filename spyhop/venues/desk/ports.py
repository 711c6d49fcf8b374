"""What a desk needs besides a Trader: its account's private stream, and a memory for names."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from spyhop.model.orders import Report


class Told(msgspec.Struct, frozen=True):
    """Something happened at `ts` (nanoseconds UTC, when we heard): reports about orders of ours, as far as the venue's
    words go, and the venue's ids of orders that are not.
    """

    ts: int
    reports: tuple[Report, ...] = ()
    foreign: tuple[str, ...] = ()


class Connected(msgspec.Struct, frozen=True):
    """From here on everything is told; what was before must be asked for."""

    ts: int


class Lost(msgspec.Struct, frozen=True):
    """Until the next Connected something may be missing."""

    ts: int
    reason: str = ""


Heard = Told | Connected | Lost


class AccountStream(Protocol):
    """The private stream of one account, in the words of the model."""

    async def next(self) -> Heard:
        """Wait for what comes next; repeats are permitted, and so is any order between orders."""
        ...


@runtime_checkable
class Expiring(Protocol):
    """What a Trader has besides whose requests say themselves how long the venue may take them."""

    @property
    def validity_s(self) -> float:
        """Return for how many seconds of the clock the venue may still take a request that was sent."""
        ...


@runtime_checkable
class Learning(Protocol):
    """What a Trader has besides where the venue knows our orders by other names than ours."""

    def learn(self, client_order_id: str) -> None:
        """Take a name of an earlier life as ours; raise VenueRefused when its number is another one's."""
        ...
