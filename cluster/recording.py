"""`spyhop data record`: what venues send, into a lake."""

from __future__ import annotations

import asyncio

import msgspec

from cluster.commands import Loaded, print_json, stdout
from cluster.origins import announce, reached
from cluster.terminal import Meter, stopping
from spyhop.clock import WallClock
from spyhop.model.instruments import Instrument
from spyhop.model.raw import RawKeeper
from spyhop.ports import Feed
from spyhop.wiring import recorder
from spyhop.wiring.raw_import import RawSettings
from spyhop.wiring.recorder import RecordProgress
from spyhop.wiring.venues import listed, live_feed


class Recorded(msgspec.Struct, frozen=True):
    """What a recording came to."""

    out: str
    seconds: float
    num_events: int
    num_gaps: int
    num_raw: int
    num_raw_shed: int


def record(loaded: Loaded, venues: str, out: str, *, seconds: float, is_raw: bool, as_json: bool) -> None:
    """Record for `seconds` (0: until Ctrl-C) into `out` and say what it came to."""
    settings = loaded.settings
    with reached(venues, settings) as endpoints, stopping() as stop:
        announce(endpoints)
        listing = asyncio.run(listed(endpoints, settings.session.symbols))

        def opened(instrument: Instrument, raw: RawKeeper | None) -> Feed:
            return live_feed(instrument, endpoints, settings.feeds, listing.limits, seed=settings.session.seed, raw=raw)

        with Meter(f"recording into {out}", WallClock()) as meter:

            def show(progress: RecordProgress) -> None:
                rate = sum(feed.events_per_s for feed in progress.feeds)
                lag = max((feed.lag_ms for feed in progress.feeds), default=0.0)
                gaps = sum(feed.num_gaps for feed in progress.feeds)
                said = f"{progress.num_events:,} events  {rate:,.0f}/s  {lag:,.0f} ms behind  {gaps} gaps"
                meter.show(round(progress.seconds), round(seconds) or round(progress.seconds), said)

            last = recorder.record(
                listing.instruments,
                opened,
                out,
                endpoints.clock.clock(),
                raw=RawSettings(endpoints, settings.feeds) if is_raw else None,
                seconds=seconds,
                on_progress=show,
                should_stop=stop,
            )
    done = Recorded(
        out=out,
        seconds=last.seconds,
        num_events=last.num_events,
        num_gaps=sum(feed.num_gaps for feed in last.feeds),
        num_raw=last.num_raw,
        num_raw_shed=last.num_raw_shed,
    )
    if as_json:
        print_json(done)
        return
    console = stdout()
    console.print(
        f"{done.num_events:,} events in {done.seconds:,.0f} s, {done.num_gaps} gaps, {done.num_raw:,} raw records"
    )
    console.print(f"kept in {out}; see: spyhop data ls --lake {out}/lake", style="dim")
