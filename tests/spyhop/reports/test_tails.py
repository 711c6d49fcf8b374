"""A right measure passes its own test, a wrong one does not, and too little data says so."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_MINUTE
from spyhop.model.control import Session
from spyhop.model.entries import Entry
from spyhop.model.observations import Comparison, Observation
from spyhop.reports import tails
from spyhop.reports.build import build
from spyhop.reports.page import page
from spyhop.risk.comparisons import Cause
from spyhop.simulation.feed import usual_instrument

COIN = usual_instrument("BTCUSDT")
SETTINGS = {"risk": {"tails": {"method": "historical", "probability": 0.05, "window_min": 500, "min_returns": 120}}}


def compared(mids: np.ndarray, cause: str = Cause.DECISION, every: int = 1) -> list[Comparison]:
    found = []
    for number, mid in enumerate(mids.tolist()):
        ts = 29_000_000 * NS_PER_MINUTE + number * every * NS_PER_MINUTE
        seen = Observation(
            ts=ts,
            instrument=COIN.id,
            mid=mid,
            last=mid,
            ts_venue=ts,
            age_ns=0,
            spread=0.1,
            depth_bid=1.0,
            depth_ask=1.0,
            fill_buy=mid,
            fill_sell=mid,
            sigma_1m=0.001,
            volatility_rank=0.5,
            atr=1.0,
        )
        found.append(compared_at(seen, cause))
    return found


def compared_at(seen: Observation, cause: str) -> Comparison:
    names = dict.fromkeys(Comparison.__struct_fields__)
    return Comparison(**(names | {"ts": seen.ts, "instrument": seen.instrument, "cause": cause, "observed": seen}))


def walk(sigmas: np.ndarray, seed: int = 3) -> np.ndarray:
    return 60_000.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, sigmas)))


def test_a_measure_that_is_right_passes_long_and_short() -> None:
    found = tails.tests(SETTINGS, compared(walk(np.full(1_200, 1e-3))), {COIN.id: COIN})
    assert [(one.symbol, one.side) for one in found] == [("BTCUSDT", "long"), ("BTCUSDT", "short")]
    for one in found:
        assert (one.minutes, one.method, one.probability) == (1_200 - 2 - 120, "historical", 0.05)
        assert one.expected == pytest.approx(0.05 * one.minutes)
        assert one.exceedances == pytest.approx(one.expected, abs=20)
        for p in (one.coverage_p, one.independence_p, one.shortfall_p):
            assert p is not None
            assert p > 0.02


def test_a_market_that_turns_wild_is_more_than_the_measure_said() -> None:
    # three times as wild from the middle on: a long window still speaks of the quiet half
    sigmas = np.where(np.arange(700) < 350, 1e-3, 3e-3)
    slow = {"risk": {"tails": SETTINGS["risk"]["tails"] | {"window_min": 20_000, "probability": 0.02}}}
    for one in tails.tests(slow, compared(walk(sigmas)), {COIN.id: COIN}):
        assert one.exceedances is not None
        assert one.expected is not None
        assert one.exceedances > 1.5 * one.expected
        assert one.coverage_p is not None
        assert one.coverage_p < 0.05


def test_too_few_minutes_tell_nothing_and_say_so() -> None:
    for one in tails.tests(SETTINGS, compared(walk(np.full(120 + 251, 1e-3))), {COIN.id: COIN}):
        assert (one.minutes, one.minutes_needed) == (249, 250)
        assert one.expected is one.exceedances is one.coverage_p is None


def test_other_comparisons_and_settings_that_are_not_told_leave_it_out() -> None:
    mids = walk(np.full(500, 1e-3))
    assert tails.tests({}, compared(mids), {COIN.id: COIN}) == []
    assert {one.minutes for one in tails.tests(SETTINGS, compared(mids, Cause.RISK_STATE), {COIN.id: COIN})} == {0}


def test_prices_that_stand_still_are_no_error() -> None:
    found = tails.tests(SETTINGS, compared(np.full(600, 60_000.0)), {COIN.id: COIN})
    assert [(one.exceedances, one.shortfall_p) for one in found] == [(0, None), (0, None)]


def test_the_page_tells_counts_where_there_are_enough_minutes_and_how_many_are_missing(
    make_story: Callable[[list[float]], list[Entry]], make_session: Callable[..., Session]
) -> None:
    report = build(make_session(), make_story([7.0, -18.0]))
    enough, few = (tails.tests(SETTINGS, compared(walk(np.full(n, 1e-3))), {COIN.id: COIN}) for n in (600, 200))
    shown = page(msgspec.structs.replace(report, tails=enough))
    assert "Value at risk, tested" in shown
    assert f"{enough[0].exceedances} of {enough[0].expected:.1f}" in shown
    assert "78 of 250 needed: too few to tell" in page(msgspec.structs.replace(report, tails=few))
    assert "Value at risk" not in page(msgspec.structs.replace(report, tails=[]))
