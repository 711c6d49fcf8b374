"""A venue simulator, live feeds that listen to it, and what the venue knows afterwards to hold their tapes against.

`Room` starts the simulator in a process of its own and opens feeds over real sockets. Each feed's tape is folded by
the detectors as it comes. `truth` asks the venue, by requests written here and not by the client under test, for its
minutes and trades; `compare` says what a tape lacks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from cluster.origins import simulator
from spyhop.clock import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from spyhop.detectors.stage import DetectionStage
from spyhop.detectors.state import DetectionParams
from spyhop.model.instruments import Instrument
from spyhop.model.rows import Health, Rows
from spyhop.model.tape import Events, Flag, Kind, Venue, joined
from spyhop.venues.adapter import Adapter
from spyhop.venues.binance.limits import weigh
from spyhop.venues.dydx import limits as dydx_limits
from spyhop.venues.dydx.numbers import packed_event_id
from spyhop.venues.dydx.reader import REPEATED
from spyhop.venues.endpoints import Endpoints
from spyhop.venues.live.feed import Client, LiveFeed
from spyhop.venues.net import sockets
from spyhop.venues.net.https import HttpClient
from spyhop.venues.net.limits import SharedBudget
from spyhop.venues.net.transport import Dial, Http, Response, Socket
from spyhop.venues.params import FeedParams
from spyhop.venuesim.faults import FaultKind, unreachable
from spyhop.wiring.adapters import adapter_of
from spyhop.wiring.kernels import prepare
from spyhop.wiring.venues import Listing, budget_path, listed

USDM, SPOT, DYDX = "binance-usdm:BTCUSDT", "binance-spot:BTCUSDT", "dydx:BTC-USD"
UNUSABLE = int(Health.NO_BOOK | Health.CROSSED | Health.STALE_BOOK)
_POLL_S = 0.01
_MAX_BATCHES = 16
_PARTIAL = int(Flag.PARTIAL)
_KEPT = (Kind.TRADE, Kind.BAR_OPEN, Kind.BAR_CLOSE, Kind.STATUS)


class Gate:
    """The way to a venue; while `fault` is TLS or DNS failure, nothing that dials or asks gets there."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self.fault: FaultKind | None = None

    def url(self, url: str) -> str:
        """Return where `url` leads now."""
        if self.fault is None:
            return url
        bad = unreachable(self._endpoints, self.fault)
        for group in ("binance_usdm", "binance_spot", "dydx"):
            for good, spoilt in zip(
                msgspec.structs.astuple(getattr(self._endpoints, group)),
                msgspec.structs.astuple(getattr(bad, group)),
                strict=True,
            ):
                if good and url.startswith(good):
                    return str(spoilt) + url[len(good) :]
        return url

    def dial(self, inner: Dial) -> Dial:
        """Return `inner` behind the gate."""

        async def dial(url: str) -> Socket:
            return await inner(self.url(url))

        return dial


class GatedHttp:
    """Requests behind a gate; an Http."""

    def __init__(self, inner: Http, gate: Gate) -> None:
        self._inner, self._gate = inner, gate

    async def request(
        self, method: str, url: str, params: Mapping[str, str | int] | None = None, *, timeout_s: float = 10.0
    ) -> Response:
        return await self._inner.request(method, self._gate.url(url), params, timeout_s=timeout_s)

    async def close(self) -> None:
        await self._inner.close()


