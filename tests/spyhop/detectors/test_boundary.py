from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.detectors.stage import DetectionStage
from spyhop.detectors.state import DetectionParams
from spyhop.model.instruments import Instrument
from spyhop.model.rows import PATH_STEP_NS, PATH_STEPS, RowFlag
from spyhop.model.tape import EVENT, Events, Kind, Status, Venue, event, joined

NS = 1_000_000_000
BEGIN = 1_723_161_600 * NS
BTC = Instrument(id=0, venue=Venue.BINANCE_USDM, symbol="BTCUSDT", tick_size=Decimal(1), lot_size=Decimal("0.001"))


def quotes(times: list[int], prices: list[int]) -> Events:
    """Quotes whose mid is `prices`; 0 is a gap, after which there is none."""
    out = np.zeros(len(times), EVENT)
    out["ts_recv"], out["ts_event"], out["kind"] = times, times, Kind.QUOTE
    out["id"] = np.arange(1, len(times) + 1)
    out["qty"] = out["aux2"] = 5
    out["price"], out["aux"] = np.array(prices) - 1, np.array(prices) + 1
    gaps = np.array(prices) == 0
    out["kind"][gaps], out["aux"][gaps], out["price"][gaps] = Kind.STATUS, Status.GAP, 0
    return out


def known(tape: Events, prices: list[int], moment: int) -> float:
    """The mid as of every event before `moment`."""
    heard = int(np.searchsorted(tape["ts_recv"], moment, "left"))
    return float(prices[heard - 1]) if heard else 0.0


# steps of 25 ms: every other one falls on a place of the path itself; now and then a silence
steps = st.lists(
    st.tuples(
        st.integers(0, 30) | st.integers(30, 9_000), st.sampled_from([0, 60_000, 60_001, 60_002, 60_010]) | st.just(9)
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(steps)
def test_a_path_tells_the_mid_as_it_was_known_at_each_step(steps: list[tuple[int, int]]) -> None:
    times = [int(t) for t in BEGIN + 25_000_000 * np.cumsum([gap for gap, _ in steps])]
    prices = [price for _, price in steps]
    tape = quotes(times, prices)
    rows = DetectionStage(BTC, DetectionParams()).on(
        joined([tape, event(Kind.TIMER, times[-1] + 2 * NS), event(Kind.TIMER, times[-1] + 300 * NS)])
    )
    assert len(rows)
    for row in rows:
        ends = int(row["ts"]) - (PATH_STEPS - 1 - np.arange(PATH_STEPS)) * PATH_STEP_NS
        assert row["path"].tolist() == [known(tape, prices, int(moment)) for moment in ends]
        assert row["path"][-1] == row["mid"]


def test_the_row_that_ends_a_session_has_no_path() -> None:
    tape = quotes([BEGIN, BEGIN + NS // 2, BEGIN + 3 * NS // 2], [60_000, 60_001, 60_002])
    end = event(Kind.STATUS, BEGIN + 3 * NS // 2 + 1, aux=Status.SESSION_END)
    rows = DetectionStage(BTC, DetectionParams()).on(joined([tape, end]))
    assert [int(flags) for flags in rows["flags"]] == [RowFlag.SECOND, RowFlag.END]
    assert rows["path"][0].tolist() == [60_000.0] * 10 + [60_001.0] * 10
    assert not rows["path"][1].any()


@pytest.mark.parametrize("late", [1, 40_000_000, 3 * NS])
def test_an_event_that_goes_back_in_time_writes_no_history(late: int) -> None:
    times = [BEGIN, BEGIN + 500_000_000, BEGIN + 500_000_000 - late]
    tape = joined([quotes([BEGIN - NS, *times], [60_000, 60_000, 60_001, 60_002]), event(Kind.TIMER, BEGIN + NS)])
    path = DetectionStage(BTC, DetectionParams()).on(tape)[-1]["path"]
    # at 500 ms, place 9, it was not heard yet
    assert path.tolist() == [60_000.0] * 10 + [60_002.0] * 10
