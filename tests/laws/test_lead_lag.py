"""A lag that was planted into a simulated market is found as it goes, and where there is none nothing is found."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.detectors.stage import DetectionStage
from spyhop.detectors.state import DetectionParams
from spyhop.model.instruments import Instrument
from spyhop.model.observations import LeadLag
from spyhop.model.rows import PATH_STEP_NS, RowFlag, Rows
from spyhop.model.tape import Events, Kind, Venue, joined
from spyhop.numerics import lead_lag, lead_lag_stream
from spyhop.research.lead_lag.estimate import LeadLagParams, LeadLagStudy, measured
from spyhop.research.lead_lag.series import series
from spyhop.simulation.feed import GenerativeFeed
from spyhop.simulation.followers import Follower, FollowerParams
from spyhop.strategies.lag_meter import LagMeter
from spyhop.venues.binance import capture

START = 1_760_000_000 * NS_PER_S
MINUTES = 5
END = START + MINUTES * 60 * NS_PER_S
SEED = 7

LEADER = Instrument(
    id=0,
    venue=Venue.BINANCE_USDM,
    symbol="BTCUSDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    base="BTC",
)
FOLLOWER = Instrument(
    id=1, venue=Venue.DYDX, symbol="BTC-USD", tick_size=Decimal(1), lot_size=Decimal("0.0001"), base="BTC"
)


@cache
def led(seed: int) -> Events:
    """The tape of a leader."""
    feed = GenerativeFeed(LEADER, seed, START, hours=MINUTES / 60)
    parts = []
    while (batch := feed.next_batch()) is not None:
        parts.append(batch)
    return joined(parts)


@cache
def followed(seed: int, lag_ms: float) -> Events:
    """The tape of who follows `led(seed)`."""
    return Follower(FOLLOWER, LEADER, SEED, START, FollowerParams(lag_ms=lag_ms)).advance(led(seed), END)


def rows_of(instrument: Instrument, tape: Events) -> Rows:
    rows = DetectionStage(instrument, DetectionParams()).on(tape)
    kept: Rows = rows[rows["flags"] != RowFlag.END]
    return kept


def metered(leader: Rows, follower: Rows) -> LeadLag:
    """Feed the rows of both markets to a meter in the order of time and return what it says at the end."""
    leader["instrument"], follower["instrument"] = LEADER.id, FOLLOWER.id
    rows = np.concatenate([leader, follower])
    meter = LagMeter({FOLLOWER.id: LEADER.id})
    for row in rows[np.argsort(rows["ts"], kind="stable")]:
        meter.note(row)
    found = meter.lag(FOLLOWER.id)
    assert found is not None
    return found


def on_line(seed: int, lag_ms: float) -> LeadLag:
    return metered(rows_of(LEADER, led(SEED)), rows_of(FOLLOWER, followed(seed, lag_ms)))


Mids: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


def mids(tape: Events, tick: float) -> Mids:
    """The mid after each quote, by receive time, as a study reads it from a lake."""
    quotes = tape[tape["kind"] == Kind.QUOTE]
    return quotes["ts_recv"], 0.5 * (quotes["price"] + quotes["aux"]) * tick


@pytest.mark.slow
@pytest.mark.parametrize("lag_ms", [0, 100, 700, 2_000])
def test_a_planted_lag_is_found_as_it_goes(lag_ms: int) -> None:
    found = on_line(SEED, lag_ms)
    assert found.is_measured
    # makers quote at each whole 50 ms of what they heard by then, and a path knows that at its next place
    assert abs(found.lag_ns - lag_ms * NS_PER_MS) <= PATH_STEP_NS
    assert found.rho > 0.8


@pytest.mark.slow
def test_markets_that_have_nothing_to_do_with_each_other_show_no_lag() -> None:
    seeds = range(20, 30)
    shown = [on_line(seed, 400.0).is_measured for seed in seeds]
    assert sum(shown) <= 1


def off_line(leader: Mids, follower: Mids) -> LeadLagStudy:
    both = [series(name, *one, "receive", "mids") for name, one in (("leader", leader), ("follower", follower))]
    return measured(both[0], both[1], LeadLagParams(max_lag_s=5.0, step_s=0.05, placebos=39, resamples=200))


@pytest.mark.slow
@pytest.mark.parametrize("lag_ms", [0, 100, 700, 2_000])
def test_on_line_and_off_line_agree(lag_ms: int) -> None:
    found = on_line(SEED, lag_ms)
    study = off_line(mids(led(SEED), LEADER.tick), mids(followed(SEED, lag_ms), FOLLOWER.tick))
    assert found.is_measured
    assert abs(study.rho) > study.null_95
    # the paths round both to 50 ms
    assert abs(found.lag_ns * 1e-9 - study.lag_s) <= 0.1
    assert abs(study.lag_s - lag_ms * 1e-3) <= 0.05


@cache
def recorded(folder: Path, name: str) -> tuple[Rows, Mids]:
    tape, instruments = capture.tape(folder / "binance_raw" / f"{name}_20240808.gz")
    tape = tape[tape["instrument"] == instruments[0].id]
    return rows_of(instruments[0], tape), mids(tape, instruments[0].tick)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("leader", "follower"),
    [
        ("usdm_btcusdt", "cm_btcusd_perp"),
        ("usdm_btcusdt", "usdm_ethusdt"),
        ("usdm_ethusdt", "spot_ethusdt"),
    ],
)
def test_they_agree_on_what_was_recorded(recordings: Path, leader: str, follower: str) -> None:
    leading, leading_mids = recorded(recordings, leader)
    following, following_mids = recorded(recordings, follower)
    found, study = metered(leading.copy(), following.copy()), off_line(leading_mids, following_mids)
    assert found.is_measured
    assert abs(found.lag_ns * 1e-9 - study.lag_s) <= 0.1
    assert found.ratio > 1.0  # BTC before ETH, the largest market of a base before its others


def changes(path: npt.NDArray[np.float64]) -> lead_lag.Moves:
    changed = np.diff(path, prepend=0.0) != 0.0
    return lead_lag.moves(PATH_STEP_NS * np.flatnonzero(changed), np.log(path[changed]))


@pytest.mark.slow
def test_the_stream_is_the_estimator_of_the_study_on_the_same_paths() -> None:
    """Two implementations that share nothing: one walks whole series for a shift, the other all shifts as they come."""
    both = [rows_of(LEADER, led(SEED)), rows_of(FOLLOWER, followed(SEED, 700))]
    shared = np.intersect1d(both[0]["ts"], both[1]["ts"])
    both = [rows[np.isin(rows["ts"], shared)] for rows in both]
    sums = lead_lag_stream.new_sums(100, 2, 20)
    paths = [np.concatenate([rows["path"].ravel(), np.full(120, rows["mid"][-1])]) for rows in both]
    first = int(shared[0]) // NS_PER_S
    for k in range(len(shared) + 6):  # calm at the end, until every shift has seen it
        for market, path in enumerate(paths):
            lead_lag_stream.tell(sums, market, first + k, path[20 * k : 20 * k + 20], 100_000)
    shifts = np.arange(-100, 101) * PATH_STEP_NS
    expected = lead_lag.correlations(changes(paths[0]), changes(paths[1]), shifts)
    assert np.allclose(lead_lag_stream.correlations(sums), expected, rtol=1e-9, atol=1e-12)
    assert np.abs(expected).max() > 0.8
