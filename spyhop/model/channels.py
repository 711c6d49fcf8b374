"""Channels: what a lake keeps apart, and which kinds of rows each of them holds.

TIMER rows are in no channel: they say that nothing happened, and a scan needs nobody to say that again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spyhop.model.tape import Events, Kind

KINDS_OF_CHANNEL: dict[str, tuple[Kind, ...]] = {
    "book": (Kind.LEVEL, Kind.SNAPSHOT),
    "quotes": (Kind.QUOTE,),
    "trades": (Kind.TRADE,),
    "bars": (Kind.BAR_OPEN, Kind.BAR_CLOSE),
    "marks": (Kind.MARK,),
    "funding": (Kind.FUNDING,),
    "open_interest": (Kind.OPEN_INTEREST,),
    "liquidations": (Kind.LIQUIDATION,),
    "ratios": (Kind.RATIO,),
    "tickers": (Kind.TICKER,),
    "blocks": (Kind.BLOCK,),
    "status": (Kind.STATUS,),
}

CHANNELS: tuple[str, ...] = tuple(KINDS_OF_CHANNEL)

NO_CHANNEL = -1

_CHANNEL_OF_KIND = np.full(256, NO_CHANNEL, np.int64)
for _channel, _kinds in enumerate(KINDS_OF_CHANNEL.values()):
    _CHANNEL_OF_KIND[list(_kinds)] = _channel


def channels_of(events: Events) -> npt.NDArray[np.int64]:
    """Return for each row the index of its channel in CHANNELS, NO_CHANNEL for rows that no channel holds."""
    found: npt.NDArray[np.int64] = _CHANNEL_OF_KIND[events["kind"]]
    return found
