"""Pairs of legs that hedge each other, and which trades are such legs."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TEXT, _INTEGER = sa.Text(), sa.BigInteger()
_REAL: sa.Double[float] = sa.Double()
_COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "session": _TEXT,
    "stage": _TEXT,
    "seq": _INTEGER,
    "ts": _INTEGER,
    "instrument": _INTEGER,
    "intent_seq": _INTEGER,
    "hedge": _INTEGER,
    "num_legs": _INTEGER,
    "notional": _REAL,
    "gross": _REAL,
    "fees": _REAL,
    "funding": _REAL,
    "slippage": _REAL,
    "net": _REAL,
    "reason": _TEXT,
}


def upgrade() -> None:
    """Make the table of pairs and mark legs; what was kept before had none."""
    columns = [sa.Column(name, kind, nullable=False) for name, kind in _COLUMNS.items()]
    op.create_table("pairs", *columns, sa.PrimaryKeyConstraint("session", "stage", "seq", name="pk_pairs"))
    op.add_column("trades", sa.Column("is_leg", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Drop both; a leg then looks like any trade."""
    with op.batch_alter_table("trades") as trades:
        trades.drop_column("is_leg")
    op.drop_table("pairs")
