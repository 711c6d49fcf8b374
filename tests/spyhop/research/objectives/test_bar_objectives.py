from __future__ import annotations

import math
import pickle
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.errors import UserError
from spyhop.research.objectives.bar_objectives import (
    FOLLOW_PATHS,
    REVERSION_PATHS,
    LeadFollow,
    SpreadReversion,
    groups,
    periods_of,
    table_of,
)
from spyhop.research.objectives.objective import Objective
from spyhop.research.studies.bar_trips import MinuteBars, ReversionParams, follow_trips, net, reversion_trips
from spyhop.strategies.lead import LeadParams

MINUTE = 60_000_000_000
HOUR = 60 * MINUTE
START = 1_764_288_000_000_000_000
WAYS = {-1: "short", 0: "both", 1: "long"}


def random_bars(seed: int, num: int) -> MinuteBars:
    """Prices on a coarse grid, so that thresholds and exits are often met exactly; holes in both."""
    rng = np.random.default_rng(seed)
    leader = 100.0 + np.cumsum(rng.integers(-2, 3, num)) / 4
    close = leader + rng.integers(-4, 5, num) / 4
    opened = np.where(rng.random(num) < 0.5, close + rng.integers(-8, 9, num) / 4, np.roll(close, 1))
    high = np.maximum(opened, close) + rng.integers(0, 5, num) / 4
    low = np.minimum(opened, close) - rng.integers(0, 5, num) / 4
    is_gone = rng.random(num) < 0.1
    for column in (opened, high, low, close):
        column[is_gone] = math.nan
    leader[rng.random(num) < 0.05] = math.nan
    ts = START + 17 * MINUTE + (np.arange(num, dtype=np.int64) + 1) * MINUTE
    return MinuteBars(ts, leader, opened, high, low, close, rng.choice([0.0, 0.0025], num))


