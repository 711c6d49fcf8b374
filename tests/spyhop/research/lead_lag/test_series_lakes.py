"""Prices out of lakes: the best source that both markets have, by the clock that is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spyhop.errors import MissingInput
from spyhop.model.instruments import Instrument
from spyhop.research.lead_lag.series_lakes import Ticks, on_one_clock, ticks
from spyhop.storage.lake import Lake

MS = 1_000_000


def held(name: str, **sources: tuple[int, int, int]) -> Ticks:
    """Prices of sources: (how many, ms between them, ms from the venue's time to ours)."""
    made = {}
    for source, (num, gap_ms, delay_ms) in sources.items():
        event = np.arange(1, num + 1, dtype=np.int64) * gap_ms * MS
        made[source] = event, event + delay_ms * MS, 100.0 + np.arange(num)
    return Ticks(name=name, base="BTC", is_simulated=False, sources=made)


def test_the_best_source_that_both_have_is_taken() -> None:
    pair = on_one_clock(held("a", quotes=(9, 1, 5), book=(9, 7, 5)), held("b", book=(9, 7, 5)), "receive")
    assert pair is not None
    assert [one.what for one in pair] == ["mids of the book", "mids of the book"]
    assert pair[0].times.tolist() == [(7 * k + 5) * MS for k in range(1, 10)]


def test_nothing_shorter_than_the_rhythm_of_a_books_frames_is_told() -> None:
    pair = on_one_clock(held("a", book=(9, 100, 5)), held("b", book=(9, 50, 5)), "exchange")
    assert pair is not None
    assert [one.resolution_ns for one in pair] == [100 * MS, 50 * MS]


def test_a_venues_time_that_is_ours_is_no_time_of_the_venue() -> None:
    spot, perpetual = held("spot", quotes=(9, 1, 0), book=(9, 100, 5)), held("perp", quotes=(9, 1, 5), book=(9, 50, 5))
    told, heard = on_one_clock(perpetual, spot, "exchange"), on_one_clock(perpetual, spot, "receive")
    assert told is not None
    assert [one.what for one in told] == ["mids of the book"] * 2
    assert heard is not None
    assert [one.what for one in heard] == ["mids of quotes"] * 2
    assert on_one_clock(perpetual, held("spot", quotes=(9, 1, 0)), "exchange") is None


def test_a_row_without_a_venues_time_is_left_out_by_its_clock() -> None:
    one = held("a", book=(9, 10, 5))
    event, receipt, _ = one.sources["book"]
    event[0] = receipt[0]  # such as a snapshot that was fetched
    told, heard = on_one_clock(one, one, "exchange"), on_one_clock(one, one, "receive")
    assert told is not None
    assert heard is not None
    assert (len(told[0].times), len(heard[0].times)) == (8, 9)


def test_sources_differ_where_they_must_and_are_chosen_where_asked() -> None:
    both = held("a", quotes=(9, 1, 5)), held("b", trades=(9, 3, 5))
    pair = on_one_clock(*both, "receive")
    assert pair is not None
    assert [one.what for one in pair] == ["mids of quotes", "trades"]
    assert on_one_clock(*both, "receive", "trades") is None
    asked = on_one_clock(held("a", quotes=(9, 1, 5), trades=(9, 2, 5)), both[1], "receive", "trades")
    assert asked is not None
    assert asked[0].what == "trades"


def test_bars_are_known_when_they_are_over_whenever_they_were_fetched() -> None:
    pair = on_one_clock(held("a", bars=(20, 60_000, 0)), held("b", bars=(20, 60_000, 90_000)), "receive")
    assert pair is not None
    assert pair[0].times.tolist() == pair[1].times.tolist()
    assert pair[0].bar_ns == 60_000 * MS


@pytest.fixture(scope="module")
def lake(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    from spyhop.wiring import data

    root = str(tmp_path_factory.mktemp("lake"))
    names = ("usdm_btcusdt_20240808.gz", "cm_btcusd_perp_20240808.gz", "spot_btcusdt_20240808.gz")
    data.import_data([recordings / "binance_raw" / name for name in names], root)
    data.import_data([recordings / "binance_dydx_1m" / "BTC_1m.parquet"], root)
    return Lake(root)


def instrument(lake: Lake, key: str) -> Instrument:
    return lake.instrument(key)


@pytest.mark.slow
def test_mids_of_the_book_are_those_of_the_quotes(lake: Lake) -> None:
    found = ticks(lake, instrument(lake, "binance-usdm:BTCUSDT"))
    assert list(found.sources) == ["quotes", "book", "trades"]
    assert found.base == "BTC"
    quotes, book = found.sources["quotes"], found.sources["book"]
    at = np.searchsorted(quotes[0], book[0], side="right") - 1
    # stamps of whole milliseconds hold several quotes, so not all agree
    assert np.mean(np.abs(quotes[2][at] - book[2])[at >= 0] < 0.11) > 0.9
    assert 6_000 < len(book[2]) < 7_000


@pytest.mark.slow
def test_spot_quotes_without_a_time_of_their_own_are_not_compared_by_it(lake: Lake) -> None:
    perpetual, spot = (ticks(lake, instrument(lake, key)) for key in ("binance-usdm:BTCUSDT", "binance-spot:BTCUSDT"))
    pair = on_one_clock(perpetual, spot, "exchange")
    assert pair is not None
    assert pair[1].what == "mids of the book"
    assert 90 * MS <= pair[1].resolution_ns <= 110 * MS
    # the recording's clock is 1.27 s behind the venues': mixing them would look like a lag of that size
    heard = on_one_clock(perpetual, spot, "receive")
    assert heard is not None
    assert 1.0 < (pair[1].times[-1] - heard[1].times[-1]) / 1e9 < 1.5


@pytest.mark.slow
def test_closes_of_bars_stand_at_their_end(lake: Lake) -> None:
    keys = [one.key for one in lake.instruments() if "bars" in lake.channels(one.key)]
    assert keys == ["binance-spot:BTCUSDT", "dydx:BTC-USD"]  # the first has ticks of another year, too
    found = [ticks(lake, instrument(lake, key)) for key in keys]
    pair = on_one_clock(found[0], found[1], "exchange")
    assert pair is not None
    assert [one.bar_ns for one in pair] == [60_000 * MS] * 2
    assert all(one.times[0] % (60_000 * MS) == 0 for one in pair)


@pytest.mark.slow
def test_an_instrument_without_prices_then_is_said(lake: Lake) -> None:
    with pytest.raises(MissingInput, match="holds no prices of binance-usdm:BTCUSDT at that time"):
        ticks(lake, instrument(lake, "binance-usdm:BTCUSDT"), 0, 1)
