"""One look at a batch of rows: whether all of it is plainly new, and what its prices say about time.

Nearly every batch of a live feed is trades, quotes and book frames that continue what was there. Finding that out in
compiled code costs a microsecond; whatever is not so plain is left to `dedup`, which takes its time.
"""

from __future__ import annotations

from typing import Any, Final

from spyhop.model.tape import Flag, Kind
from spyhop.numerics._jit import kernel

QUOTE_ID, FRAME_ID, TRADE_ID, TS_TRADE, IS_CONTIGUOUS, NUM_MARKS = range(6)
"""Where a feed's marks are: newest ids, the venue time of the newest trade, whether trade ids are contiguous."""
HAS_PRICE, HAS_UNSTAMPED, NEWEST_STAMP, NEWEST_TRADE, NUM_FACTS = range(5)
"""Where the facts about prices are; those that came by REST after the fact are left out.

A row without a time of the venue has ours instead and is unstamped. The stamps are venue times, 0 without a row.
"""

_TRADE: Final = int(Kind.TRADE)
_QUOTE: Final = int(Kind.QUOTE)
_LEVEL: Final = int(Kind.LEVEL)
_MARK: Final = int(Kind.MARK)
_FROM_SNAPSHOT: Final = int(Flag.FROM_SNAPSHOT)
_LAST: Final = int(Flag.LAST)
_BACKFILLED: Final = int(Flag.BACKFILLED)


@kernel
def glance(events: Any, marks: Any, facts: Any) -> bool:
    """Fill `facts`; return whether every row is new, and only then let `marks` advance."""
    facts[:] = 0
    quote, frame, trade = marks[QUOTE_ID], marks[FRAME_ID], marks[TRADE_ID]
    ts_trade = marks[TS_TRADE]
    is_contiguous = marks[IS_CONTIGUOUS] != 0
    is_plain = True
    in_frame = False
    for e in events:
        kind = e.kind
        if kind == _TRADE:
            if e.id <= trade or (is_contiguous and trade != e.id - 1) or not is_contiguous:
                is_plain = False
            trade = e.id
            ts_trade = max(ts_trade, e.ts_event)
        elif kind == _QUOTE:
            if e.id <= quote:
                is_plain = False
            quote = e.id
        elif kind == _LEVEL:
            if (e.flags & _FROM_SNAPSHOT) != 0 or (not in_frame and e.id <= frame):
                is_plain = False
            frame = e.id
            in_frame = (e.flags & _LAST) == 0
        else:
            is_plain = False
            if kind != _MARK:
                continue
        if (e.flags & _BACKFILLED) != 0:
            continue
        facts[HAS_PRICE] = 1
        if e.ts_event == e.ts_recv:
            facts[HAS_UNSTAMPED] = 1
        facts[NEWEST_STAMP] = max(facts[NEWEST_STAMP], e.ts_event)
        if kind == _TRADE:
            facts[NEWEST_TRADE] = max(facts[NEWEST_TRADE], e.ts_event)
    if is_plain:
        marks[QUOTE_ID], marks[FRAME_ID], marks[TRADE_ID] = quote, frame, trade
        marks[TS_TRADE] = ts_trade
    return is_plain


@kernel
def is_in_order(events: Any, last: int) -> bool:
    """Return whether `ts_recv` never goes back, from `last` on."""
    for e in events:
        if e.ts_recv < last:
            return False
        last = e.ts_recv
    return True
