"""Instruments and facts made by hand."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from spyhop.model.instruments import Instrument
from spyhop.model.orders import Fill, Liquidity
from spyhop.model.tape import Side, Venue


@pytest.fixture
def linear() -> Instrument:
    return Instrument(
        id=0, venue=Venue.BINANCE_USDM, symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001")
    )


@pytest.fixture
def inverse() -> Instrument:
    return Instrument(
        id=1,
        venue=Venue.BINANCE_COINM,
        symbol="BTCUSD_PERP",
        tick_size=Decimal("0.1"),
        lot_size=Decimal(1),
        multiplier=Decimal(100),
        is_inverse=True,
        quote="USD",
    )


@pytest.fixture
def make_fill() -> Callable[..., Fill]:
    """A fill of an instrument; time and fee as given."""

    def make(side: Side, lots: int, price: int, ts: int = 1, fee: float = 0.0, instrument: int = 0) -> Fill:
        return Fill(
            ts=ts,
            ts_venue=ts,
            fill_id=f"{ts}",
            client_order_id="o",
            instrument=instrument,
            side=side,
            price=price,
            lots=lots,
            liquidity=Liquidity.TAKER,
            fee=fee,
            slippage=0.0,
        )

    return make
