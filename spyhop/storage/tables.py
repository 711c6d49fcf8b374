"""The tables of the ledger database: `entries` is the truth, the others are the same facts by column, to be queried.

Every entry that was ever acknowledged is one row of `entries`, its message as JSON. The typed tables are written in
the same transaction and name the entry that they came from by (session, stage, seq). Times are nanoseconds UTC,
sides 1 and -1, prices of orders and fills ticks and quantities lots; money, and the prices of trades, are in quote
currency.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()


def _table(name: str, *columns: sa.Column, key: tuple[str, ...]) -> sa.Table:  # type: ignore[type-arg]
    return sa.Table(name, METADATA, *columns, sa.PrimaryKeyConstraint(*key, name=f"pk_{name}"))


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _real(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False)


def _maybe_integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=True)


def _maybe_real(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=True)


def _origin() -> tuple[sa.Column, ...]:  # type: ignore[type-arg]
    return _text("session"), _text("stage"), _integer("seq"), _integer("ts"), _integer("instrument")


_ORIGIN_KEY = ("session", "stage", "seq")

SESSIONS = _table(
    "sessions",
    _text("id"),
    _integer("started"),
    _text("mode"),
    _text("source"),
    sa.Column("is_simulated", sa.Boolean, nullable=False),
    _text("version"),
    _text("runner"),
    _text("head"),  # model.control.Session as JSON
    key=("id",),
)

ENTRIES = _table(
    "entries",
    _text("session"),
    _text("stage"),
    _integer("seq"),
    _integer("ts"),
    _text("kind"),
    _text("message"),
    key=_ORIGIN_KEY,
)

DECISIONS = _table(
    "decisions",
    *_origin(),
    _integer("decision_seq"),
    _text("trigger"),
    _real("price"),
    _text("strategy"),
    _real("probability"),
    _real("confidence"),
    _integer("side"),
    _text("reasons"),  # JSON list; empty when the decision became an intent
    key=_ORIGIN_KEY,
)

INTENTS = _table(
    "intents",
    *_origin(),
    _integer("intent_seq"),
    _integer("decision_seq"),
    _integer("side"),
    _text("strategy"),
    _integer("reference"),
    _integer("take_profit"),
    _integer("stop"),
    key=_ORIGIN_KEY,
)

VERDICTS = _table(
    "verdicts",
    *_origin(),
    _integer("intent_seq"),
    sa.Column("is_approved", sa.Boolean, nullable=False),
    _text("code"),  # "" when approved
    _real("measured"),
    _real("limit"),
    _integer("lots"),
    _real("leverage"),
    _real("risk"),
    _real("margin"),
    key=_ORIGIN_KEY,
)

RISK_STATES = _table(
    "risk_states",
    *_origin(),  # instrument -1: for all
    _text("state"),
    _text("before"),
    _text("reasons"),  # JSON list
    key=_ORIGIN_KEY,
)

# the leading market is called binance and the one compared with it dydx, as the seed calls them; the dydx columns and
# the differences are NULL where a market was observed that has no leader
COMPARISONS = _table(
    "comparisons",
    *_origin(),
    _text("cause"),
    _integer("minute_bucket"),
    _real("binance_mid"),
    _real("binance_last"),
    _integer("binance_ts"),
    _real("binance_age_ms"),
    _real("expected_fill_buy"),  # where we would trade: the observed market
    _real("expected_fill_sell"),
    _text("risk_state"),
    _text("halt_reason"),
    _text("thresholds"),  # JSON object, limits by code
    _real("signal_score"),
    _real("mtf_aligned"),
    _real("rsi_1m"),
    _real("rsi_5m"),
    _real("rsi_15m"),
    _maybe_real("dydx_mid"),
    _maybe_real("dydx_last"),
    _maybe_integer("dydx_ts"),
    _maybe_real("dydx_age_ms"),
    _maybe_real("effective_diff_signed_buy"),  # = deviation + slippage + age
    _maybe_real("mid_deviation_buy"),
    _maybe_real("slippage_buy"),
    _maybe_real("age_buy"),
    _maybe_real("effective_diff_signed_sell"),
    _maybe_real("mid_deviation_sell"),
    _maybe_real("slippage_sell"),
    _maybe_real("age_sell"),
    key=_ORIGIN_KEY,
)

ORDERS = _table(
    "orders",  # each order as it stands after the newest of its events
    *_origin(),
    _text("client_order_id"),
    _text("status"),
    _text("purpose"),
    _text("type"),
    _integer("side"),
    _integer("lots"),
    _integer("filled"),
    _text("reason"),
    key=("session", "client_order_id"),
)
sa.Index("ix_orders_client_order_id", ORDERS.c.client_order_id)

ORDER_EVENTS = _table(
    "order_events",
    *_origin(),
    _text("client_order_id"),
    _text("status"),
    _integer("filled"),
    _text("cause"),
    _text("reason"),
    key=_ORIGIN_KEY,
)

FILLS = _table(
    "fills",
    *_origin(),
    _integer("ts_venue"),
    _text("fill_id"),
    _text("client_order_id"),
    _integer("side"),
    _integer("price"),
    _integer("lots"),
    _text("liquidity"),
    _real("fee"),
    _real("slippage"),
    key=("session", "instrument", "fill_id"),  # a venue numbers executions in each instrument for itself
)

DIFFERENCES = _table(
    "differences",
    *_origin(),
    _text("kind"),
    _real("ours"),
    _real("theirs"),
    sa.Column("is_repaired", sa.Boolean, nullable=False),
    _text("order_id"),
    _text("note"),
    key=_ORIGIN_KEY,
)

RECONCILIATIONS = _table(
    "reconciliations",
    *_origin(),
    sa.Column("is_clean", sa.Boolean, nullable=False),
    _text("cause"),
    _integer("num_differences"),
    key=_ORIGIN_KEY,
)

FUNDING = _table(
    "funding", *_origin(), _integer("ts_venue"), _real("rate"), _integer("lots"), _real("amount"), key=_ORIGIN_KEY
)

LIQUIDATIONS = _table(
    "liquidations",
    *_origin(),
    _integer("ts_venue"),
    _integer("side"),
    _integer("price"),
    _integer("lots"),
    _real("loss"),
    key=_ORIGIN_KEY,
)

TRADES = _table(
    "trades",
    *_origin(),
    _text("trade_id"),
    _integer("side"),
    _text("strategy"),
    _real("probability"),
    _real("confidence"),
    _integer("intent_seq"),
    _integer("decision_seq"),
    _integer("ts_entry"),
    _integer("ts_exit"),
    _real("entry_price"),
    _real("exit_price"),
    _real("take_profit_price"),
    _real("stop_loss_price"),
    _integer("lots"),
    _real("notional"),
    _real("margin"),
    _real("leverage"),
    _text("exit_purpose"),
    _real("gross"),
    _real("fees"),
    _real("funding"),
    _real("slippage"),
    _real("net"),
    _real("max_profit_frac"),
    _real("max_drawdown_frac"),
    sa.Column("is_leg", sa.Boolean, nullable=False, server_default=sa.false()),  # of a pair
    key=("session", "trade_id"),
)

PAIRS = _table(
    "pairs",
    *_origin(),
    _integer("intent_seq"),  # that of its legs in `trades`, too
    _integer("hedge"),  # the other instrument
    _integer("num_legs"),
    _real("notional"),
    _real("gross"),
    _real("fees"),
    _real("funding"),
    _real("slippage"),
    _real("net"),
    _text("reason"),
    key=_ORIGIN_KEY,
)

STATISTICS = _table(
    "statistics",
    _text("session"),
    _integer("ts"),
    _text("name"),
    _real("value"),
    key=("session", "ts", "name"),
)
