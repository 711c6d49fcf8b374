"""An intent of two legs before the limits: every limit holds for both, each counts once."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from spyhop.model.decisions import LEAD_FOLLOW, Hedge, Intent
from spyhop.model.instruments import Instrument
from spyhop.model.observations import Observation
from spyhop.model.orders import OrderChanged, OrderStatus, OrderType, PairEnded, Purpose, SubmitOrder
from spyhop.model.tape import Side, Venue
from spyhop.model.verdicts import Approved, Refused
from spyhop.risk.exposure import hedge_of
from spyhop.risk.hedging import base, beside, depth, leg
from spyhop.risk.limits import Case, LimitParams
from spyhop.risk.sizing import SizingParams, cost_frac, size
from spyhop.risk.stage import RiskParams, RiskStage

EQUITY = 10_000.0
SIZING = SizingParams(position_size_usdt=1_000.0, max_leverage=20.0)


@pytest.fixture
def markets(make_instrument: Callable[..., Instrument]) -> list[Instrument]:
    """A follower, its leader with lots of half the size, and another market."""
    return [
        make_instrument(id=0, venue=Venue.DYDX, symbol="BTC-USD", base="BTC", lot_size=Decimal("0.002")),
        make_instrument(id=1, base="BTC"),
        make_instrument(id=2, symbol="ETHUSDT", base="ETH"),
    ]


@pytest.fixture
def wish(make_intent: Callable[..., Intent]) -> Callable[..., Intent]:
    """A hedged long at 100,000 with the stop 1 % away."""

    def make(**changes: Any) -> Intent:
        hedge = Hedge(instrument=1, reference=1_000_200, spread_frac=1e-5)
        given = {"strategy": LEAD_FOLLOW, "stop": 990_000, "take_profit": 1_010_000, "hedge": hedge}
        return make_intent(**given | changes)

    return make


def judge(markets: list[Instrument], intent: Intent, **limits: Any) -> Approved | Refused:
    params = RiskParams(sizing=SIZING, limits=LimitParams(min_trade_interval_s=0.0, **limits))
    return RiskStage(params, markets, EQUITY).on_intent(intent)


def ended(intent: Intent, net: float, num_legs: int = 2) -> PairEnded:
    return PairEnded(
        ts=intent.ts + 1,
        intent_seq=intent.seq,
        instrument=0,
        hedge=1,
        num_legs=num_legs,
        notional=1.0,
        gross=net,
        fees=0.0,
        funding=0.0,
        slippage=0.0,
        net=net,
    )


def test_a_hedge_is_as_large_and_on_the_other_side(markets: list[Instrument], wish: Callable[..., Intent]) -> None:
    intent = wish()
    sized = size(intent, markets[0], EQUITY, EQUITY, SIZING)
    other, hedge = leg(intent, sized, markets[0], markets[1], EQUITY, SIZING)
    assert (other.instrument, other.side, other.hedge) == (1, Side.SELL, None)
    assert hedge.lots == 2 * sized.lots > 0
    # what is lost at the stop is lost by both together, and told with the first
    assert (other.stop, hedge.risk) == (1_010_202, 0.0)
    assert hedge.stop_frac == pytest.approx(sized.stop_frac)


def test_the_cost_of_both_legs_makes_it_smaller(markets: list[Instrument], wish: Callable[..., Intent]) -> None:
    alone, both = wish(hedge=None), wish()
    more = cost_frac(both, markets[0], SIZING) - cost_frac(alone, markets[0], SIZING)
    assert more == pytest.approx(2 * SIZING.fee_frac + 1e-5)
    sized = [size(intent, markets[0], EQUITY, EQUITY, SIZING) for intent in (alone, both)]
    assert sized[1].lots < sized[0].lots
    assert sized[1].risk == pytest.approx(sized[0].risk, rel=0.05)


def test_it_is_approved_with_both_legs(markets: list[Instrument], wish: Callable[..., Intent]) -> None:
    alone, both = judge(markets, wish(hedge=None)), judge(markets, wish())
    assert isinstance(alone, Approved)
    assert isinstance(both, Approved)
    assert both.hedge_lots == 2 * both.lots
    assert both.margin == pytest.approx(2 * both.hedge_margin, rel=1e-3)
    assert (alone.hedge_lots, alone.hedge_margin) == (0, 0.0)


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"max_symbol_notional_frac": 1.3}, "max_symbol_exposure"),  # gross of the two
        ({"max_capital_in_use_frac": 0.01}, "max_capital_in_use"),
        ({"max_open_positions": 1}, "max_open_positions"),
    ],
)
def test_limits_see_both_legs(
    limits: dict[str, Any], code: str, markets: list[Instrument], wish: Callable[..., Intent]
) -> None:
    params = replace(SIZING, position_size_usdt=90.0) if code == "max_capital_in_use" else SIZING
    stage = RiskStage(RiskParams(sizing=params, limits=LimitParams(**limits)), markets, EQUITY)
    single = RiskStage(RiskParams(sizing=params, limits=LimitParams(**limits)), markets, EQUITY)
    assert isinstance(single.on_intent(wish(hedge=None)), Approved)
    refused = stage.on_intent(wish())
    assert isinstance(refused, Refused)
    assert refused.code == code


def test_a_venue_is_one_legs(markets: list[Instrument], wish: Callable[..., Intent]) -> None:
    assert isinstance(judge(markets, wish(), max_venue_notional_frac=1.3), Approved)
    here = [markets[0], replace(markets[1], venue=Venue.DYDX), markets[2]]
    refused = judge(here, wish(), max_venue_notional_frac=1.3)
    assert isinstance(refused, Refused)
    assert refused.code == "max_venue_exposure"


def test_the_hedges_market_is_judged_like_the_other(
    markets: list[Instrument], wish: Callable[..., Intent], make_observation: Callable[..., Observation]
) -> None:
    stage = RiskStage(RiskParams(sizing=SIZING), markets, EQUITY)
    stage.on_observation(make_observation(instrument=1, age_ns=3_600 * 10**9))
    refused = stage.on_intent(wish())
    assert isinstance(refused, Refused)
    assert refused.code == "state_permits"
    shallow = RiskStage(RiskParams(sizing=SIZING), markets, EQUITY)
    shallow.on_observation(make_observation(instrument=1, depth_bid=4_000.0, depth_ask=1e9))
    small = shallow.on_intent(wish())
    assert isinstance(small, Approved)
    assert small.lots * 0.002 * 100_000.0 <= 4_000.0


def test_neither_market_may_be_held(markets: list[Instrument], wish: Callable[..., Intent]) -> None:
    for number in (0, 1):
        params = RiskParams(
            sizing=replace(SIZING, max_adds=3), limits=LimitParams(min_trade_interval_s=0.0, max_daily_loss_frac=1.0)
        )
        stage = RiskStage(params, markets, EQUITY)
        assert isinstance(stage.on_intent(wish(hedge=None, instrument=number)), Approved)
        refused = stage.on_intent(wish(seq=1))
        assert isinstance(refused, Refused)
        assert refused.code == "one_position"


def test_shares_of_both_are_held_until_the_pairs_end(markets: list[Instrument], wish: Callable[..., Intent]) -> None:
    stage = RiskStage(RiskParams(sizing=SIZING), markets, EQUITY)
    intent = wish()
    approved = stage.on_intent(intent)
    assert isinstance(approved, Approved)
    exposure = stage._standing.state.exposure
    assert set(exposure.held) == {0, hedge_of(0)}
    assert exposure.margin == pytest.approx(approved.margin)
    assert exposure.risk == approved.risk
    # long here, short there: nothing of it is net but what differs
    signed = exposure.signed_notionals()
    assert abs(sum(signed.values())) < 1e-3 * exposure.notional
    order = SubmitOrder(
        ts=intent.ts,
        client_order_id="o",
        instrument=0,
        side=Side.BUY,
        type=OrderType.MARKET,
        lots=1,
        purpose=Purpose.ENTRY,
        intent_seq=0,
    )
    # one clip of several that got nothing
    for status in (OrderStatus.PENDING_NEW, OrderStatus.CANCELLED):
        stage.on_fact(
            OrderChanged(
                ts=intent.ts, client_order_id="o", instrument=0, status=status, filled=0, cause="", order=order
            )
        )
    exposure.expire(approved.expires + 1)
    assert set(exposure.held) == {0, hedge_of(0)}
    stage.on_fact(ended(intent, -1.0))
    assert exposure.held == {}


def test_an_approval_that_became_no_order_is_let_go(markets: list[Instrument], wish: Callable[..., Intent]) -> None:
    stage = RiskStage(RiskParams(sizing=SIZING), markets, EQUITY)
    approved = stage.on_intent(wish())
    exposure = stage._standing.state.exposure
    assert isinstance(approved, Approved)
    exposure.expire(approved.expires + 1)
    assert exposure.held == {}


def test_a_pair_is_won_or_lost_once(markets: list[Instrument], wish: Callable[..., Intent]) -> None:
    stage = RiskStage(RiskParams(sizing=SIZING), markets, EQUITY)
    for net, num_legs, streak in [(-1.0, 2, 1), (-1.0, 2, 2), (-1.0, 0, 2), (1.0, 2, 0)]:
        stage.on_fact(ended(wish(), net, num_legs))
        assert stage.statistics()["losses_in_row"] == streak
        assert stage._standing.losses_in_row(wish().ts + 1) == streak


def test_a_hedge_is_judged_as_if_the_first_leg_were_held(
    markets: list[Instrument], wish: Callable[..., Intent]
) -> None:
    first_size = size(wish(), markets[0], EQUITY, EQUITY, SIZING)
    other, small = leg(wish(), first_size, markets[0], markets[1], EQUITY, SIZING)
    small = replace(small, notional=17.0, margin=19.0, risk=23.0)  # nothing of it is held yet
    common = {"equity": EQUITY, "day_equity": EQUITY, "daily_loss": 0.0, "open_risk": 1.0, "open_margin": 2.0}
    common |= {"open_notional": 3.0, "open_notional_symbol": 4.0, "open_notional_venue": 5.0, "num_open": 6}
    common |= {"num_open_here": 0, "num_trades_24h": 0, "since_approval_ns": None, "is_killed": False}
    common |= {"is_paused": False, "limits": LimitParams(), "sizing": SIZING}
    first = Case(intent=wish(), size=first_size, **common)
    case = Case(intent=other, size=small, **common)
    book = {one.id: one for one in markets}
    both = beside(case, first, book)
    assert (both.open_risk, both.open_margin) == (1.0 + first_size.risk, 2.0 + first_size.margin)
    assert (both.open_notional, both.open_notional_symbol) == (3.0 + first_size.notional, 4.0 + first_size.notional)
    assert (both.open_notional_venue, both.num_open) == (5.0, 7)
    assert (both.intent, both.size) == (other, small)
    # a market that is held already is no further one
    assert beside(case, replace(first, num_open_here=1), book).num_open == 6
    elsewhere = beside(replace(case, intent=replace(other, instrument=2)), first, book)
    assert elsewhere.open_notional_symbol == 4.0
    assert beside(case, first, book | {1: replace(markets[1], venue=Venue.DYDX)}).open_notional_venue > 5.0


def test_the_shallower_of_two_books_counts_in_the_own_one_s_money(
    markets: list[Instrument], wish: Callable[..., Intent]
) -> None:
    # 100,000 here; there 1,000,200 ticks of half a dime: 50,010
    own, other = markets[0], replace(markets[1], tick_size=markets[1].tick_size / 2)
    of_theirs = 1_000.0 * wish().reference * own.tick / (1_000_200 * other.tick)
    assert of_theirs == pytest.approx(2_000.0, rel=1e-3)
    assert depth(wish(), own, other, None, None) is None
    assert depth(wish(), own, other, 500.0, None) == 500.0
    assert depth(wish(), own, other, None, 1_000.0) == pytest.approx(of_theirs)
    assert depth(wish(), own, other, 1_500.0, 1_000.0) == 1_500.0
    assert depth(wish(), own, other, 3_000.0, 1_000.0) == pytest.approx(of_theirs)


def test_exposures_are_summed_by_base(markets: list[Instrument]) -> None:
    assert [base(one) for one in markets] == ["BTC", "BTC", "ETH"]
    assert base(replace(markets[0], base="")) == markets[0].key