class Watched:
    """One feed, trades, bars and status rows of the tape it made, and the rows that the detectors made of it."""

    def __init__(self, instrument: Instrument, endpoints: Endpoints, params: FeedParams, listing: Listing) -> None:
        self.instrument, self.clock = instrument, endpoints.clock.clock()
        self.key = instrument.key
        self.gate = Gate(endpoints)
        self.adapter: Adapter | None = None
        self.batches: list[Events] = []
        self.rows: list[Rows] = []
        self.num_events = 0
        self.is_read = True
        self.longest_queue = 0.0
        self.num_crossed_quotes = 0
        self._stage = DetectionStage(instrument, DetectionParams())
        limits = listing.limits.get(instrument.venue.label, ())

        async def build() -> Client:
            if instrument.venue is Venue.DYDX:
                http = dydx_limits.client(self.clock, budget_path(endpoints, endpoints.dydx.indexer))
            else:
                is_spot = instrument.venue is Venue.BINANCE_SPOT
                base = (endpoints.binance_spot if is_spot else endpoints.binance_usdm).rest
                path = budget_path(endpoints, base)
                budget = SharedBudget(self.clock, limits, path, name=instrument.venue.label)
                http = HttpClient(self.clock, budget=budget, weigh=weigh)
            self.adapter = adapter_of(instrument, endpoints, params, GatedHttp(http, self.gate))
            return Client(self.adapter, self.gate.dial(sockets.connect(self.clock)), http.close)

        self.feed = LiveFeed(build, params, self.clock, instrument, seed=instrument.id)

    @property
    def statistics(self) -> dict[str, float]:
        """Return the feed's counters, with those of an adapter that has its own."""
        told = getattr(self.adapter, "statistics", dict)()
        session = self.feed._session
        repeats = session.intake.reasons[REPEATED] if session is not None else 0
        return {**told, **self.feed.statistics(), "repeated_messages": float(repeats)}

    def read(self) -> int:
        """Take what has arrived; return how many events that were."""
        taken = 0
        for _ in range(_MAX_BATCHES):  # on a busy machine there is always more: others want to be read as well
            if not self.is_read or (batch := self.feed.next_batch()) is None or not len(batch):
                break
            taken += len(batch)
            self.rows.append(self._stage.on(batch))
            quotes = batch[batch["kind"] == Kind.QUOTE]
            self.num_crossed_quotes += int(np.count_nonzero(quotes["price"] >= quotes["aux"]))
            self.batches.append(batch[np.isin(batch["kind"], _KEPT)])
        self.num_events += taken
        self.longest_queue = max(self.longest_queue, self.feed.statistics()["queued"])
        return taken

    def tape(self, start: int = 0, end: int = 1 << 62) -> Events:
        """Return what is kept of the tape with start <= ts_recv < end."""
        tape = joined(self.batches)
        self.batches = [tape]
        stamps = tape["ts_recv"]
        return tape[np.searchsorted(stamps, start) : np.searchsorted(stamps, end)]

    def seen(self, start: int = 0, end: int = 1 << 62) -> Rows:
        """Return the detectors' rows with start <= ts < end."""
        rows = np.concatenate(self.rows)
        self.rows = [rows]
        return rows[(rows["ts"] >= start) & (rows["ts"] < end)]

    def forget(self, before: int) -> None:
        """Keep nothing of the tape and the rows from before a time."""
        self.batches, self.rows = [self.tape(before).copy()], [self.seen(before).copy()]

    @property
    def num_crossed_books(self) -> float:
        """Return after how many frames the consumer's book was crossed."""
        return self._stage.statistics()["sequence.crossed"]

    @property
    def is_well(self) -> bool:
        """Say whether the feed is on WebSocket, with every socket open, nothing missing and a book that can be used."""
        about = self.feed.statistics()
        if any(about.get(name, 1.0) for name in ("mode", "sockets_down", "held_bars")):
            return False
        session = self.feed._session
        if session is None or session.intake.dedup.has_hole or about["price_age_ms"] > 3_000:
            return False
        newest = next((rows[-1] for rows in reversed(self.rows) if len(rows)), None)
        is_late = newest is None or self.clock.now_ns() - int(newest["ts"]) > 4 * NS_PER_S
        return not is_late and not int(newest["health"]) & UNUSABLE


