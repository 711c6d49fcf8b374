"""A fill's mid can be had back from its slippage, and another one put in its place."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.execution.splitting.slippage import mid_of, slippage_from
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Fill, Liquidity
from spyhop.model.tape import Side, Venue

LINEAR = Instrument(id=0, venue=Venue.SIMULATED, symbol="A", tick_size=Decimal("0.5"), lot_size=Decimal("0.1"))
INVERSE = Instrument(
    id=0,
    venue=Venue.BINANCE_COINM,
    symbol="B",
    tick_size=Decimal("0.1"),
    lot_size=Decimal(1),
    multiplier=Decimal(100),
    is_inverse=True,
)


def fill(side: Side, price: int, lots: int, slippage: float) -> Fill:
    return Fill(
        ts=1,
        ts_venue=1,
        fill_id="f",
        client_order_id="a",
        instrument=0,
        side=side,
        price=price,
        lots=lots,
        liquidity=Liquidity.TAKER,
        fee=0.0,
        slippage=slippage,
    )


@pytest.mark.parametrize("instrument", [LINEAR, INVERSE], ids=["linear", "inverse"])
@given(
    side=st.sampled_from([Side.BUY, Side.SELL]),
    price=st.integers(1_000, 100_000),
    lots=st.integers(1, 1_000),
    off=st.floats(0.9, 1.1),
)
def test_the_mid_comes_back(instrument: Instrument, side: Side, price: int, lots: int, off: float) -> None:
    mid = price * off
    # as the simulated venue and the desk measure it
    lost = side * instrument.notional(mid, lots) * (price / mid - 1.0)
    measured = fill(side, price, lots, lost)
    assert mid_of(measured, instrument) == pytest.approx(mid, rel=1e-9)
    assert slippage_from(mid, measured, instrument) == pytest.approx(lost, rel=1e-9, abs=1e-9)


def test_waiting_costs_what_it_costs() -> None:
    late = fill(Side.BUY, 1012, 10, 2 * 10 * 0.05)
    assert mid_of(late, LINEAR) == pytest.approx(1010.0)
    assert slippage_from(1000.0, late, LINEAR) == pytest.approx(12 * 10 * 0.05)
    assert mid_of(fill(Side.BUY, 1012, 10, 0.0), LINEAR) == 1012.0
