"""A quarter of an hour of market time with faults at random; the long one is `python -m benchmarks.soak`."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.soak import Hour, leaks, soak

pytestmark = pytest.mark.slow


def hour(at: float, **counts: float) -> Hour:
    values = dict.fromkeys(Hour.__struct_fields__, 0.0) | {"minutes": 60, "trades": 100, "hours": at}
    return Hour(**(values | counts))  # type: ignore[arg-type]


@pytest.mark.storm
@pytest.mark.timeout(200)
def test_nothing_is_missing_or_left_over_after_random_faults(prepared_kernels: None) -> None:
    hours = list(soak(0.2, speed=40.0, seed=2, every_h=0.1, gap_s=25.0, pause_s=90.0))
    assert [one.is_whole for one in hours] == [True] * len(hours), hours
    assert sum(one.faults for one in hours) > 2
    assert sum(one.switches for one in hours) > 2
    assert sum(one.minutes for one in hours) >= 2 * 0.2 * 60 - 6
    assert leaks(hours, warm=0.1) == []


def test_growth_after_the_warm_up_is_told() -> None:
    steady = [hour(at, client_mb=300.0 + at % 2, fds=20, tasks=30) for at in range(1, 9)]
    assert leaks(steady) == []
    grown = [msgspec.structs.replace(one, client_mb=300.0 + 20 * one.hours, tasks=30 + one.hours) for one in steady]
    assert leaks(grown) == ["client_mb grew by 60", "tasks grew by 3"]


@pytest.mark.parametrize("name", ["missing_minutes", "missing_trades", "duplicates", "crossed", "untold_stale"])
def test_an_hour_with_a_defect_is_not_whole(name: str) -> None:
    assert hour(1).is_whole
    assert not hour(1, **{name: 1}).is_whole
    assert not hour(1, waited_s=-1).is_whole
