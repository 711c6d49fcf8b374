from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_S
from spyhop.errors import SnapshotMismatch
from spyhop.model import rows as rows_model
from spyhop.model.decisions import LEAD_FOLLOW, STRATEGIES, Decision, Intent, Trigger
from spyhop.model.entries import Entry, Recorded
from spyhop.model.orders import OrderChanged, OrderStatus, OrderType, Purpose, SubmitOrder, TradeClosed
from spyhop.model.rows import DETECTORS, RowFlag, Rows
from spyhop.model.tape import Side
from spyhop.model.verdicts import Refused
from spyhop.storage import features
from spyhop.storage.features import FEATURES, LABELS, FeatureBook, feature_matrix, label_matrix, trade_record

# 2025-11-28T17:15:00 UTC, the seed's own example
ENTRY = 1_764_350_100 * NS_PER_S
EXAMPLE = {
    "trade_id": "WT_20251128_171500_0001",
    "timestamp": "2025-11-28T17:15:00",
    "strategy": "WHALE_PUMP",
    "probability": 0.78,
    "confidence": 0.72,
    "direction": "LONG",
    "entry_price": 91500.00,
    "take_profit_price": 91637.25,
    "stop_loss_price": 91408.50,
    "obi": 0.35,
    "wpi": 0.42,
    "vpin": 0.28,
    "funding_rate": 0.0008,
    "oi_change_pct": 1.5,
    "liq_pressure_long": 45,
    "liq_pressure_short": 55,
    "price_change_1m": 0.05,
    "price_change_5m": 0.12,
    "volatility_5m": 0.08,
    "strategy_probs": {"WHALE_PUMP": 0.78, "MOMENTUM_SURGE": 0.12, "BREAKOUT_REAL": 0.05},
    "status": "CLOSED_TP",
    "exit_price": 91638.00,
    "exit_time": "2025-11-28T17:18:30",
    "price_move_pct": 0.151,
    "pnl_pct": 15.1,
    "pnl_usdt": 15.10,
    "fee_usdt": 8.00,
    "net_pnl_usdt": 7.10,
    "hold_seconds": 210,
    "max_profit_pct": 16.2,
    "max_drawdown_pct": -2.1,
}
PROBABILITIES = tuple(EXAMPLE["strategy_probs"].get(name, 0.05 / 20) for name in STRATEGIES)  # type: ignore[attr-defined]


def row_of_the_example(ts: int = ENTRY, instrument: int = 0, flags: int = RowFlag.SECOND | RowFlag.ANALYSIS) -> Rows:
    row = rows_model.empty(1)
    row["ts"], row["instrument"], row["flags"] = ts, instrument, flags
    for name in ("obi", "wpi", "vpin"):
        row["detections"]["value"][0, DETECTORS.index(name)] = EXAMPLE[name]
    evidence: dict[str, float] = {
        "funding_estimate": 0.0008,
        "oi_change_frac": 0.015,
        "liq_long": 45.0,
        "liq_short": 55.0,
        "return_1m": 0.0005,
        "return_5m": 0.0012,
        "volatility_5m": 0.0008,
    }
    for name, value in evidence.items():
        row["evidence"][name] = value
    return row


def decision(seq: int = 4, ts: int = ENTRY, instrument: int = 0) -> Decision:
    return Decision(
        seq=seq,
        ts=ts,
        instrument=instrument,
        trigger=Trigger.INTERVAL,
        price=91_500.0,
        probabilities=PROBABILITIES,
        strategy="WHALE_PUMP",
        probability=0.78,
        confidence=0.72,
        side=Side.BUY,
        evidence=(),
    )


def intent(seq: int = 0, decision_seq: int = 4, ts: int = ENTRY, instrument: int = 0) -> Intent:
    return Intent(
        seq=seq,
        ts=ts,
        instrument=instrument,
        decision_seq=decision_seq,
        side=Side.BUY,
        strategy="WHALE_PUMP",
        probability=0.78,
        confidence=0.72,
        reference=915_000,
        take_profit=916_372,
        stop=914_085,
        max_hold_ns=1_800 * NS_PER_S,
    )


