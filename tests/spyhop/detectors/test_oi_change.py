from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

START = 1_723_420_800_000_000_000

Make = Callable[..., Any]


def poll(bench: Any, at_s: float, contracts: float, volume: float | None = None, price: float = 100.0) -> None:
    # by default plenty was traded
    bench.set(cum_volume=1e3 * (at_s + 1) if volume is None else volume, mid=price, has_book=1)
    bench.module.on_open_interest(*bench.records, START + int(at_s * 1e9), contracts, bench.moment[0])


def noise(bench: Any, traded_a_second: float = 1e3) -> float:
    rng = np.random.default_rng(1)
    level = 1e5
    for k in range(100):
        level *= 1 + 1e-5 * rng.normal()
        poll(bench, 10 * k, level, volume=traded_a_second * (10 * k + 1))
    return level


def test_growing_positions_score_positive_and_shrinking_negative(bench: Make) -> None:
    grows, shrinks = bench("oi_change"), bench("oi_change")
    for stand, factor in ((grows, 1.002), (shrinks, 0.998)):
        level = noise(stand)
        poll(stand, 1_000, level * factor)
    assert grows.read(1_000)[0]["value"] > 0.9
    assert shrinks.read(1_000)[0]["value"] < -0.9


def test_the_change_is_the_log_over_five_minutes(bench: Make) -> None:
    stand = bench("oi_change")
    for k in range(61):
        poll(stand, 10 * k, 1e5 + 10 * k)
    assert stand.read(600)[1]["oi_change_frac"] == pytest.approx(np.log((1e5 + 600) / (1e5 + 300)))


@pytest.mark.parametrize(
    ("factor", "price", "quadrant"), [(1.001, 101.0, 1), (1.001, 99.0, 2), (0.999, 101.0, 3), (0.999, 99.0, 4)]
)
def test_quadrants_name_who_opens_and_who_closes(factor: float, price: float, quadrant: int, bench: Make) -> None:
    stand = bench("oi_change")
    poll(stand, 0, 1e5)
    poll(stand, 300, 1e5 * factor, price=price)
    assert stand.read(300)[1]["oi_quadrant"] == quadrant


def test_the_opening_ratio_is_the_share_of_volume_that_opened(bench: Make) -> None:
    stand = bench("oi_change")
    poll(stand, 0, 1e5, volume=500.0)
    poll(stand, 300, 1e5 + 60, volume=700.0)
    assert stand.read(300)[1]["oi_opening_ratio"] == pytest.approx(0.3)


def test_more_change_than_volume_is_bad_data_and_no_signal(bench: Make) -> None:
    stand = bench("oi_change")
    level = noise(stand, traded_a_second=10.0)
    counted = stand.state["windows"]["num"].copy()
    poll(stand, 1_000, level + 5_000, volume=10.0 * 1_001)
    assert stand.state["num_violations"][0] > 0
    assert np.array_equal(stand.state["windows"]["num"][0][:2], counted[0][:2])
    detection, evidence = stand.read(1_000)
    assert (detection["value"], evidence["oi_opening_ratio"], evidence["oi_change_frac"]) == (0.0, 0.0, 0.0)


def test_a_poll_of_the_same_time_changes_nothing(bench: Make) -> None:
    stand = bench("oi_change")
    level = noise(stand)
    before = stand.state.tobytes()
    poll(stand, 990, level * 2)
    poll(stand, 500, level * 2)
    assert stand.state.tobytes() == before


@pytest.mark.parametrize("contracts", [0.0, -5.0])
def test_impossible_open_interest_is_not_folded(contracts: float, bench: Make) -> None:
    stand = bench("oi_change")
    poll(stand, 0, contracts)
    assert stand.state["num_polls"][0] == 0


def test_a_jump_without_volume_is_refused_and_starts_a_new_past(bench: Make) -> None:
    stand = bench("oi_change")
    level = noise(stand)
    poll(stand, 1_000, level * 1.5, volume=1e3 * 991 + 10)
    assert stand.state["num_jumps"][0] == 1
    assert stand.read(1_000)[0]["ready"] == 0
    for k in range(1, 40):
        poll(stand, 1_000 + 10 * k, level * 1.5)
    assert abs(stand.read(1_390)[0]["value"]) < 0.5


def test_sparse_polls_leave_short_windows_silent(bench: Make) -> None:
    stand = bench("oi_change")
    for k in range(40):
        poll(stand, 300 * k, 1e5 * (1 + 1e-5 * (k % 3)))
    assert stand.state["windows"]["num"][0][0] == 0
    assert stand.state["windows"]["num"][0][1] == 39
    assert stand.state["windows"]["num"][0][2] == 28


def test_polls_every_second_still_cover_an_hour(bench: Make) -> None:
    stand = bench("oi_change")
    for k in range(4_000):
        poll(stand, k, 1e5 + k)
    found = stand.state["windows"]["change"][0]
    for window_s, change in zip((60, 300, 3_600), found, strict=True):
        assert change == pytest.approx(np.log((1e5 + 3_999) / (1e5 + 3_999 - window_s)), rel=0.15)


def test_the_first_scores_use_plain_mean_and_deviation(bench: Make) -> None:
    rng = np.random.default_rng(2)
    levels = 1e5 * np.exp(np.cumsum(rng.normal(0, 1e-4, 14)))
    stand = bench("oi_change")
    for k, level in enumerate(levels):
        poll(stand, 300 * k, level, volume=1e9 * (k + 1))
    changes = np.diff(np.log(levels))
    before = changes[:-1]
    expected = (changes[-1] - before.mean()) / before.std()
    assert stand.read(300 * 13)[1]["oi_z"] == pytest.approx(expected, rel=1e-6)
