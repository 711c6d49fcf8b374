"""What a halt comes down to, found again where it was planted: a dear mid, a thin book, a leader that fell silent."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import numpy as np
import pytest

from spyhop.clock import NS_PER_MINUTE, NS_PER_S
from spyhop.detectors.stage import DetectionStage
from spyhop.detectors.state import DetectionParams
from spyhop.model.instruments import Instrument
from spyhop.model.observations import Comparison, EffectiveDiff
from spyhop.model.tape import Events, Kind, Venue, joined
from spyhop.reports.halts import Blame, blamed
from spyhop.risk.comparisons import Cause, compared
from spyhop.simulation.feed import GenerativeFeed
from spyhop.simulation.followers import Follower, FollowerParams
from spyhop.strategies.stage import DecisionParams, DecisionStage

START = 1_760_000_040 * NS_PER_S  # a whole minute
MINUTES = 20
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
def leader() -> Events:
    feed = GenerativeFeed(LEADER, 7, START, hours=MINUTES / 60)
    parts = []
    while (batch := feed.next_batch()) is not None:
        parts.append(batch)
    return joined(parts)


def follower(params: FollowerParams | None = None) -> Events:
    return Follower(FOLLOWER, LEADER, 7, START, params).advance(leader(), START + MINUTES * NS_PER_MINUTE)


def seen(leading: Events, following: Events) -> list[Comparison]:
    """Return the follower's comparisons at its analyses."""
    params = DetectionParams(sharp_change=9.0)
    rows = np.concatenate([DetectionStage(LEADER, params).on(leading), DetectionStage(FOLLOWER, params).on(following)])
    stage = DecisionStage(DecisionParams(), [LEADER, FOLLOWER])
    found = []
    for row in rows[np.lexsort((rows["instrument"], rows["ts"]))]:
        observed = stage.on_row(row).observation
        if observed is not None and observed.instrument == FOLLOWER.id:
            found.append(compared(observed, Cause.DECISION, "can_trade"))
    return found


def differences(found: list[Comparison]) -> list[EffectiveDiff]:
    diffs = [diff for comparison in found for diff in (comparison.buy, comparison.sell) if diff is not None]
    for diff in diffs:
        assert diff.total == diff.deviation + diff.slippage + diff.age
    return diffs


def dearer(events: Events, frac: float) -> Events:
    """Return the tape with every price moved up by the same, `frac` of the first quote."""
    moved = events.copy()
    quotes = moved["kind"] == Kind.QUOTE
    shift = round(frac * int(moved["price"][quotes][0]))
    moved["price"][quotes | np.isin(moved["kind"], [Kind.LEVEL, Kind.TRADE])] += shift
    moved["aux"][quotes] += shift
    return moved


@pytest.mark.slow
def test_in_good_order_the_difference_is_small() -> None:
    found = seen(leader(), follower())
    assert len(found) == 2 * MINUTES
    diffs = differences(found)
    assert len(diffs) == 2 * len(found)
    assert max(abs(diff.total) for diff in diffs) < 10e-4


@pytest.mark.slow
def test_a_dear_follower_is_put_down_to_its_mid() -> None:
    diffs = differences(seen(leader(), dearer(follower(), 0.03)))
    assert {blamed(diff) for diff in diffs} == {Blame.DEVIATION}
    for diff in diffs:
        assert diff.total == pytest.approx(0.03, abs=0.002)


@pytest.mark.slow
def test_a_thin_follower_is_put_down_to_its_book() -> None:
    thin = [c for c in seen(leader(), follower(FollowerParams(level_usdt=100.0))) if c.buy is not None]
    assert len(thin) > MINUTES
    diffs = differences(thin)
    assert {blamed(diff) for diff in diffs} == {Blame.SLIPPAGE}
    assert np.median([abs(diff.slippage) for diff in diffs]) > 5e-4


@pytest.mark.slow
def test_a_leader_that_fell_silent_is_put_down_to_age() -> None:
    tape = leader()
    found = seen(tape[tape["ts_recv"] < START + 15 * NS_PER_MINUTE], follower())
    before = [c for c in found if c.ts < START + 15 * NS_PER_MINUTE]
    after = [c for c in found if c.ts > START + 16 * NS_PER_MINUTE]
    assert all(c.observed.leader is not None and c.observed.leader.age_ns < NS_PER_S for c in before)
    assert all(c.observed.leader is not None and c.observed.leader.age_ns > NS_PER_MINUTE for c in after)
    wide = [diff for diff in differences(after) if abs(diff.total) > 2e-4]
    assert len(wide) >= 8
    assert {blamed(diff) for diff in wide} == {Blame.AGE}
