"""Says in the log what a session's records say: orders, trades, refusals, states of risk; each with its cause."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from spyhop.model.control import Obeyed
from spyhop.model.entries import Entry
from spyhop.model.orders import Liquidated, OrderChanged, PairEnded, TradeClosed
from spyhop.model.verdicts import EpochBegan, Refused, RiskStateChanged

log = logging.getLogger(__name__)


def tell(entries: Iterable[Entry], symbols: Mapping[int, str]) -> None:
    """Log what of `entries` a person would want to read; `symbols` names instruments by their numbers."""
    if not log.isEnabledFor(logging.INFO):
        return
    for entry in entries:
        _tell(entry, symbols)


def _tell(entry: Entry, symbols: Mapping[int, str]) -> None:
    about = {"stage": entry.stage, "seq": entry.seq}
    match entry.message:
        case OrderChanged() as one:
            about |= {"symbol": symbols.get(one.instrument, ""), "cause": one.client_order_id}
            log.info("order %s: %s %s", one.status, one.cause, one.reason, extra=about)
        case TradeClosed() as one:
            about |= {"symbol": symbols.get(one.instrument, ""), "cause": one.trade_id}
            log.info("%s closed: %s %.2f", "leg" if one.is_leg else "trade", one.strategy, one.net, extra=about)
        case PairEnded() as one:
            about |= {"symbol": symbols.get(one.instrument, ""), "cause": f"intent {one.intent_seq}"}
            log.info("pair ended: %d legs %.2f %s", one.num_legs, one.net, one.reason, extra=about)
        case Refused() as one:
            about |= {"symbol": symbols.get(one.intent.instrument, ""), "cause": f"intent {one.intent.seq}"}
            log.info("refused by %s: %.6g against %.6g", one.code, one.measured, one.limit, extra=about)
        case RiskStateChanged() as one:
            about |= {"symbol": symbols.get(one.instrument, "")}
            log.info("risk %s after %s: %s", one.state, one.before, "; ".join(one.reasons), extra=about)
        case Liquidated() as one:
            log.info("liquidated", extra=about | {"symbol": symbols.get(one.instrument, "")})
        case EpochBegan() as one:
            log.info("epoch %d begins", one.epoch, extra=about)
        case Obeyed() as one:
            ending = f"; refused: {one.refused}" if one.refused else ""
            log.info("an operator said: %s%s", one.word.text, ending, extra=about)
        case _:
            pass