def by_period(bars: MinuteBars, rows: Any, earned: Any, period_ns: int) -> Any:
    """What each trip earned, summed in order over the periods of their entries."""
    sums = np.zeros(len(periods_of(bars.ts, period_ns)))
    first = (bars.ts[0] - MINUTE) // period_ns
    np.add.at(sums, rows["entered_at"] // period_ns - first, earned)
    return sums.astype(np.float32)


def draw(seed: int, num: int) -> Any:
    """Settings of following, some of which share a window or exits."""
    rng = np.random.default_rng(seed)
    fractions = np.array([0.0025, 0.005, 0.01, 0.02])
    return np.column_stack(
        [
            rng.choice([60.0, 120.0, 300.0], num),
            rng.choice(fractions, num),
            rng.choice(fractions, num),
            rng.choice([-0.005, 0.0025, 0.005], num),
            rng.choice([-0.005, 0.0025, 0.005], num),
            rng.choice(fractions, num),
            rng.choice(fractions, num),
            rng.choice([30.0, 60.0, 300.0, 900.0], num),
            rng.choice([-1.0, 0.0, 1.0], num),
        ]
    )


@pytest.mark.slow
@given(st.integers(0, 2**32), st.sampled_from([0.0, 1.0, 150.0]), st.sampled_from([HOUR, 7 * MINUTE]))
@settings(deadline=None, max_examples=30)
def test_following_is_the_reference_setting_by_setting(seed: int, latency_s: float, period_ns: int) -> None:
    bars = random_bars(seed, 300)
    asked = draw(seed + 1, 24)
    objective = LeadFollow(fees_bps=7.0, slippage_bps=1.5, latency_s=latency_s, period_ns=period_ns)
    earned = objective.evaluate(bars._asdict(), FOLLOW_PATHS, asked)
    assert earned.pnl.dtype == np.float32
    assert earned.num_trades.dtype == np.int32
    for one, pnl, num_trades in zip(asked, earned.pnl, earned.num_trades, strict=True):
        given_ = dict(zip((path.removeprefix("lead.") for path in FOLLOW_PATHS), one.tolist(), strict=True))
        given_["direction"] = WAYS[int(given_["direction"])]
        rows = follow_trips(bars, msgspec.convert(given_, LeadParams), latency_s).rows
        assert num_trades == len(rows)
        assert pnl.tolist() == by_period(bars, rows, net(rows, 7.0, 1.5), period_ns).tolist()


@pytest.mark.slow
@given(st.integers(0, 2**32), st.sampled_from([0.0, 1.0, 150.0]), st.sampled_from([HOUR, 7 * MINUTE]))
@settings(deadline=None, max_examples=30)
def test_reversion_is_the_reference_setting_by_setting(seed: int, latency_s: float, period_ns: int) -> None:
    bars = random_bars(seed, 300)
    rng = np.random.default_rng(seed + 1)
    asked = np.column_stack(
        [
            rng.choice([0.0025, 0.005, 0.0075], 24),
            rng.choice([0.0, 0.0025, 0.005], 24),
            rng.choice([60.0, 90.0, 900.0, math.inf], 24),
        ]
    )
    objective = SpreadReversion(fees_bps=7.0, slippage_bps=1.5, latency_s=latency_s, period_ns=period_ns)
    earned = objective.evaluate(bars._asdict(), REVERSION_PATHS, asked)
    for (wide, narrow, horizon), pnl, num_trades in zip(asked.tolist(), *earned, strict=True):
        horizon_s = None if horizon == math.inf else horizon
        params = ReversionParams(entry_frac=wide, exit_frac=narrow, horizon_s=horizon_s)
        rows = reversion_trips(bars, params, latency_s).rows
        assert num_trades == len(rows)
        assert pnl.tolist() == by_period(bars, rows, net(rows, 7.0, 1.5, num_legs=2), period_ns).tolist()


def test_enough_is_traded_for_that_to_mean_something() -> None:
    bars = random_bars(1, 300)
    earned = LeadFollow().evaluate(bars._asdict(), FOLLOW_PATHS, draw(2, 100))
    assert np.median(earned.num_trades) >= 3
    assert (earned.pnl.sum(axis=1) > 0).any()
    assert (earned.pnl.sum(axis=1) < 0).any()


@pytest.mark.parametrize(
    ("objective", "path", "default"),
    [
        (LeadFollow(params=LeadParams(window_s=60, horizon_s=120, direction="long")), "lead.horizon_s", 120.0),
        (SpreadReversion(entry_frac=0.005), "study.entry_frac", 0.005),
    ],
)
def test_what_a_batch_does_not_say_is_as_the_objective_has_it(objective: Any, path: str, default: float) -> None:
    bars = random_bars(3, 300)._asdict()
    alone = objective.evaluate(bars, [], np.zeros((1, 0)))
    said = objective.evaluate(bars, [path], np.array([[default]]))
    assert alone.num_trades.tolist() == said.num_trades.tolist() != [0]
    assert alone.pnl.tobytes() == said.pnl.tobytes()
    assert objective.evaluate(bars, [path], np.zeros((0, 1))).pnl.shape[0] == 0


def test_a_batch_is_what_its_settings_are_alone_in_any_order() -> None:
    bars = random_bars(5, 300)._asdict()
    asked = draw(6, 60)
    whole = LeadFollow().evaluate(bars, FOLLOW_PATHS, asked)
    alone = [LeadFollow().evaluate(bars, FOLLOW_PATHS, one[None]).pnl[0] for one in asked]
    assert whole.pnl.tobytes() == np.array(alone).tobytes()
    turned = LeadFollow().evaluate(bars, FOLLOW_PATHS[::-1], asked[::-1, ::-1])
    assert turned.pnl[::-1].tobytes() == whole.pnl.tobytes()


def test_periods_cover_all_entries_and_no_more() -> None:
    ts = START + np.arange(1, 10_081, dtype=np.int64) * MINUTE
    periods = periods_of(ts, HOUR)
    assert len(periods) == 168
    assert periods[0] == START
    # an entry at the last close but one lies in the last period
    assert periods[-1] <= ts[-2] < periods[-1] + HOUR


def test_arrays_that_cannot_be_written_are_read_and_objectives_travel() -> None:
    bars = random_bars(7, 300)._asdict()
    for column in bars.values():
        column.flags.writeable = False
    objective = LeadFollow(params=LeadParams(window_s=60), fees_bps=3)
    again = pickle.loads(pickle.dumps(objective))
    assert again == objective
    assert again.evaluate(bars, [], np.zeros((1, 0))).num_trades[0] > 0


def test_they_are_objectives() -> None:
    objectives: list[Objective] = [LeadFollow(), SpreadReversion()]
    assert [one.name for one in objectives] == ["lead-follow", "spread"]
    assert [len(one.paths) for one in objectives] == [9, 3]


@pytest.mark.parametrize(
    ("names", "values", "says"),
    [
        (["lead.windows_s"], [60.0], "lead.windows_s cannot be swept here; what can is lead.window_s, "),
        (["lead.window_s"], [90.0], "whole minutes"),
        (["lead.fall_frac"], [math.nan], "is a number"),
        (["lead.fall_frac"], [0.0], "above 0"),
        (["lead.rise_frac"], [-0.001], "above 0"),
        (["lead.horizon_s"], [-60.0], "no length of time"),
        (["lead.direction"], [0.5], "-1 for short, 0 for both or 1 for long"),
    ],
)
def test_a_setting_of_following_that_is_none_is_said_in_a_sentence(
    names: list[str], values: list[float], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        LeadFollow().evaluate(random_bars(0, 50)._asdict(), names, np.array([values]))


@pytest.mark.parametrize(
    ("names", "values"), [(["study.entry_frac"], [0.0]), (["study.exit_frac"], [math.nan]), (["study.horizon_s"], [-1])]
)
def test_a_setting_of_reversion_that_is_none_is_said_in_a_sentence(names: list[str], values: list[float]) -> None:
    with pytest.raises(UserError):
        SpreadReversion().evaluate(random_bars(0, 50)._asdict(), names, np.array([values]))


def test_bars_with_a_hole_in_their_times_are_refused() -> None:
    bars = random_bars(0, 50)
    ts = bars.ts.copy()
    ts[20:] += MINUTE
    with pytest.raises(UserError, match="without holes"):
        LeadFollow().evaluate(bars._replace(ts=ts)._asdict(), [], np.zeros((1, 0)))


def test_tables_and_groups() -> None:
    table = table_of(("a", "b", "c"), (1, 2, 3), ["c", "a"], np.array([[7.0, 8.0], [9.0, 10.0]]))
    assert table.tolist() == [[8, 2, 7], [10, 2, 9]]
    keys = np.array([5.0, 1.0, 5.0, 1.0])
    assert [part.tolist() for part in groups(keys, np.argsort(keys, kind="stable"))] == [[1, 3], [0, 2]]
    assert list(groups(np.zeros(0), np.zeros(0, np.intp))) == []
