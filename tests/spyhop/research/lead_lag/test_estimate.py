"""The study as a whole: a lag that is there is reported with its interval, one that is not is not."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_HOUR, NS_PER_S
from spyhop.errors import UserError
from spyhop.research.lead_lag.estimate import LeadLagParams, LeadLagStudy, measured
from spyhop.research.lead_lag.series import Series, series

LENGTH = 20_000
PARAMS = LeadLagParams(max_lag_s=400.0, step_s=5.0, placebos=39, resamples=300)


def pair(seed: int, lag: int = 200, rho: float = 0.8, is_price: bool = False) -> tuple[Series, Series]:
    """Two Brownian motions, the second `lag` s behind, seen at random seconds."""
    generator = np.random.default_rng(seed)
    common = generator.standard_normal(LENGTH + lag)
    x = np.cumsum(common)[lag:]
    y = np.cumsum(rho * common + np.sqrt(1 - rho * rho) * generator.standard_normal(LENGTH + lag))[:LENGTH]
    if is_price:
        x, y = 100.0 * np.exp(1e-4 * x), 50.0 * np.exp(1e-4 * y)
    tx, ty = (np.sort(generator.choice(LENGTH, num, replace=False)) for num in (1_500, 3_000))
    return (
        series("big", tx * NS_PER_S, x[tx], "exchange", "mids"),
        series("small", ty * NS_PER_S, y[ty], "exchange", "mids"),
    )


def test_a_lag_is_reported_with_its_interval() -> None:
    study = measured(*pair(1, is_price=True), PARAMS)
    assert study.has_lag
    assert study.lag_s == pytest.approx(200.0, abs=5.0)
    assert study.lag_low_s is not None
    assert study.lag_high_s is not None
    assert 180.0 < study.lag_low_s <= study.lag_s <= study.lag_high_s < 220.0
    assert study.rho == pytest.approx(0.8, abs=0.1)
    assert study.lead_lag_ratio is not None
    assert study.lead_lag_ratio > 5.0
    # of 801 shifts of 1,500 x 3,000 ticks it is 0.145; here are every fifth of them, and few placebos
    assert 0.09 < study.null_95 < 0.19
    assert study.null_p == pytest.approx(1 / 40)
    assert study.verdict.startswith("big leads small by")
    assert "after costs is another question" in study.verdict
    assert len(study.curve.rho) == len(study.curve.shift_s) == 161
    assert study.num_blocks == 20
    assert any("short" in each for each in study.warnings)
    assert study.leader.num_ticks == study.leader.num_moves + 1
    assert 1_480 < study.leader.num_ticks <= 1_500


def test_swapping_the_two_names_the_same_leader() -> None:
    big, small = pair(2)
    study = measured(small, big, PARAMS)
    assert study.lag_s == pytest.approx(-200.0, abs=5.0)
    assert study.lead_lag_ratio is not None
    assert study.lead_lag_ratio < 0.2
    assert study.verdict.startswith("big leads small by")


def test_no_lag_is_reported_where_both_move_at_once() -> None:
    study = measured(*pair(3, lag=0), PARAMS)
    assert not study.has_lag
    assert abs(study.lag_s) <= 5.0
    assert "move together" in study.verdict
    assert "no lag to be seen: its interval holds 0" in study.verdict


@pytest.mark.slow
def test_unrelated_markets_are_seldom_said_to_lead() -> None:
    studies = [measured(*pair(seed, rho=0.0), PARAMS) for seed in range(100, 110)]
    above = sum(abs(study.rho) > study.null_95 for study in studies)
    assert above <= 3
    assert sum(study.has_lag for study in studies) <= 2
    assert any(study.verdict.startswith("no lag to be seen: the highest correlation") for study in studies)


@pytest.mark.slow
def test_the_interval_covers_the_lag() -> None:
    studies = [measured(*pair(seed, rho=0.5), PARAMS) for seed in range(200, 212)]
    covered = sum((s.lag_low_s or 0.0) <= 200.0 <= (s.lag_high_s or 0.0) for s in studies)
    assert covered >= 10


def test_a_study_is_the_same_every_time() -> None:
    one, other = (measured(*pair(4), PARAMS) for _ in range(2))
    assert msgspec.json.encode(one) == msgspec.json.encode(other)


def test_differences_are_compared_where_prices_fall_below_0() -> None:
    big, small = pair(5)
    study = measured(big, small, PARAMS)
    assert any("not all above 0" in each for each in study.warnings)
    shifted = measured(big._replace(values=big.values + 1e7), small._replace(values=small.values + 1e7), PARAMS)
    assert shifted.lag_s == study.lag_s


def bars(lag: int, num: int = 3_000, stale: float = 0.0) -> tuple[Series, Series]:
    generator = np.random.default_rng(9)
    common = 1e-4 * generator.standard_normal(num + lag)
    own = 3e-5 * generator.standard_normal(num + lag)
    x, y = 100.0 * np.exp(np.cumsum(common)[lag:]), 100.0 * np.exp(np.cumsum(common + own)[:num])
    for i in np.flatnonzero(generator.random(num) < stale):
        y[i] = y[max(i - 1, 0)]
    times = np.arange(num) * 60 * NS_PER_S
    return series("a", times, x, "exchange", "bars"), series("b", times, y, "exchange", "bars")


def test_bars_are_compared_in_whole_bars_with_a_warning() -> None:
    study = measured(*bars(3), LeadLagParams(max_lag_s=600.0, placebos=39))
    assert study.has_lag
    assert (study.lag_s, study.step_s) == (180.0, 60.0)
    assert study.lag_low_s == 150.0
    assert any("nothing about shorter times" in each for each in study.warnings)
    assert any("whole bars" in each for each in study.warnings)
    assert study.shares is None


def test_a_lag_within_a_bar_cannot_be_seen() -> None:
    study = measured(*bars(0), LeadLagParams(max_lag_s=20.0, placebos=39))
    assert not study.has_lag
    assert len(study.curve.rho) == 3


def test_a_lag_below_what_the_times_resolve_is_none() -> None:
    big, small = pair(6)
    study = measured(big._replace(resolution_ns=500 * NS_PER_S), small, PARAMS)
    assert not study.has_lag
    assert "below what the times resolve" in study.verdict


def test_hourly_blocks_where_there_are_hours() -> None:
    generator = np.random.default_rng(1)
    times = np.sort(generator.integers(0, 30 * NS_PER_HOUR, 3_000))
    values = np.cumsum(generator.standard_normal(3_000))
    one = series("a", times, values, "receive", "mids")
    study = measured(one, one._replace(name="b"), LeadLagParams(max_lag_s=60.0, step_s=5.0, placebos=39))
    assert (study.num_blocks, study.block_s) == (29, pytest.approx(3_724, abs=20))
    assert not any("short" in each for each in study.warnings)
    assert not study.has_lag
    assert study.rho == pytest.approx(1.0)


def test_prices_of_one_thing_do_not_lead_against_each_other() -> None:
    big, small = pair(8)
    against = small._replace(values=-small.values)
    assert measured(big, against, PARAMS).has_lag  # of two things nobody knows that
    study = measured(big._replace(base="BTC"), against._replace(base="BTC"), PARAMS)
    assert not study.has_lag
    assert study.rho < -study.null_95
    assert "negative" in study.verdict


def test_too_short_for_an_interval_is_too_short_for_a_verdict() -> None:
    big, small = pair(1)
    study = measured(big, small, msgspec.structs.replace(PARAMS, max_lag_s=2_000.0, step_s=10.0))
    assert study.num_blocks < 8
    assert study.lag_low_s is None
    assert not study.has_lag
    assert "too short for an interval" in study.verdict
    assert any("blocks are too few" in each for each in study.warnings)


def test_a_peak_at_the_end_of_the_range_is_told() -> None:
    study = measured(*pair(1), LeadLagParams(max_lag_s=195.0, step_s=5.0, placebos=39))
    assert any("end of the range" in each for each in study.warnings)


def test_so_many_ticks_that_chance_is_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spyhop.research.lead_lag.estimate.MOST_WALKED", 1_000)
    study = measured(*pair(1), msgspec.structs.replace(PARAMS, placebos=1_000))
    assert study.num_placebos == 39
    assert any("39 times only" in each for each in study.warnings)


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[int, int, str]] = []
    measured(*pair(1), PARAMS, lambda done, total, said: told.append((done, total, said)))
    assert told[0] == (0, 40, "the correlation curve")
    assert told[-1] == (40, 40, "chance")


def refused(big: Series, small: Series, params: LeadLagParams = PARAMS) -> str:
    with pytest.raises(UserError) as caught:
        measured(big, small, params)
    return str(caught.value)


def test_mistakes_are_one_sentence() -> None:
    big, small = pair(1)
    assert "big is on exchange time and small on receive time" in refused(big, small._replace(clock="receive"))
    later = small._replace(times=small.times + 10**15)
    assert "do not overlap" in refused(big, later)
    assert "too short to look" in refused(big, small, LeadLagParams(max_lag_s=10_000.0))
    assert "too many" in refused(big, small, LeadLagParams(max_lag_s=100.0, step_s=0.001))
    assert "small never moves" in refused(big, small._replace(values=np.ones(len(small.values))))
    few = small._replace(times=small.times[::200], values=small.values[::200])
    assert "has 15 prices" in refused(big, few)


@pytest.mark.slow
@pytest.mark.parametrize("lag_ms", [0, 100, 700, 2_000])
def test_the_lag_planted_by_the_simulator_is_found(planted: dict[int, tuple[Series, Series]], lag_ms: int) -> None:
    study = measured(*planted[lag_ms], LeadLagParams(max_lag_s=4.0, step_s=0.05, placebos=39))
    assert study.lag_s * 1_000 == pytest.approx(lag_ms, abs=75)
    assert study.rho > study.null_95
    assert study.has_lag == (lag_ms > 0) or "below" in study.verdict
    if lag_ms > 0:
        assert study.lag_low_s is not None
        assert study.lag_high_s is not None
        assert study.lag_low_s - 0.075 <= lag_ms / 1_000 <= study.lag_high_s
        assert study.verdict.startswith("leader leads follower")


@pytest.fixture(scope="module")
def planted() -> dict[int, tuple[Series, Series]]:
    from spyhop.model.tape import Events, Kind, joined
    from spyhop.simulation.feed import GenerativeFeed
    from spyhop.simulation.followers import Follower, FollowerParams
    from tests.spyhop.simulation.test_followers import FOLLOWER, LEADER, START

    feed = GenerativeFeed(LEADER, 7, START, hours=0.15)
    parts = []
    while (batch := feed.next_batch()) is not None:
        parts.append(batch)
    tape = joined(parts)
    end = int(tape["ts_recv"][-1])

    def mids(name: str, events: Events) -> Series:
        quotes = events[events["kind"] == int(Kind.QUOTE)]
        return series(name, quotes["ts_recv"], 0.5 * (quotes["price"] + quotes["aux"]), "receive", "mids")

    return {
        lag_ms: (
            mids("leader", tape),
            mids("follower", Follower(FOLLOWER, LEADER, 7, START, FollowerParams(lag_ms=lag_ms)).advance(tape, end)),
        )
        for lag_ms in (0, 100, 700, 2_000)
    }


def test_a_study_goes_through_json() -> None:
    study = measured(*pair(1), PARAMS)
    assert msgspec.json.decode(msgspec.json.encode(study), type=LeadLagStudy) == study
