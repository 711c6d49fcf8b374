from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spyhop.reports.model import Interval
from spyhop.research.studies import following, spreads, words
from spyhop.research.studies.aftermath import PathPoint
from spyhop.research.studies.bar_trips import ReversionParams
from spyhop.research.studies.costs import Costs
from spyhop.research.studies.spreads import HalfLife
from spyhop.strategies.lead import LeadParams

SEEDS = LeadParams(premium_frac=0.0008, discount_frac=0.0008)


def test_the_verdict_comes_before_the_money(planted: Any) -> None:
    text = words.of_following(following.study(planted(3), SEEDS, Costs()))
    places = [text.index(said) for said in ("Rule:", "VERDICT", "gross a trade", "NET a trade", "After the", "Warning")]
    assert places == sorted(places)
    assert (
        "sold after -0.15 % at a spread >= 0.080 %; bought after +0.15 % at a spread <= -0.080 % (leader's move of 5 "
        "min); TP 0.40 %, SL 0.60 %, 15 min"
    ) in text
    assert "68.0 % planned exits" in text


def test_a_spread_tells_its_distribution_and_its_horizon(make_pair: Any) -> None:
    rng = np.random.default_rng(2)
    leader = np.full(500, 10_000.0)
    bars = make_pair(leader, leader * (1 + rng.normal(0, 8e-4, 500)))
    text = words.of_spread(spreads.study(bars, ReversionParams(horizon_s=1800), Costs()))
    assert "enter at |spread| >= 0.080 %, leave at <= 0.030 % or after 30 min" in text
    assert "half-life" in text
    unknown = make_pair(leader, np.full(500, np.nan))
    assert "The spread is never known." in words.of_spread(spreads.study(unknown, ReversionParams(), Costs()))


def test_only_what_the_spread_closed_is_called_following() -> None:
    told = words.said_of_path(
        [
            PathPoint(minute=0, events=7, spread_bps=10.0, follower_bps=0.0, leader_bps=0.0),
            PathPoint(minute=15, events=7, spread_bps=9.0, follower_bps=5.0, leader_bps=4.0),
        ]
    )
    assert "+10.00 to +9.00 bp, follower +5.00 bp, leader +4.00 bp" in told
    assert "Only the +1.00 bp that the spread closed can be called following" in told
    assert words.said_of_path([]) == "No event, so nothing came after any."


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "not known"),
        (HalfLife(phi=1.1, phi_interval=Interval(1, 1.2), minutes=None, low_min=None, high_min=None), "not known"),
        (HalfLife(phi=0.9, phi_interval=Interval(0.8, 1.0), minutes=6.58, low_min=3.1, high_min=None), "3.1 to never"),
    ],
)
def test_a_half_life_may_be_endless(found: HalfLife | None, said: str) -> None:
    assert said in words.half_life(found)
