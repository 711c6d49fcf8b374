"""The recorder against a scripted venue on loopback: what it says is a function of its clock, so any hole shows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from aiohttp import WSMsgType, web

from spyhop.clock import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S, EventClock, WallClock
from spyhop.errors import StorageFailed
from spyhop.model import tape
from spyhop.model.instruments import Instrument
from spyhop.model.raw import Mark, RawKeeper, RawKind, RawRecord
from spyhop.model.tape import Events, Flag, Kind, Status, Venue
from spyhop.ports import Feed
from spyhop.storage.lake import END_OF_TIME, Lake
from spyhop.storage.raw_frames import mark_of, read_frames, segments
from spyhop.venues.endpoints import LIVE, BinanceEndpoints, ClockSpec, Endpoints
from spyhop.venues.live.feed import Place
from spyhop.venues.params import FeedParams
from spyhop.wiring.data import import_data
from spyhop.wiring.raw_import import RawSettings
from spyhop.wiring.recorder import RecordProgress, record

BTC = Instrument(
    id=0, venue=Venue.BINANCE_SPOT, symbol="BTCUSDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.00001")
)
SPEED = 30.0
START = 28_900_000 * NS_PER_MINUTE
STEP_MS = 250  # one trade and one update of the book every so often
FIRST = START // NS_PER_MS // STEP_MS - 1_000_000


class Script:
    """Binance spot, one trade every STEP_MS; trade, quote and book of a moment depend on the moment alone."""

    def __init__(self) -> None:
        self.spec = ClockSpec(WallClock().now_ns(), START, SPEED)
        self.clock = self.spec.clock()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def newest(self) -> int:
        return self.clock.now_ns() // NS_PER_MS // STEP_MS - FIRST

    def ms(self, number: int) -> int:
        return (number + FIRST) * STEP_MS

    def price(self, number: int) -> Decimal:
        return Decimal(60_000) + Decimal(number * 37 % 200) / 100

    def trade(self, number: int) -> dict[str, Any]:
        price = f"{self.price(number):.2f}"
        return {"a": number, "p": price, "q": "0.50000", "f": number, "l": number, "T": self.ms(number), "m": False}

    def bar(self, minute: int) -> list[Any]:
        first = -(-minute * 60_000 // STEP_MS) - FIRST
        prices = [self.price(number) for number in range(first, first + 60_000 // STEP_MS)]
        told = [f"{price:.2f}" for price in (prices[0], max(prices), min(prices), prices[-1])]
        return [minute * 60_000, *told, "120.00000", minute * 60_000 + 59_999, "7200000.0", 240, "1.0", "60000.0", "0"]

    async def on_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        speaker = asyncio.create_task(self._speak(socket))
        async for message in socket:
            if message.type in (WSMsgType.CLOSE, WSMsgType.ERROR):
                break
        speaker.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await speaker
        return socket

    async def _speak(self, socket: web.WebSocketResponse) -> None:
        said = self.newest()
        while True:
            newest = self.newest()
            for number in range(said + 1, newest + 1):
                for stream, data in self._frames(number):
                    await socket.send_str(json.dumps({"stream": f"btcusdt@{stream}", "data": data}))
            said = newest
            await asyncio.sleep(0.01)

    def _frames(self, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
        price, ms, u = self.price(number), self.ms(number), 10 * number
        yield "aggTrade", {"e": "aggTrade", "E": ms, "s": "BTCUSDT", "M": True, **self.trade(number)}
        yield "bookTicker", {
            "u": u, "s": "BTCUSDT", "b": f"{price - 1:.2f}", "B": "1.00000", "a": f"{price + 1:.2f}", "A": "2.00000",
        }  # fmt: skip
        yield "depth@100ms", {
            "e": "depthUpdate", "E": ms, "s": "BTCUSDT", "U": u - 9, "u": u,
            "b": [["59000.00", f"{number % 50 + 1}.00000"]], "a": [["61000.00", f"{number % 70 + 1}.00000"]],
        }  # fmt: skip
        minute = ms // 60_000
        if ms // 60_000 != self.ms(number - 1) // 60_000:
            o, h, low, c = (self.bar(minute - 1)[k] for k in range(1, 5))
            bar = {
                "t": (minute - 1) * 60_000, "T": minute * 60_000 - 1, "s": "BTCUSDT", "i": "1m", "f": 1, "L": 240,
                "o": o, "h": h, "l": low, "c": c, "v": "120.00000", "n": 240, "x": True, "q": "7200000.0",
                "V": "1.0", "Q": "60000.0", "B": "0",
            }  # fmt: skip
            yield "kline_1m", {"e": "kline", "E": ms, "s": "BTCUSDT", "k": bar}

    async def on_rest(self, request: web.Request) -> web.Response:
        query, newest = request.query, self.newest()
        body: Any
        match request.path.removeprefix("/api/v3/"):
            case "time":
                body = {"serverTime": self.clock.now_ns() // NS_PER_MS}
            case "depth":
                levels = {"bids": [["59000.00", "1.00000"]], "asks": [["61000.00", "1.00000"]]}
                body = {"lastUpdateId": 10 * newest, **levels}
            case "aggTrades":
                first = newest - 499
                if "fromId" in query or "startTime" in query:
                    first = int(query.get("fromId", 0)) or -(-int(query["startTime"]) // STEP_MS) - FIRST
                body = [self.trade(k) for k in range(first, min(first + 1_000, newest + 1))]
            case "klines":
                minute = self.ms(newest) // 60_000
                count = int(query["limit"]) if query["interval"] == "1m" else 0
                body = [self.bar(minute - k) for k in range(count)][::-1]
            case _:
                return web.json_response({"code": -1, "msg": "no such path"}, status=404)
        return web.json_response(body)

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_get("/stream", self.on_socket)
        app.router.add_get("/{path:api/.*}", self.on_rest)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def __enter__(self) -> Script:
        self._thread.start()
        self._ready.wait(5)
        return self

    def __exit__(self, *rest: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    @property
    def endpoints(self) -> Endpoints:
        spot = BinanceEndpoints(f"http://127.0.0.1:{self.port}", f"ws://127.0.0.1:{self.port}")
        return msgspec.structs.replace(LIVE, binance_spot=spot, clock=self.spec, is_simulated=True)


RECORDER = """
import sys
import msgspec
from spyhop.model.instruments import Instrument
from spyhop.venues.endpoints import Endpoints
from spyhop.venues.live.feed import Place
from spyhop.venues.params import FeedParams
from spyhop.wiring.raw_import import RawSettings
from spyhop.wiring.recorder import record
from spyhop.wiring.venues import live_feed
endpoints = msgspec.json.decode(sys.argv[1], type=Endpoints)
instrument = msgspec.json.decode(sys.argv[2], type=Instrument)
params = FeedParams(
    first_message_seconds=3600.0, silence_seconds=3600.0, stale_seconds=600.0, kline_stale_seconds=600.0
)
last = record(
    [instrument],
    lambda one, raw: live_feed(one, endpoints, params, raw=raw),
    sys.argv[3],
    endpoints.clock.clock(),
    raw=RawSettings(endpoints, params),
    seconds=float(sys.argv[4]),
    on_progress=lambda progress: print(progress.num_events, flush=True),
)
print("done", last.num_events, flush=True)
"""


def start(script: Script, out: Path, seconds: float) -> subprocess.Popen[str]:
    arguments = [msgspec.json.encode(script.endpoints).decode(), msgspec.json.encode(BTC).decode(), str(out)]
    return subprocess.Popen(
        [sys.executable, "-c", RECORDER, *arguments, str(seconds)], stdout=subprocess.PIPE, text=True
    )


def wait_for_events(child: subprocess.Popen[str], at_least: int) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) >= at_least:
            return
    raise AssertionError("the recorder ended")


def scanned(lake: Path, channels: tuple[str, ...] = ()) -> Events:
    return tape.joined(list(Lake(lake).scan(BTC.key, 0, END_OF_TIME, channels)))


@pytest.mark.slow
def test_killed_and_started_again_it_misses_a_second_at_most_marks_it_and_repeats_nothing(tmp_path: Path) -> None:
    with Script() as script:
        child = start(script, tmp_path, 0.0)
        wait_for_events(child, 3_000)  # some minutes of the venue's time
        child.send_signal(signal.SIGKILL)
        killed = script.clock.now_ns()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
        assert not (tmp_path / "lake" / "_imports").exists()
        child = start(script, tmp_path, 240.0)
        out, _ = child.communicate(timeout=60)
        assert child.returncode == 0, out
        assert out.splitlines()[-1].startswith("done")
        restarted = scanned(tmp_path / "lake", ("status",))

    gaps = restarted[restarted["aux"] == Status.GAP]
    assert len(gaps) == 1
    rows = scanned(tmp_path / "lake")
    before = rows[(rows["ts_recv"] < gaps["ts_recv"][0]) & (rows["kind"] != Kind.STATUS)]
    assert killed - before["ts_recv"][-1] < SPEED * NS_PER_S
    assert gaps["aux2"][0] == gaps["ts_recv"][0] - before["ts_recv"][-1]

    trades = rows["id"][rows["kind"] == Kind.TRADE]
    assert np.sort(trades).tolist() == list(range(trades.min(), trades.max() + 1))
    is_bar = (rows["kind"] == Kind.BAR_OPEN) & ((rows["flags"] & int(Flag.PARTIAL)) == 0)
    minutes = rows["id"][is_bar & (rows["interval_s"] == 60)] // NS_PER_MINUTE
    assert len(minutes) > 120
    assert np.diff(minutes).tolist() == [1] * (len(minutes) - 1)

    raw = [one for path in segments(tmp_path / "raw") for one in read_frames(path)]
    frames = [one for one in raw if one.kind in (RawKind.FRAME, RawKind.MORE)]
    (cut,) = [one for one in raw if (mark := mark_of(one)) is not None and mark.what == "cut"]
    assert killed - max(one.ts for one in frames if one.ts < cut.ts) < SPEED * NS_PER_S
    assert {one.connection for one in frames} == {1}

    import_data([tmp_path / "raw"], str(tmp_path / "again"))
    again = scanned(tmp_path / "again")
    # the tape and the raw frames are flushed one after the other, so right before the kill one of them may have more
    flushed = min(max(one.ts for one in frames if one.ts < cut.ts), int(before["ts_recv"][-1]))
    both = [
        one[(one["kind"] != Kind.STATUS) & ((one["ts_recv"] < flushed) | (one["ts_recv"] > gaps["ts_recv"][0]))]
        for one in (rows, again)
    ]
    columns = ["kind", "flags", "id", "price", "qty", "aux", "aux2", "ts_event"]
    told, retold = [one[columns][one["flags"] & int(Flag.BACKFILLED) == 0].tolist() for one in both]
    # what came at the very end and was not taken any more is among the raw frames alone
    assert retold[: len(told)] == told
    assert len(retold) - len(told) < 2 * SPEED * 1_000 / STEP_MS * 4
    # and what one of them had heard was a repeat to it when REST told it again
    anything = [set(one[[name for name in columns if name != "flags"]].tolist()) for one in (both[0], again)]
    assert anything[1] >= anything[0]


class Told:
    """A feed that says what it was given, then ends or fails; its clock moves with it."""

    def __init__(self, batches: list[Events], clock: EventClock, failure: Exception | None = None) -> None:
        self._batches, self._clock, self._failure = batches, clock, failure
        self.restored = b""

    def next_batch(self) -> Events | None:
        if not self._batches:
            if self._failure is not None:
                raise self._failure
            return None
        batch = self._batches.pop(0)
        if len(batch):
            self._clock.advance(max(0, int(batch["ts_recv"][-1]) - self._clock.now_ns()))
        return batch

    def snapshot(self) -> bytes:
        return b""

    def restore(self, snapshot: bytes) -> None:
        self.restored = snapshot


ETH = msgspec.structs.replace(BTC, symbol="ETHUSDT")


def trades(*ids: int, after: int = START) -> Events:
    rows = tape.empty(len(ids))
    rows["kind"], rows["id"], rows["price"], rows["qty"] = Kind.TRADE, ids, 5, 7
    rows["ts_recv"] = rows["ts_event"] = after + np.array(ids)
    return rows


def recorded(out: Path, batches: list[Events], start: int = START, **rest: Any) -> tuple[Told, RecordProgress]:
    clock = EventClock(start)
    feed = Told(batches, clock)
    return feed, record([BTC], lambda instrument, raw: feed, str(out), clock, **rest)


def test_feeds_are_recorded_until_all_have_ended_and_counted(tmp_path: Path) -> None:
    clock = EventClock(START)
    timer = tape.event(Kind.TIMER, START + 3)
    feeds: dict[str, Feed] = {
        BTC.key: Told([trades(1, 2), tape.empty(), timer, trades(4)], clock),
        ETH.key: Told([trades(1)], clock),
    }
    last = record([BTC, ETH], lambda instrument, raw: feeds[instrument.key], str(tmp_path), clock)
    assert [(feed.key, feed.num_events) for feed in last.feeds] == [(BTC.key, 3), (ETH.key, 1)]
    assert last.num_events == 4
    lake = Lake(tmp_path / "lake")
    assert tape.joined(list(lake.scan(BTC.key, 0, END_OF_TIME)))["id"].tolist() == [1, 2, 4]
    assert tape.joined(list(lake.scan(ETH.key, 0, END_OF_TIME)))["id"].tolist() == [1]
    assert not (tmp_path / "raw").exists()


def test_it_stops_when_the_time_is_over_and_when_it_is_told_to(tmp_path: Path) -> None:
    batches = [trades(k, after=START + k * NS_PER_S) for k in range(1, 50)]
    _, last = recorded(tmp_path / "a", batches.copy(), seconds=10.0)
    assert last.num_events == 49  # what is there when the time is over is taken still
    said: list[int] = []

    def stop() -> bool:
        said.append(1)
        return len(said) > 5

    feed, _ = recorded(tmp_path / "b", [tape.empty()] * 50, should_stop=stop)
    assert len(said) == 6
    assert feed.next_batch() is not None


def test_a_feed_that_fails_ends_the_recording_with_all_that_came_before_in_the_lake(tmp_path: Path) -> None:
    clock = EventClock(START)
    feed = Told([trades(1, 2)], clock, failure=ZeroDivisionError("defect"))
    with pytest.raises(ZeroDivisionError):
        record([BTC], lambda instrument, raw: feed, str(tmp_path), clock)
    assert scanned(tmp_path / "lake")["id"].tolist() == [1, 2]


def test_a_recording_that_goes_on_tells_the_feed_where_the_tape_ended(tmp_path: Path) -> None:
    first, _ = recorded(tmp_path, [trades(3, 8)])
    assert first.restored == b""
    again, _ = recorded(tmp_path, [trades(20)], START + 10)
    place = msgspec.msgpack.decode(again.restored, type=Place)
    assert (place.ts_recv, place.trade_id, place.ts_trade) == (START + 8, 8, START + 8)
    rows = scanned(tmp_path / "lake")
    assert rows["kind"].tolist() == [Kind.TRADE, Kind.TRADE, Kind.STATUS, Kind.TRADE]
    assert rows["aux2"][2] == 12
    earlier, _ = recorded(tmp_path, [trades(1, after=START - NS_PER_HOUR)], START - NS_PER_HOUR)
    assert earlier.restored == b""


@pytest.mark.slow
def test_every_hour_is_brought_into_the_lake_while_the_recording_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spyhop.wiring.recorder.FLUSH_NS", 0)
    seen: list[int] = []

    def stop() -> bool:
        seen.append(len(Lake(tmp_path / "lake").sources()))
        return False

    hour = START + NS_PER_HOUR
    batches = [trades(1), trades(2, after=hour), *[tape.empty()] * 30, trades(3, after=hour)]
    recorded(tmp_path, batches, should_stop=stop)
    assert 1 in seen
    assert len(Lake(tmp_path / "lake").sources()) == 2
    assert scanned(tmp_path / "lake")["id"].tolist() == [1, 2, 3]


def test_two_recorders_cannot_have_one_folder(tmp_path: Path) -> None:
    def again(instrument: Instrument, raw: RawKeeper | None) -> Feed:
        record([BTC], again, str(tmp_path), EventClock(START))
        raise AssertionError

    with pytest.raises(StorageFailed, match="another recorder"):
        record([BTC], again, str(tmp_path), EventClock(START))


def test_raw_records_that_a_feed_adds_are_kept_with_the_settings_of_the_recording(tmp_path: Path) -> None:
    clock = EventClock(START)

    def open_feed(instrument: Instrument, raw: RawKeeper | None) -> Feed:
        assert raw is not None
        raw.add(RawRecord(RawKind.FRAME, START, instrument.key, "streams", 1, b"{}"))
        return Told([trades(1)], clock)

    settings = RawSettings(LIVE, FeedParams(trades="trade"))
    last = record([BTC], open_feed, str(tmp_path), clock, raw=settings)
    (path,) = segments(tmp_path / "raw")
    begin, frame, end = read_frames(path)
    mark = mark_of(begin)
    assert mark is not None
    assert msgspec.convert(mark.settings, RawSettings) == settings
    assert (mark.instruments, frame.data, mark_of(end)) == ((BTC,), b"{}", Mark("end"))
    assert last.num_raw == 1
