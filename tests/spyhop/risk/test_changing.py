"""Settings of a supervisor that change while it lives."""

from __future__ import annotations

import pytest

from spyhop.errors import InvalidSetting
from spyhop.risk.changing import changed
from spyhop.risk.stage import RiskParams


def test_what_is_named_changes_and_nothing_else() -> None:
    params = RiskParams()
    after = changed(params, {"risk.limits.max_trades_per_day": 7, "risk.approval_ttl_s": 1.5})
    assert (after.limits.max_trades_per_day, after.approval_ttl_s) == (7, 1.5)
    back = {
        "risk.limits.max_trades_per_day": params.limits.max_trades_per_day,
        "risk.approval_ttl_s": params.approval_ttl_s,
    }
    assert changed(after, back) == params
    assert changed(params, {}) == params


@pytest.mark.parametrize(
    "settings",
    [
        {"risk.limits.nothing": 1},
        {"risk.limits": 1},
        {"risk.nothing.max_trades_per_day": 1},
        {"session.hours": 1.0},
        {"risk.limits.max_trades_per_day": 0},
        {"risk.limits.max_trades_per_day": "many"},
        {"risk.sizing.risk_frac": 0.5},
        {"risk.states.suspect_data_age_s": 50.0},
    ],
)
def test_what_is_not_there_or_not_permitted_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InvalidSetting):
        changed(RiskParams(), settings)
