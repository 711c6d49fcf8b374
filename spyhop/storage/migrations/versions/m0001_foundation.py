"""The foundation: every table of the ledger."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TEXT, _INTEGER, _FLAG = sa.Text(), sa.BigInteger(), sa.Boolean()
_REAL: sa.Double[float] = sa.Double()


def upgrade() -> None:
    """Make the tables."""
    _create(
        "sessions",
        {
            "id": _TEXT,
            "started": _INTEGER,
            "mode": _TEXT,
            "source": _TEXT,
            "is_simulated": _FLAG,
            "version": _TEXT,
            "runner": _TEXT,
            "head": _TEXT,
        },
        ("id",),
    )
    _create(
        "entries",
        {"session": _TEXT, "stage": _TEXT, "seq": _INTEGER, "ts": _INTEGER, "kind": _TEXT, "message": _TEXT},
        ("session", "stage", "seq"),
    )
    _create(
        "decisions",
        {
            "session": _TEXT,
            "stage": _TEXT,
            "seq": _INTEGER,
            "ts": _INTEGER,
            "instrument": _INTEGER,
            "decision_seq": _INTEGER,
            "trigger": _TEXT,
            "price": _REAL,
            "strategy": _TEXT,
            "probability": _REAL,
            "confidence": _REAL,
            "side": _INTEGER,
            "reasons": _TEXT,
        },
        ("session", "stage", "seq"),
    )
    _create(
        "intents",
        {
            "session": _TEXT,
            "stage": _TEXT,
            "seq": _INTEGER,
            "ts": _INTEGER,
            "instrument": _INTEGER,
            "intent_seq": _INTEGER,
            "decision_seq": _INTEGER,
            "side": _INTEGER,
            "strategy": _TEXT,
            "reference": _INTEGER,
            "take_profit": _INTEGER,
            "stop": _INTEGER,
        },
        ("session", "stage", "seq"),
    )
    _create(
        "verdicts",
        {
            "session": _TEXT,
            "stage": _TEXT,
            "seq": _INTEGER,
            "ts": _INTEGER,
            "instrument": _INTEGER,
            "intent_seq": _INTEGER,
            "is_approved": _FLAG,
            "code": _TEXT,
            "measured": _REAL,
            "limit": _REAL,
            "lots": _INTEGER,
            "leverage": _REAL,
            "risk": _REAL,
            "margin": _REAL,
        },
        ("session", "stage", "seq"),
    )
    _create(
        "orders",
        {
            "session": _TEXT,
            "stage": _TEXT,
            "seq": _INTEGER,
            "ts": _INTEGER,
            "instrument": _INTEGER,
            "client_order_id": _TEXT,
            "status": _TEXT,
            "purpose": _TEXT,
            "type": _TEXT,
            "side": _INTEGER,
            "lots": _INTEGER,
            "filled": _INTEGER,
            "reason": _TEXT,
        },
        ("session", "client_order_id"),
    )
    _create(
        "order_events",
        {
            "session": _TEXT,
            "stage": _TEXT,
            "seq": _INTEGER,
            "ts": _INTEGER,
            "instrument": _INTEGER,
            "client_order_id": _TEXT,
            "status": _TEXT,
            "filled": _INTEGER,
            "cause": _TEXT,
            "reason": _TEXT,
        },
        ("session", "stage", "seq"),
    )
    _create(
        "fills",
        {
            "session": _TEXT,
            "stage": _TEXT,
            "seq": _INTEGER,
            "ts": _INTEGER,
            "instrument": _INTEGER,
            "ts_venue": _INTEGER,
            "fill_id": _TEXT,
            "client_order_id": _TEXT,
            "side": _INTEGER,
            "price": _INTEGER,
            "lots": _INTEGER,
            "liquidity": _TEXT,
            "fee": _REAL,
            "slippage": _REAL,
        },
        ("session", "fill_id"),
    )
    _create(
        "funding",
        {
            "session": _TEXT,
            "stage": _TEXT,
            "seq": _INTEGER,
            "ts": _INTEGER,
            "instrument": _INTEGER,
            "ts_venue": _INTEGER,
            "rate": _REAL,
            "lots": _INTEGER,
            "amount": _REAL,
        },
        ("session", "stage", "seq"),
    )
    _create(
        "liquidations",
        {
            "session": _TEXT,
            "stage": _TEXT,
            "seq": _INTEGER,
            "ts": _INTEGER,
            "instrument": _INTEGER,
            "ts_venue": _INTEGER,
            "side": _INTEGER,
            "price": _INTEGER,
            "lots": _INTEGER,
            "loss": _REAL,
        },
        ("session", "stage", "seq"),
    )
    _create(
        "trades",
        {
            "session": _TEXT,
            "stage": _TEXT,
            "seq": _INTEGER,
            "ts": _INTEGER,
            "instrument": _INTEGER,
            "trade_id": _TEXT,
            "side": _INTEGER,
            "strategy": _TEXT,
            "probability": _REAL,
            "confidence": _REAL,
            "intent_seq": _INTEGER,
            "decision_seq": _INTEGER,
            "ts_entry": _INTEGER,
            "ts_exit": _INTEGER,
            "entry_price": _REAL,
            "exit_price": _REAL,
            "take_profit_price": _REAL,
            "stop_loss_price": _REAL,
            "lots": _INTEGER,
            "notional": _REAL,
            "margin": _REAL,
            "leverage": _REAL,
            "exit_purpose": _TEXT,
            "gross": _REAL,
            "fees": _REAL,
            "funding": _REAL,
            "slippage": _REAL,
            "net": _REAL,
            "max_profit_frac": _REAL,
            "max_drawdown_frac": _REAL,
        },
        ("session", "trade_id"),
    )
    _create(
        "statistics",
        {"session": _TEXT, "ts": _INTEGER, "name": _TEXT, "value": _REAL},
        ("session", "ts", "name"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in (
        "sessions",
        "entries",
        "decisions",
        "intents",
        "verdicts",
        "orders",
        "order_events",
        "fills",
        "funding",
        "liquidations",
        "trades",
        "statistics",
    ):
        op.drop_table(name)


def _create(name: str, columns: dict[str, sa.types.TypeEngine[Any]], key: tuple[str, ...]) -> None:
    op.create_table(
        name,
        *(sa.Column(column, kind, nullable=False) for column, kind in columns.items()),
        sa.PrimaryKeyConstraint(*key, name=f"pk_{name}"),
    )
