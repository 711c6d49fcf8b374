from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spyhop.research.studies.aftermath import path
from spyhop.research.studies.bar_trips import signals
from spyhop.strategies.lead import LeadParams


def test_the_path_is_seen_from_the_side_that_is_taken(make_pair: Any) -> None:
    leader = [10_000.0] * 6 + [10_030.0] * 4
    follower = [10_000.0] * 7 + [10_010.0, 10_030.0, 10_030.0]
    bars = make_pair(leader, follower)
    params = LeadParams(direction="long", premium_frac=0.0008, discount_frac=0.0025)
    found = path(bars, signals(bars.trading, params).side, 5)
    assert [point.events for point in found] == [1, 1, 1, 1, 0, 0]
    assert [point.follower_bps for point in found[:3]] == pytest.approx([0.0, 10.0, 30.0])
    assert [point.leader_bps for point in found[:3]] == pytest.approx([0.0, 0.0, 0.0])
    # what is left of the discount, falling as it closes
    assert [point.spread_bps for point in found[:3]] == pytest.approx([29.91, 19.94, 0.0], abs=0.01)
    assert found[4].spread_bps is None


def test_no_event_and_no_price_are_not_zero(make_pair: Any) -> None:
    bars = make_pair([100.0] * 4, [100.0, np.nan, 100.0, 100.0])
    assert [point.events for point in path(bars, np.zeros(4, np.int8), 2)] == [0, 0, 0]
    found = path(bars, np.array([-1, 0, 0, 0], np.int8), 2)
    assert [point.spread_bps for point in found] == [0.0, None, 0.0]
