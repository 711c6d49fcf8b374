from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from spyhop.clock import NS_PER_S
from spyhop.model.control import Session
from spyhop.model.entries import Entry
from spyhop.model.orders import Fill, FundingPaid, Liquidated, TradeClosed
from spyhop.model.tape import Side
from spyhop.model.verdicts import EpochBegan
from spyhop.reports.build import build
from spyhop.reports.model import Quality, Report, encoded
from tests.spyhop.trades import ended, told

T = 1_764_350_100 * NS_PER_S
MakeStory = Callable[[list[float]], list[Entry]]
MakeSession = Callable[..., Session]
MakeTrade = Callable[..., TradeClosed]


def quality(symbol: str, first: float | None, last: float | None, offset: float | None = 2.0) -> Quality:
    return Quality(
        symbol=symbol,
        is_simulated=False,
        first_ts=T,
        last_ts=T + 600 * NS_PER_S,
        num_events=1_000,
        num_trades=100,
        seconds=600,
        stale_book_s=3,
        stale_trades_s=9,
        no_book_s=1,
        crossed_s=0,
        gap_s=2,
        num_out_of_order=0,
        clock_offset_ms=offset,
        first_price=first,
        last_price=last,
        counters={"sequence.gaps": 1.0},
    )


def test_a_report_is_the_same_whatever_it_is_built_from_twice(make_story: MakeStory, make_session: MakeSession) -> None:
    story = make_story([7.0, -18.0, 7.0])
    report = build(make_session(), story)
    assert encoded(build(make_session(), story)) == encoded(report)
    assert msgspec.json.decode(encoded(report), type=Report) == report


def test_money_and_conduct_come_from_the_entries(make_story: MakeStory, make_session: MakeSession) -> None:
    report = build(make_session(), make_story([7.0, -18.0, 7.0]))
    assert report.money.net == pytest.approx(-4.0)
    assert report.money.fees == pytest.approx(24.0)
    assert report.decisions.num_approved == 3
    assert report.risk.start_equity == 10_000.0
    assert report.expectancy.mean_r == pytest.approx(-4.0 / 3 / 18.0)
    assert report.net_bps == pytest.approx([7.0, -18.0, 7.0])
    assert report.notes == ["No tape was read, so data quality and buy-and-hold are not known."]


def test_an_empty_session_is_a_report_too(make_session: MakeSession) -> None:
    report = build(make_session(settings={}), [])
    assert report.head.first_event == ""
    assert report.money.net == 0.0
    assert report.risk.start_equity is None
    assert report.win_rate.break_even is None


def test_a_simulated_session_says_so_in_its_head(make_session: MakeSession) -> None:
    assert build(make_session(is_simulated=True), []).head.is_simulated


def test_buy_and_hold_pays_its_fees_and_no_trade_is_zero(make_session: MakeSession) -> None:
    report = build(make_session(), [], [quality("BTCUSDT", 100.0, 101.0), quality("ETHUSDT", 100.0, 99.0)])
    told = {each.name: each for each in report.benchmarks}
    assert told["no trade"].net_bps == 0.0
    assert told["buy and hold BTCUSDT"].gross_bps == pytest.approx(100.0)
    assert told["buy and hold BTCUSDT"].cost_bps == pytest.approx(4.0 + 4.04)
    assert told["buy and hold, equal parts"].gross_bps == pytest.approx(0.0)
    assert report.head.days == pytest.approx(600 / 86_400)
    assert len(build(make_session(), [], [quality("BTCUSDT", None, None)]).benchmarks) == 1


def test_a_clock_that_ran_behind_is_noted(make_session: MakeSession) -> None:
    report = build(make_session(), [], [quality("BTCUSDT", 1.0, 1.0, offset=-1_270.4)])
    assert any("1,270 ms before the venue" in note for note in report.notes)


