"""What is news and what is not: repeats, latecomers, strangers and more than was asked for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from spyhop.execution.account import Account
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelOrder,
    CancelRejected,
    Fill,
    FundingPaid,
    Liquidated,
    Liquidity,
    OrderAccepted,
    OrderCancelled,
    OrderRejected,
    OrderSent,
    OrderStatus,
    OrderType,
    OrderUnknown,
    Purpose,
    Report,
    SubmitOrder,
)
from spyhop.model.tape import Side, Venue

BTC = Instrument(id=1, venue=Venue.SIMULATED, symbol="BTC", tick_size=Decimal("0.5"), lot_size=Decimal("0.01"))
ORDER = SubmitOrder(
    ts=0,
    client_order_id="a",
    instrument=1,
    side=Side.SELL,
    type=OrderType.MARKET,
    lots=4,
    purpose=Purpose.ENTRY,
)
KEY: dict[str, Any] = {"ts": 1, "client_order_id": "a", "instrument": 1}
SENT = OrderSent(**KEY)
UNKNOWN = OrderUnknown(**KEY, reason="time-out")
ACCEPTED = OrderAccepted(**KEY, ts_venue=1)
CANCELLED = OrderCancelled(**KEY, ts_venue=1, lots_left=4)
REJECTED = OrderRejected(**KEY, ts_venue=1, reason="no")
KEPT = CancelRejected(**KEY, ts_venue=1, reason="no")


def fill(name: str, lots: int, price: int = 100) -> Fill:
    return Fill(
        **KEY,
        ts_venue=1,
        fill_id=name,
        side=Side.SELL,
        price=price,
        lots=lots,
        liquidity=Liquidity.TAKER,
        fee=0.0,
        slippage=0.0,
    )


@pytest.fixture
def account() -> Account:
    account = Account({1: BTC})
    account.take(ORDER, reference=101.0)
    return account


def hear(account: Account, *reports: Report) -> list[bool]:
    """Fold what is news; return what was."""
    was_news = []
    for report in reports:
        news = account.news(report)
        was_news.append(news is not None)
        if news is not None:
            account.hear(news)
    return was_news


@pytest.mark.parametrize(
    ("reports", "is_news", "status"),
    [
        ([SENT, SENT], [True, False], OrderStatus.SENT),
        ([SENT, UNKNOWN, UNKNOWN, SENT], [True, True, False, False], OrderStatus.UNKNOWN),
        ([UNKNOWN, ACCEPTED, UNKNOWN, ACCEPTED], [True, True, False, False], OrderStatus.OPEN),
        ([fill("t", 1), ACCEPTED], [True, False], OrderStatus.PARTIALLY_FILLED),
        ([REJECTED, ACCEPTED, CANCELLED], [True, False, False], OrderStatus.REJECTED),
        ([CANCELLED, fill("t", 1)], [True, True], OrderStatus.CANCELLED),
        ([fill("t", 4), CANCELLED], [True, False], OrderStatus.FILLED),
        ([fill("t", 2), fill("t", 2), fill("u", 3)], [True, False, False], OrderStatus.PARTIALLY_FILLED),
    ],
)
def test_an_order_goes_forward_only(
    account: Account, reports: list[Report], is_news: list[bool], status: OrderStatus
) -> None:
    assert hear(account, *reports) == is_news
    assert account.orders["a"].status is status
    assert ("a" in account.alive) == account.orders["a"].is_alive


def test_fills_move_the_position_late_ones_too(account: Account) -> None:
    hear(account, fill("t", 1), CANCELLED, fill("u", 2))
    assert account.lots[1] == -3
    hear(account, fill("v", 2))
    assert account.num_overfills == 1
    assert account.lots[1] == -3


def test_slippage_is_positive_when_worse_than_the_mid(account: Account) -> None:
    sold_lower = account.news(fill("t", 4, price=100))
    assert isinstance(sold_lower, Fill)
    # sold one tick (0.5) under the mid of 101 ticks: 4 lots of 0.01
    assert sold_lower.slippage == pytest.approx(4 * 0.01 * 0.5)
    sold_higher = account.news(fill("t", 4, price=103))
    assert isinstance(sold_higher, Fill)
    assert sold_higher.slippage == pytest.approx(-4 * 0.01 * 1.0)


def test_a_cancel_may_be_refused_once(account: Account) -> None:
    assert hear(account, KEPT) == [False]
    account.take(CancelOrder(**KEY))
    assert account.orders["a"].is_cancelling
    assert hear(account, KEPT, KEPT) == [True, False]
    assert account.take(CancelOrder(ts=1, client_order_id="stranger", instrument=1)) is None


def test_strangers_are_no_news(account: Account) -> None:
    assert hear(account, OrderAccepted(ts=1, ts_venue=1, client_order_id="web", instrument=1)) == [False]


def test_earnings_are_what_trades_closed_with_less_all_charges(account: Account) -> None:
    buy = msgspec.structs.replace(ORDER, client_order_id="b", side=Side.BUY)
    account.take(buy)
    sold = msgspec.structs.replace(fill("t", 4, price=100), fee=0.3)
    bought = msgspec.structs.replace(fill("u", 3, price=90), client_order_id="b", side=Side.BUY, fee=0.2)
    paid = FundingPaid(ts=1, ts_venue=5, instrument=1, rate=0.0001, lots=4, amount=0.05)
    hear(account, sold, bought, paid)
    # three lots of 0.01 gained ten ticks of 0.5
    assert account.earned("USDT") == pytest.approx(3 * 0.01 * 10 * 0.5 - 0.3 - 0.2 - 0.05)
    assert account.earned("USDC") == 0.0
    before = account.earned("USDT")
    hear(account, Liquidated(ts=1, ts_venue=6, instrument=1, side=Side.SELL, price=120, lots=1, loss=0.7))
    assert account.earned("USDT") == pytest.approx(before - 0.7)
    assert account.lots[1] == 0


def test_charges_count_once_and_a_liquidation_takes_the_position(account: Account) -> None:
    paid = FundingPaid(ts=1, ts_venue=5, instrument=1, rate=0.0001, lots=4, amount=1.0)
    gone = Liquidated(ts=1, ts_venue=6, instrument=1, side=Side.SELL, price=120, lots=4, loss=3.0)
    assert hear(account, fill("t", 4), paid, paid, gone, gone) == [True, True, False, True, False]
    assert account.lots[1] == 0


def test_a_liquidation_without_a_price_takes_the_position_all_the_same(account: Account) -> None:
    gone = Liquidated(ts=1, ts_venue=6, instrument=1, side=Side.SELL, price=0, lots=4, loss=3.0)
    assert hear(account, fill("t", 4), gone) == [True, True]
    assert account.lots[1] == 0


def test_slippage_is_told_against_the_price_that_an_order_says_it_was_decided_at(account: Account) -> None:
    decided = msgspec.structs.replace(ORDER, client_order_id="d", reference=110, price=120)
    assert account.take(decided).reference == 110.0
    assert account.take(msgspec.structs.replace(decided, client_order_id="e", reference=0)).reference == 120.0
