"""Hard gates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from spyhop.model.decisions import STRATEGIES
from spyhop.model.rows import DETECTORS, Health, RowFlag
from spyhop.strategies.gates import GateParams, gates, spread_bps

PARAMS = GateParams()


def open_names(mask: np.ndarray) -> set[str]:
    return {name for name, is_open in zip(STRATEGIES, mask, strict=True) if is_open}


def test_a_healthy_row_opens_all_but_news(make_row: Callable[..., np.void]) -> None:
    mask, reasons = gates(make_row(), PARAMS)
    assert open_names(mask) == set(STRATEGIES) - {"NEWS_DRIVEN"}
    assert reasons == ()


def test_news_needs_a_window_of_a_calendar(make_row: Callable[..., np.void]) -> None:
    mask, _ = gates(make_row(evidence={"news_window": 1.0}), PARAMS)
    assert open_names(mask) == set(STRATEGIES)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"health": Health.NO_BOOK}, "no two-sided book"),
        ({"health": Health.CROSSED}, "crossed"),
        ({"health": Health.STALE_BOOK}, "stale"),
        ({"health": Health.GAP}, "missing"),
        ({"bid": 0}, "no two-sided book"),
        ({"ask": 0}, "no two-sided book"),
        ({"flags": RowFlag.END}, "session ends"),
    ],
)
def test_bad_data_leaves_waiting_alone(make_row: Callable[..., np.void], columns: dict[str, int], words: str) -> None:
    mask, reasons = gates(make_row(**columns), PARAMS)
    assert open_names(mask) == {"WAIT_AND_SEE"}
    assert words in reasons[0]


def test_stale_trades_shut_nothing(make_row: Callable[..., np.void]) -> None:
    assert gates(make_row(health=Health.STALE_TRADES), PARAMS)[1] == ()


def test_a_wide_spread_leaves_those_who_live_on_it(make_row: Callable[..., np.void]) -> None:
    row = make_row(bid=99_960, ask=100_040)
    assert spread_bps(row) == 8.0
    mask, reasons = gates(row, PARAMS)
    assert open_names(mask) == {"MARKET_MAKING", "LIQUIDITY_PROVISION", "WAIT_AND_SEE"}
    assert reasons == ("spread 8.00 bp is above 5.00 bp",)


def test_a_dead_hour_is_closed_once_the_hours_are_known(make_row: Callable[..., np.void]) -> None:
    row = make_row(time=0.05)
    assert "hour is closed" in gates(row, PARAMS)[1][0]
    row["detections"][DETECTORS.index("time")]["ready"] = 0
    assert gates(row, PARAMS)[1] == ()
