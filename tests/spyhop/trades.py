"""Trades and stories of pairs, for tests of what becomes of them."""

from __future__ import annotations

from typing import Any

import msgspec

from spyhop.clock import NS_PER_S
from spyhop.model.entries import Entry, Recorded
from spyhop.model.orders import PairEnded, TradeClosed
from spyhop.model.tape import Side

T = 1_764_350_100 * NS_PER_S
"""When the trades of a story begin."""


def trade(n: int = 0, net: float = 7.1, **changes: Any) -> TradeClosed:
    """Return the `n`-th trade of a story, a long one of 210 seconds that won `net`."""
    told = TradeClosed(
        ts=T + (n + 1) * 300 * NS_PER_S,
        trade_id=f"WT_{n:04d}",
        instrument=0,
        side=Side.BUY,
        strategy="WHALE_PUMP",
        probability=0.78,
        confidence=0.72,
        intent_seq=n,
        decision_seq=n,
        ts_entry=T + (n + 1) * 300 * NS_PER_S - 210 * NS_PER_S,
        ts_exit=T + (n + 1) * 300 * NS_PER_S,
        entry_price=50_000.0,
        exit_price=50_075.0,
        take_profit_price=50_075.0,
        stop_loss_price=49_950.0,
        lots=200,
        notional=10_000.0,
        margin=100.0,
        leverage=1.0,
        exit_purpose="take_profit" if net > 0 else "stop_loss",
        gross=net + 8.0,
        fees=8.0,
        funding=0.0,
        slippage=0.5,
        net=net,
        max_profit_frac=0.0016,
        max_drawdown_frac=-0.0002,
    )
    return msgspec.structs.replace(told, **changes)


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
