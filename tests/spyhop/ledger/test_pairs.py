"""Two legs are one trade, whatever came when."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from spyhop.ledger.pairs import Legs, joined
from spyhop.model.entries import Entry
from spyhop.model.orders import TradeClosed
from spyhop.model.tape import Side
from tests.spyhop.trades import T, ended, told

MakeTrade = Callable[..., TradeClosed]


def trades_of(entries: list[Entry]) -> list[TradeClosed]:
    return [entry.message for entry in joined(entries) if isinstance(entry.message, TradeClosed)]


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
