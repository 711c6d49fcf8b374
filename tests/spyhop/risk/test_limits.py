"""The table of limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from spyhop.clock import NS_PER_S
from spyhop.errors import InvalidSetting
from spyhop.model.decisions import Intent
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


def breaches(case: Case) -> dict[str, tuple[Case, Case, Breach]]:
    """For each limit a case at its bound, one past it, and what is then said."""
    old = msgspec.structs.replace
    return {
        "kill_switch_off": (case, changed(case, is_killed=True), Breach("kill_switch_off", 1.0, 0.0)),
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


def test_risking_more_than_may_be_lost_is_refused_as_a_setting() -> None:
    with pytest.raises(InvalidSetting, match=r"sizing\.risk_frac"):
        validate(LimitParams(max_trade_loss_frac=0.01), SizingParams(risk_frac=0.02))
