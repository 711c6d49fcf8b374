"""The table of limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from spyhop.clock import NS_PER_S
from spyhop.errors import InvalidSetting
from spyhop.model.decisions import Intent
from spyhop.model.verdicts import RiskState
from spyhop.risk.limits import LIMITS, Breach, Case, LimitParams, first_breach, validate
from spyhop.risk.sizing import Size, SizingParams

SIZE = Size(
    lots=10,
    min_lots=1,
    stop=999_000,
    notional=1_000.0,
    margin=10.0,
    risk=2.0,
    leverage=0.1,
    venue_leverage=100.0,
    stop_frac=0.001,
    liquidation_frac=0.006,
)


@pytest.fixture
def case(make_intent: Callable[..., Intent]) -> Case:
    return Case(
        intent=make_intent(),
        size=SIZE,
        equity=10_000.0,
        day_equity=10_000.0,
        daily_loss=0.0,
        open_risk=0.0,
        open_margin=0.0,
        open_notional=0.0,
        num_open_here=0,
        num_trades_24h=0,
        since_approval_ns=None,
        is_killed=False,
        is_paused=False,
        limits=LimitParams(),
        sizing=SizingParams(),
    )


def changed(case: Case, **changes: Any) -> Case:
    return msgspec.structs.replace(case, **changes)


def sized(case: Case, **changes: Any) -> Case:
    return changed(case, size=msgspec.structs.replace(SIZE, **changes))


def test_a_case_within_all_limits_passes(case: Case) -> None:
    assert first_breach(case) is None


def test_every_limit_has_its_own_code_and_says_what_it_permits() -> None:
    assert len({limit.code for limit in LIMITS}) == len(LIMITS)
    assert all(limit.permits for limit in LIMITS)


def limited(case: Case, **limits: Any) -> Case:
    return changed(case, limits=LimitParams(**limits))


def held_for(case: Case, seconds: int) -> Case:
    return changed(case, intent=msgspec.structs.replace(case.intent, max_hold_ns=seconds * NS_PER_S))


def adding(case: Case) -> Case:
    """The first add to a position that has gained what it risked."""
    return changed(case, num_open_here=1, profit_r=1.0, sizing=SizingParams(max_adds=1))


def breaches(case: Case) -> dict[str, tuple[Case, Case, Breach]]:
    """For each limit a case at its bound, one past it, and what is then said."""
    old = msgspec.structs.replace
    return {
        "kill_switch_off": (case, changed(case, is_killed=True), Breach("kill_switch_off", 1.0, 0.0)),
        "state_permits": (
            changed(case, state=RiskState.SUSPECT),
            changed(case, state=RiskState.HALT),
            Breach("state_permits", 2.0, 1.0),
        ),
        "clocks_agree": (
            changed(case, clock_skew_ns=-2 * NS_PER_S),
            changed(case, clock_skew_ns=-3 * NS_PER_S),
            Breach("clocks_agree", 3.0, 2.0),
        ),
        "max_effective_diff": (
            changed(case, effective_diff=0.03),
            changed(case, effective_diff=0.031),
            Breach("max_effective_diff", 0.031, 0.03),
        ),
        "max_volatility": (
            changed(case, volatility_ratio=10.0),
            changed(case, volatility_ratio=10.5),
            Breach("max_volatility", 10.5, 10.0),
        ),
        "max_order_rate": (
            changed(case, num_orders_1m=599),
            changed(case, num_orders_1m=600),
            Breach("max_order_rate", 601.0, 600.0),
        ),
        "max_losses_in_row": (
            changed(case, losses_in_row=100),
            changed(case, losses_in_row=101),
            Breach("max_losses_in_row", 101.0, 100.0),
        ),
        "max_hold": (
            limited(held_for(case, 60), max_hold_s=60.0),
            limited(held_for(case, 61), max_hold_s=60.0),
            Breach("max_hold", 61.0, 60.0),
        ),
        "adds_one_way": (
            adding(case),
            changed(adding(case), is_against_held=True),
            Breach("adds_one_way", 1.0, 0.0),
        ),
        "adds_to_profit": (
            adding(case),
            changed(adding(case), profit_r=0.9),
            Breach("adds_to_profit", 0.9, 1.0),
        ),
        "max_open_positions": (
            limited(changed(case, num_open=3), max_open_positions=3),
            limited(changed(case, num_open=4), max_open_positions=3),
            Breach("max_open_positions", 4.0, 3.0),
        ),
        "max_depth_share": (
            limited(changed(case, depth=10_000.0), max_depth_frac=0.1),
            limited(changed(case, depth=5_000.0), max_depth_frac=0.1),
            Breach("max_depth_share", 0.2, 0.1),
        ),
        "max_daily_loss_usdt": (
            limited(changed(case, daily_loss=20.0, open_risk=8.0), max_daily_loss_usdt=30.0),
            limited(changed(case, daily_loss=20.0, open_risk=9.0), max_daily_loss_usdt=30.0),
            Breach("max_daily_loss_usdt", 31.0, 30.0),
        ),
        "max_daily_drawdown": (
            limited(changed(case, day_peak=12_500.0), max_daily_drawdown_frac=0.2),
            limited(changed(case, day_peak=16_000.0), max_daily_drawdown_frac=0.2),
            Breach("max_daily_drawdown", 0.375, 0.2),
        ),
        "max_instrument_exposure": (
            limited(changed(case, open_notional_here=4_000.0), max_instrument_notional_frac=0.5),
            limited(changed(case, open_notional_here=4_001.0), max_instrument_notional_frac=0.5),
            Breach("max_instrument_exposure", 5_001.0, 5_000.0),
        ),
        "max_symbol_exposure": (
            limited(changed(case, open_notional_symbol=9_000.0), max_symbol_notional_frac=1.0),
            limited(changed(case, open_notional_symbol=9_500.0), max_symbol_notional_frac=1.0),
            Breach("max_symbol_exposure", 10_500.0, 10_000.0),
        ),
        "max_venue_exposure": (
            limited(changed(case, open_notional_venue=19_000.0), max_venue_notional_frac=2.0),
            limited(changed(case, open_notional_venue=19_001.0), max_venue_notional_frac=2.0),
            Breach("max_venue_exposure", 20_001.0, 20_000.0),
        ),
        "max_leg_imbalance": (
            limited(changed(case, leg_imbalance=50.0), max_leg_imbalance_usdt=50.0),
            limited(changed(case, leg_imbalance=51.0), max_leg_imbalance_usdt=50.0),
            Breach("max_leg_imbalance", 51.0, 50.0),
        ),
        "max_var": (
            limited(changed(case, var=200.0), max_var_frac=0.02),
            limited(changed(case, var=201.0), max_var_frac=0.02),
            Breach("max_var", 201.0, 200.0),
        ),
        "max_es": (
            limited(changed(case, es=300.0), max_es_frac=0.03),
            limited(changed(case, es=301.0), max_es_frac=0.03),
            Breach("max_es", 301.0, 300.0),
        ),
        "not_paused": (case, changed(case, is_paused=True), Breach("not_paused", 1.0, 0.0)),
        "fresh_data": (
            changed(case, intent=old(case.intent, data_age_ns=2 * NS_PER_S)),
            changed(case, intent=old(case.intent, data_age_ns=3 * NS_PER_S)),
            Breach("fresh_data", 3.0, 2.0),
        ),
        "min_interval": (
            changed(case, since_approval_ns=60 * NS_PER_S),
            changed(case, since_approval_ns=59 * NS_PER_S),
            Breach("min_interval", 59.0, 60.0),
        ),
        "max_trades_per_day": (
            changed(case, num_trades_24h=49),
            changed(case, num_trades_24h=50),
            Breach("max_trades_per_day", 51.0, 50.0),
        ),
        "one_position": (case, changed(case, num_open_here=1), Breach("one_position", 2.0, 1.0)),
        "min_size": (sized(case, min_lots=10), sized(case, min_lots=11), Breach("min_size", 10.0, 11.0)),
        "stop_before_liquidation": (
            sized(case, stop_frac=0.006),
            sized(case, stop_frac=0.007),
            Breach("stop_before_liquidation", 0.006, 0.007),
        ),
        "max_per_trade_loss": (
            sized(case, risk=200.0),
            sized(case, risk=201.0),
            Breach("max_per_trade_loss", 201.0, 200.0),
        ),
        "max_daily_loss": (
            changed(case, daily_loss=400.0, open_risk=98.0),
            changed(case, daily_loss=400.0, open_risk=99.0),
            Breach("max_daily_loss", 501.0, 500.0),
        ),
        "max_capital_in_use": (
            changed(case, open_margin=4_990.0),
            changed(case, open_margin=4_991.0),
            Breach("max_capital_in_use", 5_001.0, 5_000.0),
        ),
        "max_leverage": (
            changed(case, open_notional=999_000.0),
            changed(case, open_notional=1_009_000.0),
            Breach("max_leverage", 101.0, 100.0),
        ),
    }


@pytest.mark.parametrize("code", [limit.code for limit in LIMITS])
def test_each_limit_holds_at_its_bound_and_refuses_past_it(case: Case, code: str) -> None:
    at_bound, past, said = breaches(case)[code]
    assert first_breach(at_bound) is None
    assert first_breach(past) == said


def test_the_settings_kill_switch_counts_too(case: Case) -> None:
    breach = first_breach(changed(case, limits=LimitParams(kill_switch=True)))
    assert breach == Breach("kill_switch_off", 1.0, 0.0)


def test_the_first_of_several_refuses(case: Case) -> None:
    past = changed(case, is_paused=True, num_open_here=3, open_margin=1e9)
    breach = first_breach(past)
    assert breach is not None
    assert breach.code == "not_paused"


def test_a_limit_that_cannot_be_measured_refuses(case: Case) -> None:
    assert first_breach(sized(case, risk=float("nan"))) is not None


@pytest.mark.parametrize(
    "unknown",
    ["effective_diff", "volatility_ratio", "leg_imbalance", "var", "es"],
)
def test_a_market_that_cannot_be_measured_refuses(case: Case, unknown: str) -> None:
    assert first_breach(changed(case, **{unknown: float("nan")})) is not None


def test_a_market_nobody_observes_has_no_depth_to_share_and_an_empty_one_none_to_give(case: Case) -> None:
    assert first_breach(changed(case, depth=None)) is None
    assert first_breach(changed(case, depth=0.0)) == Breach("max_depth_share", float("inf"), 1.0)


def test_an_entry_that_asks_for_no_end_is_refused_by_any_maximum(case: Case) -> None:
    endless = held_for(case, 0)
    assert first_breach(endless) is None
    breach = first_breach(limited(endless, max_hold_s=1e6))
    assert breach is not None
    assert breach.code == "max_hold"


@pytest.mark.parametrize("frac", [0.031, 0.0])
def test_no_more_than_three_percent_may_be_lost_by_a_trade(frac: float) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"max_trade_loss_frac": frac}, LimitParams)


def test_risking_more_than_may_be_lost_is_refused_as_a_setting() -> None:
    with pytest.raises(InvalidSetting, match=r"sizing\.risk_frac"):
        validate(LimitParams(max_trade_loss_frac=0.01), SizingParams(risk_frac=0.02))
