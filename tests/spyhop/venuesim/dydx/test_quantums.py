from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Venue
from spyhop.venuesim.dydx.quantums import ClobPair, clob_pair

MARKETS = "wire/nautilus_trader/crates/adapters/dydx/test_data/http_get_perpetual_markets.json"


def pair(tick: str, lot: str) -> ClobPair:
    return clob_pair(
        0, Instrument(id=0, venue=Venue.DYDX, symbol="BTC-USD", tick_size=Decimal(tick), lot_size=Decimal(lot))
    )


def test_parameters_follow_from_tick_and_lot_as_for_the_real_markets(recordings: Path) -> None:
    markets = msgspec.json.decode((recordings / MARKETS).read_bytes())["result"]["markets"]
    assert markets
    for market in markets.values():
        ours = pair(market["tickSize"], market["stepSize"])
        assert ours.atomic_resolution == market["atomicResolution"]
        assert ours.conversion_exponent == market["quantumConversionExponent"]
        assert ours.lot_quantums == market["stepBaseQuantums"]
        assert ours.tick_subticks == market["subticksPerTick"]


def test_the_documented_example() -> None:
    btc = pair("1", "0.0001")  # 0.001 BTC = 10,000,000 quantums, 64,000 dollars = 6,400,000,000 subticks
    assert btc.quantums(10) == 10_000_000
    assert btc.subticks(64_000) == 6_400_000_000


def test_cheap_coins_have_lots_above_one() -> None:
    assert pair("0.000000001", "1000000").atomic_resolution == 0
    assert pair("0.0000000001", "10000000").atomic_resolution == 1


@given(
    tick=st.tuples(st.sampled_from([1, 2, 5, 25]), st.integers(-10, 2)),
    lot=st.tuples(st.sampled_from([1, 2, 5]), st.integers(-6, 7)),
    number=st.integers(1, 10**9),
)
def test_conversions_are_exact_both_ways(tick: tuple[int, int], lot: tuple[int, int], number: int) -> None:
    market = pair(str(Decimal(tick[0]).scaleb(tick[1])), str(Decimal(lot[0]).scaleb(lot[1])))
    assert market.lots(market.quantums(number)) == number
    assert market.ticks(market.subticks(number)) == number
    size = Decimal(market.quantums(number)).scaleb(market.atomic_resolution)
    assert size == market.instrument.quantity(number)
    price = Decimal(market.subticks(number)).scaleb(market.conversion_exponent - 6 - market.atomic_resolution)
    assert price == market.instrument.price(number)


@pytest.mark.parametrize("off", [1, 999_999])
def test_what_is_off_the_grid_is_nothing(off: int) -> None:
    btc = pair("1", "0.0001")
    assert btc.lots(1_000_000 + off) is None
    assert btc.ticks(100_000 + 1) is None
