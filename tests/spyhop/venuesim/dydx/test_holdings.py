from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Side, Venue
from spyhop.venuesim.dydx.holdings import Holdings
from spyhop.venuesim.dydx.quantums import ClobPair, clob_pair
from spyhop.venuesim.words import Execution

PAIR: ClobPair = clob_pair(
    0, Instrument(id=0, venue=Venue.DYDX, symbol="BTC-USD", tick_size=Decimal(1), lot_size=Decimal("0.0001"))
)
ACCOUNT = "dydx1x/0"


def execution(side: Side, lots: int, price: int, number: int) -> Execution:
    return Execution(
        trade_id=number,
        order_id=number,
        account=ACCOUNT,
        instrument=0,
        side=side,
        ts=number,
        price=price,
        lots=lots,
        is_maker=False,
        fee=Decimal(0),
        realized=Decimal(0),
    )


fills = st.lists(
    st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 50), st.integers(100, 200)), max_size=30
)


@given(fills=fills)
def test_positions_add_up_to_the_fills_and_profit_to_the_money(fills: list[tuple[Side, int, int]]) -> None:
    holdings = Holdings()
    lots, cash = 0, 0
    for number, (side, size, price) in enumerate(fills, start=1):
        holdings.add(execution(side, size, price, number), PAIR)
        lots += side * size
        cash -= side * size * price
        held = holdings.opened(ACCOUNT)
        assert len(held) == (lots != 0)
        assert sum(one.lots for one in held) == lots
        # what all positions made, marked at the last price, is what the money says
        realized = sum((one.realized for one in holdings.of(ACCOUNT)), Decimal(0))
        unrealized = sum(((price - one.entry) * PAIR.instrument.quantity(one.lots) for one in held), Decimal(0))
        assert abs(realized + unrealized - (cash + lots * price) * Decimal("0.0001")) < Decimal("1e-15")


def test_a_fill_through_zero_closes_one_position_and_opens_another() -> None:
    holdings = Holdings()
    holdings.add(execution(Side.BUY, 10, 100, 1), PAIR)
    holdings.pay_funding(ACCOUNT, PAIR, Decimal("-0.5"))
    holdings.add(execution(Side.SELL, 25, 110, 2), PAIR)
    first, second = (holding.body(Decimal(120)) for holding in holdings.of(ACCOUNT))
    assert (first["status"], first["side"], first["size"], first["maxSize"]) == ("CLOSED", "LONG", "0", "0.001")
    assert (first["sumOpen"], first["sumClose"], first["exitPrice"]) == ("0.001", "0.001", "110")
    assert (first["netFunding"], first["realizedPnl"]) == ("-0.5", "-0.49")
    assert (second["status"], second["side"], second["size"]) == ("OPEN", "SHORT", "-0.0015")
    assert (second["entryPrice"], second["unrealizedPnl"], second["exitPrice"]) == ("110", "-0.015", None)
