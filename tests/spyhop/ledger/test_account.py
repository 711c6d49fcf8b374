"""One account."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_DAY
from spyhop.errors import StateError
from spyhop.ledger.account import Account, AccountState
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Fill, FundingPaid, Liquidated, Liquidity, TradeClosed
from spyhop.model.tape import Side, Venue

MakeFill = Callable[..., Fill]
DAY = 20_000 * NS_PER_DAY


@pytest.fixture
def account(linear: Instrument, inverse: Instrument) -> Account:
    return Account(10_000.0, [linear, inverse])


def trade(net: float, ts: int = 1) -> TradeClosed:
    zeros = dict.fromkeys(
        ("probability", "confidence", "entry_price", "exit_price", "take_profit_price", "stop_loss_price")
        + ("notional", "margin", "leverage", "gross", "fees", "funding", "slippage")
        + ("max_profit_frac", "max_drawdown_frac"),
        0.0,
    )
    return TradeClosed(
        ts=ts,
        trade_id="t",
        instrument=0,
        side=Side.BUY,
        strategy="WHALE_PUMP",
        intent_seq=0,
        decision_seq=0,
        ts_entry=1,
        ts_exit=2,
        lots=1,
        exit_purpose="stop_loss",
        net=net,
        **zeros,
    )


def test_a_round_trip_ends_in_cash(account: Account, make_fill: MakeFill) -> None:
    # 1 BTC bought at 50,000 and sold at 50,075, 0.04 % each way: 75 - 20 - 20.03
    account.on_fact(make_fill(Side.BUY, 1_000, 500_000, fee=20.0))
    account.on_fact(make_fill(Side.SELL, 1_000, 500_750, fee=20.03))
    assert account.realized == 75.0
    assert account.unrealized == 0.0
    assert account.cash == account.equity == 10_000.0 + 75.0 - 40.03


def test_equity_follows_the_mark_and_cash_does_not(account: Account, make_fill: MakeFill) -> None:
    account.on_fact(make_fill(Side.SELL, 1_000, 500_000))
    account.on_mark(2, 0, 499_000)
    assert account.equity == pytest.approx(10_100.0)
    assert account.cash == pytest.approx(10_000.0)
    assert account.unrealized == pytest.approx(100.0)


def test_funding_is_charged(account: Account) -> None:
    account.on_fact(FundingPaid(ts=1, ts_venue=1, instrument=0, rate=1e-4, lots=1, amount=5.0))
    account.on_fact(FundingPaid(ts=2, ts_venue=2, instrument=0, rate=-1e-4, lots=1, amount=-2.0))
    assert account.cash == 9_997.0


def test_a_liquidation_costs_its_loss_and_no_more(account: Account, make_fill: MakeFill) -> None:
    account.on_fact(make_fill(Side.BUY, 1_000, 500_000))
    gone = Liquidated(ts=2, ts_venue=2, instrument=0, side=Side.SELL, price=497_000, lots=1_000, loss=500.0)
    account.on_fact(gone)
    assert account.position(0).lots == 0
    assert account.equity == pytest.approx(9_500.0)
    account.on_fact(gone)
    assert account.equity == pytest.approx(9_500.0)


def test_the_days_loss_is_measured_from_its_first_equity(account: Account, make_fill: MakeFill) -> None:
    account.on_fact(make_fill(Side.BUY, 1_000, 500_000, ts=DAY))
    account.on_mark(DAY + 1, 0, 499_000)
    assert account.daily_loss == pytest.approx(100.0)
    account.on_mark(DAY + NS_PER_DAY, 0, 498_000)
    # the new day began with the loss of the old one on the books
    assert account.state.day_equity == pytest.approx(9_900.0)
    assert account.daily_loss == pytest.approx(100.0)
    account.on_mark(DAY + NS_PER_DAY + 1, 0, 500_000)
    assert account.daily_loss == 0.0


def test_a_late_fact_begins_no_earlier_day(account: Account, make_fill: MakeFill) -> None:
    account.on_fact(make_fill(Side.BUY, 1, 500_000, ts=DAY + NS_PER_DAY, fee=3.0))
    account.on_fact(make_fill(Side.SELL, 1, 500_000, ts=DAY, fee=2.0))
    assert account.daily_loss == pytest.approx(5.0)


def test_drawdown_is_from_the_highest_equity(account: Account, make_fill: MakeFill) -> None:
    account.on_fact(make_fill(Side.BUY, 1_000, 500_000))
    account.on_mark(2, 0, 501_000)
    account.on_mark(3, 0, 500_400)
    assert account.drawdown == pytest.approx(60.0)


def test_losses_in_a_row_are_counted_until_a_gain(account: Account) -> None:
    counts = []
    for net in (-1.0, -2.0, 0.5, -1.0):
        account.on_fact(trade(net))
        counts.append(account.state.num_losses_in_row)
    assert counts == [1, 2, 0, 1]


def test_trades_are_counted_by_day(account: Account) -> None:
    for ts in (DAY, DAY + 1, DAY + NS_PER_DAY):
        account.on_fact(trade(1.0, ts))
    assert (account.state.num_trades, account.state.num_trades_today) == (3, 1)


def test_a_strange_instrument_is_an_error(account: Account, make_fill: MakeFill) -> None:
    with pytest.raises(StateError, match="instrument 7"):
        account.on_fact(make_fill(Side.BUY, 1, 1, instrument=7))


LINEAR = Instrument(id=0, venue=Venue.BINANCE_USDM, symbol="X", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))
FILLS = st.lists(
    st.tuples(
        st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 10**5), st.integers(10**4, 10**7), st.floats(-5, 50)
    ),
    min_size=1,
    max_size=25,
)


@given(FILLS)
def test_cash_flows_add_up_to_the_change_of_equity_at_flat(fills: list[tuple[Side, int, int, float]]) -> None:
    account = Account(1e6, [LINEAR])
    flow = 0.0
    held = 0
    trades = [*fills]
    total = sum(side * lots for side, lots, _, _ in fills)
    if total:
        trades.append((Side.SELL if total > 0 else Side.BUY, abs(total), 54_321, 1.0))
    for n, (side, lots, price, fee) in enumerate(trades):
        fact = Fill(
            ts=n,
            ts_venue=n,
            fill_id=str(n),
            client_order_id="o",
            instrument=0,
            side=side,
            price=price,
            lots=lots,
            liquidity=Liquidity.TAKER,
            fee=fee,
            slippage=0.0,
        )
        account.on_fact(fact)
        held += side * lots
        flow += -side * lots * price * 1e-4 - fee
        assert account.cash + account.unrealized == pytest.approx(account.equity, rel=1e-9)
    assert held == account.position(0).lots == 0
    turnover = sum(lots * price * 1e-4 for _, lots, price, _ in trades)
    assert account.equity - 1e6 == pytest.approx(flow, rel=1e-9, abs=1e-12 * (turnover + 1e6))
    assert account.cash == pytest.approx(account.equity, rel=1e-12)


def test_the_state_survives_its_encoding(account: Account, make_fill: MakeFill) -> None:
    account.on_fact(make_fill(Side.BUY, 3, 500_001, fee=0.1))
    account.on_fact(make_fill(Side.SELL, 3, 412_345, fee=0.1, instrument=1))
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(account.state), type=AccountState)
    assert state == account.state
