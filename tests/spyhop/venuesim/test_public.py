"""What everybody may ask, against the rows that were told."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from spyhop.clock import NS_PER_MINUTE, NS_PER_S
from spyhop.model.tape import Events, Flag, Kind, Ratio, event, joined
from spyhop.venuesim.markets import GeneratedMarket, generated_instrument
from spyhop.venuesim.public import TRADES_KEPT, PublicRecord

START = 1_760_000_400 * NS_PER_S
MINUTES = 31
END = START + MINUTES * NS_PER_MINUTE
BTC = generated_instrument("BTCUSDT")


@pytest.fixture(scope="module")
def tape() -> Events:
    return GeneratedMarket("BTCUSDT", 3, START).read(END)


@pytest.fixture(scope="module")
def record(tape: Events) -> PublicRecord:
    one = PublicRecord(BTC)
    for part in np.array_split(tape, 50):
        one.fold(part, int(part["ts_recv"][-1]))
    return one


def test_trades_are_the_tapes(tape: Events, record: PublicRecord) -> None:
    trades = tape[tape["kind"] == Kind.TRADE]
    assert record.trades(100, -1, 0, 0).tobytes() == trades[-100:].tobytes()
    assert record.trades(5, 40, 0, 0)["id"].tolist() == [40, 41, 42, 43, 44]
    middle = int(trades["ts_event"][200])
    assert (record.trades(10, -1, middle, 0)["ts_event"] >= middle).all()
    assert record.trades(10**6, -1, START, middle)["ts_event"][-1] == middle
    assert len(record.trades(10, 10**9, 0, 0)) == 0


def test_memory_is_bounded() -> None:
    one = PublicRecord(BTC)
    rows = np.repeat(event(Kind.TRADE, START, price=1, qty=1, side=1), 30_000)
    for k in range(12):
        rows["id"] = np.arange(k * 30_000, (k + 1) * 30_000)
        one.fold(rows, START)
    kept = one.trades(10**9, -1, 0, 0)
    assert len(kept) == TRADES_KEPT
    assert kept["id"].tolist() == list(range(360_000 - TRADES_KEPT, 360_000))


def test_bars_hold_every_trade(tape: Events, record: PublicRecord) -> None:
    trades = tape[tape["kind"] == Kind.TRADE]
    for interval_s in (60, 300, 900):
        found = record.bars(interval_s, 0, 0, 1_000)
        assert found["num_trades"].sum() == len(trades)
        assert found["lots"].sum() == trades["qty"].sum()
        assert found["buy_lots"].sum() == trades["qty"][trades["side"] > 0].sum()
        for bar in found:
            own = trades[(trades["ts_event"] >= bar["ts_open"]) & (trades["ts_event"] < bar["ts_close"])]
            assert (bar["high"], bar["low"]) == (own["price"].max(), own["price"].min())
            assert (bar["first_id"], bar["last_id"]) == (own["id"].min(), own["id"].max())
            assert bar["tick_lots"] == (own["price"] * own["qty"]).sum()


def test_a_ticker_is_a_day_of_minutes(tape: Events, record: PublicRecord) -> None:
    trades = tape[tape["kind"] == Kind.TRADE]
    one = record.ticker(END, (1, 2, 3, 4))
    assert (one.lots, one.num_trades) == (trades["qty"].sum(), len(trades))
    assert (one.high, one.low, one.last) == (trades["price"].max(), trades["price"].min(), trades["price"][-1])
    assert (one.bid, one.bid_lots, one.ask, one.ask_lots) == (1, 2, 3, 4)
    nothing = PublicRecord(BTC).ticker(END, (0, 0, 0, 0))
    assert (nothing.last, nothing.high, nothing.num_trades) == (0, 0, 0)


def test_the_mark_is_the_newest(tape: Events, record: PublicRecord) -> None:
    last = tape[tape["kind"] == Kind.MARK][-1]
    assert record.mark(END).mark == Decimal(int(last["aux"])).scaleb(-8)
    assert record.mark(END).index == Decimal(int(last["aux2"])).scaleb(-8)
    assert record.mark(END).next_funding == last["id"]


def test_open_interest_is_sampled_each_five_minutes(tape: Events, record: PublicRecord) -> None:
    told = tape[tape["kind"] == Kind.OPEN_INTEREST]
    found = record.open_interest_history(300, 0, 0, 100)
    assert len(found) == MINUTES // 5
    for row in found:
        before = told[told["ts_recv"] < row["ts_event"]]
        assert row["qty"] == before["qty"][-1]
    assert len(record.open_interest_history(900, 0, 0, 100)) == 2
    assert record.open_interest == told["qty"][-1]


def test_the_takers_ratio_is_exact(tape: Events, record: PublicRecord) -> None:
    bars = record.bars(900, 0, 0, 10)
    for row in record.ratios(Ratio.TAKER_VOLUME, 900, 0, 0, 10)[1:]:
        bar = bars[bars["ts_close"] == row["ts_event"]][0]
        # a trade in flight at the turn counts in its own minute there and in the next here
        assert row["price"] == pytest.approx(int(bar["buy_lots"]), rel=0.02)
        assert row["price"] + row["qty"] == pytest.approx(int(bar["lots"]), rel=0.02)


@pytest.mark.parametrize("ratio", [Ratio.TOP_POSITIONS, Ratio.TOP_ACCOUNTS, Ratio.GLOBAL_ACCOUNTS])
def test_ratios_are_shares(record: PublicRecord, ratio: Ratio) -> None:
    rows = record.ratios(ratio, 300, 0, 0, 100)
    assert len(rows) == MINUTES // 5
    assert (rows["price"] + rows["qty"] == 100_000_000).all()
    assert rows["aux2"] == pytest.approx(1e8 * rows["price"] / rows["qty"])
    with pytest.raises(ValueError, match="multiple of 300"):
        record.ratios(ratio, 100, 0, 0, 1)


def test_large_traders_and_the_crowd_stand_on_different_sides() -> None:
    one = PublicRecord(BTC)
    rows = [event(Kind.OPEN_INTEREST, START, qty=10_000)]
    rows += [event(Kind.TRADE, START + k * NS_PER_S, price=600_000, qty=10, side=1, id=k) for k in range(1, 600)]
    one.fold(joined(rows), START + 600 * NS_PER_S)
    top = one.ratios(Ratio.TOP_POSITIONS, 300, 0, 0, 10)["price"]
    crowd = one.ratios(Ratio.GLOBAL_ACCOUNTS, 300, 0, 0, 10)["price"]
    assert top[-1] > top[0] > 52_000_000
    assert crowd[-1] < crowd[0] < 60_000_000


def test_recorded_ratios_are_repeated() -> None:
    one = PublicRecord(BTC)
    row = event(Kind.RATIO, START, price=70_000_000, qty=30_000_000, id=300, aux=Ratio.TOP_ACCOUNTS, aux2=233_333_333)
    one.fold(row, START)
    assert one.ratios(Ratio.TOP_ACCOUNTS, 300, 0, 0, 10).tobytes() == row.tobytes()


def test_funding_that_is_only_predicted_is_paid_when_the_next_stamp_is_told() -> None:
    one = PublicRecord(BTC)
    stamps = [START, START + 8 * 3_600 * NS_PER_S]
    one.fold(event(Kind.MARK, START, price=600_000), START)
    for rate, stamp in ((5, 0), (7, 0), (9, 1)):
        one.fold(event(Kind.FUNDING, START + rate, id=stamps[stamp], aux=rate), START + rate)
    paid = one.funding_history(0, 0, 10)
    assert (paid["id"].tolist(), paid["aux"].tolist(), paid["price"].tolist()) == ([START], [7], [600_000])
    one.fold(event(Kind.FUNDING, START + 10, id=stamps[0], aux=7, flags=Flag.SETTLED), START + 10)
    assert len(one.funding_history(0, 0, 10)) == 1
