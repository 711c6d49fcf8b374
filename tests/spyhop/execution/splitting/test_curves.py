"""The week's volume in 168 weights, and what part of it lies between two times."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S
from spyhop.execution.splitting.curves import HOURS_A_WEEK, hour_of_week, volume_between, volume_curve

MONDAY = int(datetime(2025, 11, 24, tzinfo=UTC).timestamp()) * NS_PER_S


@given(st.integers(0, 4_000_000_000))
def test_hours_are_those_of_the_calendar(second: int) -> None:
    at = datetime.fromtimestamp(second, UTC)
    assert hour_of_week(second * NS_PER_S) == at.weekday() * 24 + at.hour


def test_a_busy_hour_weighs_more() -> None:
    weeks = 20
    hours = np.arange(weeks * HOURS_A_WEEK)
    ts = MONDAY + hours * NS_PER_HOUR
    volumes = np.where(hours % HOURS_A_WEEK == 14, 300.0, 100.0)
    curve = volume_curve(ts.astype(np.int64), volumes)
    assert curve.shape == (168,)
    assert curve.mean() == pytest.approx(1.0)
    ratio = curve / curve[0]
    assert np.flatnonzero(ratio > 1.01).tolist() == [14]
    # twenty hours of 3 drawn to 1 by four: (20 x 3 + 4) / 24 against (20 x 1 + 4) / 24
    assert ratio[14] == pytest.approx(64 / 24, rel=0.01)


def test_the_curve_does_not_know_the_unit() -> None:
    generator = np.random.default_rng(3)
    ts = (MONDAY + np.arange(5_000) * 15 * NS_PER_MINUTE).astype(np.int64)
    volumes = generator.lognormal(0.0, 1.0, 5_000)
    assert volume_curve(ts, volumes) == pytest.approx(volume_curve(ts, 1e6 * volumes))


def test_without_volume_all_hours_are_alike() -> None:
    none = np.zeros(0, np.int64)
    assert volume_curve(none, np.zeros(0)).tolist() == [1.0] * 168
    assert volume_curve(np.array([MONDAY]), np.zeros(1)).tolist() == [1.0] * 168


@pytest.mark.parametrize("volumes", [[1.0], [-1.0, 1.0], [float("nan"), 1.0]])
def test_volumes_that_cannot_be_are_refused(volumes: list[float]) -> None:
    with pytest.raises(ValueError, match="volume"):
        volume_curve(np.array([MONDAY, MONDAY]), np.array(volumes))


@given(start=st.integers(0, 400), minutes=st.integers(0, 20_000), cut=st.floats(0.0, 1.0))
def test_volume_adds_up_over_time(start: int, minutes: int, cut: float) -> None:
    curve = (1.0 + np.arange(HOURS_A_WEEK) % 5).tolist()
    begin, end = MONDAY + start * NS_PER_MINUTE, MONDAY + (start + minutes) * NS_PER_MINUTE
    middle = begin + int(cut * (end - begin))
    parts = volume_between(curve, begin, middle) + volume_between(curve, middle, end)
    assert parts == pytest.approx(volume_between(curve, begin, end), abs=1e-9)


def test_volume_between_two_hours() -> None:
    curve = [0.0] * HOURS_A_WEEK
    curve[0], curve[1] = 2.0, 4.0
    assert volume_between(curve, MONDAY + 30 * NS_PER_MINUTE, MONDAY + 75 * NS_PER_MINUTE) == pytest.approx(1.0 + 1.0)
