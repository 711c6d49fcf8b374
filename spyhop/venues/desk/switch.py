"""The dead man's switch: while orders of ours rest, the venue is told again and again to cancel them unless told again.

A venue without one says so and is not asked twice.
"""

from __future__ import annotations

import logging
from typing import Annotated

import msgspec

from spyhop.clock import Clock
from spyhop.errors import VenueError
from spyhop.model.orders import OrderStatus
from spyhop.ports import Trader
from spyhop.venues.desk.telling import Teller
from spyhop.venues.desk.unknowns import within

log = logging.getLogger(__name__)

_BEATS = 3


class SwitchParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the venue waits for us."""

    seconds: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    """Silence after which the venue cancels, asked anew three times in it; 0 sets no switch."""


class DeadMan:
    """Keeps the switch of each instrument set while orders of it rest, and lets go when none does."""

    def __init__(self, trader: Trader, teller: Teller, clock: Clock, params: SwitchParams) -> None:
        self._trader, self._teller, self._clock, self._params = trader, teller, clock, params
        self._set: set[int] = set()
        self._without: set[int] = set()

    async def run(self) -> None:
        """Run until cancelled; returns at once where no switch is wanted."""
        while self._params.seconds > 0.0:
            await self.beat()
            await self._clock.sleep(self._params.seconds / _BEATS)

    async def beat(self) -> None:
        """Ask each instrument with resting orders anew, let go of each without."""
        resting = {
            own.submit.instrument
            for own in self._teller.account.alive.values()
            if own.status is not OrderStatus.PENDING_NEW
        }
        for instrument in sorted((resting | self._set) - self._without):
            await self._hold(instrument, self._params.seconds if instrument in resting else 0.0)

    async def _hold(self, instrument: int, seconds: float) -> None:
        limit = self._params.seconds / _BEATS
        try:
            has_switch = await within(
                self._clock, limit, self._trader.hold_switch(instrument, seconds), self._trader.name
            )
        except VenueError as error:
            self._teller.counts["switch_failures"] += 1
            log.warning("%s: the dead man's switch was not set: %s", self._trader.name, error)
            return
        if not has_switch:
            self._without.add(instrument)
        elif seconds:
            self._set.add(instrument)
        else:
            self._set.discard(instrument)
