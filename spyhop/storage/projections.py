"""Entries as rows of the ledger's typed tables."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from spyhop.model.decisions import Decision, Intent
from spyhop.model.entries import Entry
from spyhop.model.observations import Comparison
from spyhop.model.orders import Difference, Fill, FundingPaid, Liquidated, OrderChanged, Reconciled, TradeClosed
from spyhop.model.verdicts import Approved, EpochBegan, Refused, RiskStateChanged
from spyhop.storage.tables import (
    DECISIONS,
    FILLS,
    FUNDING,
    INTENTS,
    LIQUIDATIONS,
    ORDER_EVENTS,
    TRADES,
    VERDICTS,
)


def projection(session: str, entry: Entry) -> tuple[sa.Table, dict[str, Any]] | None:
    """Return the typed table and the row that `entry` belongs to, None when `entries` alone keeps it."""
    message = entry.message
    match message:
        case Decision():
            table, row = DECISIONS, _decision(message)
        case Intent():
            table, row = INTENTS, _picked(INTENTS, message) | {"intent_seq": message.seq}
        case Approved() | Refused():
            table, row = VERDICTS, _verdict(message)
        case OrderChanged():
            table, row = ORDER_EVENTS, _picked(ORDER_EVENTS, message)
        case Fill():
            table, row = FILLS, _picked(FILLS, message)
        case FundingPaid():
            table, row = FUNDING, _picked(FUNDING, message)
        case Liquidated():
            table, row = LIQUIDATIONS, _picked(LIQUIDATIONS, message)
        case TradeClosed():
            table, row = TRADES, _picked(TRADES, message)
        case EpochBegan() | RiskStateChanged() | Comparison() | Difference() | Reconciled():
            return None
    return table, row | _origin(session, entry)


def order_row(session: str, entry: Entry, changed: OrderChanged) -> dict[str, Any]:
    """Return how an order stands after `changed`, as a row of the table of orders."""
    order = changed.order
    return _origin(session, entry) | {
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


def _origin(session: str, entry: Entry) -> dict[str, Any]:
    return {"session": session, "stage": entry.stage, "seq": entry.seq, "ts": entry.ts}


# columns that bear the name of a field hold it, enumerations by value
def _picked(table: sa.Table, message: msgspec.Struct) -> dict[str, Any]:
    fields = msgspec.to_builtins(message)
    return {column.name: fields[column.name] for column in table.columns if column.name in fields}


def _decision(decision: Decision) -> dict[str, Any]:
    return _picked(DECISIONS, decision) | {
        "decision_seq": decision.seq,
        "reasons": msgspec.json.encode(decision.reasons).decode(),
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
