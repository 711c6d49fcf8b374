"""A recording, published by the venue simulator over sockets and received by a live feed, is the recording again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from cluster.origins import simulator
from spyhop.clock import NS_PER_S, WallClock
from spyhop.model.tape import Events, Flag, Kind, joined
from spyhop.storage.lake import Lake
from spyhop.venues.params import FeedParams
from spyhop.wiring.data import import_data
from spyhop.wiring.venues import listed, live_feed

pytestmark = pytest.mark.slow

KEY = "binance-usdm:BTCUSDT"
SPEED = 4.0
SECONDS = 80.0
"""Of the market's time."""
PATIENT = FeedParams(stale_seconds=3_600, kline_stale_seconds=3_600, first_message_seconds=3_600, silence_seconds=3_600)
"""A slow machine is no reason to leave the sockets here."""


@pytest.fixture(scope="module")
def lake(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("lake"))
    import_data([recordings / "binance_raw" / "usdm_btcusdt_20240808.gz"], folder)
    return folder


@pytest.fixture(scope="module")
def imported(lake: str) -> Events:
    return joined(list(Lake(lake).scan(KEY, 0, 1 << 62)))


@pytest.fixture(scope="module")
def received(lake: str, prepared_kernels: None) -> Events:
    """What a live feed makes of the same recording, played by the simulator."""
    batches: list[Events] = []
    with simulator(["--lake", lake, "--symbols", "BTCUSDT", "--speed", str(SPEED)]) as endpoints:
        listing = asyncio.run(listed(endpoints, ["BTCUSDT"]))
        feed = live_feed(listing.instruments[0], endpoints, PATIENT, listing.limits)
        clock = WallClock()
        end = clock.monotonic_ns() + int(SECONDS / SPEED * NS_PER_S)
        try:
            while clock.monotonic_ns() < end:
                batch = feed.next_batch()
                assert batch is not None
                if len(batch):
                    batches.append(batch)
                else:
                    feed.wait(0.1)
            assert feed.statistics()["set_aside"] == 0
            assert feed.statistics()["gaps"] == 0
        finally:
            feed.close()
    return joined(batches)


def test_every_trade_comes_once_and_as_it_was(imported: Events, received: Events) -> None:
    sent, got = (tape[tape["kind"] == Kind.TRADE] for tape in (imported, received))
    assert len(got) > 1_000
    assert len(np.unique(got["id"])) == len(got)
    live = got[(got["flags"] & Flag.BACKFILLED) == 0]
    assert (np.diff(live["id"]) == 1).all() or set(live["id"].tolist()) <= set(sent["id"].tolist())
    between = sent[(sent["id"] >= got["id"].min()) & (sent["id"] <= got["id"].max())]
    got = got[np.argsort(got["id"], kind="stable")]
    for column in ("id", "price", "qty", "side"):
        assert (between[column] == got[column]).all(), column
    shifts = got["ts_event"] - between["ts_event"]
    assert len(np.unique(shifts)) == 1  # all times moved by the same stretch


def test_the_book_is_the_same_at_every_update_id(imported: Events, received: Events) -> None:
    # a snapshot by REST has a thousand levels a side: what lies further out nobody who comes later can know
    told = received[(received["flags"] & Flag.FROM_SNAPSHOT) != 0]
    ranges = [told["price"][told["id"] == number] for number in np.unique(told["id"])]
    reach = (max(int(prices.min()) for prices in ranges), min(int(prices.max()) for prices in ranges))
    sent, got = Book(reach).digests(imported), Book(reach).digests(received)
    common = sorted(sent.keys() & got.keys())
    assert len(common) > 500
    assert [number for number in common if sent[number] != got[number]] == []
    # none between the first and the last is missing
    assert [number for number in sent if common[0] <= number <= common[-1]] == common


class Book:
    """A book of Binance's futures, folded naively by the venue's rules; only prices within `reach` are looked at."""

    def __init__(self, reach: tuple[int, int]) -> None:
        self._low, self._high = reach
        self._levels: dict[tuple[int, int], int] = {}
        self._digest, self._last, self._is_fresh = 0, -1, False
        self._found: dict[int, int] = {}

    def digests(self, tape: Events) -> dict[int, int]:
        """Return a digest of the whole book after each frame that continues it, by update id."""
        rows = tape[(tape["kind"] == Kind.LEVEL) | (tape["kind"] == Kind.SNAPSHOT)]
        kept: list[tuple[int, int, int, list[tuple[int, int, int]]]] = []
        frame: list[tuple[int, int, int]] = []
        columns = ["kind", "side", "flags", "price", "qty", "id", "aux", "aux2"]
        for kind, side, flags, price, qty, number, first, previous in rows[columns].tolist():
            if kind == Kind.SNAPSHOT:
                self._levels.clear()
                self._digest, self._last, self._is_fresh = 0, number, True
                continue
            if not flags & Flag.EMPTY:
                frame.append((side, price, qty))
            if not flags & Flag.LAST:
                continue
            if flags & Flag.FROM_SNAPSHOT:
                self._put(frame)
                self._found[self._last] = self._digest
                # what came before the snapshot and lies behind it is played over it
                for known in kept:
                    self._follow(*known)
            else:
                kept = [*kept[-2_000:], (number, first, previous, frame)]
                self._follow(number, first, previous, frame)
            frame = []
        return self._found

    def _follow(self, number: int, first: int, previous: int, frame: list[tuple[int, int, int]]) -> None:
        straddles = self._is_fresh and first <= self._last <= number
        if self._last >= 0 and number >= self._last and (previous == self._last or straddles):
            self._put(frame)
            self._last, self._is_fresh = number, False
            self._found[number] = self._digest

    def _put(self, frame: list[tuple[int, int, int]]) -> None:
        for side, price, qty in frame:
            if not self._low <= price <= self._high:
                continue
            old = self._levels.pop((side, price), 0)
            if old:
                self._digest ^= hash((side, price, old))
            if qty:
                self._levels[side, price] = qty
                self._digest ^= hash((side, price, qty))
