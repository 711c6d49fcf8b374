from __future__ import annotations

import numpy as np
import pytest

from spyhop.errors import SnapshotMismatch
from spyhop.model.observations import LeadLag
from spyhop.model.rows import ROW, RowFlag, Rows
from spyhop.numerics.lead_lag_stream import tell
from spyhop.strategies.lag_meter import LagMeter, LagMeterParams

NS = 1_000_000_000
FIRST = 1_760_000_040  # the first second of a block of three minutes
LEADER, FOLLOWER, OTHER, STRANGER = 0, 7, 9, 3


def rows(prices: np.ndarray[tuple[int], np.dtype[np.float64]], instrument: int, first: int = FIRST) -> Rows:
    """Rows of a second each whose paths are `prices`."""
    out = np.zeros(len(prices) // 20, ROW)
    out["ts"] = (first + np.arange(len(out))) * NS
    out["instrument"], out["flags"] = instrument, RowFlag.SECOND
    out["path"] = prices.reshape(-1, 20)
    return out


def prices(seed: int, seconds: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    generator = np.random.default_rng(seed)
    return np.asarray(100.0 * np.exp(1e-4 * np.cumsum(generator.normal(size=seconds * 20))))


def fed(meter: LagMeter, *tapes: Rows) -> LagMeter:
    for rows_of_second in zip(*tapes, strict=True):
        for row in rows_of_second:
            meter.note(row)
    return meter


def found(meter: LagMeter, follower: int = FOLLOWER) -> LeadLag:
    lag = meter.lag(follower)
    assert lag is not None
    return lag


PRICES = prices(1, 410)


def behind(steps: int, instrument: int) -> Rows:
    return rows(PRICES[100 - steps : 8_100 - steps], instrument)


LEADING, FOLLOWING = behind(0, LEADER), behind(6, FOLLOWER)


def test_a_follower_is_measured_against_its_leader() -> None:
    lag = found(fed(LagMeter({FOLLOWER: LEADER}), LEADING, FOLLOWING))
    assert lag.lag_ns == 300_000_000
    assert lag.is_measured
    assert lag.rho > 0.9
    assert lag.ratio > 5.0
    assert lag.window_ns == 400 * NS


def test_two_followers_of_one_leader_do_not_meet() -> None:
    strange = rows(prices(5, 400), STRANGER)
    other = behind(-4, OTHER)
    meter = fed(LagMeter({FOLLOWER: LEADER, OTHER: LEADER}), strange, FOLLOWING, LEADING, other)
    assert found(meter) == found(fed(LagMeter({FOLLOWER: LEADER}), LEADING, FOLLOWING))
    assert found(meter, OTHER).lag_ns == -200_000_000
    assert meter.lag(STRANGER) is None
    assert meter.lag(LEADER) is None


def test_a_market_may_lead_and_follow() -> None:
    third = behind(16, OTHER)
    meter = fed(LagMeter({FOLLOWER: LEADER, OTHER: FOLLOWER}), LEADING, FOLLOWING, third)
    assert (found(meter).lag_ns, found(meter, OTHER).lag_ns) == (300_000_000, 500_000_000)


def test_too_little_says_nothing() -> None:
    meter = LagMeter({FOLLOWER: LEADER})
    assert meter.lag(FOLLOWER) is None
    fed(meter, LEADING[:4], FOLLOWING[:4])
    assert meter.lag(FOLLOWER) is None  # 80 changes
    fed(meter, LEADING[4:6], FOLLOWING[4:6])
    assert meter.lag(FOLLOWER) is not None


def test_the_window_goes_on_with_time() -> None:
    params = LagMeterParams(block_s=60, num_blocks=3, max_lag_s=1.0)
    meter = fed(LagMeter({FOLLOWER: LEADER}, params), LEADING, FOLLOWING)
    # the end lies within a minute, of which there are two more
    into_the_minute = (FIRST + 399) % 60 + 1
    assert found(meter).window_ns == (120 + into_the_minute) * NS
    calm = np.full(180 * 20, 100.0)
    fed(meter, rows(calm, LEADER, FIRST + 400), rows(calm, FOLLOWER, FIRST + 400))
    assert meter.lag(FOLLOWER) is None


def test_the_row_that_ends_a_session_has_no_path_and_is_passed_over() -> None:
    end = LEADING[-1:].copy()
    end["flags"], end["path"], end["ts"] = RowFlag.END, 0.0, LEADING["ts"][-1] + NS // 2
    meter = fed(LagMeter({FOLLOWER: LEADER}), LEADING, FOLLOWING)
    before = meter.snapshot()
    meter.note(end[0])
    assert meter.snapshot() == before


@pytest.mark.parametrize("cut", [0, 1, 37, 399])
def test_a_restored_meter_goes_on_as_if_nothing_had_happened(cut: int) -> None:
    expected = fed(LagMeter({FOLLOWER: LEADER}), LEADING, FOLLOWING)
    before = fed(LagMeter({FOLLOWER: LEADER}), LEADING[:cut], FOLLOWING[:cut])
    before.note(LEADING[cut])  # in the middle of a second
    after = LagMeter({FOLLOWER: LEADER})
    after.restore(before.snapshot())
    after.note(FOLLOWING[cut])
    fed(after, LEADING[cut + 1 :], FOLLOWING[cut + 1 :])
    assert after.snapshot() == expected.snapshot()
    assert after.lag(FOLLOWER) == expected.lag(FOLLOWER)
    assert len(after.snapshot()) < 50_000


def test_a_snapshot_of_something_else_is_refused() -> None:
    meter = LagMeter({FOLLOWER: LEADER})
    data = meter.snapshot()
    for other in (LagMeter({OTHER: LEADER}), LagMeter({FOLLOWER: LEADER}, LagMeterParams(block_s=60))):
        with pytest.raises(SnapshotMismatch):
            other.restore(data)
    with pytest.raises(SnapshotMismatch):
        meter.restore(b"no snapshot")


def test_rows_that_lie_anywhere_in_memory_need_one_compilation() -> None:
    meter = LagMeter({FOLLOWER: LEADER})
    received = np.frombuffer(b"." + LEADING[:9].tobytes(), np.uint8)[1:].view(ROW)  # neither aligned nor writable
    meter.note(LEADING[0])
    before = list(tell.signatures)  # type: ignore[attr-defined]
    for row in (*LEADING[:9], *received, *received.copy()):
        meter.note(row)
    assert tell.signatures == before  # type: ignore[attr-defined]
