"""Two legs are one trade: what a session said with the legs of each pair joined at the pair's end; pure.

Of a joined trade money, margin and fees are those of both legs; price, lots and notional those of the intent's own, so
that basis points are of what was wished for. How the two stood together while they were held nobody wrote down: each
leg's best and worst price are taken as if they had come at once, so the trade went no deeper than it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from spyhop.model.entries import Entry, Recorded
from spyhop.model.orders import PairEnded, TradeClosed

_LIQUIDATION = "liquidation"


def joined(entries: Iterable[Entry]) -> list[Entry]:
    """Return `entries`, in canonical order, with one trade in place of each pair's end and none of its legs.

    A leg whose pair has not ended, or that came after its end, stays a trade of its own.
    """
    legs: dict[int, list[tuple[int, TradeClosed]]] = {}
    kept: list[Entry | None] = []
    for entry in entries:
        match entry.message:
            case TradeClosed(is_leg=True) as trade:
                legs.setdefault(trade.intent_seq, []).append((len(kept), trade))
            case PairEnded() as pair if pair.intent_seq in legs:
                held = legs.pop(pair.intent_seq)
                for at, _ in held:
                    kept[at] = None
                entry = replace(entry, message=trade_of(pair, [leg for _, leg in held]))
        kept.append(entry)
    return [entry for entry in kept if entry is not None]


class Legs:
    """The same as it is said: legs wait for the end of their pair."""

    def __init__(self, held: dict[int, list[TradeClosed]] | None = None) -> None:
        self.held = held or {}

    def trade(self, message: Recorded) -> TradeClosed | None:
        """Return the trade that ends with `message`, None where none does."""
        match message:
            case TradeClosed(is_leg=True):
                self.held.setdefault(message.intent_seq, []).append(message)
            case TradeClosed():
                return message
            case PairEnded() if message.intent_seq in self.held:
                return trade_of(message, self.held.pop(message.intent_seq))
            case _:
                pass
        return None


def trade_of(pair: PairEnded, legs: Sequence[TradeClosed]) -> TradeClosed:
    """Return a pair as one trade, from one leg or more; liquidated if one of them was."""
    first = next((leg for leg in legs if leg.instrument == pair.instrument), legs[0])
    notional = _total(leg.notional for leg in legs if leg.instrument == first.instrument)
    is_liquidated = any(leg.exit_purpose == _LIQUIDATION for leg in legs)
    return replace(
        first,
        ts=pair.ts,
        ts_entry=min(leg.ts_entry for leg in legs),
        ts_exit=max(leg.ts_exit for leg in legs),
        notional=notional,
        margin=_total(leg.margin for leg in legs),
        exit_purpose=_LIQUIDATION if is_liquidated else first.exit_purpose,
        gross=_total(leg.gross for leg in legs),
        fees=_total(leg.fees for leg in legs),
        funding=_total(leg.funding for leg in legs),
        slippage=_total(leg.slippage for leg in legs),
        net=_total(leg.net for leg in legs),
        max_profit_frac=_total(leg.max_profit_frac * leg.notional for leg in legs) / notional,
        max_drawdown_frac=_total(leg.max_drawdown_frac * leg.notional for leg in legs) / notional,
        is_leg=False,
    )


def _total(values: Iterable[float]) -> float:
    return float(sum(values))
