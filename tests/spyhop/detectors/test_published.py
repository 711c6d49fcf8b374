"""Laws that every detector of the second and bar rate obeys; what is special to one is in its own file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.detectors.published import price_of, publish
from spyhop.market.moment import MOMENT
from spyhop.model.rows import DETECTION

NAMES = ("funding_rate", "oi_change", "price_pattern", "momentum", "volatility", "trend", "divergence", "time")
RANGES = {"volatility": (0.0, 1.0), "time": (0.0, 1.0)}
MIRRORED = ("price_pattern", "momentum", "trend", "divergence")
UNMOVED = ("volatility", "oi_change", "funding_rate", "time")
PRIORS = {"price_pattern": {"structure_prior": 0.5}}

Make = Callable[..., Any]


def market(seed: int, seconds: int, volatility: float = 5e-5) -> dict[str, Any]:
    """Return a random market: log mids about 0, signed volumes, open interest and funding, one value a second."""
    rng = np.random.default_rng(seed)
    buys = rng.exponential(1.0, seconds)
    sells = rng.exponential(1.0, seconds)
    moves = volatility * (rng.normal(size=seconds) + 0.2 * (buys - sells)) * (rng.random(seconds) < 0.7)
    return {
        "mid": np.cumsum(moves),
        "buy": np.cumsum(buys),
        "sell": np.cumsum(sells),
        "oi": 1e5 + np.cumsum(rng.normal(0, 0.3, seconds)),
        "funding": 1e-4 * (1 + 0.3 * rng.normal(size=seconds)),
    }


def drive(bench: Any, world: dict[str, Any], start: int, end: int, scale: float = 60_000.0, side: int = 1) -> Any:
    """Fold seconds [start, end) and return the readings: a row of value, confidence, n_eff, ready and evidence each."""
    readings = []
    prices = scale * np.exp(side * world["mid"])
    buy, sell = (world["buy"], world["sell"]) if side > 0 else (world["sell"], world["buy"])
    module = bench.module
    for i in range(start, end):
        ts = 1_723_420_800_000_000_000 + i * 1_000_000_000
        bench.set(sigma_1m=3e-4, atr=4e-4 * scale, spread_bps=0.5 + 0.01 * (i % 60))
        bench.set(cum_volume=buy[i] + sell[i], num_trades=i)
        if i % 60 == 0 and i > 0:
            minute = prices[i - 60 : i]
            bought = buy[i] - buy[i - 60]
            volume = bought + sell[i] - sell[i - 60]
            bench.bar(i, minute[0], minute.max(), minute.min(), minute[-1], volume, bought)
        if i % 10 == 5 and hasattr(module, "on_open_interest"):
            module.on_open_interest(*bench.records, ts, world["oi"][i], bench.moment[0])
        if i % 15 == 7 and hasattr(module, "on_funding"):
            module.on_mark(*bench.records, ts, prices[i], prices[i] * (1 - 1e-4))
            module.on_funding(
                *bench.records, ts, world["funding"][i], 60.0, (ts // 60_000_000_000 + 1) * 60_000_000_000, 0
            )
        bench.second(i, prices[i], cum_buy_volume=buy[i], cum_sell_volume=sell[i])
        detection, evidence = bench.read(i)
        readings.append(
            [detection["value"], detection["confidence"], detection["n_eff"], detection["ready"], *evidence]
        )
    return np.array(readings)


@pytest.mark.parametrize("name", NAMES)
def test_readings_stay_in_range_and_are_never_nan(name: str, bench: Make) -> None:
    for seed, volatility in ((1, 5e-5), (2, 1e-2), (3, 1e-9)):
        said = drive(bench(name, **PRIORS.get(name, {})), market(seed, 2_400, volatility), 0, 2_400)
        assert np.isfinite(said).all()
        low, high = RANGES.get(name, (-1.0, 1.0))
        assert ((said[:, 0] >= low) & (said[:, 0] <= high)).all()
        assert ((said[:, 1] >= 0.0) & (said[:, 1] <= 1.0)).all()
        assert (said[said[:, 3] == 0][:, :2] == 0.0).all()
        assert said[0, 3] == 0.0
    if name != "time":
        assert said[-1, 3] == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_later_input_never_changes_an_earlier_reading(name: str, bench: Make) -> None:
    world = market(4, 1_200)
    other = {key: value.copy() for key, value in world.items()}
    for value in other.values():
        value[700:] = value[700:] * 1.01 + 1e-3
    assert np.array_equal(drive(bench(name), world, 0, 1_200)[:700], drive(bench(name), other, 0, 1_200)[:700])


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_state_goes_on_as_if_never_cut(name: str, bench: Make) -> None:
    world = market(5, 1_500)
    whole = bench(name)
    expected = drive(whole, world, 0, 1_500)
    first, second = bench(name), bench(name)
    drive(first, world, 0, 777)
    second.state[:] = np.frombuffer(first.state.tobytes(), second.module.STATE)
    assert np.array_equal(drive(second, world, 777, 1_500), expected[777:])
    assert second.state.tobytes() == whole.state.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_reset_is_a_fresh_start(name: str, bench: Make) -> None:
    world = market(6, 400)
    used = bench(name)
    drive(used, world, 0, 400)
    used.fresh()
    assert used.state.tobytes() == bench(name).state.tobytes()
    assert np.array_equal(drive(used, world, 0, 400), drive(bench(name), world, 0, 400))


@pytest.mark.parametrize("name", NAMES)
def test_a_market_that_never_moves_is_neutral(name: str, bench: Make) -> None:
    still = {key: np.full(2_000, value[0]) for key, value in market(7, 1).items()}
    said = drive(bench(name, **PRIORS.get(name, {})), still, 0, 2_000)
    assert np.isfinite(said).all()
    neutral = 0.5 * said[:, 3] if name == "volatility" else 0.0
    assert said[:, 0] == pytest.approx(neutral, abs=1e-12)


@pytest.mark.parametrize("name", MIRRORED)
def test_the_mirrored_market_gives_the_mirrored_value(name: str, bench: Make) -> None:
    world = market(8, 2_400, 3e-5)
    up = drive(bench(name, **PRIORS.get(name, {})), world, 0, 2_400)
    down = drive(bench(name, **PRIORS.get(name, {})), world, 0, 2_400, side=-1)
    assert np.abs(up[:, 0]).max() > 0.05
    # indicators work on prices, whose mirror in logs is exact to the square of the move only
    assert up[:, 0] == pytest.approx(-down[:, 0], abs=2e-2)
    assert np.array_equal(up[:, 3], down[:, 3])


@pytest.mark.parametrize("name", UNMOVED)
def test_what_has_no_side_is_the_same_in_the_mirror(name: str, bench: Make) -> None:
    world = market(9, 1_500)
    up = drive(bench(name), world, 0, 1_500)
    down = drive(bench(name), world, 0, 1_500, side=-1)
    assert up[:, 0] == pytest.approx(down[:, 0], abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_scale_of_the_price_does_not_matter(name: str, bench: Make) -> None:
    world = market(10, 1_500)
    big = drive(bench(name, **PRIORS.get(name, {})), world, 0, 1_500)
    small = drive(bench(name, **PRIORS.get(name, {})), world, 0, 1_500, scale=0.0625)
    assert big[:, 0] == pytest.approx(small[:, 0], abs=1e-6)


@pytest.mark.parametrize("name", ["momentum", "volatility", "trend", "divergence"])
def test_a_second_that_comes_again_or_from_the_past_changes_nothing(name: str, bench: Make) -> None:
    world = market(11, 600)
    driven = bench(name)
    drive(driven, world, 0, 600)
    before = driven.state.tobytes()
    driven.second(599, 1.0)
    driven.second(400, 1.0)
    assert driven.state["ts"][0] == 1_723_420_800_000_000_000 + 599 * 1_000_000_000
    assert np.frombuffer(before, driven.module.STATE)["num_seconds"] == driven.state["num_seconds"]


@pytest.mark.parametrize("name", ["momentum", "trend", "divergence"])
def test_silent_seconds_count_as_seconds_without_a_move(name: str, bench: Make) -> None:
    told, skipped = bench(name), bench(name)
    for i in range(300):
        told.second(i, 100.0 + 0.01 * (i % 7), sigma_1m=1e-4)
        skipped.second(i, 100.0 + 0.01 * (i % 7), sigma_1m=1e-4)
    for i in range(300, 340):
        told.second(i, 100.05, sigma_1m=1e-4)
    skipped.second(300, 100.05, sigma_1m=1e-4)
    skipped.second(339, 100.05, sigma_1m=1e-4)
    assert skipped.read(339)[0]["value"] == told.read(339)[0]["value"]


@pytest.mark.parametrize("name", NAMES)
def test_a_very_long_silence_is_survived(name: str, bench: Make) -> None:
    driven = bench(name)
    for at in (0, 1, 2, 10_000_000, 10_000_001):
        driven.second(at, 100.0 + at * 1e-9, sigma_1m=1e-4)
    assert np.isfinite(driven.read(10_000_001)[0]["value"])


@settings(derandomize=True, max_examples=100, deadline=None)
@given(
    st.floats(-1, 1),
    st.booleans(),
    st.floats(0, 1e6),
    st.floats(1e-3, 1e6),
    st.integers(-(10**9), 10**15),
    st.floats(1, 1e9),
)
def test_confidence_is_a_share(
    value: float, ready: bool, n_eff: float, n_warm: float, age_ns: int, tau_ms: float
) -> None:
    out = np.zeros(1, DETECTION)[0]
    publish(out, value, ready, n_eff, n_warm, age_ns, tau_ms)
    assert 0.0 <= out["confidence"] <= 1.0
    assert out["age_ms"] >= 0.0
    assert (out["value"], out["ready"]) == ((value, 1) if ready else (0.0, 0))


def test_confidence_falls_with_age_and_rises_with_the_sample() -> None:
    out = np.zeros(1, DETECTION)[0]
    is_ready = True
    publish(out, 0.5, is_ready, 30.0, 60.0, 2_000_000_000, 1_000.0)
    assert out["confidence"] == pytest.approx(0.5 * np.exp(-2.0))


def test_the_price_is_the_mid_while_there_is_a_book() -> None:
    moment = np.zeros(1, MOMENT)
    moment["mid"], moment["last"] = 101.0, 100.0
    assert price_of(moment[0]) == 100.0
    moment["has_book"] = 1
    assert price_of(moment[0]) == 101.0
