from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spyhop.clock import NS_PER_HOUR
from spyhop.research.studies.regimes import ATR_BARS, RANGES, SESSIONS, buckets, ranges, sessions, true_range


def test_whose_day_it_was() -> None:
    hours = np.array([0, 7, 8, 15, 16, 23, 24]) * NS_PER_HOUR
    assert [SESSIONS[mark].split()[0] for mark in sessions(hours)] == [
        "Asia", "Asia", "Europe", "Europe", "America", "America", "Asia",
    ]  # fmt: skip


def test_the_true_range_counts_the_gap_from_the_close_before(make_pair: Any) -> None:
    close = np.full(40, 100.0)
    bars = make_pair(close, close, follower_high=np.full(40, 101.0), follower_low=np.full(40, 100.0))
    found = true_range(bars)
    assert np.isnan(found[:ATR_BARS]).all()  # the first bar has no close before it
    assert found[ATR_BARS:] == pytest.approx(0.01)
    gapped = bars.follower_high.copy()
    gapped[20], low = 110.0, bars.follower_low.copy()
    low[20] = 109.0
    jumped = true_range(make_pair(close, close, follower_high=gapped, follower_low=low))
    assert jumped[20] == pytest.approx((13 * 1.0 + 10.0) / 14 / 100.0)


def test_minutes_fall_into_thirds_and_unknown_ones_into_none(make_pair: Any) -> None:
    rng = np.random.default_rng(3)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 1e-3, 3_000)))
    missing = close.copy()
    missing[100] = np.nan
    marks = ranges(make_pair(close, missing))
    counted = np.bincount(marks + 1)
    assert counted[0] == ATR_BARS + ATR_BARS + 1  # the hole is in fourteen ranges and in the one after it
    assert len(counted) == 1 + len(RANGES)
    assert max(counted[1:]) - min(counted[1:]) <= 1
    calm, wild = (true_range(make_pair(close, missing))[marks == third] for third in (0, 2))
    assert calm.max() < wild.min()


def test_buckets_hold_each_trade_once() -> None:
    marks = np.array([0, 0, 2, 0, -1])
    net = np.array([0.0010, -0.0010, 0.0005, 0.0030, 9.0])
    found = buckets(RANGES, marks, net + 0.0008, net)
    assert [one.trades for one in found] == [3, 0, 1]
    assert [one.wins for one in found] == [2, 0, 1]
    assert found[0].mean_net_bps == pytest.approx(10.0)
    assert found[0].mean_gross_bps == pytest.approx(18.0)
    # t(2, .975) = 4.3027; deviation 20 bp over the root of 3
    assert found[0].net_interval is not None
    assert found[0].net_interval.high == pytest.approx(10 + 4.30265 * 20 / 3**0.5, rel=1e-4)
    assert (found[1].mean_net_bps, found[1].net_interval) == (None, None)
    assert found[2].mean_net_bps == pytest.approx(5.0)
    assert found[2].net_interval is None
