from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from spyhop.clock import EventClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.model.tape import Kind, Venue
from spyhop.simulation.feed import GenerativeFeed, usual_instrument
from spyhop.storage.lake import Lake
from spyhop.storage.lake_writer import store
from spyhop.wiring.plan import RunRequest, SessionPlan, plan_session

STARTED = 1_764_350_100_000_000_000
MIDNIGHT = 1_764_288_000_000_000_000

Planned = Callable[..., SessionPlan]


@pytest.fixture(scope="session")
def planned(eager: Callable[[Settings], Settings]) -> Planned:
    """Plan sessions that trade at the least sign, in folders of their own."""

    def plan(runs: Path, *, lake: Path | None = None, mode: str = "paper", **config: object) -> SessionPlan:
        session = SessionConfig(**{"hours": 0.02, "runs": str(runs), **config})
        request = RunRequest(mode=mode, lake=str(lake) if lake else None)
        return plan_session(eager(Settings(session=session)), request, EventClock(STARTED))

    return plan


@pytest.fixture(scope="session")
def small_lake(tmp_path_factory: pytest.TempPathFactory, prepared_kernels: None) -> Path:
    """A lake of a minute: BTCUSDT at two venues, SOLUSDT at one and a second earlier."""
    root = tmp_path_factory.mktemp("lake")
    for symbol, venue, start in (
        ("BTCUSDT", Venue.BINANCE_SPOT, MIDNIGHT),
        ("BTCUSDT", Venue.BINANCE_USDM, MIDNIGHT),
        ("SOLUSDT", Venue.DYDX, MIDNIGHT - 1_000_000_000),
    ):
        instrument = msgspec.structs.replace(usual_instrument(symbol), venue=venue)
        feed = GenerativeFeed(instrument, seed=3, start_ts=start, hours=1 / 60)
        batches = []
        while (batch := feed.next_batch()) is not None:
            batches.append(batch)
        events = np.concatenate(batches)
        pieces = []
        for channel, kinds in (("trades", [Kind.TRADE]), ("book", [Kind.LEVEL, Kind.SNAPSHOT])):
            some = events[np.isin(events["kind"], kinds)]
            pieces.append((instrument, channel, some, np.arange(1, len(some) + 1, dtype=np.int64) << 20))
        store(Lake(root), f"{instrument.key}.generated", pieces)
    return root
