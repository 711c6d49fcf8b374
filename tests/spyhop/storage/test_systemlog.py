from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S
from spyhop.errors import StorageFailed
from spyhop.model.decisions import STRATEGIES, Decision, Intent, Trigger
from spyhop.model.entries import Entry, Recorded
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    Fill,
    FundingPaid,
    Liquidated,
    Liquidity,
    OrderChanged,
    OrderStatus,
    OrderType,
    Purpose,
    SubmitOrder,
)
from spyhop.model.tape import Side, Venue
from spyhop.model.verdicts import Approved, EpochBegan, Refused
from spyhop.storage.systemlog import SystemLog, said

T = 1_764_350_100 * NS_PER_S
BTC = Instrument(id=0, venue=Venue.BINANCE_USDM, symbol="BTCUSDT", tick_size=Decimal("0.10"), lot_size=Decimal("0.001"))
INTENT = Intent(
    seq=3,
    ts=T,
    instrument=0,
    decision_seq=4,
    side=Side.BUY,
    strategy="WHALE_PUMP",
    probability=0.78,
    confidence=0.72,
    reference=915_000,
    take_profit=916_373,
    stop=914_085,
    max_hold_ns=1,
)
ORDER = SubmitOrder(
    ts=T, client_order_id="c-1", instrument=0, side=Side.BUY, type=OrderType.MARKET, lots=9, purpose=Purpose.ENTRY
)


def decided(reasons: tuple[str, ...]) -> Decision:
    return Decision(
        seq=4,
        ts=T,
        instrument=0,
        trigger=Trigger.SHARP,
        price=91_500.0,
        probabilities=(1 / 23,) * len(STRATEGIES),
        strategy="WHALE_PUMP",
        probability=0.43,
        confidence=0.72,
        side=Side.BUY,
        evidence=(),
        reasons=reasons,
    )


def changed(status: OrderStatus, reason: str) -> OrderChanged:
    return OrderChanged(
        ts=T, client_order_id="c-1", instrument=0, status=status, filled=0, cause="venue", order=ORDER, reason=reason
    )


def paid(seq: int) -> Entry:
    return Entry(T + seq, "order", seq, FundingPaid(ts=T, ts_venue=T, instrument=0, rate=1e-4, lots=1, amount=0.5))


@pytest.mark.parametrize(
    ("message", "level", "words"),
    [
        (decided(("probability 0.43 is not above 0.70", "too soon")), "INFO", "no entry: probability 0.43 is not abo"),
        (decided(()), "INFO", "entry wanted"),
        (INTENT, "INFO", "take profit 91637.30 stop 91408.50"),
        (
            Refused(seq=0, ts=T, intent=INTENT, code="stale_data", measured=3.5, limit=2.0),
            "WARNING",
            "refused intent 3: stale_data measured 3.5 limit 2; no entry",
        ),
        (
            Approved(seq=0, ts=T, intent=INTENT, lots=9, leverage=5.56, risk=10.0, margin=20.0, epoch=1, expires=T),
            "INFO",
            "9 lots, leverage 5.56",
        ),
        (EpochBegan(ts=T, epoch=2, at_seq=0), "WARNING", "epoch 2 began"),
        (
            changed(OrderStatus.REJECTED, "two\nlines"),
            "WARNING",
            "rejected: entry BUY market 0/9 lots (venue): two lines",
        ),
        (changed(OrderStatus.OPEN, ""), "INFO", "(venue)"),
        (
            Fill(
                ts=T,
                ts_venue=T,
                fill_id="f1",
                client_order_id="c-1",
                instrument=0,
                side=Side.BUY,
                price=915_001,
                lots=9,
                liquidity=Liquidity.TAKER,
                fee=0.3294,
                slippage=0.001,
            ),
            "INFO",
            "fill f1: BUY 9 lots at 91500.10 taker, fee 0.3294, slippage 0.0010",
        ),
        (
            Liquidated(ts=T, ts_venue=T, instrument=0, side=Side.BUY, price=900_000, lots=9, loss=20.0),
            "WARNING",
            "BTCUSDT liquidated 9 lots at 90000.00, loss 20.00",
        ),
    ],
)
def test_every_entry_is_one_readable_line(message: Recorded, level: str, words: str) -> None:
    told_level, text = said(message, {0: BTC})
    assert told_level == level
    assert words in text
    assert "\n" not in text


def test_a_line_begins_with_event_time_level_and_the_key_of_its_entry(tmp_path: Path) -> None:
    log = SystemLog(tmp_path / "logs" / "system.log", [BTC])
    log.append([paid(0)])
    log.note(T, "hello\nthere", "WARNING")
    log.close()
    assert (tmp_path / "logs" / "system.log").read_text().splitlines() == [
        "2025-11-28T17:15:00.000 INFO    order#0 BTCUSDT funding 0.5000 at rate 0.0001",
        "2025-11-28T17:15:00.000 WARNING hello there",
    ]


@given(cut=st.integers(0, 900), back=st.integers(0, 4))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_a_log_cut_anywhere_goes_on_with_one_line_an_entry(
    tmp_path_factory: pytest.TempPathFactory, cut: int, back: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    entries = [paid(seq) for seq in range(8)]
    whole = SystemLog(folder / "whole.log", [BTC])
    whole.append(entries)
    whole.close()
    text = (folder / "whole.log").read_bytes()
    head = text[: cut % (len(text) + 1)]
    (folder / "torn.log").write_bytes(head)
    torn = SystemLog(folder / "torn.log", [BTC])
    torn.append(entries[max(0, head.count(b"\n") - back) :])
    torn.append(entries)
    torn.close()
    assert (folder / "torn.log").read_bytes() == text


def test_a_path_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFailed):
        SystemLog(tmp_path / "file" / "x.log", [BTC])


def test_it_is_closed_once_and_leaves_the_files_of_others_alone(tmp_path: Path) -> None:
    log = SystemLog(tmp_path / "system.log", (BTC,))
    log.close()
    # the number of a closed file goes to the next that is opened
    with (tmp_path / "another").open("w") as another:
        log.close()
        another.write("still open")
    assert (tmp_path / "another").read_text() == "still open"