class Room:
    """A simulator and the feeds called `names`, read by `run` and `until`; close it by leaving the block."""

    def __init__(self, endpoints: Endpoints, names: Sequence[str], params: FeedParams) -> None:
        prepare()
        self.endpoints = endpoints
        self.clock = endpoints.clock.clock()
        listing = asyncio.run(listed(endpoints, names))
        self.feeds = {one.key: Watched(one, endpoints, params, listing) for one in listing.instruments}
        self.start = self.clock.now_ns()

    def run(self, seconds: float) -> None:
        """Let `seconds` of market time pass."""
        self.until(lambda: False, seconds)

    def until(self, is_reached: Callable[[], bool], seconds: float) -> float:
        """Read until `is_reached`, for `seconds` of market time at most; return how many have passed."""
        start = self.clock.now_ns()
        while (passed := (self.clock.now_ns() - start) / NS_PER_S) < seconds:
            if not sum([feed.read() for feed in self.feeds.values()]):
                time.sleep(_POLL_S)
            if is_reached():
                break
        return passed

    def inject(self, *faults: Mapping[str, Any]) -> None:
        """Let faults begin, or begin after their `after_s`."""
        self._admin("POST", "/faults", json.dumps(faults).encode())

    def clear(self) -> None:
        """End all faults."""
        self._admin("DELETE", "/faults")

    def hits(self) -> int:
        """Return how often the faults that are known have struck."""
        return sum(one["num_hits"] for one in self._admin("GET", "/faults"))

    def state(self) -> Any:
        """Return what the simulator says of itself."""
        return self._admin("GET", "/state")

    def close(self) -> None:
        """Close every feed."""
        for watched in self.feeds.values():
            watched.feed.close()

    def _admin(self, method: str, path: str, body: bytes | None = None) -> Any:
        return ask(self.endpoints.admin + path, method=method, body=body)


@contextlib.contextmanager
def room(
    names: Sequence[str], *, speed: float, seed: int, params: FeedParams | None = None, calm_s: float = 120.0
) -> Iterator[Room]:
    """Yield a room whose feeds are well."""
    with simulator(["--symbols", "BTCUSDT", "--speed", str(speed), "--seed", str(seed)]) as endpoints:
        opened = Room(endpoints, names, params or FeedParams())
        try:
            opened.until(lambda: all(feed.is_well for feed in opened.feeds.values()), calm_s)
            yield opened
        finally:
            opened.close()


