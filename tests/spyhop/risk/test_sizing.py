"""How much."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spyhop.ledger.positions import Position
from spyhop.model.decisions import Intent
from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.tape import Side, Venue
from spyhop.risk.sizing import (
    Conditions,
    SizingParams,
    add_budget,
    cost_frac,
    leverage_at,
    profit_r,
    regime_factor,
    size,
    sized_from,
    stop_of,
    volatility_factor,
)

MakeInstrument = Callable[..., Instrument]
MakeIntent = Callable[..., Intent]
FREE = SizingParams(position_size_usdt=1e12)
INF = math.inf
same_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_the_known_answer_of_5_56_times_equity(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    # 1 % at risk, stop 0.10 % + cost 0.08 %
    sized = size(make_intent(), make_instrument(lot_size=Decimal("0.0000001")), 10_000.0, INF, FREE)
    assert round(sized.leverage, 2) == 5.56
    assert sized.risk == pytest.approx(100.0, rel=1e-6)


def test_two_percent_is_twice_that(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    params = SizingParams(position_size_usdt=1e12, risk_frac=0.02)
    sized = size(make_intent(), make_instrument(lot_size=Decimal("0.0000001")), 10_000.0, INF, params)
    assert round(sized.leverage, 1) == 11.1


def test_the_seeds_size_is_a_cap_on_margin(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    # 100 USDT at 100x control 10,000 USDT
    sized = size(make_intent(), make_instrument(), 1_000_000.0, INF, SizingParams())
    assert sized.notional == pytest.approx(10_000.0)
    assert sized.margin == pytest.approx(100.0)
    assert sized.leverage == pytest.approx(0.01)
    assert sized.venue_leverage == 100.0


def test_the_venues_tier_caps_leverage(make_instrument: MakeInstrument) -> None:
    instrument = make_instrument()
    assert leverage_at(10_000.0, instrument, 200.0) == 125.0
    assert leverage_at(10_000.0, instrument, 100.0) == 100.0
    assert leverage_at(300_000.0, instrument, 100.0) == 50.0
    assert leverage_at(5e6, instrument, 100.0) == 20.0


def test_margin_holds_where_one_tier_ends_and_the_next_begins(
    make_instrument: MakeInstrument, make_intent: MakeIntent
) -> None:
    # 125 x below 50,000 and 100 x from there on: 400.1 of margin would carry 50,012 at the better rate
    params = SizingParams(max_leverage=125.0, position_size_usdt=400.1)
    sized = size(make_intent(), make_instrument(), 1e9, INF, params)
    assert sized.notional < 50_000.0
    assert sized.margin <= 400.1


def test_a_venue_without_tiers_lends_nothing(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    sized = size(make_intent(), make_instrument(margin_tiers=()), 1_000_000.0, INF, SizingParams())
    assert sized.notional == sized.margin == pytest.approx(100.0)


def test_notional_stays_within_leverage_times_equity(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    params = SizingParams(position_size_usdt=1e12, max_leverage=3.0)
    assert size(make_intent(), make_instrument(), 10_000.0, INF, params).notional == pytest.approx(30_000.0)


def test_a_bracket_that_is_out_of_reach_lends_nothing(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    # 20x from 50,000 on, but 1,000 of margin reach no further than 20,000
    odd = tuple(MarginTier(Decimal(floor), Decimal("0.01"), Decimal(most)) for floor, most in ((0, 10), (50_000, 20)))
    sized = size(make_intent(), make_instrument(margin_tiers=odd), 1e6, 1_000.0, FREE)
    assert (sized.notional, sized.margin) == (pytest.approx(10_000.0), pytest.approx(1_000.0))


def test_margin_is_that_of_the_tier_the_position_falls_in(
    make_instrument: MakeInstrument, make_intent: MakeIntent
) -> None:
    sized = size(make_intent(), make_instrument(), 100_000.0, INF, FREE)
    assert sized.notional == pytest.approx(555_500.0)
    assert sized.margin == pytest.approx(555_500.0 / 50)


def test_the_spread_and_slippage_are_costs(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    params = SizingParams(slippage_bps=2.0)
    assert cost_frac(make_intent(spread=10.0), make_instrument(), params) == pytest.approx(8e-4 + 1e-4 + 2e-4)


def test_confidence_only_ever_reduces(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    params = SizingParams(position_size_usdt=1e12, scale_by_confidence=True)
    plain = size(make_intent(), make_instrument(), 10_000.0, INF, FREE)
    assert size(make_intent(confidence=1.0), make_instrument(), 10_000.0, INF, params) == plain
    half = size(make_intent(confidence=0.5), make_instrument(), 10_000.0, INF, params)
    assert half.lots == plain.lots // 2


def test_the_least_size_is_by_quantity_and_by_notional(
    make_instrument: MakeInstrument, make_intent: MakeIntent
) -> None:
    by_quantity = make_instrument(min_qty=Decimal("0.005"), min_notional=Decimal(1))
    by_notional = make_instrument(min_notional=Decimal(250))
    assert size(make_intent(), by_quantity, 1e4, INF, FREE).min_lots == 5
    assert size(make_intent(), by_notional, 1e4, INF, FREE).min_lots == 3


@pytest.mark.parametrize("equity", [0.0, -5.0])
def test_without_equity_there_is_no_size(
    make_instrument: MakeInstrument, make_intent: MakeIntent, equity: float
) -> None:
    assert size(make_intent(), make_instrument(), equity, INF, FREE).lots == 0


def test_without_atr_mode_the_stop_stays(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    assert stop_of(make_intent(atr=500.0, spread=50.0), make_instrument(), SizingParams()) == 999_000


@pytest.mark.parametrize(
    ("atr", "spread", "distance"),
    [
        (200.0, 0.1, 300.0),  # 1.5 ATR
        (0.0, 0.0, 160.0),  # two round trips of 8 bp while there is no ATR yet
        (0.0, 100.0, 360.0),  # two round trips, the spread in them
        (20.0, 0.1, 160.2),
    ],
)
def test_in_atr_mode_the_stop_moves_out_and_has_a_floor(
    make_instrument: MakeInstrument, make_intent: MakeIntent, atr: float, spread: float, distance: float
) -> None:
    params = SizingParams(atr_multiple=1.5)
    intent = make_intent(atr=atr, spread=spread)
    assert (1_000_000 - stop_of(intent, make_instrument(), params)) * 0.1 == pytest.approx(distance, abs=0.1)
    short = make_intent(atr=atr, spread=spread, side=Side.SELL, stop=1_001_000)
    assert (stop_of(short, make_instrument(), params) - 1_000_000) * 0.1 == pytest.approx(distance, abs=0.1)


def test_atr_mode_never_moves_the_stop_nearer(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    params = SizingParams(atr_multiple=1.5, fee_frac=0.0)
    assert stop_of(make_intent(atr=1.0), make_instrument(), params) == 999_000


def test_liquidation_lies_where_the_venue_says(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    # isolated at 100x with a maintenance rate of 0.4 %: 0.60 % away
    sized = size(make_intent(), make_instrument(), 1e6, INF, SizingParams())
    assert round(sized.liquidation_frac, 4) == 0.0060
    assert sized.stop_frac == pytest.approx(0.001)


def test_an_inverse_contract_is_sized_by_its_face(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    inverse = make_instrument(
        is_inverse=True,
        lot_size=Decimal(1),
        multiplier=Decimal(100),
        min_qty=Decimal(1),
        min_notional=Decimal(0),
        venue=Venue.BINANCE_COINM,
    )
    sized = size(make_intent(), inverse, 10_000.0, INF, FREE)
    assert (sized.lots, sized.notional) == (555, 55_500.0)
    assert sized.liquidation_frac == pytest.approx(1 / 100 - 0.005)


SIZES = {
    "equity": st.floats(1.0, 1e8),
    "stop": st.integers(1, 50_000),
    "spread": st.floats(0, 100),
    "atr": st.floats(0, 5_000),
    "confidence": st.floats(0, 1),
    "max_leverage": st.floats(1, 125),
    "margin": st.floats(1, 1e7),
    "room": st.floats(0, 1e7),
    "atr_multiple": st.sampled_from([0.0, 1.0, 2.5]),
}


@given(**SIZES)
@same_fixture
def test_no_cap_is_ever_passed(
    make_instrument: MakeInstrument,
    make_intent: MakeIntent,
    equity: float,
    stop: int,
    spread: float,
    atr: float,
    confidence: float,
    max_leverage: float,
    margin: float,
    room: float,
    atr_multiple: float,
) -> None:
    params = SizingParams(
        max_leverage=max_leverage, position_size_usdt=margin, atr_multiple=atr_multiple, scale_by_confidence=True
    )
    intent = make_intent(stop=1_000_000 - stop, spread=spread, atr=atr, confidence=confidence)
    sized = size(intent, make_instrument(), equity, room, params)
    slack = 1 + 1e-9
    assert sized.risk <= 0.01 * equity * slack
    assert sized.margin <= min(margin, room) * slack
    assert sized.leverage <= max_leverage * slack
    assert sized.venue_leverage <= max_leverage
    assert sized.stop <= intent.stop


@given(st.floats(100.0, 1e7), st.floats(1.0, 3.0))
@same_fixture
def test_more_equity_never_gives_less(
    make_instrument: MakeInstrument, make_intent: MakeIntent, equity: float, times: float
) -> None:
    small, large = (size(make_intent(), make_instrument(), money, INF, FREE) for money in (equity, equity * times))
    assert small.lots <= large.lots


@given(st.floats(1.0, 5_000.0), st.floats(1.0, 3.0))
@same_fixture
def test_more_volatility_never_gives_more(
    make_instrument: MakeInstrument, make_intent: MakeIntent, atr: float, times: float
) -> None:
    params = SizingParams(position_size_usdt=1e12, atr_multiple=2.0)
    calm, wild = (size(make_intent(atr=a), make_instrument(), 1e5, INF, params) for a in (atr, atr * times))
    assert wild.lots <= calm.lots


def test_size_comes_from_equity_or_from_the_start_as_it_is_set() -> None:
    fixed, capped = SizingParams(is_compounding=False), SizingParams(max_compounding=2.0)
    assert [sized_from(equity, 10_000.0, SizingParams()) for equity in (-1.0, 5_000.0, 90_000.0)] == [0.0, 5e3, 9e4]
    assert [sized_from(equity, 10_000.0, fixed) for equity in (-1.0, 5_000.0, 90_000.0)] == [0.0, 5e3, 1e4]
    assert sized_from(90_000.0, 10_000.0, capped) == 20_000.0


REGIMES = SizingParams(position_size_usdt=1e12, bull_leverage=1.5, bear_leverage=0.5)


def test_a_regime_needs_agreement() -> None:
    assert [regime_factor(aligned, REGIMES) for aligned in (-1.0, -0.5, -0.4, 0.0, 0.4, 0.5, 1.0)] == [
        0.5,
        0.5,
        1.0,
        1.0,
        1.0,
        1.5,
        1.5,
    ]


def test_a_bull_market_gives_half_as_much_again_and_a_bear_half(
    make_instrument: MakeInstrument, make_intent: MakeIntent
) -> None:
    instrument = make_instrument(lot_size=Decimal("0.0000001"))
    bull, calm, bear = (
        size(make_intent(), instrument, 10_000.0, INF, REGIMES, Conditions(aligned=aligned)).risk
        for aligned in (1.0, 0.0, -1.0)
    )
    assert (bull, calm, bear) == (pytest.approx(150.0), pytest.approx(100.0), pytest.approx(50.0))


def test_a_bull_market_passes_no_cap(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    bull = Conditions(aligned=1.0, max_risk=120.0)
    assert size(make_intent(), make_instrument(), 10_000.0, INF, REGIMES, bull).risk <= 120.0
    capped = SizingParams(bull_leverage=1.5)
    rich = Conditions(aligned=1.0)
    assert size(make_intent(), make_instrument(), 1e6, INF, capped, rich).margin == pytest.approx(100.0)


def test_a_cap_hides_no_reduction(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    # the margin of one trade binds: 100 lots
    for reduced in (Conditions(state_frac=0.5), Conditions(aligned=-1.0), Conditions(sigma_1m=2e-3)):
        params = SizingParams(bear_leverage=0.5, target_sigma_1m=1e-3)
        assert size(make_intent(), make_instrument(), 1e6, INF, params, reduced).lots == 50


def test_volatility_reduces_above_its_target() -> None:
    params = SizingParams(target_sigma_1m=1e-3)
    assert [volatility_factor(sigma, params) for sigma in (0.0, 5e-4, 1e-3, 2e-3)] == [1.0, 1.0, 1.0, 0.5]
    assert volatility_factor(1.0, SizingParams()) == 1.0


def test_a_size_stays_within_the_depth(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    sized = size(make_intent(), make_instrument(), 1e6, INF, SizingParams(), Conditions(max_notional=1_234.0))
    assert sized.lots == 12


CONDITIONS = {
    "sigma_1m": st.floats(0.0, 0.1),
    "aligned": st.floats(-1.0, 1.0),
    "state_frac": st.sampled_from([0.0, 0.3, 1.0]),
    "max_risk": st.floats(0.0, 1e5),
    "max_notional": st.floats(0.0, 1e8),
}


@given(
    conditions=st.builds(Conditions, **CONDITIONS),
    equity=st.floats(100.0, 1e7),
    room=st.floats(0.0, 1e6),
    bull=st.floats(1.0, 3.0),
    times=st.floats(1.0, 50.0),
)
@same_fixture
def test_no_condition_passes_a_cap_and_more_volatility_never_gives_more(
    make_instrument: MakeInstrument,
    make_intent: MakeIntent,
    conditions: Conditions,
    equity: float,
    room: float,
    bull: float,
    times: float,
) -> None:
    params = SizingParams(
        max_leverage=20.0, position_size_usdt=5_000.0, bull_leverage=bull, bear_leverage=0.5, target_sigma_1m=1e-3
    )
    sized = size(make_intent(), make_instrument(), equity, room, params, conditions)
    slack = 1 + 1e-9
    assert sized.risk <= conditions.max_risk * slack
    assert sized.risk <= 0.01 * equity * bull * slack
    assert sized.margin <= min(5_000.0, room) * slack
    assert sized.leverage <= 20.0 * slack
    assert sized.notional <= conditions.max_notional * slack
    wild = msgspec.structs.replace(conditions, sigma_1m=conditions.sigma_1m * times)
    if conditions.sigma_1m > 0.0:
        assert size(make_intent(), make_instrument(), equity, room, params, wild).lots <= sized.lots


def test_profit_is_told_in_what_was_risked(make_instrument: MakeInstrument) -> None:
    held = Position(lots=100, average=1_000_000.0, flow=-100_000_000)
    assert profit_r(held, 1_002_000, make_instrument(), 10.0) == pytest.approx(2.0)
    assert profit_r(Position(), 1_002_000, make_instrument(), 10.0) == 0.0
    assert profit_r(held, 1_002_000, make_instrument(), 0.0) == 0.0


@given(
    side=st.sampled_from([Side.BUY, Side.SELL]),
    gained=st.integers(-3_000, 9_000),
    distance=st.integers(1, 3_000),
    lots=st.integers(1, 500),
)
@same_fixture
def test_an_add_and_what_is_held_lose_no_more_at_the_common_stop_than_the_first_risked(
    make_instrument: MakeInstrument,
    make_intent: MakeIntent,
    side: Side,
    gained: int,
    distance: int,
    lots: int,
) -> None:
    instrument, first = make_instrument(), 50.0
    held = Position(lots=side * lots, average=1_000_000.0, flow=-side * lots * 1_000_000)
    reference = 1_000_000 + side * gained
    intent = make_intent(side=side, reference=reference, stop=reference - side * distance)
    budget = add_budget(intent, held, instrument, first, FREE)
    sized = size(intent, instrument, 1e6, INF, FREE, Conditions(max_risk=budget))
    loss_of_held = -side * (intent.stop - 1_000_000) * 0.1 * lots * 0.001 + 0.0008 * lots * 100.0
    if sized.lots:
        assert sized.risk + max(0.0, loss_of_held) <= first * (1 + 1e-6)
    if loss_of_held >= first:
        assert sized.lots == 0
