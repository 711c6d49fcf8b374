from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.tape import Venue

BTC = Instrument(
    id=0,
    venue=Venue.BINANCE_USDM,
    symbol="BTCUSDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    margin_tiers=(MarginTier(Decimal(0), Decimal("0.004"), Decimal(125)),),
)
INVERSE = Instrument(
    id=1,
    venue=Venue.BINANCE_COINM,
    symbol="BTCUSD_PERP",
    tick_size=Decimal("0.1"),
    lot_size=Decimal(1),
    multiplier=Decimal(100),
    is_inverse=True,
)


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_ticks_and_lots_survive_the_way_out_and_back(ticks: int, lots: int) -> None:
    assert BTC.to_ticks(BTC.price(ticks)) == ticks
    assert BTC.to_lots(str(BTC.quantity(lots))) == lots


@pytest.mark.parametrize("price", ["61773.65", 61773.65, Decimal("0.05")])
def test_a_price_off_the_grid_is_an_error(price: str | float | Decimal) -> None:
    with pytest.raises(ValueError, match="not a multiple"):
        BTC.to_ticks(price)


def test_a_float_that_is_a_tick_is_taken() -> None:
    assert BTC.to_ticks(0.1 + 0.2) == 3


def test_notional_of_linear_and_inverse() -> None:
    assert BTC.notional(600_000, 1_000) == pytest.approx(60_000.0)
    assert INVERSE.notional(600_000, 5) == 500.0


def test_leverage_is_what_the_best_tier_permits() -> None:
    assert BTC.max_leverage == 125.0
    assert INVERSE.max_leverage == 1.0
    assert BTC.key == "binance-usdm:BTCUSDT"