def ask(
    url: str, query: Mapping[str, Any] | None = None, *, method: str = "GET", body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:  # fmt: skip
    """Return the JSON that a venue answers; raises urllib.error.HTTPError from 400 on."""
    whole = f"{url}?{urllib.parse.urlencode(query)}" if query else url
    request = urllib.request.Request(whole, data=body, method=method, headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


class Truth(msgspec.Struct):
    """What the venue knows: closed minutes by open time with (open, high, low, close, volume), trades by tape id."""

    minutes: dict[int, tuple[int, int, int, int, int]]
    trades: dict[int, tuple[int, int, int]]  # price, qty, ts_event


def truth(room: Room, watched: Watched, start: int, end: int) -> Truth:
    """Ask the venue for its minutes and trades with start <= time < end."""
    is_dydx = watched.instrument.venue is Venue.DYDX
    return _of_dydx(room, watched, start, end) if is_dydx else _of_binance(room, watched, start, end)


def _of_binance(room: Room, watched: Watched, start: int, end: int) -> Truth:
    one, is_spot = watched.instrument, watched.instrument.venue is Venue.BINANCE_SPOT
    base = f"{room.endpoints.binance_spot.rest}/api/v3" if is_spot else f"{room.endpoints.binance_usdm.rest}/fapi/v1"
    grid = _Grid(one)
    minutes, trades = {}, {}
    asked = {"symbol": one.symbol, "interval": "1m", "limit": 1_000, "startTime": start // NS_PER_MS}
    for row in ask(f"{base}/klines", asked):
        minutes[row[0] * NS_PER_MS] = (*map(grid.price, row[1:5]), grid.lots(row[5]))
    page = ask(f"{base}/aggTrades", {"symbol": one.symbol, "limit": 1_000, "startTime": start // NS_PER_MS})
    while page:
        for row in page:
            if row["T"] * NS_PER_MS < end:
                trades[row["a"]] = (grid.price(row["p"]), grid.lots(row["q"]), row["T"] * NS_PER_MS)
        if len(page) < 1_000 or page[-1]["T"] * NS_PER_MS >= end:
            break
        page = ask(f"{base}/aggTrades", {"symbol": one.symbol, "limit": 1_000, "fromId": page[-1]["a"] + 1})
    return Truth({at: bar for at, bar in minutes.items() if at + NS_PER_MINUTE <= end}, trades)


def _of_dydx(room: Room, watched: Watched, start: int, end: int) -> Truth:
    base, ticker, grid = room.endpoints.dydx.indexer, watched.instrument.symbol, _Grid(watched.instrument)
    minutes, trades = {}, {}
    url = f"{base}/candles/perpetualMarkets/{ticker}"
    for row in ask(url, {"resolution": "1MIN", "limit": 1_000})["candles"]:
        bar = tuple(grid.price(row[name]) for name in ("open", "high", "low", "close"))
        minutes[_moment(row["startedAt"])] = (*bar, grid.lots(row["baseTokenVolume"]))
    height = ""
    while True:
        query = {"limit": 1_000, **({"createdBeforeOrAtHeight": height} if height else {})}
        page = ask(f"{base}/trades/perpetualMarket/{ticker}", query)["trades"]
        for row in page:
            if start <= (at := _moment(row["createdAt"])) < end:
                trades[packed_event_id(row["id"])] = (grid.price(row["price"]), grid.lots(row["size"]), at)
        if len(page) < 1_000 or _moment(page[-1]["createdAt"]) < start or page[-1]["createdAtHeight"] == height:
            break
        height = page[-1]["createdAtHeight"]
    return Truth({at: bar for at, bar in minutes.items() if start <= at <= end - NS_PER_MINUTE}, trades)


class _Grid:
    def __init__(self, instrument: Instrument) -> None:
        self._tick, self._lot = instrument.tick_size, instrument.lot_size

    def price(self, text: str) -> int:
        return int(Decimal(text) / self._tick)

    def lots(self, text: str) -> int:
        return int(Decimal(text) / self._lot)


def _moment(text: str) -> int:
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1_000) * NS_PER_MS


class Comparison(msgspec.Struct, frozen=True):
    """How a tape differs from what its venue knows."""

    num_minutes: int
    missing_minutes: tuple[int, ...]
    wrong_minutes: tuple[int, ...]
    num_trades: int
    missing_trades: tuple[int, ...]
    wrong_trades: tuple[int, ...]
    num_duplicates: int


def compare(watched: Watched, known: Truth) -> Comparison:
    """Hold what is kept of a tape against what the venue knows; a minute is wrong if any part of its bar differs."""
    tape = watched.tape()
    closed = tape[(tape["interval_s"] == 60) & ((tape["flags"] & _PARTIAL) == 0)]
    opens, closes = closed[closed["kind"] == Kind.BAR_OPEN], closed[closed["kind"] == Kind.BAR_CLOSE]
    bars = {
        int(a["id"]): (int(a["price"]), int(a["aux"]), int(b["price"]), int(b["aux"]), int(a["qty"]))
        for a, b in zip(opens, closes, strict=True)
    }
    trades = tape[tape["kind"] == Kind.TRADE]
    ids = trades["id"]
    got = dict(zip(ids.tolist(), trades[["price", "qty"]].tolist(), strict=True))
    return Comparison(
        len(known.minutes),
        tuple(at for at in known.minutes if at not in bars),
        tuple(at for at, bar in known.minutes.items() if at in bars and bars[at] != bar),
        len(known.trades),
        tuple(number for number in known.trades if number not in got),
        tuple(number for number, (p, q, _) in known.trades.items() if number in got and got[number] != (p, q)),
        len(ids) - len(got) + len(opens) - len(bars),
    )


def bad_rows(rows: Rows, stale_s: float = 5.0) -> tuple[int, int]:
    """Return how many rows have a crossed top, and how many an old book, that their health does not tell of."""
    health = rows["health"]
    crossed = (rows["bid"] > 0) & (rows["ask"] > 0) & (rows["bid"] >= rows["ask"]) & ((health & UNUSABLE) == 0)
    is_old = rows["ts"] - rows["ts_book"] > int(stale_s * NS_PER_S)
    stale = is_old & ((health & int(Health.STALE_BOOK)) == 0)
    return int(np.count_nonzero(crossed)), int(np.count_nonzero(stale))