def test_open_positions_and_costs_without_a_trade_are_noted(make_story: MakeStory, make_session: MakeSession) -> None:
    story = make_story([7.0])
    entry = next(entry for entry in story if isinstance(entry.message, Fill))
    assert isinstance(entry.message, Fill)
    more = msgspec.structs.replace(entry.message, fill_id="open", lots=50, fee=1.0)
    funding = FundingPaid(ts=T, ts_venue=T, instrument=0, rate=1e-4, lots=50, amount=0.25)
    story += [Entry(T, "order", 90, more), Entry(T, "order", 91, funding)]
    notes = " ".join(build(make_session(), story).notes)
    assert "BTCUSDT: +50 lots were still open" in notes
    assert "Fees of 1.0000 belong to no closed trade" in notes
    assert "Funding of 0.2500 belongs to no closed trade" in notes
    taken = Liquidated(ts=T, ts_venue=T, instrument=0, side=Side.BUY, price=1, lots=50, loss=1.0)
    assert "still open" not in " ".join(build(make_session(), [*story, Entry(T, "order", 92, taken)]).notes)


def test_restarts_currencies_and_read_off_instruments_are_noted(make_session: MakeSession) -> None:
    session = make_session()
    first, second = session.instruments
    instruments = (
        msgspec.structs.replace(first, is_inferred=True),
        msgspec.structs.replace(second, quote="USD", lot_size=Decimal(1)),
    )
    epoch = Entry(T, "risk", 0, EpochBegan(ts=T, epoch=2, at_seq=0))
    notes = " ".join(build(make_session(instruments=instruments), [epoch]).notes)
    assert "1 fencing epochs" in notes
    assert "several currencies" in notes
    assert "Tick and lot of BTCUSDT were read off" in notes


def test_a_report_counts_pairs(
    make_session: MakeSession, make_trade: MakeTrade, legs: Callable[..., tuple[TradeClosed, TradeClosed]]
) -> None:
    lost, won = legs(0), legs(1, lost=1.0)
    plain = make_trade(2, -2.0)
    said = told(*lost, ended(lost[1].ts, *lost), *won, ended(won[1].ts, *won, seq=1), plain)
    report = build(make_session(), said)
    assert (report.win_rate.trades, report.win_rate.wins) == (3, 1)
    assert report.net_bps == pytest.approx([-5.0, 6.0, -2.0])
    assert report.expectancy.mean_bps == pytest.approx(-1.0 / 3)
    assert (report.money.net, report.money.fees) == (pytest.approx(-1.0), 40.0)
    # 10,000, 9,995, 10,001, 9,999: no leg's 7 is a peak
    assert [point.equity for point in report.risk.equity] == pytest.approx([1e4, 9_995.0, 10_001.0, 9_999.0])
    assert (report.risk.max_drawdown, report.risk.worst_trade) == (pytest.approx(5.0), pytest.approx(-5.0))
    assert report.holding.exits == {"stop_loss": 1, "take_profit": 2}
    assert [(line.trades, line.wins, line.net) for line in report.by_symbol] == [
        (3, 1, pytest.approx(-1.0)),
        (0, 0, 0.0),
    ]
    assert "Fees of -40.0000 belong to no closed trade." in report.notes  # this story has no fills
    # what is a leg's stays its own: 10,000 on a margin of 100, 5,000 on 400; and both legs slip
    assert report.risk.max_margin_leverage == pytest.approx(100.0)
    slipped = {each.name: each.net for each in report.sensitivities}["slippage + 1 bp a side"]
    assert slipped == pytest.approx(-1.0 - 2e-4 * 40_000.0)


def test_a_leg_has_its_own_way_to_liquidation(
    make_session: MakeSession, legs: Callable[..., tuple[TradeClosed, TradeClosed]]
) -> None:
    own, other = legs()
    thin = msgspec.structs.replace(other, margin=30.0, max_drawdown_frac=0.0)
    distance = build(make_session(), told(own, thin, ended(other.ts, own, thin))).risk.liquidation_distance_frac
    assert distance == build(make_session(), told(thin)).risk.liquidation_distance_frac
    assert distance is not None
    assert distance < (build(make_session(), told(own)).risk.liquidation_distance_frac or 0.0)
