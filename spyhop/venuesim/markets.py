"""Where the public tape of one instrument comes from: a recording, the generative market, or what follows another."""

from __future__ import annotations

from typing import Protocol

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events


class Market(Protocol):
    """The public tape of one instrument in time order; the exchange numbers its rows."""

    instrument: Instrument

    def read(self, until: int) -> Events:
        """Return the rows with ts_recv <= `until` that were not returned before, in order."""
        ...
