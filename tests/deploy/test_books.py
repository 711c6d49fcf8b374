"""What the machines' tests say of silences, senders and books is itself right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spyhop.clock import NS_PER_S
from spyhop.model.entries import Entry
from spyhop.model.orders import Fill, Liquidity, OrderChanged, OrderStatus, OrderType, Purpose, SubmitOrder
from spyhop.model.tape import Side
from spyhop.storage.journal import FactWriter
from tests.deploy.books import back_s, lines_from, senders, told_in, unrepaired, usual_s, wrong


def at(*seconds: float) -> list[int]:
    return [int(second * NS_PER_S) for second in seconds]


def test_a_silence_tells_when_it_ended_after_the_blow() -> None:
    times = at(1, 2, 3, 4.5, 5, 9.5, 10, 11)
    assert back_s(times, *at(4, 12)) == pytest.approx(5.5)
    assert usual_s(times, *at(0, 4)) == pytest.approx(1.0)
    # not much longer than it was silent before: nothing was interrupted
    assert back_s(times, *at(4, 12), usual=2.25) == 0.0
    assert back_s(times, *at(4, 12), usual=2.2) == pytest.approx(5.5)
    # nobody came back
    assert back_s(at(1, 2, 3), *at(4, 30)) == float("inf")
    # a silence that begins long after has another cause
    assert back_s(at(*range(40), 55), *at(4, 60)) == pytest.approx(1.0, abs=0.01)


def test_senders_are_told_turn_by_turn() -> None:
    sent = [(at_, "a", where, "POST /x") for at_, where in ((1, "m1"), (2, "m1"), (9, "m2"), (10, "m1"))]
    assert senders(sent) == [("m1", 1, 2, 2), ("m2", 9, 9, 1), ("m1", 10, 10, 1)]


def changed(seq: int, name: str, status: OrderStatus) -> Entry:
    order = SubmitOrder(
        client_order_id=name,
        intent_seq=1,
        instrument=0,
        side=Side.BUY,
        type=OrderType.MARKET,
        lots=5,
        purpose=Purpose.ENTRY,
        ts=1,
    )
    message = OrderChanged(ts=seq, client_order_id=name, instrument=0, status=status, filled=0, cause="", order=order)
    return Entry(seq, "order", seq, message)


def fill(seq: int, name: str, number: str, lots: int) -> Entry:
    message = Fill(
        ts=seq, ts_venue=seq, fill_id=number, client_order_id=name, instrument=0, side=Side.BUY, price=1, lots=lots,
        liquidity=Liquidity.TAKER, fee=0.0, slippage=0.0,
    )  # fmt: skip
    return Entry(seq, "order", seq, message)


def account(*orders: tuple[str, int]) -> dict[str, Any]:
    return {"orders": [{"client_id": name, "filled": filled} for name, filled in orders]}


def test_books_that_agree_have_nothing_wrong() -> None:
    entries = [changed(1, "a", OrderStatus.FILLED), fill(2, "a", "1", 5), changed(3, "b", OrderStatus.REJECTED)]
    assert wrong(entries, account(("a", 5))) == []
    assert unrepaired(entries) == []


@pytest.mark.parametrize(
    ("there", "ours", "is_double", "text"),
    [
        ([("a", 5), ("a", 5)], [("a", "1", 5)], True, "a is at the venue 2 times"),
        ([("a", 5)], [("a", "1", 5), ("a", "2", 5)], True, "a: 5 lots at the venue, 10 in the journal"),
        ([("a", 5)], [("a", "1", 2), ("a", "1", 3)], True, "fill 1 is booked 2 times"),
        ([("a", 5)], [], False, "a: 5 lots at the venue, 0 in the journal"),
        ([("a", 5), ("z", 0)], [("a", "1", 5)], False, "z is at the venue and not in the journal"),
        ([], [], False, "a is filled here and unknown to the venue"),
    ],
)
def test_what_is_lost_and_what_is_doubled_is_told(
    there: list[tuple[str, int]], ours: list[tuple[str, str, int]], is_double: bool, text: str
) -> None:
    entries = [changed(1, "a", OrderStatus.FILLED), *(fill(2 + n, *one) for n, one in enumerate(ours))]
    (found,) = wrong(entries, account(*there))
    assert (found.is_double, found.text) == (is_double, text)


def test_a_journal_is_followed_line_by_line_and_over_a_torn_tail(tmp_path: Path) -> None:
    writer = FactWriter(tmp_path)
    path, entry = tmp_path / "facts.log", changed(0, "a", OrderStatus.OPEN)
    writer.append([entry])
    lines, place = lines_from(path, 0)
    assert [told for line in lines if (told := told_in(line))] == [entry]
    whole = path.read_bytes()
    path.write_bytes(whole + b"#frame 000")
    assert lines_from(path, place) == ([], place)
    path.write_bytes(whole[: len(whole) // 2])
    lines, place = lines_from(path, place)
    assert [told_in(line) for line in lines] == []
    assert place == len(whole) // 2
    writer.close()
