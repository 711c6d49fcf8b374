from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.detectors import volume_cluster
from spyhop.market.moment import MOMENT

SECOND = 1_000_000_000
START = 1_723_420_800 * SECOND
WIDTH = 2e-4


def centre(index: int) -> float:
    return math.exp((index + 0.5) * WIDTH)


def trade(b: Any, index: int, qty: float) -> None:
    volume_cluster.on_trade(*b.records, START, index, centre(index), qty)


def value_area(profile: dict[int, float], share: float) -> tuple[int, int, int]:
    """The definition, over a dictionary of bins."""
    total = sum(profile.values())
    mean = sum(k * v for k, v in profile.items()) / total
    low, high = min(profile), max(profile)
    poc = min(profile, key=lambda k: (-profile[k], abs(k - mean)))
    a = b = poc
    inside = profile[poc]
    while inside < share * total:
        above = profile.get(b + 1, 0.0) if b < high else -1.0
        below = profile.get(a - 1, 0.0) if a > low else -1.0
        if above >= below:
            b += 1
            inside += above
        else:
            a -= 1
            inside += below
    return poc, a, b


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(50_000, 50_060), st.integers(1, 9)), min_size=1, max_size=60))
def test_point_of_control_and_value_area_are_those_of_the_definition(rows: list[tuple[int, int]]) -> None:
    s, p = np.zeros(1, volume_cluster.STATE)[0], np.zeros(1, volume_cluster.PARAMS)
    # so long a half-life that the sizes stay whole numbers and ties stay ties
    p[0] = volume_cluster.params_record(volume_cluster.VolumeClusterParams(half_life_s=1e300))
    volume_cluster.reset(s, p[0])
    profile: dict[int, float] = {}
    for index, qty in rows:
        volume_cluster.on_trade(s, p[0], START, index, centre(index), float(qty))
        profile[index] = profile.get(index, 0.0) + qty
    volume_cluster.on_second(s, p[0], START + SECOND, np.zeros(1, MOMENT)[0])
    poc, low, high = value_area(profile, 0.7)
    assert profile[int(s["poc"])] == profile[poc]
    if sum(v == profile[poc] for v in profile.values()) == 1:
        assert (s["poc"], s["value_low"], s["value_high"]) == (poc, low, high)


def test_volume_forgets_by_its_half_life(bench: Callable[..., Any]) -> None:
    b = bench("volume_cluster", half_life_s=100.0)
    trade(b, 50_000, 10.0)
    for k in range(100):
        b.second(k + 1.0, centre(50_000))
    trade(b, 50_001, 5.001)
    b.second(101.0, centre(50_000))
    assert b.state[0]["poc"] == 50_001


def test_the_evidence_places_the_price_in_the_profile(bench: Callable[..., Any]) -> None:
    b = bench("volume_cluster", warm_s=1)
    for index, qty in ((50_000, 5.0), (50_001, 20.0), (50_002, 10.0), (50_010, 1.0)):
        trade(b, index, qty)
    b.second(1.0, centre(50_002), atr=20.0)
    detection, evidence = b.read(1.0)
    assert evidence["node"] == pytest.approx(0.5)
    assert detection["value"] == pytest.approx(math.tanh((centre(50_002) - centre(50_001)) / 20.0))
    assert evidence["va_pos"] == pytest.approx(
        0.75
    )  # the area is bins 50,001 and 50,002, and this the middle of the second
    b.second(2.0, centre(49_000), atr=20.0)
    detection, evidence = b.read(2.0)
    assert (evidence["va_pos"], evidence["node"]) == (0.0, 0.0)
    assert -1.0 <= detection["value"] < -0.9
    b.second(3.0, centre(51_000))
    assert b.read(3.0)[1]["va_pos"] == 1.0


def test_a_profile_of_one_bin_has_its_price_in_the_middle(bench: Callable[..., Any]) -> None:
    b = bench("volume_cluster", warm_s=1)
    trade(b, 50_000, 5.0)
    b.second(1.0, centre(50_000))
    detection, evidence = b.read(1.0)
    assert evidence["va_pos"] == 0.5
    assert abs(detection["value"]) < 1e-9
    assert evidence["node"] == 1.0


def test_the_ring_never_mistakes_one_price_for_another(bench: Callable[..., Any]) -> None:
    b = bench("volume_cluster", half_life_s=1e12)
    for index, qty in ((50_000, 5.0), (52_047, 1.0), (52_048, 2.0)):
        trade(b, index, qty)
    b.second(1.0, centre(52_048))
    assert b.state[0]["poc"] == 52_048
    assert b.state[0]["sum"] == pytest.approx(3.0)
    trade(b, 40_000, 1.5)
    b.second(2.0, centre(40_000))
    assert b.state[0]["poc"] == 40_000
    assert b.state[0]["sum"] == pytest.approx(1.5)


def test_a_surge_of_volume_scores_against_the_past(bench: Callable[..., Any]) -> None:
    b = bench("volume_cluster")
    rng = np.random.default_rng(3)
    for k in range(300):
        trade(b, 50_000, 1.0)
        b.second(k + 1.0, centre(50_000), sec_buy_volume=float(rng.uniform(0.5, 1.5)), sec_sell_volume=1.0)
    calm = float(b.read(300.0)[1]["volume_z"])
    for k in range(300, 310):
        b.second(k + 1.0, centre(50_000), sec_buy_volume=30.0, sec_sell_volume=1.0)
    assert abs(calm) < 4.0
    assert b.read(310.0)[1]["volume_z"] > 5.0
