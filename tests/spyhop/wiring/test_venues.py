from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_S, WallClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.errors import MissingInput, VenueError
from spyhop.model.tape import Kind, Status, Venue, joined
from spyhop.storage.journal import read_tape
from spyhop.venues.endpoints import LIVE, BinanceEndpoints, Endpoints
from spyhop.venues.params import FeedParams
from spyhop.wiring import sessions
from spyhop.wiring.plan import LiveSource, RunRequest, plan_session
from spyhop.wiring.venues import budget_path, listed, live_feed, venue_and_symbol

pytestmark = pytest.mark.slow


def test_a_name_says_which_venue_is_meant() -> None:
    assert venue_and_symbol("BTCUSDT") == (Venue.BINANCE_USDM, "BTCUSDT")
    assert venue_and_symbol("BTC-USD") == (Venue.DYDX, "BTC-USD")
    assert venue_and_symbol("binance-spot:BTCUSDT") == (Venue.BINANCE_SPOT, "BTCUSDT")
    with pytest.raises(MissingInput, match="no venue is called 'mtgox'"):
        venue_and_symbol("mtgox:BTCUSD")


def test_venues_list_their_instruments_and_limits(venues: Endpoints) -> None:
    names = ["binance-spot:BTCUSDT", "BTC-USD", "BTCUSDT"]
    listing = asyncio.run(listed(venues, names))
    assert all(one.is_simulated for one in listing.instruments)
    assert [one.venue for one in listing.instruments] == [Venue.BINANCE_SPOT, Venue.DYDX, Venue.BINANCE_USDM]
    weights = [limit.most for limit in listing.limits["binance-usdm"] if limit.key == "weight/60"]
    assert weights == [2_400]
    with pytest.raises(MissingInput, match="binance-usdm lists no NOPEUSDT"):
        asyncio.run(listed(venues, ["NOPEUSDT"]))


def test_a_venue_that_cannot_be_asked_is_no_crash(venues: Endpoints) -> None:
    nowhere = msgspec.structs.replace(venues, binance_usdm=BinanceEndpoints("http://127.0.0.1:9", "ws://127.0.0.1:9"))
    with pytest.raises(VenueError, match="cannot connect to"):
        asyncio.run(listed(nowhere, ["BTCUSDT"]))


def test_all_processes_of_a_machine_count_in_one_file_and_each_simulator_in_its_own(venues: Endpoints) -> None:
    assert budget_path(LIVE, LIVE.binance_usdm.rest) == budget_path(LIVE, LIVE.binance_usdm.rest + "/fapi/v1/time")
    assert budget_path(LIVE, LIVE.binance_usdm.rest) != budget_path(LIVE, LIVE.binance_spot.rest)
    assert str(venues.clock.anchor_ns) in str(budget_path(venues, venues.binance_usdm.rest))


@pytest.mark.parametrize("name", ["BTCUSDT", "binance-spot:BTCUSDT", "BTC-USD"])
def test_a_live_feed_hands_out_a_tape_in_order_and_closes(venues: Endpoints, name: str) -> None:
    listing = asyncio.run(listed(venues, [name]))
    feed = live_feed(listing.instruments[0], venues, FeedParams(), listing.limits)
    wanted = {Kind.TRADE, Kind.LEVEL, Kind.SNAPSHOT, Kind.BAR_CLOSE, Kind.TIMER}
    batches = []
    clock = WallClock()
    deadline = clock.monotonic_ns() + 60 * NS_PER_S
    try:
        while clock.monotonic_ns() < deadline:
            batch = feed.next_batch()
            assert batch is not None
            if not len(batch):
                feed.wait(0.2)
                continue
            batches.append(batch)
            if wanted <= {kind for one in batches for kind in one["kind"].tolist()}:
                break
    finally:
        feed.close()
    events = joined(batches)
    assert wanted <= set(events["kind"].tolist())
    assert (np.diff(events["ts_recv"]) >= 0).all()
    assert feed.statistics()["set_aside"] == 0
    assert any(feed.next_batch() is None for _ in range(10))


def test_a_session_over_sockets_is_replayed_to_the_bit(
    venues: Endpoints, tmp_path: Path, eager: Callable[[Settings], Settings]
) -> None:
    config = SessionConfig(symbols=("BTCUSDT", "BTC-USD"), hours=100 / 3_600, runs=str(tmp_path))
    plan = plan_session(eager(Settings(session=config)), RunRequest(endpoints=venues), WallClock())
    assert isinstance(plan.source, LiveSource)
    assert plan.session.is_simulated
    assert plan.session.source == "venue simulator"
    assert plan.source.limits.keys() == {"binance-usdm", "dydx"}
    done = sessions.run_local(plan)
    log = [json.loads(line) for line in (plan.folder / "logs" / "session.jsonl").read_text().splitlines()]
    switches = [line for line in log if line.get("to") == "WS" and line["symbol"] == "binance-usdm:BTCUSDT"]
    assert switches[0]["reason"] == "STARTED"
    summaries = [line["health"] for line in log if "health" in line]
    assert {"mode", "price_age_ms", "kline_age_s", "queued"} <= summaries[0].keys()
    assert done.progress.num_finished == 2
    replayed = sessions.replay(plan.folder)
    assert replayed.difference is None
    assert replayed.num_entries > 0
    assert replayed.num_events == done.progress.num_events
    for feed in plan.feed_names:
        last = joined(list(read_tape(plan.folder, feed)))[-1]
        assert (last["kind"], last["aux"]) == (Kind.STATUS, Status.SESSION_END)
