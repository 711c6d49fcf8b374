"""What every event of a live feed passes on its way to the tape, and what the feed knows about itself.

Repeats are dropped (`dedup`), the source manager is told (`source`), status rows are made, and everything is counted.
Runs in the thread of the session's loop; only `statistics` may be called from another one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence

from spyhop.clock import NS_PER_MINUTE, NS_PER_MS, NS_PER_S, Clock
from spyhop.errors import VenueError
from spyhop.model import tape
from spyhop.model.tape import Events, Kind, Mode, Status, SwitchReason, Venue
from spyhop.venues.adapter import Adapter, Decoded
from spyhop.venues.live.clock_offset import ClockOffset
from spyhop.venues.live.dedup import Dedup
from spyhop.venues.live.link import Link
from spyhop.venues.live.queue import EventQueue
from spyhop.venues.live.source import (
    KlineClosed,
    PriceTick,
    RestFailed,
    RestPrice,
    SourceManager,
    StartSync,
    Stimulus,
    SwitchTo,
    Traded,
)
from spyhop.venues.net.transport import Frame
from spyhop.venues.params import FeedParams

log = logging.getLogger(__name__)

_ALWAYS_HAS_BARS = frozenset({Venue.BINANCE_USDM, Venue.BINANCE_SPOT, Venue.BINANCE_COINM})
_TICK_NS = NS_PER_S // 10
_MAX_REASONS = 64
_COUNTS = ("frames", "set_aside", "disconnects", "reconnects", "rollovers", "mute", "connect_failures")
_LONGEST = (
    "longest_price_gap_s",
    "last_detection_s",
    "longest_detection_s",
    "last_recovery_s",
    "longest_recovery_s",
)
_REST_COUNTS = ("rest_errors", "throttled", "polls", "books", "syncs", "gaps", "clock_changes")


class Intake:
    """The way into the tape of one instrument.

    `since` is the venue time from which on trades may be missing (ns, 0: none are); `sync_wanted`, `book_wanted` and
    `is_rest` are what the tasks of the REST side wait for.
    """

    def __init__(self, adapter: Adapter, params: FeedParams, clock: Clock, queue: EventQueue) -> None:
        self.adapter, self.params, self.clock, self.queue = adapter, params, clock, queue
        instrument = adapter.instrument
        is_binance = instrument.venue in _ALWAYS_HAS_BARS
        self.dedup = Dedup(has_contiguous_trades=is_binance and params.trades == "aggTrade")
        self.manager = SourceManager(params, instrument.key, has_silent_bars=not is_binance)
        self.offset = ClockOffset()
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        """Frames set aside or ignored, by reason."""
        self.since = 0
        self.num_bars = params.state_sync_klines
        self.sync_wanted = asyncio.Event()
        self.book_wanted = asyncio.Event()
        self.is_rest = asyncio.Event()
        self.is_syncing = False
        self._is_clock_told = False
        self._ts_left = 0  # when the preferred source was left
        self._ts_price = 0
        # all there from the start: another thread may be reading
        self._seconds = dict.fromkeys(_LONGEST, 0.0)

    def now(self) -> int:
        """Return the clock's time."""
        return self.clock.now_ns()

    def status(self, status: Status, **columns: int) -> None:
        """Put a STATUS row on the tape."""
        instrument = self.adapter.instrument
        self.queue.put(
            tape.event(Kind.STATUS, self.now(), aux=status, venue=instrument.venue, instrument=instrument.id, **columns)
        )

    def put(self, events: Events) -> None:
        """Put what is new of `events` on the tape and notice holes."""
        self.pass_on(self.dedup.admit(events))
        if self.dedup.has_hole and not self.is_syncing:
            self.sync_wanted.set()

    def pass_on(self, events: Events) -> None:
        """Put events on the tape as they are."""
        self.queue.put(events)

    def tell(self, stimulus: Stimulus) -> None:
        """Tell the source manager, and do what it says."""
        for instruction in self.manager.on(stimulus):
            match instruction:
                case SwitchTo():
                    self._switch(instruction)
                case StartSync(num_bars=num_bars):
                    self.num_bars = num_bars
                    self.sync_wanted.set()

    def on_frames(self, link: Link, frames: Sequence[Frame], decoded: Decoded) -> None:
        """Take what frames of one connection came to."""
        ts = frames[-1].ts_recv
        self.counts["frames"] += len(frames)
        link.hear(decoded.heard, ts)
        events = decoded.events
        if len(events):
            self.put(events)
            if link.prices.intersection(decoded.heard):
                self._on_price(ts)
            if self.dedup.ts_closed > self.manager.ts_kline:
                self.tell(KlineClosed(ts, self.dedup.ts_closed))
        for reason, frame in decoded.set_aside:
            self._set_aside(link.plan.name, reason, frame)
        for reason, count in decoded.ignored.items():
            self.reasons[reason] += count

    def on_rest(self, events: Events, *, is_price: bool) -> None:
        """Take the answer to a poll."""
        self.put(events)
        if is_price:
            now = self.now()
            self._note_price(now)
            self.tell(RestPrice(now))

    def on_rest_failed(self, what: str, error: VenueError, *, is_price: bool = False) -> None:
        """Count a request that did not succeed."""
        self.counts["rest_errors"] += 1
        log.info("%s: %s by REST failed: %s", self.adapter.instrument.key, what, error)
        if is_price:
            self.tell(RestFailed(self.now()))

    def on_loss(self, reason: SwitchReason, connection: int) -> None:
        """Note that a connection was lost: events are missing from here on."""
        self.counts["disconnects"] += 1
        self.since = min(self.since or self.now(), self.dedup.ts_trade or self.now())
        self.dedup.reset_book()
        self.status(Status.DISCONNECTED, id=reason, qty=connection)
        self.want_book()

    def want_book(self) -> None:
        """Ask for a snapshot: what is on the tape has made its readers forget the book."""
        if self.params.depth == "diff":
            self.book_wanted.set()

    def mark_gap(self, num_missing: int) -> None:
        """Say on the tape that events are missing for good."""
        self.counts["gaps"] += 1
        self.status(Status.GAP, qty=num_missing)
        self.want_book()

    def on_clock(self) -> None:
        """Write to the tape how far the venue's clock is ahead, if that is news."""
        news = self.offset.news()
        if news is None and self.offset.is_known and not self._is_clock_told:
            news = self.offset.offset_ns
        if news is not None:
            self._is_clock_told = True
            self.counts["clock_changes"] += 1
            self.status(Status.CLOCK, aux2=news)

    def _on_price(self, ts: int) -> None:
        has_price, is_unstamped, newest, ts_traded, *_ = self.dedup.facts.tolist()
        if not has_price:
            return
        self._note_price(ts)
        # while all is well a tick now and then says as much as every one
        if self.manager.mode is Mode.WS and ts - self.manager.ts_price < _TICK_NS:
            return
        # without a time of the venue a row carries ours, which says nothing about its clock
        if is_unstamped:
            ts_event = ts
        else:
            self.offset.on_frame(newest, ts)
            ts_event = newest - self.offset.offset_ns
        self.tell(PriceTick(ts, ts_event))
        if ts_traded:
            self.tell(Traded(ts, ts_traded))

    def _note_price(self, ts: int) -> None:
        if self._ts_price:
            self._note_longest("longest_price_gap_s", (ts - self._ts_price) / NS_PER_S)
        self._ts_price = ts

    def _note_longest(self, name: str, seconds: float) -> None:
        self._seconds[name] = max(self._seconds[name], seconds)

    def _switch(self, switch: SwitchTo) -> None:
        previous = switch.previous.name if switch.previous is not None else "NONE"
        if switch.mode is Mode.REST and switch.previous is not None:
            self._ts_left = switch.ts
            is_bar = switch.reason is SwitchReason.KLINE_STALE
            wanted_since = self.manager.kline_due - self.offset.offset_ns if is_bar else self.manager.ts_price
            detected = (switch.ts - wanted_since) / NS_PER_S
            self._seconds["last_detection_s"] = detected
            self._note_longest("longest_detection_s", detected)
        elif switch.mode is Mode.WS and self._ts_left:
            recovered = (switch.ts - self._ts_left) / NS_PER_S
            self._seconds["last_recovery_s"] = recovered
            self._note_longest("longest_recovery_s", recovered)
        if switch.mode is Mode.REST or self.params.data_source_preferred == "rest":
            self.is_rest.set()
        else:
            self.is_rest.clear()
        self.status(Status.SOURCE, qty=switch.mode, id=switch.reason)
        log.log(
            logging.INFO if switch.previous is None or switch.mode is Mode.WS else logging.WARNING,
            "%s: %s -> %s (%s)",
            switch.symbol,
            previous,
            switch.mode.name,
            switch.reason.name,
            extra={"from": previous, "to": switch.mode.name, "reason": switch.reason.name, "symbol": switch.symbol},
        )

    def _set_aside(self, socket: str, reason: str, frame: bytes) -> None:
        self.counts["set_aside"] += 1
        if reason not in self.reasons and len(self.reasons) >= _MAX_REASONS:
            reason = "other"
        elif reason not in self.reasons:
            log.warning("%s: frame of %s set aside: %s: %r", self.adapter.instrument.key, socket, reason, frame[:200])
        self.reasons[reason] += 1

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges by name; cheap, never blocks."""
        now, manager, dedup = self.now(), self.manager, self.dedup
        return {
            "mode": float(manager.mode),
            "price_age_ms": (now - self._ts_price) / NS_PER_MS if self._ts_price else 0.0,
            "kline_age_s": (now + self.offset.offset_ns - manager.ts_kline - NS_PER_MINUTE) / NS_PER_S,
            "switches": float(manager.num_switches),
            "sockets_down": float(len(manager.down)),
            "clock_offset_ms": self.offset.skew_ms,
            **{name: float(self.counts[name]) for name in _COUNTS + _REST_COUNTS},
            "duplicates": float(dedup.num_repeats),
            "trade_holes": float(dedup.num_trade_holes),
            "missing_trades": float(dedup.num_missing_trades),
            "held_bars": float(dedup.bars.num_held),
            "missing_bars": float(dedup.bars.num_missing),
            "silent_minutes": float(dedup.bars.num_silent),
            **self._seconds,
            **self.queue.statistics(),
        }
