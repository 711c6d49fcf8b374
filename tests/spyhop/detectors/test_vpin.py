from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.detectors import vpin

SECOND = 1_000_000_000
START = 1_723_420_800 * SECOND
DAY = 86_400


def trades(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.lognormal(0.0, 1.5, n), np.where(rng.random(n) < 0.55, 1, -1)


@pytest.mark.oracle
@pytest.mark.parametrize("bucket", [3.0, 40.0])
def test_it_equals_wickra_on_the_same_buckets(bench: Callable[..., Any], bucket: float) -> None:
    wickra = pytest.importorskip("wickra")
    b = bench("vpin", bucket_volume=bucket)
    oracle = wickra.Vpin(bucket, vpin.NUM_BUCKETS)
    compared = 0
    for k, (qty, side) in enumerate(zip(*trades(2, 3_000), strict=True)):
        vpin.on_trade(*b.records, START + k, float(qty), int(side))
        expected = oracle.update(100.0, float(qty), bool(side > 0))
        if expected is not None and b.state[0]["num_buckets"] >= vpin.NUM_BUCKETS:
            compared += 1
            assert b.state[0]["vpin"] == pytest.approx(expected, abs=1e-11)
    assert compared > 500


def test_no_volume_is_lost_between_buckets(bench: Callable[..., Any]) -> None:
    b = bench("vpin", bucket_volume=7.0)
    sizes, sides = trades(5, 400)
    for k, (qty, side) in enumerate(zip(sizes, sides, strict=True)):
        vpin.on_trade(*b.records, START + k, float(qty), int(side))
    s = b.state[0]
    assert s["num_buckets"] * 7.0 + s["buy"] + s["sell"] == pytest.approx(sizes.sum(), rel=1e-12)


@pytest.mark.parametrize(("k", "level"), [(10, 0.245), (50, 0.112), (100, 0.079)])
def test_fair_coins_give_the_mechanical_null_level(bench: Callable[..., Any], k: int, level: float) -> None:
    b = bench("vpin", bucket_volume=float(k))
    rng = np.random.default_rng(k)
    seen = []
    for n in range(k * 1_500):
        vpin.on_trade(*b.records, START + n, 1.0, 1 if rng.random() < 0.5 else -1)
        if n % (k * 50) == 0 and b.state[0]["num_buckets"] >= 50:
            seen.append(float(b.state[0]["vpin"]))
    assert np.mean(seen) == pytest.approx(level, rel=0.06)
    assert level == pytest.approx(math.sqrt(2.0 / (math.pi * k)), abs=0.008)


def test_a_trade_that_fills_the_ring_many_times_costs_no_more_than_the_ring(bench: Callable[..., Any]) -> None:
    b = bench("vpin", bucket_volume=1.0)
    vpin.on_trade(*b.records, START, 0.25, -1)
    vpin.on_trade(*b.records, START, 1e12 + 0.5, 1)
    assert b.state[0]["vpin"] == 1.0
    assert b.state[0]["num_buckets"] < 1_000
    assert 0.0 <= b.state[0]["buy"] < 1.0


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(1e-8, 1e6), st.sampled_from([1, -1])), min_size=1, max_size=80))
def test_it_stays_in_its_range_and_does_not_know_up_from_down(rows: list[tuple[float, int]]) -> None:
    states = np.zeros(2, vpin.STATE)
    params = np.zeros(1, vpin.PARAMS)
    params[0] = vpin.params_record(vpin.VpinParams(bucket_volume=0.5))
    for s, sign in ((states[0], 1), (states[1], -1)):
        vpin.reset(s, params[0])
        for qty, side in rows:
            vpin.on_trade(s, params[0], START, qty, sign * side)
    assert 0.0 <= states[0]["vpin"] <= 1.0
    assert states[0]["vpin"] == states[1]["vpin"]
    assert 0.0 <= states[0]["cdf"] <= 1.0


def test_buckets_are_a_fiftieth_of_the_previous_whole_day(bench: Callable[..., Any]) -> None:
    b = bench("vpin")
    b.second(0.0, 100.0, num_seconds=1)
    for hour in range(24):
        vpin.on_trade(*b.records, START + hour * 3600 * SECOND, 50.0, 1)
        b.second(hour * 3600.0 + 1, 100.0, num_seconds=hour + 2, cum_volume=50.0 * (hour + 1))
    assert b.state[0]["bucket_volume"] == 0.0
    b.second(DAY, 100.0, num_seconds=30, cum_volume=1200.0)
    assert b.state[0]["bucket_volume"] == pytest.approx(1200.0 / 50)
    vpin.on_trade(*b.records, START + (DAY + 60) * SECOND, 5_000.0, 1)
    b.second(DAY + 100.0, 100.0, num_seconds=90, cum_volume=6200.0)
    assert b.state[0]["bucket_volume"] == pytest.approx(24.0)


def test_provisional_buckets_say_so_by_half_the_confidence(bench: Callable[..., Any]) -> None:
    b = bench("vpin", first_minute_frac=0.05)
    b.second(100.0, 100.0, num_seconds=60, cum_volume=200.0)
    assert b.state[0]["bucket_volume"] == pytest.approx(10.0)
    for k in range(600):
        vpin.on_trade(*b.records, START + 100 * SECOND, 1.0, 1 if k % 4 else -1)
    detection, evidence = b.read(100.0)
    assert detection["ready"] == 1
    assert detection["value"] == pytest.approx(0.5, abs=0.05)
    assert detection["confidence"] == pytest.approx(0.5)
    assert 0.0 <= evidence["vpin_cdf"] <= 1.0


def test_whole_buckets_alone_count(bench: Callable[..., Any]) -> None:
    b = bench("vpin", bucket_volume=1.0)
    for _ in range(49):
        vpin.on_trade(*b.records, START, 1.0, 1)
    vpin.on_trade(*b.records, START, 0.999, 1)
    assert b.read(0.0)[0]["ready"] == 0
    vpin.on_trade(*b.records, START, 0.001000001, 1)
    detection, _ = b.read(0.0)
    assert (detection["ready"], detection["value"]) == (1, 1.0)
