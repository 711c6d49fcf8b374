"""The tape: one NumPy row of 64 bytes for each event, in the order (ts_recv, position).

What the columns hold depends on `kind`; prices are integer ticks and quantities integer lots of the
instrument unless said otherwise.

    kind           side       price       qty          id             aux            aux2
    TRADE          aggressor  price       qty          trade id       -              -
    QUOTE          -          bid         bid qty      update id u    ask            ask qty
    LEVEL          book side  price       new qty (0   u of frame     U of frame     pu of frame
                                          = gone)                                    (-1: venue has none)
    SNAPSHOT       -          -           levels in it lastUpdateId   -              -
    BAR_OPEN       -          open        volume       open time ns   high           taker buy volume
    BAR_CLOSE      -          low         num trades   open time ns   close          quote volume, 1e-2 units
    MARK           -          mark        -            next funding   mark, 1e-8     index, 1e-8
                                                       time ns, or 0
    FUNDING        -          -           -            payment time   rate, 1e-12    interval ns
    OPEN_INTEREST  -          -           lots         -              -              -
    LIQUIDATION    order side price       filled qty   -              average price  -
    STATUS         -          -           a count      a reason       a Status       a length ns
    TIMER          -          -           -            -              -              -
    RATIO          -          long part   short part   period s       a Ratio        long / short, 1e-8
    TICKER         -          last        volume 24 h  trades 24 h    change 24 h    quote volume, 1e-2
    BLOCK          -          -           -            height         -              -

A book frame (one diff or snapshot) is a run of LEVEL rows of one id; its last row carries LAST. A frame without
levels is one LEVEL row with EMPTY and LAST. A snapshot is one SNAPSHOT row, then LEVEL rows flagged FROM_SNAPSHOT.
A bar is a BAR_OPEN row followed by its BAR_CLOSE row; `interval_s` says how long it is.
The parts of a RATIO are shares in 1e-8 for accounts and positions, lots bought and sold for the takers' volume.
A BLOCK is a block of a chain that a venue runs on; its `ts_event` is the block's own time.
A LIQUIDATION's side is that of the forced order: SELL means that a long was liquidated.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, IntFlag
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

EVENT = np.dtype(
    [
        ("kind", "u1"),
        ("side", "i1"),
        ("venue", "u1"),
        ("flags", "u1"),
        ("instrument", "u2"),
        ("interval_s", "u2"),  # bars only; 0 = one day, since 86,400 does not fit
        ("ts_event", "i8"),
        ("ts_recv", "i8"),
        ("price", "i8"),
        ("qty", "i8"),
        ("id", "i8"),
        ("aux", "i8"),
        ("aux2", "i8"),
    ]
)
assert EVENT.itemsize == 64

Events: TypeAlias = npt.NDArray[Any]
"""A one-dimensional array of EVENT."""


class Kind(IntEnum):
    """What a row of the tape is."""

    TRADE = 1
    QUOTE = 2
    LEVEL = 3
    SNAPSHOT = 4
    BAR_OPEN = 5
    BAR_CLOSE = 6
    MARK = 7
    FUNDING = 8
    OPEN_INTEREST = 9
    LIQUIDATION = 10
    STATUS = 11
    TIMER = 12
    RATIO = 13
    TICKER = 14
    BLOCK = 15


class Side(IntEnum):
    """Buy or sell; of a book level, bid or ask."""

    SELL = -1
    NONE = 0
    BUY = 1

    @property
    def opposite(self) -> Side:
        return Side(-self)


class Flag(IntFlag):
    """Marks on a row."""

    LAST = 1  # last row of a book frame
    FROM_SNAPSHOT = 2  # level of a snapshot
    EMPTY = 4  # carries no level
    SIMULATED = 8  # made by us, not by a venue
    BACKFILLED = 16  # came by REST after the fact
    PARTIAL = 32  # a bar that is not closed
    SETTLED = 64  # a funding rate that was paid, not one that is predicted


class Status(IntEnum):
    """What a STATUS row says."""

    CONNECTED = 1
    DISCONNECTED = 2
    GAP = 3  # events are missing before this row; the book must be snapshot again
    SHED = 4  # we dropped `qty` events on purpose
    SESSION_END = 5  # the session drains: no entries, orders cancelled, positions closed
    EPISODE = 6  # the generative market planted a whale episode here; qty = its kind, aux2 = its length in ns
    CLOCK = 7  # from here on the venue's clock is taken to be `aux2` ns ahead of ours
    SOURCE = 8  # the feed changes over: qty = the new Mode, id = the SwitchReason


class Mode(IntEnum):
    """How a feed gets its data."""

    WS = 0
    REST = 1


class SwitchReason(IntEnum):
    """Why a feed changed from one Mode to the other."""

    STARTED = 0
    EXCEPTION = 1
    DISCONNECTED = 2
    PRICE_STALE = 3
    KLINE_STALE = 4
    RECOVERED = 5
    PREFERRED = 6  # the operator prefers REST


class Ratio(IntEnum):
    """Whose longs are set against whose shorts in a RATIO row."""

    TOP_POSITIONS = 1
    TOP_ACCOUNTS = 2
    GLOBAL_ACCOUNTS = 3
    TAKER_VOLUME = 4


class Venue(IntEnum):
    """Where an event comes from; the number is on the tape, so numbers are never reused."""

    BINANCE_USDM = 1
    BINANCE_SPOT = 2
    BINANCE_COINM = 3
    DYDX = 4
    DYDX_V3 = 5
    BYBIT = 6
    KRAKEN = 7
    CCXT = 8  # any other exchange that ccxt knows; its name is the beginning of the symbol
    SIMULATED = 9

    @property
    def label(self) -> str:
        return self.name.lower().replace("_", "-")


def venue_of(label: str) -> Venue:
    """Return the venue called `label`, such as `binance-usdm`; raise KeyError."""
    return Venue[label.upper().replace("-", "_")]


INTERVALS_S: dict[str, int] = {
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "1h": 3_600,
    "4h": 14_400,
    "1d": 86_400,
}


def empty(length: int = 0) -> Events:
    """Return `length` rows of zeros."""
    return np.zeros(length, EVENT)


def event(kind: Kind, ts_recv: int, **columns: int) -> Events:
    """Return a tape of one row; `ts_event` is `ts_recv` unless given."""
    row = np.zeros(1, EVENT)
    row["kind"], row["ts_recv"], row["ts_event"] = kind, ts_recv, ts_recv
    for name, number in columns.items():
        row[name] = number
    return row


def joined(batches: Sequence[Events]) -> Events:
    """Return the batches one after the other; all must be of the first one's dtype."""
    if not batches:
        return empty()
    # filled by hand: np.concatenate works the common dtype of 13 fields out again on every call
    rows = np.empty(sum(len(batch) for batch in batches), batches[0].dtype)
    at = 0
    for batch in batches:
        rows[at : at + len(batch)] = batch
        at += len(batch)
    return rows


def merged(batches: list[Events]) -> Events:
    """Return all rows in the order (ts_recv, instrument, position); each batch must be in order already."""
    rows = joined(batches)
    return rows[np.lexsort((np.arange(len(rows)), rows["instrument"], rows["ts_recv"]))]
