"""Entries as rows of the ledger's typed tables."""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from spyhop.clock import NS_PER_MS
from spyhop.model.decisions import Decision, Intent
from spyhop.model.entries import Entry, Recorded
from spyhop.model.observations import Comparison, EffectiveDiff
from spyhop.model.orders import (
    Difference,
    Fill,
    FundingPaid,
    Liquidated,
    OrderChanged,
    PairEnded,
    Reconciled,
    TradeClosed,
)
from spyhop.model.verdicts import Approved, Refused, RiskStateChanged
from spyhop.storage.tables import (
    COMPARISONS,
    DECISIONS,
    DIFFERENCES,
    FILLS,
    FUNDING,
    INTENTS,
    LIQUIDATIONS,
    ORDER_EVENTS,
    PAIRS,
    RECONCILIATIONS,
    RISK_STATES,
    TRADES,
    VERDICTS,
)

_PLAIN: dict[type[Recorded], sa.Table] = {
    OrderChanged: ORDER_EVENTS,
    Fill: FILLS,
    FundingPaid: FUNDING,
    Liquidated: LIQUIDATIONS,
    PairEnded: PAIRS,
    Reconciled: RECONCILIATIONS,
    TradeClosed: TRADES,
}
"""Messages whose columns all bear the names of fields."""


def projection(session: str, entry: Entry) -> tuple[sa.Table, dict[str, Any]] | None:
    """Return the typed table and the row that `entry` belongs to, None when `entries` alone keeps it."""
    message = entry.message
    table = _PLAIN.get(type(message))
    if table is not None:
        return table, _storable(_picked(table, message) | _origin(session, entry))
    match message:
        case Decision():
            table, row = DECISIONS, _decision(message)
        case Intent():
            table, row = INTENTS, _picked(INTENTS, message) | {"intent_seq": message.seq}
        case Approved() | Refused():
            table, row = VERDICTS, _verdict(message)
        case RiskStateChanged():
            table, row = RISK_STATES, _picked(RISK_STATES, message) | {"reasons": _json(message.reasons)}
        case Comparison():
            table, row = COMPARISONS, _comparison(message)
        case Difference():
            table, row = DIFFERENCES, _picked(DIFFERENCES, message) | {"order_id": message.order}
        case _:
            return None
    return table, _storable(row | _origin(session, entry))


def order_row(session: str, entry: Entry, changed: OrderChanged) -> dict[str, Any]:
    """Return how an order stands after `changed`, as a row of the table of orders."""
    order = changed.order
    row = {
        "instrument": changed.instrument,
        "client_order_id": changed.client_order_id,
        "status": changed.status.value,
        "purpose": order.purpose.value,
        "type": order.type.value,
        "side": int(order.side),
        "lots": order.lots,
        "filled": changed.filled,
        "reason": changed.reason,
    }
    return _storable(row | _origin(session, entry))


def _origin(session: str, entry: Entry) -> dict[str, Any]:
    return {"session": session, "stage": entry.stage, "seq": entry.seq, "ts": entry.ts}


# a venue's text may hold a zero byte, which PostgreSQL keeps in no text
def _storable(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
        for name, value in row.items()
    }


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


# columns that bear the name of a field hold it, enumerations by value
def _picked(table: sa.Table, message: msgspec.Struct) -> dict[str, Any]:
    picked = {name: getattr(message, name) for name in _shared(table, type(message))}
    return {name: value.value if isinstance(value, Enum) else value for name, value in picked.items()}


@cache
def _shared(table: sa.Table, kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns if column.name in kind.__struct_fields__)


def _decision(decision: Decision) -> dict[str, Any]:
    return _picked(DECISIONS, decision) | {
        "decision_seq": decision.seq,
        "reasons": _json(decision.reasons),
    }


def _verdict(verdict: Approved | Refused) -> dict[str, Any]:
    shared = {"instrument": verdict.intent.instrument, "intent_seq": verdict.intent.seq}
    match verdict:
        case Approved():
            said = {"is_approved": True, "code": "", "measured": 0.0, "limit": 0.0}
            return shared | said | _picked(VERDICTS, verdict)
        case Refused():
            unsized = {"is_approved": False, "lots": 0, "leverage": 0.0, "risk": 0.0, "margin": 0.0}
            return shared | unsized | _picked(VERDICTS, verdict)


def _comparison(comparison: Comparison) -> dict[str, Any]:
    observed = comparison.observed
    market = (observed.mid, observed.last, observed.ts_venue, observed.age_ns)
    leader = observed.leader
    row = _picked(COMPARISONS, comparison) | {
        "thresholds": _json(comparison.thresholds),
        "expected_fill_buy": observed.fill_buy,
        "expected_fill_sell": observed.fill_sell,
        "signal_score": observed.score,
        "mtf_aligned": observed.aligned,
        "rsi_1m": observed.rsi_1m,
        "rsi_5m": observed.rsi_5m,
        "rsi_15m": observed.rsi_15m,
    }
    first = market if leader is None else (leader.mid, leader.last, leader.ts, leader.age_ns)
    row |= _market("binance", first) | _market("dydx", market if leader is not None else None)
    return row | _difference("buy", comparison.buy) | _difference("sell", comparison.sell)


def _market(name: str, market: tuple[float, float, int, int] | None) -> dict[str, Any]:
    mid, last, ts, age_ns = market or (None, None, None, None)
    age_ms = None if age_ns is None else age_ns / NS_PER_MS
    return {f"{name}_mid": mid, f"{name}_last": last, f"{name}_ts": ts, f"{name}_age_ms": age_ms}


def _difference(side: str, diff: EffectiveDiff | None) -> dict[str, Any]:
    return {
        f"effective_diff_signed_{side}": None if diff is None else diff.total,
        f"mid_deviation_{side}": None if diff is None else diff.deviation,
        f"slippage_{side}": None if diff is None else diff.slippage,
        f"age_{side}": None if diff is None else diff.age,
    }
