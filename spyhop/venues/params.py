"""The settings of live feeds. Those of the source manager keep the names they were asked for under."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from spyhop.errors import InvalidSetting

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class FeedParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a live feed judges its sources, how often it asks by REST, and how much it holds. Seconds of market time."""

    data_source_preferred: Literal["ws", "rest"] = "ws"
    stale_seconds: Seconds = 5.0
    """A price older than this sends the feed to REST."""
    kline_stale_seconds: Seconds = 30.0
    """How late the close of a one-minute bar may be, counted from when it was due."""
    ws_backoff_min: Seconds = 1.0
    ws_backoff_max: Seconds = 60.0
    ws_recover_good_ticks: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 3
    state_sync_klines: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 120
    rest_price_poll_seconds: Seconds = 1.0
    rest_kline_poll_seconds: Seconds = 10.0
    premiumindex_poll_seconds: Seconds = 10.0
    funding_poll_seconds: Seconds = 60.0
    oi_poll_seconds: Seconds = 10.0
    ratio_poll_seconds: Seconds = 300.0
    clock_poll_seconds: Seconds = 30.0
    health_seconds: Seconds = 60.0
    """How often a feed sums itself up in the log."""
    first_message_seconds: Seconds = 10.0
    """A stream that was subscribed to and says nothing for so long is on the wrong route or dead."""
    silence_seconds: Seconds = 30.0
    """Longest pause of a stream that always speaks (book, best price); quieter ones are judged by price and bar."""
    rollover_hours: Annotated[float, msgspec.Meta(gt=0, lt=24)] = 23.0
    book_resync_seconds: Annotated[float, msgspec.Meta(ge=0)] = 600.0
    """How often a dYdX book is subscribed to anew, because its stream drifts; 0 = never."""
    max_queued_events: Annotated[int, msgspec.Meta(ge=1_000)] = 200_000
    """What a feed holds while nobody takes it: then quotes are merged, then the oldest is shed and a gap marked."""
    trades: Literal["aggTrade", "trade"] = "aggTrade"
    """Which of Binance's two trade streams is the tape; the other one is not subscribed to."""
    depth: Literal["diff", "depth5", "depth10", "depth20", "none"] = "diff"

    def __post_init__(self) -> None:
        if self.ws_backoff_min > self.ws_backoff_max:
            raise InvalidSetting("feeds.ws_backoff_min", "must not be above feeds.ws_backoff_max")
