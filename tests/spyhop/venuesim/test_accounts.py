"""Positions and margins against the documents' own arithmetic."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.ledger.liquidation import dydx_price, isolated_price
from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.tape import Side, Venue
from spyhop.venuesim.accounts import Account, fee_asset, fee_of, tier_of
from spyhop.venuesim.views import MarginMode

D = Decimal

TIERS = (
    MarginTier(D(0), D("0.004"), D(125)),
    MarginTier(D(50_000), D("0.005"), D(100), D(50)),
    MarginTier(D(500_000), D("0.01"), D(50), D(2_550)),
)
PERP = Instrument(
    id=0,
    venue=Venue.BINANCE_USDM,
    symbol="BTCUSDT",
    tick_size=D("0.1"),
    lot_size=D("0.001"),
    base="BTC",
    margin_tiers=TIERS,
)
DYDX = Instrument(
    id=0,
    venue=Venue.DYDX,
    symbol="BTC-USD",
    tick_size=D(1),
    lot_size=D("0.0001"),
    base="BTC",
    quote="USDC",
    margin_tiers=(MarginTier(D(0), D("0.012"), D(50)),),
)


def account(instrument: Instrument, money: int, mark: int) -> Account:
    return Account("a", instrument.venue, {instrument.quote: D(money)}, (instrument,), lambda _: mark, lambda _: ())


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
@pytest.mark.parametrize(("lots", "leverage"), [(100, 10), (500, 20), (2_000, 5)])
def test_an_isolated_liquidation_price_is_binances(side: Side, lots: int, leverage: int) -> None:
    one = account(PERP, 10**6, 600_000)
    one.holding(0).mode, one.holding(0).leverage = MarginMode.ISOLATED, leverage
    one.settle(0, side, 600_000, lots, D(0), 1)
    margin = float(one.holding(0).margin)
    assert margin == pytest.approx(lots * 60 / leverage)
    # both judge the bracket, we by today's notional: the sizes are far from a bracket's edge
    expected = isolated_price(margin, int(side), lots * 0.001, 60_000.0, TIERS)
    assert float(one.position(0).liquidation) == pytest.approx(expected)


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_dydx_liquidation_price_is_that_of_its_documents(side: Side) -> None:
    one = account(DYDX, 1_000, 60_000)
    assert one.holding(0).leverage == 50
    one.settle(0, side, 60_000, 1_000, D(0), 1)
    expected = dydx_price(1_000.0, int(side), 0.1, 60_000.0, 0.012)
    assert float(one.position(0).liquidation) == pytest.approx(expected)


@pytest.mark.parametrize(("notional", "rate"), [(1, "0.004"), (50_000, "0.004"), (50_001, "0.005"), (10**7, "0.01")])
def test_the_tier_of_a_notional(notional: int, rate: str) -> None:
    assert tier_of(PERP, D(notional)).maintenance_rate == D(rate)


def test_maintenance_subtracts_the_tiers_amount() -> None:
    one = account(PERP, 10**6, 600_000)
    one.settle(0, Side.BUY, 600_000, 2_000, D(0), 1)
    assert one.maintenance(0) == D(120_000) * D("0.005") - 50


@given(st.lists(st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(500_000, 700_000), st.integers(1, 999))))
def test_a_wallet_holds_what_fills_moved(fills: list[tuple[Side, int, int]]) -> None:
    one = account(PERP, 1_000, 600_000)
    held, cash = 0, D(0)
    for side, price, lots in fills:
        one.settle(0, side, price, lots, D("0.5"), 1)
        held += side * lots
        cash -= side * price * lots * D("0.0001") + D("0.5")
    assert one.lots(0) == held
    assert one.assets["USDT"] + one.unrealized(0) == 1_000 + cash + held * 600_000 * D("0.0001")
    assert held or one.holding(0).cost == 0


def test_a_position_that_turns_over_is_entered_anew() -> None:
    one = account(PERP, 1_000, 600_000)
    one.settle(0, Side.BUY, 600_000, 10, D(0), 1)
    assert one.settle(0, Side.SELL, 600_100, 15, D(0), 2) == D("0.1")
    view = one.position(0)
    assert (view.lots, view.entry, view.unrealized) == (-5, D("60010.0"), D("0.05"))


def test_a_spot_buyer_pays_in_what_is_bought() -> None:
    spot = Instrument(
        id=0, venue=Venue.BINANCE_SPOT, symbol="BTCUSDT", tick_size=D("0.1"), lot_size=D("0.001"), base="BTC"
    )
    assert fee_asset(spot, Side.BUY) == "BTC"
    assert fee_of(spot, Side.BUY, 600_000, 1_000, D("0.001")) == D("0.001")
    assert fee_of(spot, Side.SELL, 600_000, 1_000, D("0.001")) == D(60)
    assert fee_of(PERP, Side.BUY, 600_000, 1_000, D("0.0005")) == D(30)
