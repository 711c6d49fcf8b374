"""Stories of pairs, for tests of what becomes of them."""

from __future__ import annotations

from spyhop.model.entries import Entry, Recorded
from spyhop.model.orders import PairEnded, TradeClosed


def told(*messages: Recorded) -> list[Entry]:
    return [Entry(message.ts, "order", seq, message) for seq, message in enumerate(messages)]


def ended(ts: int, *legs: TradeClosed, seq: int = 0) -> PairEnded:
    return PairEnded(
        ts=ts,
        intent_seq=seq,
        instrument=0,
        hedge=1,
        num_legs=len(legs),
        notional=sum(leg.notional for leg in legs if leg.instrument == 0),
        **{name: sum(getattr(leg, name) for leg in legs) for name in ("gross", "fees", "funding", "slippage", "net")},
    )
