"""What the log says of a session's records: who, about what, and what it follows from."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import msgspec
import pytest

from spyhop.clock import EventClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.model.decisions import STRATEGIES, Intent
from spyhop.model.entries import Entry
from spyhop.model.orders import OrderChanged, OrderStatus, OrderType, Purpose, Side, SubmitOrder
from spyhop.model.verdicts import EpochBegan, Refused, RiskState, RiskStateChanged
from spyhop.wiring.kept import tell
from spyhop.wiring.plan import RunRequest, plan_session
from spyhop.wiring.records import ledger_keeper

TS = 1_764_350_100_000_000_000
SYMBOLS = {0: "binance-usdm:BTCUSDT"}


ORDER = SubmitOrder(
    ts=TS, client_order_id="S-7", instrument=0, side=Side.BUY, type=OrderType.MARKET, lots=3, purpose=Purpose.ENTRY
)
INTENT = Intent(
    seq=4, ts=TS, instrument=0, decision_seq=9, side=Side.BUY, strategy=STRATEGIES[0], probability=0.9,
    confidence=0.8, reference=100, take_profit=110, stop=95, max_hold_ns=1,
)  # fmt: skip
SAID = [
    OrderChanged(
        ts=TS, client_order_id="S-7", instrument=0, status=OrderStatus.REJECTED, filled=0, cause="report",
        order=ORDER, reason="no money",
    ),
    Refused(seq=0, ts=TS, intent=INTENT, code="cooldown", measured=3.0, limit=60.0),
    RiskStateChanged(ts=TS, state=RiskState.HALT, before=RiskState.CAN_TRADE, reasons=("rejects: 3 against 3",)),
    EpochBegan(ts=TS, epoch=2, at_seq=1),
]  # fmt: skip


def entries() -> list[Entry]:
    stages = ("order", "risk", "risk", "risk")
    return [Entry(TS, stage, seq, one) for seq, (stage, one) in enumerate(zip(stages, SAID, strict=True))]


def test_what_happened_is_said_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "spyhop"):
        tell(entries(), SYMBOLS)
    said = [(record.getMessage(), vars(record).get("symbol"), vars(record).get("cause")) for record in caplog.records]
    assert said == [
        ("order rejected: report no money", "binance-usdm:BTCUSDT", "S-7"),
        ("refused by cooldown: 3 against 60", "binance-usdm:BTCUSDT", "intent 4"),
        ("risk halt after can_trade: rejects: 3 against 3", "", None),
        ("epoch 2 begins", None, None),
    ]
    assert [(vars(record)["stage"], vars(record)["seq"]) for record in caplog.records] == [
        ("order", 0), ("risk", 1), ("risk", 2), ("risk", 3),
    ]  # fmt: skip


def test_nothing_is_made_for_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "spyhop"):
        tell(entries(), SYMBOLS)
    assert caplog.records == []


def test_the_ledger_has_a_log_of_its_own(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(Settings(), session=SessionConfig(runs=str(tmp_path), symbols=("BTCUSDT",)))
    plan = plan_session(settings, RunRequest(), EventClock(TS))
    keeper = ledger_keeper(plan)
    keeper.append(entries()[3:])
    keeper.close()
    (line,) = (json.loads(text) for text in (plan.folder / "logs" / "ledger.jsonl").read_text().splitlines())
    assert (line["actor"], line["stage"], line["message"]) == ("ledger", "risk", "epoch 2 begins")
