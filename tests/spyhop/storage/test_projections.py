from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

from spyhop.model.entries import Entry, Recorded
from spyhop.model.observations import Comparison, EffectiveDiff, Leader, Observation
from spyhop.model.orders import (
    Difference,
    DifferenceKind,
    OrderChanged,
    OrderStatus,
    OrderType,
    Purpose,
    Reconciled,
    SubmitOrder,
)
from spyhop.model.tape import Side
from spyhop.model.verdicts import EpochBegan, RiskState, RiskStateChanged
from spyhop.storage.projections import order_row, projection
from spyhop.storage.tables import COMPARISONS, DIFFERENCES, ORDER_EVENTS, RECONCILIATIONS, RISK_STATES

ORIGIN = {"session": "s", "stage": "risk", "seq": 7, "ts": 60_000_000_000}
OBSERVED = Observation(
    ts=60_000_000_000,
    instrument=1,
    mid=100.5,
    last=100.0,
    ts_venue=59_000_000_000,
    age_ns=1_500_000,
    spread=1.0,
    depth_bid=5_000.0,
    depth_ask=6_000.0,
    fill_buy=101.25,
    fill_sell=99.75,
    sigma_1m=0.001,
    volatility_rank=0.5,
    atr=2.0,
    score=0.25,
    aligned=-1.0,
    rsi_1m=51.0,
    rsi_5m=52.0,
    rsi_15m=53.0,
    leader=Leader(instrument=0, mid=100.0, last=99.5, ts=58_000_000_000, age_ns=250_000),
)
COMPARED = Comparison(
    ts=60_000_000_000,
    instrument=1,
    cause="risk_state",
    minute_bucket=60_000_000_000,
    risk_state="halt",
    halt_reason="max_effective_diff: 0.0125 against 0.01",
    thresholds={"max_effective_diff": 0.01},
    observed=OBSERVED,
    buy=EffectiveDiff(total=0.0125, deviation=0.005, slippage=0.0075, age=0.0),
    sell=EffectiveDiff(total=-0.0025, deviation=0.005, slippage=-0.0075, age=0.0),
)


def row_of(message: Recorded) -> tuple[sa.Table, dict[str, object]]:
    found = projection("s", Entry(60_000_000_000, "risk", 7, message))
    assert found is not None
    return found


def test_a_comparison_has_the_columns_of_the_seed() -> None:
    table, row = row_of(COMPARED)
    assert table is COMPARISONS
    assert row == ORIGIN | {
        "instrument": 1,
        "cause": "risk_state",
        "minute_bucket": 60_000_000_000,
        "binance_mid": 100.0,
        "binance_last": 99.5,
        "binance_ts": 58_000_000_000,
        "binance_age_ms": 0.25,
        "dydx_mid": 100.5,
        "dydx_last": 100.0,
        "dydx_ts": 59_000_000_000,
        "dydx_age_ms": 1.5,
        "expected_fill_buy": 101.25,
        "expected_fill_sell": 99.75,
        "effective_diff_signed_buy": 0.0125,
        "mid_deviation_buy": 0.005,
        "slippage_buy": 0.0075,
        "age_buy": 0.0,
        "effective_diff_signed_sell": -0.0025,
        "mid_deviation_sell": 0.005,
        "slippage_sell": -0.0075,
        "age_sell": 0.0,
        "risk_state": "halt",
        "halt_reason": "max_effective_diff: 0.0125 against 0.01",
        "thresholds": '{"max_effective_diff":0.01}',
        "signal_score": 0.25,
        "mtf_aligned": -1.0,
        "rsi_1m": 51.0,
        "rsi_5m": 52.0,
        "rsi_15m": 53.0,
    }


def test_a_market_without_a_leader_is_its_own() -> None:
    alone = msgspec.structs.replace(OBSERVED, leader=None)
    _, row = row_of(msgspec.structs.replace(COMPARED, observed=alone, buy=None, sell=None))
    assert [row[name] for name in ("binance_mid", "binance_last", "binance_ts", "binance_age_ms")] == [
        100.5,
        100.0,
        59_000_000_000,
        1.5,
    ]
    empty = {column.name for column in COMPARISONS.columns if column.nullable}
    assert {name for name, value in row.items() if value is None} == empty


def test_risk_states_and_reconciliations_are_rows() -> None:
    state = RiskStateChanged(ts=1, state=RiskState.HALT, before=RiskState.SUSPECT, reasons=("a: 2 against 1", "b"))
    assert row_of(state) == (
        RISK_STATES,
        ORIGIN | {"instrument": -1, "state": "halt", "before": "suspect", "reasons": '["a: 2 against 1","b"]'},
    )
    difference = Difference(
        ts=1,
        instrument=0,
        kind=DifferenceKind.SIZE_MISMATCH,
        ours=3.0,
        theirs=-2.0,
        is_repaired=True,
        order="x",
        note="n",
    )
    assert row_of(difference) == (
        DIFFERENCES,
        ORIGIN
        | {
            "instrument": 0,
            "kind": "size_mismatch",
            "ours": 3.0,
            "theirs": -2.0,
            "is_repaired": True,
            "order_id": "x",
            "note": "n",
        },
    )
    done = Reconciled(ts=1, instrument=2, is_clean=False, cause="reconnect", num_differences=4)
    assert row_of(done) == (
        RECONCILIATIONS,
        ORIGIN | {"instrument": 2, "is_clean": False, "cause": "reconnect", "num_differences": 4},
    )


def test_an_epoch_is_in_no_table_of_its_own() -> None:
    assert projection("s", Entry(1, "risk", 0, EpochBegan(ts=1, epoch=2, at_seq=0))) is None


@pytest.mark.parametrize("name", ["reason", "cause"])
def test_a_zero_byte_in_a_text_does_not_reach_the_database(name: str) -> None:
    order = SubmitOrder(
        ts=1,
        client_order_id="c",
        instrument=0,
        side=Side.BUY,
        type=OrderType.MARKET,
        lots=1,
        purpose=Purpose.ENTRY,
    )
    said = OrderChanged(
        ts=1, client_order_id="c", instrument=0, status=OrderStatus.REJECTED, filled=0, cause="x", order=order
    )
    said = msgspec.structs.replace(said, **{name: "margin\0too low"})
    entry = Entry(1, "order", 0, said)
    table, row = row_of(said)
    assert table is ORDER_EVENTS
    assert row[name] == "margin\N{REPLACEMENT CHARACTER}too low"
    assert "\0" not in str(order_row("s", entry, said)["reason"])
