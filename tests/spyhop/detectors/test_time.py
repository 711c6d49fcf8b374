from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from spyhop.detectors.time import TimeParams, calendar_features, hour_of_week, params_record, shrunk_factor
from spyhop.errors import InvalidSetting

MONDAY_H = 1_723_420_800 // 3_600

Make = Callable[..., Any]


def nanos(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 1_000_000_000


def hours(bench: Any, num_hours: int, amplitude: Callable[[int], float], first: int = 0) -> None:
    """Feed whole hours of minute bars whose returns alternate by `amplitude(hour)`; volume and spread follow it."""
    for hour in range(first, first + num_hours):
        size = amplitude(hour)
        for minute in range(60):
            price = 100.0 * np.exp(0.5 * size * (-1) ** minute)
            bench.set(spread_bps=1.0 / size, has_book=1)
            at = 3_600 * hour + 60 * minute
            bench.second(at, price)
            bench.bar(at + 60, price, price, price, price, volume=10 * size)


@pytest.mark.parametrize(
    ("when", "hour"), [((2024, 8, 12, 0), 0), ((2024, 8, 12, 23), 23), ((2024, 8, 18, 23), 167), ((1970, 1, 1, 0), 72)]
)
def test_hours_of_the_week_count_from_monday(when: tuple[int, ...], hour: int) -> None:
    assert hour_of_week(nanos(*when) // 3_600_000_000_000) == hour


def test_factors_are_shrunk_to_the_hour_of_day_and_then_to_one() -> None:
    assert shrunk_factor(5.0, 0.0, 3.0, 0.0, 8.0) == 1.0
    assert shrunk_factor(5.0, 0.0, 3.0, 8.0, 8.0) == 2.0
    assert shrunk_factor(5.0, 8.0, 3.0, 8.0, 8.0) == 3.5
    assert shrunk_factor(5.0, 1e12, 3.0, 8.0, 8.0) == pytest.approx(5.0)


def test_an_hour_that_is_loud_each_day_gets_a_large_factor(bench: Make) -> None:
    stand = bench("time")
    hours(stand, 24 * 8, lambda hour: 3.0 if hour % 24 == 15 else 1.0)
    stand.second(3_600 * (24 * 8 + 15), 100.0)
    loud, evidence = stand.read(3_600 * (24 * 8 + 15))
    assert evidence["vol_mult"] == stand.moment["vol_mult"][0]
    # eight days and one same weekday: mostly the hour of day's own shrinkage to one
    mean = (23 + 3) / 24
    of_day = (7.6 * 3 / mean + 8) / (7.6 + 8)
    assert evidence["vol_mult"] == pytest.approx((3 / mean + 8 * of_day) / 9, rel=0.03)
    stand.second(3_600 * (24 * 8 + 16), 100.0)
    usual, evidence = stand.read(3_600 * (24 * 8 + 16))
    assert evidence["vol_mult"] < 1.0
    assert loud["value"] > 0.6 > usual["value"]


def test_it_is_ready_after_a_day_of_whole_hours(bench: Make) -> None:
    stand = bench("time")
    hours(stand, 24, lambda _: 1.0)
    assert stand.read(3_600 * 24)[0]["ready"] == 0  # the last hour is not known to be over
    hours(stand, 1, lambda _: 1.0, first=24)
    detection, evidence = stand.read(3_600 * 25)
    assert (detection["ready"], detection["value"], evidence["vol_mult"]) == (1, 0.5, 1.0)


def test_an_hour_with_few_bars_does_not_count(bench: Make) -> None:
    stand = bench("time")
    for k in range(29):
        stand.bar(60 * (k + 1), 100, 100, 100, 100 + k % 2)
    stand.bar(3_660, 100, 100, 100, 100)
    assert stand.state["num_hours"][0] == 0


def test_old_weeks_fade_by_half_in_four(bench: Make) -> None:
    stand = bench("time")
    hours(stand, 168 * 4 + 1, lambda hour: 2.0 if hour == 0 else 1.0)
    hours(stand, 1, lambda _: 1.0, first=168 * 4 + 1)
    cell = stand.state["cells"][0][0][0]
    weights = 0.5 ** (np.arange(4, -1, -1) / 4)
    assert cell["weight"] == pytest.approx(weights.sum())
    # its first bar has no return before it, which alternation does not change
    assert cell["mean"] == pytest.approx((2 * weights[0] + weights[1:].sum()) / weights.sum(), rel=0.02)


def test_news_windows_come_from_the_calendar_only(bench: Make) -> None:
    quiet = bench("time")
    start = MONDAY_H * 3_600
    told = bench("time", news_windows_s=((start + 900, start + 1_000), (start + 100, start + 200)))
    seen = []
    for at in (99, 100, 199, 200, 950):
        told.second(at, 100.0)
        quiet.second(at, 100.0)
        seen.append(told.read(at)[1]["news_window"])
        assert quiet.read(at)[1]["news_window"] == 0.0
    assert seen == [0, 1, 1, 0, 1]


@pytest.mark.parametrize("windows", [((5, 5),), ((9, 3),), tuple((k, k + 1) for k in range(65))])
def test_impossible_calendars_are_refused(windows: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(InvalidSetting):
        params_record(TimeParams(news_windows_s=windows))


def test_the_american_session_moves_with_its_clocks() -> None:
    assert calendar_features(nanos(2024, 7, 10, 12))["is_us_session"] == 1.0
    assert calendar_features(nanos(2024, 1, 10, 12))["is_us_session"] == 0.0
    assert calendar_features(nanos(2024, 1, 10, 13))["is_us_session"] == 1.0


def test_the_calendar_knows_the_weekend_and_turns_once_a_day_and_week() -> None:
    saturday = calendar_features(nanos(2024, 8, 17, 15))
    assert saturday["is_weekend"] == 1.0
    assert saturday["is_us_session"] == saturday["is_europe_session"] == saturday["is_asia_session"] == 0.0
    monday = calendar_features(nanos(2024, 8, 12, 0))
    assert (monday["week_sin"], monday["week_cos"], monday["day_cos"]) == (0.0, 1.0, 1.0)
    assert calendar_features(nanos(2024, 8, 12, 6))["day_sin"] == pytest.approx(1.0)
    assert calendar_features(nanos(2024, 8, 12, 2))["is_asia_session"] == 1.0
