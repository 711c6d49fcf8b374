"""Two legs are one trade: of a report, of a day, and whatever came when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from spyhop.clock import NS_PER_HOUR, NS_PER_S
from spyhop.ledger.pairs import Legs, joined
from spyhop.model.control import Session
from spyhop.model.decisions import LEAD_FOLLOW
from spyhop.model.entries import Entry, Recorded
from spyhop.model.orders import PairEnded, TradeClosed
from spyhop.model.tape import Side
from spyhop.reports.build import build
from spyhop.reports.day import Told, of_day

T = 1_764_350_100 * NS_PER_S
MakeTrade = Callable[..., TradeClosed]
MakeSession = Callable[..., Session]


def told(*messages: Recorded) -> list[Entry]:
    return [Entry(message.ts, "order", seq, message) for seq, message in enumerate(messages)]


def ended(ts: int, *legs: TradeClosed, seq: int = 0) -> PairEnded:
    return PairEnded(
        ts=ts,
        intent_seq=seq,
        instrument=0,
        hedge=1,
        num_legs=len(legs),
        notional=sum(leg.notional for leg in legs if leg.instrument == 0),
        **{name: sum(getattr(leg, name) for leg in legs) for name in ("gross", "fees", "funding", "slippage", "net")},
    )


def trades_of(entries: list[Entry]) -> list[TradeClosed]:
    return [entry.message for entry in joined(entries) if isinstance(entry.message, TradeClosed)]


@pytest.fixture
def legs(make_trade: MakeTrade) -> Callable[..., tuple[TradeClosed, TradeClosed]]:
    """The legs of a pair that won 7 at one venue and lost `lost` at the other, a second later."""

    def make(seq: int = 0, lost: float = 12.0, **changes: Any) -> tuple[TradeClosed, TradeClosed]:
        own = make_trade(seq, 7.0, strategy=LEAD_FOLLOW, is_leg=True, **changes)
        other = msgspec.structs.replace(
            own,
            trade_id=f"WT_{seq:04d}h",
            ts=own.ts + NS_PER_S,
            ts_entry=own.ts_entry + NS_PER_S,
            ts_exit=own.ts_exit + NS_PER_S,
            instrument=1,
            side=Side.SELL,
            take_profit_price=0.0,
            stop_loss_price=0.0,
            notional=5_000.0,
            margin=400.0,
            gross=8.0 - lost,
            net=-lost,
            funding=0.0,
            exit_purpose="stop_loss",
            max_profit_frac=0.0002,
            max_drawdown_frac=-0.0016,
        )
        return own, other

    return make


def test_legs_become_one_trade_where_their_pair_ends(
    make_trade: MakeTrade, legs: Callable[..., tuple[TradeClosed, TradeClosed]]
) -> None:
    own, other = legs()
    plain = make_trade(9, 1.0, intent_seq=9, ts=own.ts)
    for both in ((own, plain, other), (other, plain, own)):
        first, trade = trades_of(told(*both, ended(other.ts + 5, own, other)))
        assert first is plain
        assert (trade.ts, trade.ts_entry, trade.ts_exit) == (other.ts + 5, own.ts_entry, other.ts_exit)
        assert (trade.instrument, trade.side, trade.lots, trade.notional) == (0, Side.BUY, 200, 10_000.0)
        assert (trade.fees, trade.slippage, trade.margin) == (16.0, 1.0, 500.0)
        assert (trade.gross, trade.net) == (pytest.approx(11.0), pytest.approx(-5.0))
        assert (trade.exit_purpose, trade.is_leg) == ("take_profit", False)
        # as if both worst prices had come at once: 2 bp of the one, 16 of half as much
        assert trade.max_drawdown_frac == pytest.approx(-0.0010)
        assert trade.max_profit_frac == pytest.approx(0.0017)


def test_legs_that_come_one_by_one_are_the_same_trade(
    make_trade: MakeTrade, legs: Callable[..., tuple[TradeClosed, TradeClosed]]
) -> None:
    own, other = legs()
    plain, end = make_trade(9, 1.0, intent_seq=9, ts=own.ts), ended(other.ts + 5, own, other)
    counting = Legs()
    assert [counting.trade(message) for message in (own, plain)] == [None, plain]
    later = Legs(counting.held)
    assert [later.trade(other), later.trade(end), later.trade(end)] == [None, trades_of(told(own, other, end))[0], None]


def test_what_is_no_whole_pair_stays_as_it_was(
    make_trade: MakeTrade, legs: Callable[..., tuple[TradeClosed, TradeClosed]]
) -> None:
    own, other = legs()
    end = ended(other.ts, own, other)
    late = msgspec.structs.replace(own, ts=end.ts + 1, trade_id="late")
    assert trades_of(told(own)) == [own]  # its pair has not ended
    assert trades_of(told(own, other, end, late))[1:] == [late]
    never = told(ended(T))
    assert joined(never) == never  # a pair that held nothing
    plain = make_trade(0)  # of an intent of the same number, but no leg
    assert trades_of(told(plain, ended(plain.ts))) == [plain]
    two = legs(seq=2, lost=1.0)
    found = trades_of(told(own, two[0], other, end, two[1], ended(two[1].ts, *two, seq=2)))
    assert [(trade.intent_seq, trade.net) for trade in found] == [(0, pytest.approx(-5.0)), (2, pytest.approx(6.0))]


def test_one_leg_alone_and_several_of_one_market_are_a_trade_too(
    legs: Callable[..., tuple[TradeClosed, TradeClosed]],
) -> None:
    own, other = legs()
    (alone,) = trades_of(told(other, ended(other.ts, other)))
    assert (alone.instrument, alone.notional, alone.net) == (1, 5_000.0, -12.0)
    again = msgspec.structs.replace(own, trade_id="again", notional=2_000.0, exit_purpose="unwind")
    (thrice,) = trades_of(told(own, other, again, ended(other.ts, own, other, again)))
    assert (thrice.notional, thrice.net) == (12_000.0, pytest.approx(2.0))
    lost = msgspec.structs.replace(other, exit_purpose="liquidation")
    assert trades_of(told(own, lost, ended(other.ts, own, lost)))[0].exit_purpose == "liquidation"


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


def test_a_day_counts_pairs_and_those_that_began_before_it_whole(
    make_session: MakeSession, legs: Callable[..., tuple[TradeClosed, TradeClosed]]
) -> None:
    own, other = legs()
    # the first leg left just before the window begins, the pair ended in it
    end = msgspec.structs.replace(ended(other.ts, own, other), ts=own.ts + NS_PER_HOUR - 1)
    later = legs(20, lost=1.0)
    own_end = ended(own.ts + NS_PER_HOUR, *later, seq=20)
    later = tuple(msgspec.structs.replace(leg, ts=own_end.ts) for leg in later)
    story = told(own, other, end, *later, own_end)
    (group,) = of_day([Told(make_session(), story)], 1, now=0).groups
    for tally in (group.total, group.lead_follow):
        assert (tally.win_rate.trades, tally.win_rate.wins) == (2, 1)
        assert tally.money.net == pytest.approx(1.0)
        assert tally.expectancy.mean_bps == pytest.approx(0.5)
    (line,) = group.by_strategy
    assert (line.name, line.trades, line.wins, line.net) == (LEAD_FOLLOW, 2, 1, pytest.approx(1.0))
    assert [(each.trades, each.wins) for each in group.by_symbol] == [(2, 1), (0, 0)]
