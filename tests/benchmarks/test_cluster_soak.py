"""The verdict of the long soak, on memory that is made up; the soak itself is `python -m benchmarks.cluster_soak`."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from benchmarks.cluster_soak import OURS_MB_PER_H, RAYS_MB_PER_H, cores, problems, slope_of, slopes
from benchmarks.processes import Usage

ACTOR = Usage(pid=1, name="ensemble", cpu_s=0.0, own_mb=300.0, pss_mb=320.0, num_files=40)
GCS = msgspec.structs.replace(ACTOR, pid=2, name="gcs_server")


def hour(of: Usage, mb_per_h: float, leap_mb: float = 0.0) -> list[tuple[float, Usage]]:
    """Return an hour of samples, five seconds apart, with the noise of an allocator and a leap in the middle."""
    noise = np.random.default_rng(3).normal(0.0, 0.5, 721)
    return [
        (at, msgspec.structs.replace(of, own_mb=300.0 + mb_per_h * at / 3_600 + noise[k] + leap_mb * (at > 1_800)))
        for k, at in enumerate(np.arange(721) * 5.0)
    ]


@pytest.mark.parametrize("grown", [0.0, 3.0, -20.0, 80.0])
def test_the_slope_is_found_with_an_interval_around_it(grown: float) -> None:
    found = slope_of(hour(ACTOR, grown))
    assert found.low <= grown <= found.high
    assert found.slope == pytest.approx(grown, abs=0.3)
    assert found.high - found.low < 1.0


def test_one_that_grows_is_named_and_a_flat_one_is_not() -> None:
    assert problems([slope_of(hour(ACTOR, OURS_MB_PER_H - 2))]) == []
    assert problems([slope_of(hour(ACTOR, OURS_MB_PER_H + 2))]) == ["ensemble grows by 12.1 MB/h"]
    # Ray's own services may grow by less
    assert problems([slope_of(hour(GCS, RAYS_MB_PER_H - 1))]) == []
    assert problems([slope_of(hour(GCS, RAYS_MB_PER_H + 1))]) == ["gcs_server grows by 5.1 MB/h"]


def test_what_cannot_be_said_is_no_pass() -> None:
    short = [one for one in hour(ACTOR, 0.0) if one[0] < 60.0]
    assert "too short or too restless" in problems([slope_of(short)])[0]
    assert problems([]) == ["nothing was measured"]


def test_files_left_open_are_told() -> None:
    series = hour(ACTOR, 0.0)
    series[-1] = (series[-1][0], msgspec.structs.replace(series[-1][1], num_files=60))
    assert problems([slope_of(series)]) == ["ensemble has 20 more files open"]


def test_only_the_time_after_the_warm_up_counts_and_only_who_was_there() -> None:
    samples = [(at, [one]) for at, one in hour(ACTOR, 500.0) if at < 900.0]
    samples += [(900.0 + at, [one, GCS] if at > 1_600 else [one]) for at, one in hour(ACTOR, 0.0) if at < 2_700.0]
    (only,) = slopes(samples, warm_s=900.0, end_s=3_600.0)
    assert only.name == "ensemble"
    assert abs(only.slope) < 0.5


def test_cores_are_told_by_kind_of_process() -> None:
    feeds = [msgspec.structs.replace(ACTOR, pid=pid, name=f"feed:S{pid}") for pid in (5, 6)]
    samples = [(10.0 * k, [msgspec.structs.replace(one, cpu_s=2.0 * k) for one in (*feeds, GCS)]) for k in range(6)]
    assert cores(samples) == {"feeds": pytest.approx(0.4), "ray": pytest.approx(0.2)}
