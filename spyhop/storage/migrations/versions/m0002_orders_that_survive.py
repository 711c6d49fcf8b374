"""Risk states, comparisons of venues, reconciliations; fills are known by instrument too, orders found by their id."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_Columns = dict[str, sa.types.TypeEngine[Any]]

_TEXT, _INTEGER, _FLAG = sa.Text(), sa.BigInteger(), sa.Boolean()
_REAL: sa.Double[float] = sa.Double()
_KEY = ("session", "stage", "seq")
_ORIGIN: _Columns = {"session": _TEXT, "stage": _TEXT, "seq": _INTEGER, "ts": _INTEGER, "instrument": _INTEGER}
_MAYBE: _Columns = {
    "dydx_mid": _REAL,
    "dydx_last": _REAL,
    "dydx_ts": _INTEGER,
    "dydx_age_ms": _REAL,
    "effective_diff_signed_buy": _REAL,
    "mid_deviation_buy": _REAL,
    "slippage_buy": _REAL,
    "age_buy": _REAL,
    "effective_diff_signed_sell": _REAL,
    "mid_deviation_sell": _REAL,
    "slippage_sell": _REAL,
    "age_sell": _REAL,
}


def upgrade() -> None:
    """Make the tables, and let one fill id stand in several instruments."""
    _create("risk_states", _ORIGIN | {"state": _TEXT, "before": _TEXT, "reasons": _TEXT})
    _create(
        "comparisons",
        _ORIGIN
        | {
            "cause": _TEXT,
            "minute_bucket": _INTEGER,
            "binance_mid": _REAL,
            "binance_last": _REAL,
            "binance_ts": _INTEGER,
            "binance_age_ms": _REAL,
            "expected_fill_buy": _REAL,
            "expected_fill_sell": _REAL,
            "risk_state": _TEXT,
            "halt_reason": _TEXT,
            "thresholds": _TEXT,
            "signal_score": _REAL,
            "mtf_aligned": _REAL,
            "rsi_1m": _REAL,
            "rsi_5m": _REAL,
            "rsi_15m": _REAL,
        },
        _MAYBE,
    )
    _create(
        "differences",
        _ORIGIN
        | {"kind": _TEXT, "ours": _REAL, "theirs": _REAL, "is_repaired": _FLAG, "order_id": _TEXT, "note": _TEXT},
    )
    _create("reconciliations", _ORIGIN | {"is_clean": _FLAG, "cause": _TEXT, "num_differences": _INTEGER})
    _rekey_fills("session", "instrument", "fill_id")
    op.create_index("ix_orders_client_order_id", "orders", ["client_order_id"])


def downgrade() -> None:
    """Drop the tables; of fills that share an id in a session, the first stays."""
    op.drop_index("ix_orders_client_order_id", "orders")
    op.execute(
        "delete from fills where exists (select 1 from fills as other where other.session = fills.session "
        "and other.fill_id = fills.fill_id and other.instrument < fills.instrument)"
    )
    _rekey_fills("session", "fill_id")
    for name in ("reconciliations", "differences", "comparisons", "risk_states"):
        op.drop_table(name)


def _rekey_fills(*columns: str) -> None:
    # SQLite cannot change a key in place, so there the table is copied
    with op.batch_alter_table("fills") as fills:
        fills.drop_constraint("pk_fills", type_="primary")
        fills.create_primary_key("pk_fills", list(columns))


def _create(name: str, columns: _Columns, maybe: _Columns | None = None) -> None:
    op.create_table(
        name,
        *(sa.Column(column, kind, nullable=False) for column, kind in columns.items()),
        *(sa.Column(column, kind, nullable=True) for column, kind in (maybe or {}).items()),
        sa.PrimaryKeyConstraint(*_KEY, name=f"pk_{name}"),
    )
