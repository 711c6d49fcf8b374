"""Laws of the detection stage: bits do not depend on cuts, nothing looks ahead, mirrors mirror, nothing is ever NaN."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.detectors.stage import DetectionStage
from spyhop.detectors.state import DetectionParams, new_state
from spyhop.errors import SnapshotMismatch
from spyhop.model.instruments import Instrument
from spyhop.model.rows import DETECTORS, ROW, RowFlag
from spyhop.model.tape import EVENT, Flag, Kind, Status, Venue, merged

NS = 1_000_000_000
BEGIN = 1_723_161_255 * NS
CENTRE = 617_000
BTC = Instrument(id=3, venue=Venue.BINANCE_USDM, symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))
# enough of the warm-up that a short tape shows every detector at work
QUICK = DetectionParams()


def tape(seed: int, seconds: int, centre: int = CENTRE) -> Any:
    """Return a random tape of every kind, in order, whose book stays in sequence."""
    rng = np.random.default_rng(seed)
    batches = []
    u = 1000
    mid = centre
    ts = BEGIN + int(rng.integers(NS))
    rows: list[dict[str, int]] = [{"kind": Kind.SNAPSHOT, "id": u, "qty": 40}]
    for k in range(20):
        for side in (1, -1):
            rows.append(level(side, mid - side * (1 + 3 * k), 50 + 5 * k, u, u, -1, Flag.FROM_SNAPSHOT))
    rows[-1]["flags"] |= Flag.LAST
    batches.append(filled(rows, ts))
    trade = 1
    while ts < BEGIN + seconds * NS:
        ts += int(rng.exponential(4e7))
        what = rng.random()
        rows = []
        if what < 0.35:
            new = max(mid + int(rng.integers(-3, 4)), 1000)
            n = int(rng.integers(1, 12))
            for _ in range(n):
                side = 1 if rng.random() < 0.5 else -1
                rows.append(
                    level(side, new - side * int(1 + rng.exponential(30)), int(rng.integers(0, 60)), u + 5, u + 1, u, 0)
                )
            # nothing may cross: clear what the mid has passed, show fresh best prices
            for p in range(min(mid, new) - 1, max(mid, new) + 2):
                rows.append(level(1, p, 0 if p >= new else 9, u + 5, u + 1, u, 0))
                rows.append(level(-1, p, 0 if p <= new else 9, u + 5, u + 1, u, 0))
            rows[-1]["flags"] |= Flag.LAST
            u += 5
            mid = new
        elif what < 0.7:
            side = 1 if rng.random() < 0.5 + 0.2 * np.sin(trade / 40) else -1
            qty = int(rng.pareto(1.1) * 40) + 1
            for _ in range(int(rng.integers(1, 4))):
                rows.append({"kind": Kind.TRADE, "side": side, "price": mid + side, "qty": qty, "id": trade})
                trade += 1
        elif what < 0.95:
            q = rng.integers(1, 90, 2)
            rows.append(
                {"kind": Kind.QUOTE, "price": mid - 1, "qty": int(q[0]), "aux": mid + 1, "aux2": int(q[1]), "id": u + 2}
            )
        elif what < 0.97:
            rows.append(
                {
                    "kind": Kind.MARK,
                    "price": mid,
                    "aux": mid * 10_000_000,
                    "aux2": mid * 9_999_000,
                    "id": ts + 3600 * NS,
                }
            )
            rows.append(
                {"kind": Kind.FUNDING, "aux": int(rng.normal(1e8, 3e7)), "aux2": 8 * 3600 * NS, "id": ts + 3600 * NS}
            )
        elif what < 0.985:
            rows.append({"kind": Kind.OPEN_INTEREST, "qty": int(1e8 + rng.normal(0, 1e5))})
        else:
            rows.append(
                {
                    "kind": Kind.LIQUIDATION,
                    "side": int(rng.choice([-1, 1])),
                    "price": mid,
                    "qty": int(rng.integers(1, 5000)),
                }
            )
        batches.append(filled(rows, ts))
    return np.concatenate(batches)


def level(side: int, price: int, qty: int, u: int, first: int, pu: int, flags: int) -> dict[str, int]:
    return {
        "kind": Kind.LEVEL,
        "side": side,
        "price": price,
        "qty": qty,
        "id": u,
        "aux": first,
        "aux2": pu,
        "flags": int(flags),
    }


def filled(rows: list[dict[str, int]], ts: int) -> Any:
    out = np.zeros(len(rows), EVENT)
    out["ts_recv"] = ts
    out["ts_event"] = ts - ts % 1_000_000 - 20_000_000
    out["instrument"] = BTC.id
    for k, row in enumerate(rows):
        for name, number in row.items():
            out[name][k] = number
    return out


def mirrored(events: Any) -> Any:
    """Turn the tape upside down about the centre: bids become asks, buys sells, longs shorts."""
    out = events.copy()
    out["side"] = -events["side"]
    for kind in (Kind.TRADE, Kind.LEVEL, Kind.LIQUIDATION):
        of = events["kind"] == kind
        out["price"][of] = 2 * CENTRE - events["price"][of]
    of = events["kind"] == Kind.QUOTE
    out["price"][of], out["aux"][of] = 2 * CENTRE - events["aux"][of], 2 * CENTRE - events["price"][of]
    out["qty"][of], out["aux2"][of] = events["aux2"][of], events["qty"][of]
    return out


def folded(events: Any, params: DetectionParams = QUICK) -> tuple[DetectionStage, Any]:
    stage = DetectionStage(BTC, params)
    return stage, stage.on(events)


TAPE = tape(seed=1, seconds=200)


@cache
def once() -> tuple[DetectionStage, Any]:
    return folded(TAPE)


@pytest.fixture(scope="module")
def whole() -> tuple[DetectionStage, Any]:
    return once()


def test_the_tape_is_what_it_claims_to_be(whole: tuple[DetectionStage, Any]) -> None:
    counters = whole[0].statistics()
    aside = (
        "gaps",
        "crossed",
        "bad_levels",
        "unfinished",
        "overflows",
        "bad_trades",
        "unknown",
        "misrouted",
        "mismatches",
    )
    assert [name for name in counters if name.split(".")[-1] in aside and counters[name]] == []
    assert len(whole[1]) > 190
    assert not np.any(whole[1]["health"][2:] & 1)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, len(TAPE)), max_size=12))
def test_cutting_the_tape_anywhere_gives_the_same_bits(cuts: list[int]) -> None:
    expected_stage, expected = once()
    stage = DetectionStage(BTC, QUICK)
    edges = [0, *sorted(cuts), len(TAPE)]
    parts = [stage.on(TAPE[a:b]) for a, b in pairwise(edges)]
    assert np.concatenate(parts).tobytes() == expected.tobytes()
    assert stage.snapshot() == expected_stage.snapshot()


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, len(TAPE)))
def test_restoring_at_any_cut_is_as_if_nothing_had_happened(cut: int) -> None:
    expected_stage, expected = once()
    before = DetectionStage(BTC, QUICK)
    first = before.on(TAPE[:cut])
    after = DetectionStage(BTC, QUICK)
    after.restore(before.snapshot())
    assert np.concatenate([first, after.on(TAPE[cut:])]).tobytes() == expected.tobytes()
    assert after.snapshot() == expected_stage.snapshot()


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(1, len(TAPE)))
def test_no_row_changes_when_the_future_is_cut_off(cut: int) -> None:
    _, expected = once()
    _, rows = folded(TAPE[:cut])
    assert rows.tobytes() == expected[: len(rows)].tobytes()
    last = TAPE["ts_recv"][cut - 1]
    assert np.all(rows["ts"] <= last)
    assert len(rows) == np.sum(expected["ts"] <= last)


def test_a_row_knows_only_what_came_before_its_time(whole: tuple[DetectionStage, Any]) -> None:
    rows = whole[1]
    counted = np.searchsorted(TAPE["ts_recv"], rows["ts"], side="left")
    assert np.array_equal(rows["num_events"], counted)
    assert np.all(rows["ts_book"] < rows["ts"])
    assert np.all(np.diff(rows["ts"]) > 0)
    assert np.array_equal(rows["seq"], np.arange(len(rows)))


def test_an_event_at_the_very_boundary_is_not_in_its_row() -> None:
    events = TAPE[:2000].copy()
    second = events["ts_recv"][1000] - events["ts_recv"][1000] % NS
    # the first event after that second now comes exactly with it
    first = int(np.searchsorted(events["ts_recv"], second))
    events["ts_recv"][first : np.searchsorted(events["ts_recv"], events["ts_recv"][first], side="right")] = second
    _, rows = folded(events)
    assert rows["num_events"][rows["ts"] == second].tolist() == [first]


ODD_VALUES = ("obi", "wpi", "flow", "momentum", "trend", "divergence", "price_pattern")
EVEN_VALUES = ("vpin", "spread", "volatility", "liquidation_pressure")
ODD = ("obi1", "obi_w", "ofi_z", "micro_tilt", "small_flow", "tfi", "hawkes_imbalance", "return_1m")
EVEN = (
    "absorption",
    "iceberg",
    "whale_threshold",
    "vpin_cdf",
    "burst",
    "kyle_lambda",
    "spread_bps",
    "big_trade_count",
    "sign_autocorr",
)
SWAPPED = (
    ("depth_bid", "depth_ask"),
    ("liq_long", "liq_short"),
    ("liq_realised_long", "liq_realised_short"),
    ("big_buy_volume", "big_sell_volume"),
)


def test_turning_the_market_upside_down_turns_the_detectors(whole: tuple[DetectionStage, Any]) -> None:
    # the mirror is linear, the definitions logarithmic and in basis points: 1e-3 is what a move of 10 bp makes of that
    rows = whole[1]
    _, others = folded(mirrored(TAPE))
    for name in ODD_VALUES + EVEN_VALUES:
        k = DETECTORS.index(name)
        sign = -1.0 if name in ODD_VALUES else 1.0
        scale = 100.0 if name == "liquidation_pressure" else 1.0
        a, b = rows["detections"]["value"][:, k] / scale, others["detections"]["value"][:, k] / scale
        assert np.allclose(a, sign * b, atol=0.02), name
        assert np.array_equal(rows["detections"]["ready"][:, k], others["detections"]["ready"][:, k]), name
    for name in ODD + EVEN:
        sign = -1.0 if name in ODD else 1.0
        a, b = rows["evidence"][name], others["evidence"][name]
        tolerance = 2e-2 * max(1.0, float(np.abs(a).max()))
        assert np.allclose(a, sign * b, atol=tolerance), name
    for here, there in SWAPPED:
        assert np.allclose(rows["evidence"][here], others["evidence"][there], rtol=2e-2, atol=1e-2), here
        assert np.allclose(rows["evidence"][there], others["evidence"][here], rtol=2e-2, atol=1e-2), there


RANGES = {
    "obi": (-1, 1),
    "wpi": (-1, 1),
    "vpin": (0, 1),
    "liquidation_pressure": (0, 100),
    "price_pattern": (-1, 1),
    "volume_cluster": (-1, 1),
    "spread": (0, 1),
    "flow": (-1, 1),
    "momentum": (-1, 1),
    "trend": (-1, 1),
    "divergence": (-1, 1),
}


def check_ranges(rows: Any) -> None:
    for name, (low, high) in RANGES.items():
        values = rows["detections"]["value"][:, DETECTORS.index(name)]
        assert np.all((values >= low) & (values <= high)), name
    for part in ("detections", "evidence", "timeframes"):
        for name in rows[part].dtype.names:
            assert np.all(np.isfinite(rows[part][name])), (part, name)
    confidence = rows["detections"]["confidence"]
    assert np.all((confidence >= 0.0) & (confidence <= 1.0))
    unready = rows["detections"]["ready"] == 0
    assert np.all(confidence[unready] == 0.0)
    assert np.all(rows["detections"]["value"][unready] == 0.0)
    assert np.all(rows["detections"]["age_ms"] >= 0.0)


def test_values_keep_their_ranges_and_neutrality(whole: tuple[DetectionStage, Any]) -> None:
    check_ranges(whole[1])
    assert not np.any(whole[1][0]["detections"]["ready"])


kinds = st.sampled_from([int(kind) for kind in Kind] + [0, 77])
numbers = st.one_of(st.integers(-5, 5), st.integers(-(2**63), 2**63 - 1), st.integers(600_000, 600_100))
junk = st.tuples(
    kinds,
    st.integers(-1, 1),
    st.integers(0, 127),
    numbers,
    numbers,
    numbers,
    numbers,
    numbers,
    st.integers(-5, 2 * 10**10),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(junk, min_size=1, max_size=40))
def test_no_nonsense_on_the_tape_can_break_the_fold(rows: list[tuple[int, ...]]) -> None:
    events = np.zeros(len(rows), EVENT)
    events["instrument"] = BTC.id
    ts = BEGIN
    for k, (kind, side, flags, price, qty, key, aux, aux2, dt) in enumerate(rows):
        ts += dt
        events[k] = (kind, side, 1, flags, BTC.id, 60, ts, ts, price, qty, key, aux, aux2)
    stage, out = folded(events)
    check_ranges(out)
    assert stage.statistics()["loop.events"] == len(events)


def test_a_constant_market_is_neutral() -> None:
    seconds = 400
    quotes = np.zeros(seconds * 2, EVENT)
    quotes["kind"], quotes["instrument"] = Kind.QUOTE, BTC.id
    quotes["ts_recv"] = quotes["ts_event"] = BEGIN + np.arange(seconds * 2) * NS // 2
    quotes["price"], quotes["aux"], quotes["qty"], quotes["aux2"] = CENTRE - 1, CENTRE + 1, 10, 10
    quotes["id"] = np.arange(seconds * 2) + 1
    _, rows = folded(quotes)
    for name in ("obi", "wpi", "flow", "momentum", "trend", "divergence"):
        assert np.all(np.abs(rows["detections"]["value"][:, DETECTORS.index(name)]) < 1e-9), name
    assert rows["evidence"]["spread_bps"][-1] == pytest.approx(1e4 * 2 / CENTRE)
    assert rows["evidence"]["spread_pct"][-1] == pytest.approx(0.5)
    check_ranges(rows)


def test_a_long_silence_gets_its_first_and_last_boundary_alone() -> None:
    events = merged([TAPE[:200], late(TAPE[200:400], 500 * NS)])
    stage, rows = folded(events)
    steps = np.diff(rows["ts"]) // NS
    assert np.sum(steps > 1) == 1
    gap = int(np.argmax(steps))
    before, after = events["ts_recv"][199], events["ts_recv"][200]
    assert rows["ts"][gap] == before - before % NS + NS
    assert rows["ts"][gap + 1] == after - after % NS
    assert rows["evidence"]["tfi"][gap + 1] == 0.0
    cut = DetectionStage(BTC, QUICK)
    parts = [cut.on(events[k : k + 7]) for k in range(0, len(events), 7)]
    assert np.concatenate(parts).tobytes() == rows.tobytes()
    assert cut.snapshot() == stage.snapshot()


def late(events: Any, by: int) -> Any:
    out = events.copy()
    out["ts_recv"] += by
    out["ts_event"] += by
    return out


def test_time_that_goes_backwards_is_counted_and_held() -> None:
    events = TAPE[:300].copy()
    events["ts_recv"][100:200] -= 5 * NS
    stage, rows = folded(events)
    assert stage.statistics()["loop.backwards"] >= 1
    assert np.all(np.diff(rows["ts"]) > 0)
    check_ranges(rows)


def test_events_of_another_instrument_are_counted_and_left_out() -> None:
    events = TAPE.copy()
    others = TAPE.copy()
    others["instrument"] = 9
    stage, rows = folded(np.stack([events, others], axis=1).reshape(-1)[: 2 * len(TAPE)])
    assert stage.statistics()["loop.misrouted"] == len(TAPE)
    assert np.array_equal(rows["detections"], once()[1]["detections"])


def test_the_end_of_a_session_makes_a_row_of_its_own() -> None:
    end = np.zeros(1, EVENT)
    end["kind"], end["aux"], end["ts_recv"] = Kind.STATUS, Status.SESSION_END, TAPE["ts_recv"][-1] + 1
    _, rows = folded(np.concatenate([TAPE, end]))
    assert rows["flags"][-1] == RowFlag.END
    assert rows["ts"][-1] == end["ts_recv"][0]
    assert rows["num_events"][-1] == len(TAPE) + 1


@pytest.mark.parametrize("status", [Status.GAP, Status.DISCONNECTED])
def test_a_break_takes_book_and_imbalance_away_until_a_snapshot(status: Status) -> None:
    mark = np.zeros(1, EVENT)
    middle = len(TAPE) // 2
    mark["kind"], mark["aux"], mark["ts_recv"] = Kind.STATUS, status, TAPE["ts_recv"][middle]
    depth_only = TAPE[TAPE["kind"] != Kind.QUOTE]
    place = int(np.searchsorted(depth_only["ts_recv"], mark["ts_recv"][0]))
    _, rows = folded(np.concatenate([depth_only[:place], mark, depth_only[place:]]))
    after = rows["ts"] > mark["ts_recv"][0]
    assert np.all(rows["health"][after] & 1)
    assert rows["health"][after][0] & 16
    assert not rows["health"][after][1] & 16
    assert not np.any(rows["detections"]["ready"][after, DETECTORS.index("obi")])
    assert np.all(rows["bid"][after] == 0)


def test_analyses_come_each_interval_and_sharp_ones_rest() -> None:
    _, rows = folded(TAPE, DetectionParams(interval_s=30, sharp_change=0.01))
    analyses = (rows["flags"] & RowFlag.ANALYSIS) != 0
    assert np.array_equal(analyses, rows["ts"] % (30 * NS) == 0)
    sharp = rows["ts"][(rows["flags"] & RowFlag.SHARP) != 0]
    assert len(sharp) > 3
    assert np.all(np.diff(sharp) >= 5 * NS)
    _, dull = folded(TAPE, DetectionParams(sharp_change=10.0))
    assert not np.any(dull["flags"] & RowFlag.SHARP)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_left_out_is_silent_and_the_others_do_not_notice(
    name: str, whole: tuple[DetectionStage, Any]
) -> None:
    _, rows = folded(TAPE, DetectionParams(without=(name,)))
    k = DETECTORS.index(name)
    assert not np.any(rows["detections"]["ready"][:, k])
    if name in ("volatility", "time", "flow"):  # sigma, the hour's factor and Kyle's lambda are read by others
        return
    others = [i for i in range(len(DETECTORS)) if i != k]
    assert rows["detections"][:, others].tobytes() == whole[1]["detections"][:, others].tobytes()


def test_a_snapshot_of_another_layout_or_other_parameters_is_refused() -> None:
    stage, _ = folded(TAPE[:100])
    data = stage.snapshot()
    with pytest.raises(SnapshotMismatch):
        stage.restore(b"x" * 16 + data[16:])
    with pytest.raises(SnapshotMismatch):
        stage.restore(data[:-1])
    with pytest.raises(SnapshotMismatch):
        DetectionStage(BTC, DetectionParams(interval_s=10)).restore(data)


def test_the_state_never_grows() -> None:
    stage = DetectionStage(BTC, QUICK)
    size = len(stage.snapshot())
    stage.on(TAPE)
    assert len(stage.snapshot()) == size
    assert new_state(BTC, QUICK).dtype.itemsize + 16 == size
    assert ROW.itemsize < 2_000
