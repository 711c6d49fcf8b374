"""Every schedule gives all lots, in order of time, none too small; and follows what it is named after."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_HOUR, NS_PER_S
from spyhop.execution.splitting import schedules
from spyhop.execution.splitting.curves import HOURS_A_WEEK

S = NS_PER_S
START = 4 * 24 * NS_PER_HOUR  # the Monday after the epoch
CURVE = (1.0 + np.arange(HOURS_A_WEEK) % 7).tolist()


def times(count: int, hours: float = 6.0, jitter: float = 0.0, seed: int = 1) -> list[int]:
    return schedules.slice_times(START, int(hours * NS_PER_HOUR), count, jitter, np.random.default_rng(seed))


@given(count=st.integers(1, 100), jitter=st.floats(0.0, 0.5), seed=st.integers(0, 1000))
def test_times_begin_at_once_and_keep_their_order(count: int, jitter: float, seed: int) -> None:
    moved = times(count, 1.0, jitter, seed)
    step = NS_PER_HOUR / count
    assert moved[0] == START
    assert moved == sorted(moved)
    assert moved[-1] < START + NS_PER_HOUR
    assert all(abs(ts - START - k * step) <= jitter * step + 1 for k, ts in enumerate(moved))
    assert moved == times(count, 1.0, jitter, seed)


@given(lots=st.integers(1, 10_000), count=st.integers(1, 60), smallest=st.integers(1, 50), urgency=st.floats(0.0, 50.0))
def test_schedules_give_everything(lots: int, count: int, smallest: int, urgency: float) -> None:
    at = times(count, jitter=0.2)
    for schedule in (
        schedules.twap(lots, at, smallest),
        schedules.vwap(lots, at, START + 6 * NS_PER_HOUR, CURVE, smallest),
        schedules.almgren_chriss(lots, at, urgency, smallest),
    ):
        assert sum(part for _, part in schedule) == lots
        assert all(part >= smallest for _, part in schedule) or len(schedule) == 1
        assert [ts for ts, _ in schedule] == sorted({ts for ts, _ in schedule})
        assert {ts for ts, _ in schedule} <= set(at)


def test_twap_is_even() -> None:
    assert [part for _, part in schedules.twap(12, times(4))] == [3, 3, 3, 3]


def test_vwap_follows_the_curve() -> None:
    at = times(6)  # an hour each, of weights 1 2 3 4 5 6
    assert [part for _, part in schedules.vwap(2_100, at, START + 6 * NS_PER_HOUR, CURVE)] == [
        100, 200, 300, 400, 500, 600
    ]  # fmt: skip
    assert schedules.vwap(2_100, at, START + 6 * NS_PER_HOUR, []) == schedules.twap(2_100, at)
    dead = [0.0] * HOURS_A_WEEK
    assert schedules.vwap(2_100, at, START + 6 * NS_PER_HOUR, dead) == schedules.twap(2_100, at)


def test_almgren_chriss_begins_with_more_and_is_twap_without_urgency() -> None:
    at = times(6)
    assert schedules.almgren_chriss(600, at, 0.0) == schedules.twap(600, at)
    parts = [part for _, part in schedules.almgren_chriss(60_000, at, 3.0)]
    assert parts == sorted(parts, reverse=True)
    assert parts[0] > 2 * parts[-1]


@given(
    lots=st.integers(1, 5_000),
    frac=st.floats(0.01, 0.6),
    volumes=st.lists(st.integers(0, 3_000), min_size=1, max_size=40),
    cap=st.integers(1, 500),
    smallest=st.integers(1, 20),
)
def test_pov_is_never_more_than_its_part_of_all_volume(lots, frac, volumes, cap, smallest) -> None:
    left, waiting, sent = lots, 0, 0
    for k, volume in enumerate(volumes):
        waiting += volume
        part = schedules.pov(left, waiting, frac, cap, smallest)
        assert part <= cap
        assert part == 0 or part >= min(smallest, left)
        if part > 0:
            left, waiting, sent = left - part, 0, sent + part
        assert sent <= frac * (sum(volumes[: k + 1]) + sent) + 1e-6
    assert sent <= lots


def test_pov_of_a_known_volume() -> None:
    # a tenth of all: 90 of others' and 10 of ours
    assert schedules.pov(1_000, 90, 0.1, 1_000) == 10
    assert schedules.pov(1_000, 89, 0.1, 1_000) == 9
    assert schedules.pov(1_000, 9_000, 0.1, 250) == 250
    assert schedules.pov(1_000, 90, 0.1, 1_000, smallest=11) == 0
    assert schedules.pov(5, 9_000, 0.1, 250) == 5


@given(lots=st.integers(1, 5_000), smallest=st.integers(1, 60), seed=st.integers(0, 100))
def test_an_iceberg_shows_a_random_part_until_nothing_is_left(lots: int, smallest: int, seed: int) -> None:
    left, shown = lots, []
    while left:
        generator = np.random.default_rng([seed, len(shown)])
        part = schedules.iceberg(left, lots, (0.05, 0.2), generator, smallest)
        assert 0 < part <= left
        shown.append(part)
        left -= part
    assert sum(shown) == lots
    assert all(part >= smallest for part in shown) or len(shown) == 1
    if lots > 100 * smallest:
        assert all(0.05 * lots - 1 <= part <= 0.2 * lots + 1 for part in shown[:-2])
        assert len(set(shown)) > 1


def test_an_iceberg_is_the_same_for_the_same_seed() -> None:
    shown = [schedules.iceberg(900, 1_000, (0.05, 0.2), np.random.default_rng([7, n])) for n in (1, 2, 1)]
    assert shown[0] == shown[2] != shown[1]


@pytest.mark.parametrize("urgency", [-1.0, float("nan")])
def test_an_urgency_below_none_is_refused(urgency: float) -> None:
    with pytest.raises(ValueError, match="urgency"):
        schedules.almgren_chriss(10, times(3), urgency)