def trade(**changes: Any) -> TradeClosed:
    told = TradeClosed(
        ts=ENTRY + 210 * NS_PER_S,
        trade_id="WT_20251128_171500_0001",
        instrument=0,
        side=Side.BUY,
        strategy="WHALE_PUMP",
        probability=0.78,
        confidence=0.72,
        intent_seq=0,
        decision_seq=4,
        ts_entry=ENTRY,
        ts_exit=ENTRY + 210 * NS_PER_S,
        entry_price=91_500.0,
        exit_price=91_638.0,
        take_profit_price=91_637.25,
        stop_loss_price=91_408.5,
        lots=109,
        notional=10_000.0,
        margin=100.0,
        leverage=100.0,
        exit_purpose="take_profit",
        gross=15.10,
        fees=8.0,
        funding=0.0,
        slippage=0.5,
        net=7.10,
        max_profit_frac=0.00162,
        max_drawdown_frac=-0.00021,
    )
    return msgspec.structs.replace(told, **changes)


def entries(*messages: Recorded) -> list[Entry]:
    return [Entry(message.ts, "decision", seq, message) for seq, message in enumerate(messages)]


def test_the_seeds_own_example_comes_out_with_its_keys_and_numbers() -> None:
    book = FeatureBook()
    book.on_rows(row_of_the_example())
    assert book.on_entries(entries(decision(), intent())) == []
    [(closed, caught)] = book.on_entries(entries(trade()))
    record = msgspec.to_builtins(trade_record(closed, caught, "BTCUSDT"))
    assert list(record)[: len(EXAMPLE)] == list(EXAMPLE)
    assert list(record)[len(EXAMPLE) :] == ["symbol", "leverage", "funding_usdt"]
    probabilities = record.pop("strategy_probs")
    assert tuple(probabilities) == STRATEGIES
    assert {name: probabilities[name] for name in EXAMPLE["strategy_probs"]} == EXAMPLE["strategy_probs"]  # type: ignore[attr-defined]
    for name, value in record.items():
        if name not in EXAMPLE:
            continue
        if isinstance(value, str):
            assert value == EXAMPLE[name]
        else:
            # the seed rounds a move of 0.1508 % to 0.151, and its percent of margin with it
            assert value == pytest.approx(EXAMPLE[name], abs=0.025 if name == "pnl_pct" else 2e-4)
    assert record["leverage"] == 100.0


def test_a_short_that_gains_has_positive_moves() -> None:
    short = trade(side=Side.SELL, exit_price=91_408.5, margin=2_000.0, leverage=5.0, exit_purpose="max_hold")
    record = trade_record(short, None, "BTCUSDT")
    assert record.direction == "SHORT"
    assert record.price_move_pct == pytest.approx(0.1)
    assert record.pnl_pct == pytest.approx(0.5)
    assert record.max_profit_pct == pytest.approx(0.81)
    assert record.status == "CLOSED_TIME"


@pytest.mark.parametrize(
    ("purpose", "status"),
    [("stop_loss", "CLOSED_SL"), ("session_end", "CLOSED_SESSION_END"), ("liquidation", "CLOSED_LIQUIDATION")],
)
def test_every_way_out_has_its_status(purpose: str, status: str) -> None:
    assert trade_record(trade(exit_purpose=purpose), None, "X").status == status


def test_there_are_forty_features_and_six_labels() -> None:
    assert len(FEATURES) == len(set(FEATURES)) == 40
    assert len(LABELS) == 6
    assert FEATURES[10:33] == tuple(f"prob_{name}" for name in STRATEGIES)


def test_arrays_hold_codes_for_texts_and_the_labels_in_order() -> None:
    book = FeatureBook()
    book.on_rows(row_of_the_example())
    book.on_entries(entries(decision(), intent()))
    [(closed, caught)] = book.on_entries(entries(trade(side=Side.SELL, net=-1.0, strategy="WHALE_DUMP")))
    record = trade_record(closed, caught, "BTCUSDT")
    [x], [y] = feature_matrix([record]), label_matrix([record])
    assert x[:10] == pytest.approx([0.35, 0.42, 0.28, 0.0008, 1.5, 45, 55, 0.05, 0.12, 0.08])
    assert x[10:33].tolist() == list(PROBABILITIES)
    assert x[33:] == pytest.approx([1, 0.78, 0.72, -1, 91_500, 91_637.25, 91_408.5])
    assert y[[0, 1, 3]].tolist() == [0.0, -1.0, 210.0]
    assert feature_matrix([]).shape == (0, 40)
    assert label_matrix([]).shape == (0, 6)


