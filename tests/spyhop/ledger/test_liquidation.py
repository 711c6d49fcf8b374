"""Where venues take positions over; the vectors are known answers."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.ledger.liquidation import binance_price, bracket, dydx_price, isolated_price, maintenance_amounts
from spyhop.model.instruments import MarginTier


def tier(floor: float, rate: str, leverage: int, amount: float = 0.0) -> MarginTier:
    return MarginTier(Decimal(str(floor)), Decimal(rate), Decimal(leverage), Decimal(str(amount)))


RATES = (
    *((0, "0.004", 125), (50_000, "0.005", 100), (250_000, "0.01", 50), (1_000_000, "0.025", 20)),
    *((10_000_000, "0.05", 10), (20_000_000, "0.1", 5), (50_000_000, "0.125", 4)),
)
PLAIN = tuple(tier(*one) for one in RATES)
TIERS = tuple(
    tier(floor, rate, leverage, amount)
    for (floor, rate, leverage), amount in zip(RATES, maintenance_amounts(PLAIN), strict=True)
)


def test_isolated_known_answers() -> None:
    assert round(binance_price(1_535_443.01, 1, 3_683.979, 1_456.84, 0.10, 135_365.0), 2) == 1_114.78
    assert round(binance_price(1_535_443.01, 1, 109.488, 32_481.98, 0.025, 16_300.0), 2) == 18_778.73


def test_cross_known_answers() -> None:
    # the other leg at its mark: unrealized profit less maintenance margin
    btc = 109.488 * (31_967.27 - 32_481.98) - (109.488 * 31_967.27 * 0.025 - 16_300.0)
    eth = 3_683.979 * (1_335.18 - 1_456.84) - (3_683.979 * 1_335.18 * 0.10 - 135_365.0)
    assert round(binance_price(1_535_443.01, 1, 3_683.979, 1_456.84, 0.10, 135_365.0, btc), 2) == 1_153.26
    assert round(binance_price(1_535_443.01, 1, 109.488, 32_481.98, 0.025, 16_300.0, eth), 2) == 26_316.89


def test_maintenance_amounts_are_those_of_the_venue() -> None:
    assert maintenance_amounts(PLAIN) == [0.0, 50.0, 1_300.0, 16_300.0, 266_300.0, 1_266_300.0, 2_516_300.0]


@pytest.mark.parametrize(
    ("leverage", "distance"), [(10, 0.0964), (20, 0.0462), (50, 0.0161), (100, 0.0060), (125, 0.0040)]
)
def test_known_distances_of_an_isolated_long(leverage: int, distance: float) -> None:
    price = isolated_price(100.0 / leverage, 1, 1.0, 100.0, TIERS[:1])
    assert round(1 - price / 100.0, 4) == distance


def test_a_long_without_debt_is_never_liquidated() -> None:
    assert isolated_price(100.0, 1, 1.0, 100.0, TIERS) == 0.0


@given(
    st.sampled_from([1, -1]), st.floats(1, 1e5), st.floats(1e2, 1e8), st.integers(5, 125), st.sampled_from([1, 3, 7])
)
def test_at_its_price_the_margin_left_is_the_maintenance_margin(
    side: int, entry: float, notional: float, leverage: int, num_tiers: int
) -> None:
    quantity, wallet = notional / entry, notional / leverage
    tiers = TIERS[:num_tiers]
    price = isolated_price(wallet, side, quantity, entry, tiers)
    here = bracket(tiers, quantity * price)
    left = wallet + side * quantity * (price - entry)
    needed = quantity * price * float(here.maintenance_rate) - float(here.amount)
    assert left == pytest.approx(needed, rel=1e-6, abs=1e-6 * notional)


@given(st.floats(1e3, 1e7), st.integers(6, 60))
def test_more_margin_moves_it_away(notional: float, leverage: int) -> None:
    near = isolated_price(notional / leverage, 1, notional / 100.0, 100.0, TIERS)
    far = isolated_price(1.1 * notional / leverage, 1, notional / 100.0, 100.0, TIERS)
    assert far <= near


def test_the_bracket_changes_with_the_price() -> None:
    # a short of 49,000 grows over 50,000 on its way to liquidation
    price = isolated_price(4_900.0, -1, 490.0, 100.0, TIERS)
    assert 490.0 * price > 50_000
    assert price == pytest.approx((4_900.0 + 50.0 + 490.0 * 100.0) / (490.0 * 0.005 + 490.0))


def test_dydx_known_distances() -> None:
    # 50x with a maintenance of 1.2 %
    assert round(1 - dydx_price(2.0, 1, 1.0, 100.0, 0.012) / 100.0, 4) == 0.0081
    assert round(dydx_price(2.0, -1, 1.0, 100.0, 0.012) / 100.0 - 1, 4) == 0.0079


@pytest.mark.parametrize("quantity", [0.0, -1.0])
def test_a_position_without_quantity_is_refused(quantity: float) -> None:
    with pytest.raises(ValueError, match="quantity above 0"):
        binance_price(1.0, 1, quantity, 1.0, 0.01, 0.0)
    with pytest.raises(ValueError, match="quantity above 0"):
        dydx_price(1.0, 1, quantity, 1.0, 0.01)
