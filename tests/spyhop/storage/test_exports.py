from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from spyhop.clock import NS_PER_DAY, NS_PER_S
from spyhop.errors import StorageFailed
from spyhop.model.control import Session
from spyhop.model.decisions import Intent
from spyhop.model.entries import Entry
from spyhop.model.instruments import Instrument
from spyhop.model.orders import PairEnded
from spyhop.model.tape import Side, Venue
from spyhop.model.verdicts import Approved, Refused
from spyhop.storage.database import Ledger, sqlite_url
from spyhop.storage.exports import export_risk_files, pnl_lines, risk_state
from tests.spyhop.trades import trade

DAY = 1_764_288_000 * NS_PER_S  # 2025-11-28T00:00:00Z


def session(name: str, started: int, mode: str = "paper") -> Session:
    instruments = tuple(
        Instrument(
            id=number,
            venue=Venue.BINANCE_USDM,
            symbol=symbol,
            tick_size=Decimal("0.1"),
            lot_size=Decimal("0.001"),
        )
        for number, symbol in enumerate(("BTCUSDT", "ETHUSDT"))
    )
    return Session(
        id=name,
        started=started,
        mode=mode,
        source="a test",
        is_simulated=True,
        instruments=instruments,
        settings={},
        version="0",
        runner="local",
    )


def intent(ts: int, instrument: int) -> Intent:
    return Intent(
        seq=0,
        ts=ts,
        instrument=instrument,
        decision_seq=0,
        side=Side.BUY,
        strategy="WHALE_DUMP",
        probability=0.5,
        confidence=0.5,
        reference=1,
        take_profit=2,
        stop=1,
        max_hold_ns=1,
    )


def approved(seq: int, ts: int, instrument: int = 0) -> Entry:
    asked = intent(ts, instrument)
    return Entry(
        ts,
        "risk",
        seq,
        Approved(seq=seq, ts=ts, intent=asked, lots=1, leverage=1.0, risk=1.0, margin=1.0, epoch=1, expires=ts),
    )


def refused(seq: int, ts: int) -> Entry:
    return Entry(ts, "risk", seq, Refused(seq=seq, ts=ts, intent=intent(ts, 1), code="x", measured=1.0, limit=1.0))


def closed(seq: int, ts: int, net: float, *, is_leg: bool = False) -> Entry:
    return Entry(ts, "order", seq, trade(seq, net, ts=ts, ts_exit=ts, intent_seq=0, is_leg=is_leg))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Two paper sessions that share a day, and a live one."""
    opened = Ledger(sqlite_url(tmp_path / "ledger.db"))
    for name, started, mode in (("a", 1, "paper"), ("b", 2, "paper"), ("c", 3, "live")):
        opened.begin(session(name, started, mode))
    at = DAY + 3_600 * NS_PER_S
    opened.append("a", [approved(0, at), refused(1, at + 1), approved(2, at + 123_456_000, instrument=1)])
    opened.append("a", [closed(0, at + NS_PER_S, -2.5), closed(1, at + 2 * NS_PER_S, 4.0)])
    opened.append("b", [approved(0, at + 5 * NS_PER_S), closed(0, at + 7 * NS_PER_S, -0.125)])
    # entered before midnight, lost after it
    opened.append("b", [closed(1, DAY + NS_PER_DAY, -1.0)])
    opened.append("c", [approved(0, at), closed(0, at, -1_000.0)])
    yield opened
    opened.close()


def test_two_legs_are_one_line(tmp_path: Path) -> None:
    kept = Ledger(sqlite_url(tmp_path / "pairs.db"))
    kept.begin(session("a", 1))
    end = PairEnded(
        ts=DAY + 9, intent_seq=0, instrument=0, hedge=1, num_legs=2, notional=1.0, gross=-2.0, fees=0.0, funding=0.0,
        slippage=0.0, net=-2.0,
    )  # fmt: skip
    # one leg wins, the other loses more: one loss, not a gain and a loss
    legs = [closed(0, DAY + 5, 3.0, is_leg=True), closed(1, DAY + 7, -5.0, is_leg=True)]
    kept.append("a", [*legs, Entry(DAY + 9, "order", 2, end)])
    assert pnl_lines(kept, ["a"])[1:] == ["2025-11-28,-2.0"]
    assert risk_state(kept, ["a"]).days["2025-11-28"].realized_loss_usdt == 2.0
    kept.close()


def test_the_files_have_the_shapes_of_the_seed(ledger: Ledger, tmp_path: Path) -> None:
    state, pnl = export_risk_files(ledger, tmp_path / "data")
    assert (state.name, pnl.name) == ("risk_state.json", "pnl.csv")
    text = state.read_text()
    assert json.loads(text) == {
        "days": {
            "2025-11-28": {"cards_count": 3, "realized_loss_usdt": 2.625},
            "2025-11-29": {"cards_count": 0, "realized_loss_usdt": 1.0},
        },
        "last_trigger_by_symbol": {
            "BTCUSDT": "2025-11-28T01:00:05+00:00",
            "ETHUSDT": "2025-11-28T01:00:00.123456+00:00",
        },
    }
    # the seed writes it so
    assert text == json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    assert pnl.read_text() == "date,pnl_usdt\n2025-11-28,-2.5\n2025-11-28,4.0\n2025-11-28,-0.125\n2025-11-29,-1.0\n"


def test_live_and_paper_are_told_apart(ledger: Ledger, tmp_path: Path) -> None:
    _, pnl = export_risk_files(ledger, tmp_path, mode="live")
    assert pnl.read_text() == "date,pnl_usdt\n2025-11-28,-1000.0\n"
    assert risk_state(ledger, ["c"]).days["2025-11-28"].realized_loss_usdt == 1_000.0


def test_a_days_loss_is_what_its_losing_lines_add_up_to(ledger: Ledger) -> None:
    losses: dict[str, float] = {}
    for line in pnl_lines(ledger, ["a", "b", "c"])[1:]:
        date, pnl = line.split(",")
        losses[date] = losses.get(date, 0.0) + max(0.0, -float(pnl))
    days = risk_state(ledger, ["a", "b", "c"]).days
    assert {date: day.realized_loss_usdt for date, day in days.items()} == losses


def test_a_ledger_without_sessions_gives_empty_files(ledger: Ledger, tmp_path: Path) -> None:
    state, pnl = export_risk_files(ledger, tmp_path, mode="replay")
    assert json.loads(state.read_text()) == {"days": {}, "last_trigger_by_symbol": {}}
    assert pnl.read_text() == "date,pnl_usdt\n"


def test_a_folder_that_cannot_be_written_is_said_and_the_old_files_stay(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_risk_files(ledger, tmp_path)
    before = (tmp_path / "risk_state.json").read_bytes()

    def refuses(*_: object) -> None:
        raise OSError(28, "No space left on device")

    ledger.append("b", [approved(1, DAY)])
    monkeypatch.setattr("spyhop.storage.files.os.fsync", refuses)
    with pytest.raises(StorageFailed, match="No space left"):
        export_risk_files(ledger, tmp_path)
    assert (tmp_path / "risk_state.json").read_bytes() == before
