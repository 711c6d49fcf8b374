from __future__ import annotations

from typing import Any

import pytest

from spyhop.research.studies.bar_trips import ReversionParams
from spyhop.research.studies.costs import Costs
from spyhop.research.studies.week import lag_of, study, text
from spyhop.strategies.lead import LeadParams


@pytest.mark.slow
def test_every_study_is_there_and_how_many_rules_that_was(planted: Any) -> None:
    each = [
        LeadParams(direction="short", premium_frac=0.0008, discount_frac=0.0008),
        LeadParams(direction="long", premium_frac=0.0008, discount_frac=0.0008),
    ]
    told: list[tuple[int, int, str]] = []
    found = study(planted(3, num=2_000), ReversionParams(), each, Costs(), on_progress=lambda *done: told.append(done))
    assert [one.params.direction for one in found.following] == ["short", "long"]
    assert [done for done, _, _ in told] == [0, 1, 2, 3, 4]
    assert any("3 rules were looked at" in line and "in 14 of 100" in line for line in found.conclusion)
    said = text(found)
    for part in ("spread reversion", "lead/follow, short", "lead/follow, long", "Lag on closes", "IN ALL"):
        assert part in said


@pytest.mark.slow
@pytest.mark.parametrize("lag", [0, 3])
def test_the_lag_of_minutes_is_the_one_that_was_planted(planted: Any, lag: int) -> None:
    found = lag_of(planted(lag, num=3_000))
    assert found.lag_s == pytest.approx(60.0 * lag)
    assert found.warnings
