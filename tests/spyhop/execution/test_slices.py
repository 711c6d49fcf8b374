"""Slices end at nothing held, never take more, and only one is under way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_MS as MS
from spyhop.clock import NS_PER_S as S
from spyhop.execution.params import ExecutionParams
from spyhop.execution.slices import Slices
from spyhop.model import tape
from spyhop.model.tape import Kind, Side
from spyhop.model.verdicts import RiskState
from tests.spyhop.execution.test_stage import CLOSE, Live, accepted, closed, end, fill, rejected, risk_state


@given(st.integers(1, 10_000), st.integers(1, 12), st.lists(st.integers(0, 500), min_size=12, max_size=12))
def test_a_close_ends_after_so_many_slices_and_takes_what_is_held(held: int, parts: int, shown: list[int]) -> None:
    slices, left, taken = Slices(), held, []
    for bid in shown:
        if not left:
            break
        slices.bid, slices.ask = bid, 1
        lots = slices.next(left, Side.SELL, parts)
        assert 0 < lots <= left
        if bid:
            assert lots <= max(bid, -(-held // parts))
        slices.fill(lots)
        assert slices.take_filled()
        assert not slices.take_filled()
        taken.append(lots)
        left -= lots
    assert sum(taken) == held
    assert len(taken) <= parts


def quote(ts: int, bid: int, ask: int) -> tape.Events:
    return tape.event(Kind.QUOTE, ts, price=999, qty=bid, aux=1001, aux2=ask)


def holding(shown: int, **params: int) -> Live:
    live = Live(ExecutionParams(**params))
    live.enter()
    live.stage.advance(quote(5 * S, shown, 7), 5 * S + 1)
    live.sent()
    return live


def test_an_escape_sells_what_the_bid_shows_and_the_next_slice_when_that_has_filled() -> None:
    live = holding(shown=4)
    facts = live.stage.on_risk_state(risk_state(6 * S, RiskState.ESCAPE))
    # the stop stays until nothing is held
    assert live.sent() == [("cancel", 2), (4, CLOSE, -4)]
    facts += live.hear(7 * S, accepted(4), fill(4, 3, Side.SELL, "a"))
    facts += live.stage.on_risk_state(risk_state(8 * S, RiskState.ESCAPE))
    facts += live.wait(10 * S)
    assert live.sent() == []
    facts += live.hear(10 * S, fill(4, 1, Side.SELL, "b"))
    assert live.sent() == [(5, CLOSE, -4)]
    facts += live.hear(11 * S, fill(5, 4, Side.SELL, "c"))
    assert live.sent() == [(6, CLOSE, -2)]
    facts += live.hear(12 * S, fill(6, 2, Side.SELL, "d"))
    assert ("cancel", 3) in live.sent()
    assert closed(facts).exit_purpose == "kill"


def test_a_slice_that_got_nothing_is_tried_again_after_a_while() -> None:
    live = holding(shown=4)
    live.stage.on_risk_state(risk_state(6 * S, RiskState.ESCAPE))
    live.sent()
    live.hear(7 * S, rejected(4))
    assert live.sent() == []
    live.wait(7 * S + 501 * MS)
    assert live.sent() == [(5, CLOSE, -4)]


def test_a_thin_book_makes_no_more_slices_than_it_may() -> None:
    live = holding(shown=1, close_parts=3)
    live.stage.on_risk_state(risk_state(6 * S, RiskState.ESCAPE))
    number, sizes = 4, []
    while sent := [one for one in live.sent() if one[0] == number]:
        sizes.append(-sent[0][2])
        live.hear((6 + number) * S, fill(number, sizes[-1], Side.SELL))
        number += 1
    assert sizes == [4, 4, 2]


def test_the_end_of_a_session_closes_in_slices_too_and_comes_to_an_end() -> None:
    live = holding(shown=6)
    facts = live.stage.advance(end(6 * S), 6 * S + 1)
    assert live.sent()[-1] == (4, CLOSE, -6)
    facts += live.hear(7 * S, fill(4, 6, Side.SELL))
    assert live.sent() == [(5, CLOSE, -4)]
    facts += live.hear(8 * S, fill(5, 4, Side.SELL))
    assert closed(facts).exit_purpose == "session_end"


def test_what_a_stop_closes_goes_at_once() -> None:
    live = holding(shown=1)
    live.wait(200 * S)
    assert live.sent()[-1] == (4, CLOSE, -10)


def test_a_restart_between_two_slices_goes_on_with_the_next() -> None:
    live = holding(shown=4)
    live.stage.on_risk_state(risk_state(6 * S, RiskState.ESCAPE))
    live.sent()
    other = Live()
    other.stage.restore(live.stage.snapshot())
    other.hear(7 * S, accepted(4), fill(4, 4, Side.SELL))
    assert other.sent() == [(5, CLOSE, -4)]