def test_features_are_those_of_the_row_that_was_decided_on_and_of_no_other() -> None:
    book = FeatureBook()
    other = row_of_the_example(instrument=1)
    other["detections"]["value"] = 9.0
    later = row_of_the_example(ts=ENTRY + NS_PER_S)
    later["detections"]["value"] = 8.0
    plain = row_of_the_example(ts=ENTRY - NS_PER_S, flags=RowFlag.SECOND)
    book.on_rows(np.concatenate([plain, row_of_the_example(), other, later]))
    book.on_entries(entries(decision(4), decision(5, instrument=1), intent(0), intent(1, 5, instrument=1)))
    [(_, first)] = book.on_entries(entries(trade(intent_seq=0)))
    [(_, second)] = book.on_entries(entries(trade(intent_seq=1)))
    assert first is not None
    assert second is not None
    assert first.market[0] == 0.35
    assert second.market[0] == 9.0


def test_what_followed_its_leader_at_a_plain_second_has_its_features_and_a_code() -> None:
    book = FeatureBook()
    book.on_rows(row_of_the_example(flags=RowFlag.SECOND))
    followed = msgspec.structs.replace(decision(), strategy=LEAD_FOLLOW, probability=0.0, trigger=Trigger.LEAD)
    [(closed, caught)] = book.on_entries(entries(followed, intent(), trade(strategy=LEAD_FOLLOW)))
    record = trade_record(closed, caught, "BTCUSDT")
    assert record.is_complete
    assert feature_matrix([record])[0, FEATURES.index("strategy")] == len(STRATEGIES)


def test_a_trade_whose_row_is_unknown_says_none_and_never_a_made_up_number() -> None:
    book = FeatureBook()
    book.on_entries(entries(decision(), intent()))
    [(closed, caught)] = book.on_entries(entries(trade()))
    record = trade_record(closed, caught, "BTCUSDT")
    assert caught is None
    assert record.obi is None
    assert not record.is_complete


def test_what_never_becomes_a_trade_is_let_go() -> None:
    book = FeatureBook()
    book.on_rows(row_of_the_example())
    book.on_entries(entries(decision(), intent(0), intent(1), intent(2)))
    assert len(book) == 3
    book.on_entries(entries(Refused(seq=0, ts=ENTRY, intent=intent(0), code="x", measured=1.0, limit=0.0)))
    order = SubmitOrder(
        ts=ENTRY,
        client_order_id="c",
        instrument=0,
        side=Side.BUY,
        type=OrderType.MARKET,
        lots=1,
        purpose=Purpose.ENTRY,
        intent_seq=1,
    )
    dead = OrderChanged(
        ts=ENTRY,
        client_order_id="c",
        instrument=0,
        status=OrderStatus.REJECTED,
        filled=0,
        cause="venue",
        order=order,
    )
    book.on_entries(entries(msgspec.structs.replace(dead, filled=1)))
    assert len(book) == 2
    book.on_entries(entries(dead))
    assert len(book) == 1


def test_a_book_of_intents_does_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_MAX_OPEN", 3)
    monkeypatch.setattr(features, "_MAX_ROWS", 3)
    book = FeatureBook()
    for n in range(8):
        book.on_rows(row_of_the_example(ts=ENTRY + n))
    assert len(book._rows) == 3
    book.on_entries(entries(decision(ts=ENTRY + 7), *(intent(n, ts=ENTRY + 7) for n in range(8))))
    assert len(book) == 3
    assert book._rows == {}


def test_a_restored_book_goes_on_as_if_nothing_had_happened() -> None:
    book = FeatureBook()
    book.on_rows(row_of_the_example())
    book.on_entries(entries(decision(), intent()))
    other = FeatureBook()
    other.restore(book.snapshot())
    assert other.snapshot() == book.snapshot()
    assert other.on_entries(entries(trade())) == book.on_entries(entries(trade()))
    with pytest.raises(SnapshotMismatch):
        other.restore(b"\x93\x01")
    with pytest.raises(SnapshotMismatch):
        other.restore(msgspec.msgpack.encode(("features 0", [])))
