"""Differences by class, their repairs, and that repairs leave nothing to repair."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S
from spyhop.execution.account import Account
from spyhop.execution.reconcile import Theirs, absent, balance, compare, follows, repairs, told
from spyhop.model.accounts import VenueFill, VenueOrder, VenuePosition
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    Difference,
    DifferenceKind,
    Fill,
    Liquidity,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderSent,
    OrderStatus,
    OrderType,
    OrderUnknown,
    Purpose,
    Reconciled,
    Report,
    SubmitOrder,
)
from spyhop.model.tape import Side, Venue

NOW = 100 * NS_PER_S
INSTRUMENTS = {
    number: Instrument(id=number, venue=Venue.SIMULATED, symbol=f"X{number}", tick_size=Decimal(1), lot_size=Decimal(1))
    for number in (1, 2)
}


def order(key: str, lots: int = 4, **changes: Any) -> SubmitOrder:
    base: dict[str, Any] = {
        "ts": 0,
        "client_order_id": key,
        "instrument": 1,
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "price": 100,
        "lots": lots,
        "purpose": Purpose.ENTRY,
    }
    return SubmitOrder(**{**base, **changes})


def venue_order(key: str, status: OrderStatus = OrderStatus.OPEN, **changes: Any) -> VenueOrder:
    base: dict[str, Any] = {
        "client_order_id": key,
        "venue_order_id": f"v-{key}",
        "instrument": 1,
        "side": Side.BUY,
        "status": status,
        "lots": 4,
        "filled": 0,
    }
    return VenueOrder(**{**base, **changes})


def venue_fill(name: str, key: str, lots: int = 1, **changes: Any) -> VenueFill:
    base: dict[str, Any] = {
        "fill_id": name,
        "client_order_id": key,
        "venue_order_id": f"v-{key}",
        "instrument": 1,
        "side": Side.BUY,
        "price": 100,
        "lots": lots,
        "liquidity": Liquidity.MAKER,
        "fee": 0.5,
        "ts_venue": 7,
    }
    return VenueFill(**{**base, **changes})


def sent(key: str, ts: int = 1) -> OrderSent:
    return OrderSent(ts=ts, client_order_id=key, instrument=1)


def accepted(key: str) -> OrderAccepted:
    return OrderAccepted(ts=1, ts_venue=1, client_order_id=key, instrument=1)


def account_with(*reports: Report, orders: tuple[SubmitOrder, ...] = (order("a"),)) -> Account:
    account = Account(INSTRUMENTS)
    for one in orders:
        account.take(one)
    tell(account, reports)
    return account


def tell(account: Account, reports: Any) -> None:
    for report in reports:
        news = account.news(report)
        assert news is not None, report
        account.hear(news)


def kinds(findings: Any) -> list[tuple[DifferenceKind, bool]]:
    return [(finding.kind, finding.is_repaired) for finding in findings]


def test_nothing_differs_when_both_agree() -> None:
    account = account_with(sent("a"), accepted("a"))
    assert compare(account, Theirs(open=[venue_order("a")]), NOW) == []


def test_a_missing_fill_is_booked_and_explains_the_position() -> None:
    account = account_with(sent("a"), accepted("a"))
    theirs = Theirs(
        open=[venue_order("a", OrderStatus.PARTIALLY_FILLED, filled=3)],
        fills=[venue_fill("t1", "a", 3)],
        positions=[VenuePosition(instrument=1, lots=3)],
    )
    findings = compare(account, theirs, NOW)
    assert kinds(findings) == [(DifferenceKind.MISSING_FILL, True)]
    tell(account, repairs(findings))
    assert account.lots[1] == 3
    assert compare(account, theirs, NOW) == []


def test_a_fill_that_names_only_the_venues_order_is_ours_once_we_know_that_id() -> None:
    account = account_with(sent("a"), accepted("a"))
    fill = venue_fill("t1", "", 3, venue_order_id="77")
    theirs = Theirs(fills=[fill], positions=[VenuePosition(instrument=1, lots=3)])
    assert kinds(compare(account, theirs, NOW)) == [(DifferenceKind.FOREIGN_POSITION, False)]
    assert account.know(1, "77", "a")
    assert not account.know(1, "77", "a")
    assert kinds(compare(account, theirs, NOW)) == [(DifferenceKind.MISSING_FILL, True)]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (OrderStatus.CANCELLED, OrderCancelled),
        (OrderStatus.EXPIRED, OrderExpired),
        (OrderStatus.REJECTED, OrderRejected),
    ],
)
def test_an_ended_order_is_ended_after_its_fills(status: OrderStatus, kind: type) -> None:
    account = account_with(sent("a"), accepted("a"))
    theirs = Theirs(
        asked={"a": venue_order("a", status, filled=1)},
        fills=[venue_fill("t1", "a")],
        positions=[VenuePosition(instrument=1, lots=1)],
    )
    findings = compare(account, theirs, NOW)
    assert kinds(findings) == [(DifferenceKind.MISSING_FILL, True), (DifferenceKind.ORDER_STATUS, True)]
    made = repairs(findings)
    assert [type(one) for one in made] == [Fill, kind]
    assert getattr(made[1], "lots_left", 3) == 3
    tell(account, made)
    assert compare(account, theirs, NOW) == []


def test_fills_known_by_their_sum_alone_are_not_made_up() -> None:
    account = account_with(sent("a"), accepted("a"))
    theirs = Theirs(asked={"a": venue_order("a", OrderStatus.CANCELLED, filled=2)})
    assert kinds(compare(account, theirs, NOW)) == [(DifferenceKind.ORDER_STATUS, False)]
    assert account.alive.keys() == {"a"}


def test_an_order_that_its_last_fill_ends_needs_no_other_repair() -> None:
    account = account_with(sent("a"), accepted("a"))
    theirs = Theirs(
        asked={"a": venue_order("a", OrderStatus.FILLED, filled=4)},
        fills=[venue_fill("t1", "a", 4)],
        positions=[VenuePosition(instrument=1, lots=4)],
    )
    findings = compare(account, theirs, NOW)
    assert kinds(findings) == [(DifferenceKind.MISSING_FILL, True)]
    tell(account, repairs(findings))
    assert account.orders["a"].status is OrderStatus.FILLED


def test_an_order_the_venue_never_had_is_rejected_and_one_that_is_gone_expired() -> None:
    unknown = OrderUnknown(ts=2, client_order_id="a", instrument=1, reason="time-out")
    account = account_with(sent("a"), unknown, sent("b"), accepted("b"), orders=(order("a"), order("b")))
    findings = compare(account, Theirs(asked={"a": None, "b": None}), NOW)
    assert kinds(findings) == [(DifferenceKind.UNKNOWN_ORDER, True)] * 2
    assert [type(one) for one in repairs(findings)] == [OrderRejected, OrderExpired]


def test_an_unknown_order_that_stands_there_is_accepted() -> None:
    account = account_with(sent("a"))
    findings = compare(account, Theirs(open=[venue_order("a")]), NOW)
    assert [type(one) for one in repairs(findings)] == [OrderAccepted]


def test_orders_on_their_way_are_not_judged() -> None:
    account = account_with(
        sent("young", NOW - NS_PER_S), sent("busy"), orders=(order("young"), order("busy"), order("not sent"))
    )
    theirs = Theirs(asked=dict.fromkeys(("young", "busy", "not sent")))
    assert compare(account, theirs, NOW, grace_s=3.0, busy={"busy"}) == []
    assert len(compare(account, theirs, NOW, grace_s=0.5)) == 2


def test_what_is_foreign_is_never_repaired() -> None:
    account = account_with(orders=())
    stranger = venue_order("", venue_order_id="9", side=Side.SELL, lots=5, filled=2)
    theirs = Theirs(open=[stranger], positions=[VenuePosition(instrument=2, lots=-7)])
    findings = compare(account, theirs, NOW)
    assert kinds(findings) == [(DifferenceKind.FOREIGN_ORDER, False), (DifferenceKind.FOREIGN_POSITION, False)]
    assert [(one.order, one.theirs) for one in findings] == [("9", -3.0), ("", -7.0)]
    assert repairs(findings) == []


def test_a_size_that_fills_do_not_explain_is_told() -> None:
    account = account_with(sent("a"), accepted("a"))
    tell(account, repairs(compare(account, Theirs(fills=[venue_fill("t1", "a", 4)]), NOW)))
    for lots in (3, 0, -4):
        (finding,) = compare(account, Theirs(positions=[VenuePosition(instrument=1, lots=lots)] if lots else []), NOW)
        assert (finding.kind, finding.ours, finding.theirs) == (DifferenceKind.SIZE_MISMATCH, 4.0, float(lots))


def test_an_order_that_ended_here_and_stands_there_is_told_unrepaired() -> None:
    account = account_with(sent("a"), OrderRejected(ts=1, ts_venue=1, client_order_id="a", instrument=1, reason="no"))
    findings = compare(account, Theirs(open=[venue_order("a")]), NOW)
    assert kinds(findings) == [(DifferenceKind.ORDER_STATUS, False)]
    assert compare(account, Theirs(open=[venue_order("a")]), NOW, busy={"a"}) == []


def test_what_is_said_names_each_difference_and_each_instrument() -> None:
    account = account_with(sent("a"))
    theirs = Theirs(open=[venue_order("a")], positions=[VenuePosition(instrument=2, lots=1)])
    said = told(compare(account, theirs, NOW), [1, 2], NOW, "timer")
    assert [type(one) for one in said] == [Difference, Difference, Reconciled, Reconciled]
    verdicts = [(one.instrument, one.is_clean, one.num_differences) for one in said if isinstance(one, Reconciled)]
    assert verdicts == [(1, True, 1), (2, False, 1)]
    doubted = told([], [1, 2], NOW, "start", doubtful={2})
    assert [one.is_clean for one in doubted if isinstance(one, Reconciled)] == [True, False]


def test_the_venues_word_about_an_ended_order_changes_nothing() -> None:
    account = account_with(sent("a"), OrderRejected(ts=1, ts_venue=1, client_order_id="a", instrument=1, reason="no"))
    for status in OrderStatus:
        assert follows(account.orders["a"], venue_order("a", status), NOW) == []


def test_money_that_nothing_explains_is_told_and_blocks_nobody() -> None:
    assert balance("USDT", -1.0, -1.004, 0.01, 1) == []
    (finding,) = balance("USDT", -1.0, -6.0, 0.01, 1)
    assert (finding.kind, finding.ours, finding.theirs) == (DifferenceKind.BALANCE, -1.0, -6.0)
    verdicts = [one.is_clean for one in told([finding], [1], NOW, "timer") if isinstance(one, Reconciled)]
    assert verdicts == [True]


def test_absent_depends_on_what_was_heard() -> None:
    account = account_with(sent("a"))
    assert isinstance(absent(account.orders["a"], NOW), OrderRejected)


_statuses = st.sampled_from((OrderStatus.OPEN, OrderStatus.CANCELLED, OrderStatus.EXPIRED, OrderStatus.REJECTED, None))
_orders = st.lists(
    st.tuples(st.integers(0, 3), _statuses, st.lists(st.tuples(st.booleans(), st.integers(1, 3)), max_size=3)),
    max_size=5,
)


@given(orders=_orders)
def test_repairs_make_both_agree(orders: list[tuple[int, OrderStatus | None, list[tuple[bool, int]]]]) -> None:
    """Any venue whose fills explain its orders and positions: one round of repairs, and nothing is left."""
    account = Account(INSTRUMENTS)
    listed, asked, fills, held = [], {}, [], 0
    for number, (heard, status, parts) in enumerate(orders):
        key = f"o{number}"
        account.take(order(key, 9))
        tell(account, [sent(key), accepted(key)][: heard + 1])
        filled = 0
        for place, (is_known, lots) in enumerate(parts if status else []):
            fill = venue_fill(f"{key}-{place}", key, lots)
            fills.append(fill)
            filled += lots
            if is_known:
                tell(account, repairs(compare(account, Theirs(fills=[fill]), NOW)))
        held += filled
        if status is None:
            asked[key] = None
        else:
            state = OrderStatus.FILLED if filled == 9 else status
            there = venue_order(key, state, lots=9, filled=filled)
            if state is OrderStatus.OPEN:
                listed.append(there)
            else:
                asked[key] = there
    positions = [VenuePosition(instrument=1, lots=held)] if held else []
    theirs = Theirs(open=listed, asked=asked, fills=fills, positions=positions)
    findings = compare(account, theirs, NOW)
    assert all(finding.is_repaired for finding in findings)
    tell(account, repairs(findings))
    assert compare(account, theirs, NOW) == []
    assert account.lots[1] == held
    assert account.alive.keys() == {one.client_order_id for one in listed}
