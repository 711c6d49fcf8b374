"""Where the public tape of one instrument comes from: a recording, the generative market, or what follows another.

All are deterministic: the same seed or recording and the same start give the same rows however `read` is called.
What is generated has no end and needs bounded memory. A leader may be read by its followers, too: each reader has a
place of its own, and what one has pulled waits for the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Protocol

import msgspec
import numpy as np

from spyhop.clock import NS_PER_MINUTE
from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.tape import Events, Flag, Kind, Venue, joined
from spyhop.ports import Feed
from spyhop.simulation.feed import GenerativeFeed, MarketParams, usual_instrument
from spyhop.simulation.followers import SPOT, Follower, FollowerParams
from spyhop.storage.lake import END_OF_TIME, START_OF_TIME, Lake

_TIMES_IN_ID = (Kind.BAR_OPEN, Kind.BAR_CLOSE, Kind.MARK, Kind.FUNDING)


class Market(Protocol):
    """The public tape of one instrument in time order; the exchange numbers its rows."""

    instrument: Instrument

    def read(self, until: int) -> Events:
        """Return the rows with ts_recv <= `until` that were not returned before, in order; the caller may write."""
        ...


class Reader:
    """One place in a tape that several read."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self.waiting: deque[Events] = deque()

    def read(self, until: int) -> Events:
        """Return the rows with ts_recv <= `until` that this reader has not seen, as its own copy."""
        self._tape.pull(until)
        found: list[Events] = []
        while self.waiting and self.waiting[0]["ts_recv"][0] <= until:
            batch = self.waiting.popleft()
            cut = int(np.searchsorted(batch["ts_recv"], until, "right"))
            found.append(batch[:cut])
            if cut < len(batch):
                self.waiting.appendleft(batch[cut:])
        return joined(found)


class Tape:
    """An iterator of batches, in order of ts_recv, that any number of readers follow."""

    def __init__(self, batches: Iterator[Events]) -> None:
        self._batches = batches
        self._readers: list[Reader] = []
        self._reached = START_OF_TIME

    def reader(self) -> Reader:
        """Return a new place at the beginning; take all of them before the first row is read."""
        if self._reached != START_OF_TIME:
            raise ValueError("a tape that has begun takes no more readers")
        reader = Reader(self)
        self._readers.append(reader)
        return reader

    def pull(self, until: int) -> None:
        """Hand out batches until one reaches beyond `until` or there are no more."""
        while self._reached <= until:
            batch = next(self._batches, None)
            if batch is None:
                self._reached = END_OF_TIME
                return
            if len(batch):
                self._reached = int(batch["ts_recv"][-1])
                for reader in self._readers:
                    reader.waiting.append(batch)


class _Leader:
    """A market whose tape others may follow."""

    def __init__(self, instrument: Instrument, batches: Iterator[Events]) -> None:
        self.instrument = instrument
        self._tape = Tape(batches)
        self._own = self._tape.reader()

    def read(self, until: int) -> Events:
        """Return the rows up to `until`; see `Market.read`."""
        return self._own.read(until)

    def follow(self) -> Reader:
        """Return another place in the tape."""
        return self._tape.reader()


def generated_instrument(symbol: str) -> Instrument:
    """Return a made-up USDT-M perpetual with a grid usual for its price."""
    return msgspec.structs.replace(usual_instrument(symbol), venue=Venue.BINANCE_USDM)


class GeneratedMarket(_Leader):
    """The generative market of one USDT-M symbol from `start` on; see `simulation.feed`."""

    def __init__(
        self, symbol: str, seed: int, start: int, params: MarketParams | None = None, hours: float = 0.0
    ) -> None:
        instrument = generated_instrument(symbol)
        feed = GenerativeFeed(instrument, seed, start, params, hours)
        super().__init__(instrument, _batches(feed))


def _batches(feed: Feed) -> Iterator[Events]:
    while (batch := feed.next_batch()) is not None:
        yield batch


class LakeMarket(_Leader):
    """A recording, moved so that its first event stands at `start` (default: where it was recorded).

    Ids, prices and sizes are as recorded; all times, those in ids too, move by the same whole number of minutes, so
    that bars stay on their grid: the first event stands less than a minute after `start`. The first snapshot of the
    book is told at the very beginning, as a venue has its book before anybody listens: clients then see a snapshot
    newer than the first frames, and the usual rules join them.
    """

    def __init__(self, lake: Lake, name: str, start: int | None = None, channels: Sequence[str] = ()) -> None:
        instrument = lake.instrument(name)
        first, last = lake.span(instrument.key, channels)
        self.first, self.last = first, last
        self.shift = 0 if start is None else -((first - start) // NS_PER_MINUTE) * NS_PER_MINUTE
        scan = lake.scan(instrument.key, START_OF_TIME, END_OF_TIME, channels)
        super().__init__(instrument, _hoisted(_shifted(batch, self.shift) for batch in scan))


def _shifted(batch: Events, shift: int) -> Events:
    if shift:
        batch["ts_recv"] += shift
        batch["ts_event"] += shift
        has_time = np.isin(batch["kind"], _TIMES_IN_ID) & (batch["id"] > 0)
        batch["id"][has_time] += shift
    return batch


_LOOKAHEAD = 4_000_000


def _hoisted(batches: Iterator[Events]) -> Iterator[Events]:
    """Yield the batches with the first snapshot moved to the beginning; give up after a few million rows."""
    held: list[Events] = []
    count = 0
    for batch in batches:
        held.append(batch)
        count += len(batch)
        levels = (batch["flags"] & Flag.FROM_SNAPSHOT) != 0
        is_done = bool(((batch["kind"] == Kind.LEVEL) & levels & ((batch["flags"] & Flag.LAST) != 0)).any())
        if is_done or count > _LOOKAHEAD:
            break
    rows = joined(held)
    heads = np.flatnonzero(rows["kind"] == Kind.SNAPSHOT)
    if len(heads):
        first = rows[heads[0]]
        of_it = (rows["kind"] == Kind.SNAPSHOT) | ((rows["flags"] & Flag.FROM_SNAPSHOT) != 0)
        of_it &= (rows["id"] == first["id"]) & (rows["ts_recv"] == first["ts_recv"])
        snapshot = rows[of_it]
        snapshot["ts_recv"] = rows["ts_recv"][0]
        snapshot["ts_event"] = np.minimum(snapshot["ts_event"], rows["ts_recv"][0])
        yield joined([snapshot, rows[~of_it]])
    elif len(rows):
        yield rows
    yield from batches


class FollowerMarket:
    """A market that follows another one of this exchange; give both to it, in any order."""

    def __init__(
        self,
        instrument: Instrument,
        leader: GeneratedMarket | LakeMarket,
        seed: int,
        start: int,
        params: FollowerParams | None = None,
    ) -> None:
        self.instrument = instrument
        self._heard = leader.follow()
        self._follower = Follower(instrument, leader.instrument, seed, start, params)

    def read(self, until: int) -> Events:
        """Return the rows up to `until`; see `Market.read`."""
        return self._follower.advance(self._heard.read(until), until)


class SpotMarket(FollowerMarket):
    """The spot market beside a USDT-M perpetual: the same symbol a basis below it, a few milliseconds behind."""

    def __init__(
        self,
        leader: GeneratedMarket | LakeMarket,
        seed: int,
        start: int,
        params: FollowerParams | None = None,
    ) -> None:
        super().__init__(spot_instrument(leader.instrument), leader, seed, start, params or SPOT)


def dydx_instrument(leader: Instrument) -> Instrument:
    """Return the dYdX perpetual on the base currency of `leader`, such as BTC-USD, margined in USDC.

    Its tick is ten times the leader's and its margin fractions are those of the large markets: 2 % and 1.2 %.
    """
    return Instrument(
        id=0,
        venue=Venue.DYDX,
        symbol=f"{leader.base}-USD",
        tick_size=(leader.tick_size * 10).normalize() + 0,
        lot_size=(leader.lot_size / 10).normalize() + 0,
        base=leader.base,
        quote="USDC",
        min_qty=leader.lot_size / 10,
        margin_tiers=(MarginTier(floor=Decimal(0), maintenance_rate=Decimal("0.012"), max_leverage=Decimal(50)),),
    )


def spot_instrument(leader: Instrument) -> Instrument:
    """Return the spot pair of the same symbol as `leader`, on a grid ten times finer."""
    return Instrument(
        id=0,
        venue=Venue.BINANCE_SPOT,
        symbol=leader.symbol,
        tick_size=(leader.tick_size / 10).normalize() + 0,
        lot_size=(leader.lot_size / 100).normalize() + 0,
        base=leader.base,
        quote=leader.quote,
        min_qty=leader.lot_size / 100,
        min_notional=Decimal(5),
    )


def generated_markets(symbols: Sequence[str], seed: int, start: int) -> list[Market]:
    """Return a USDT-M market for each symbol, then its spot market, then the dYdX market that follows it."""
    leaders = [GeneratedMarket(symbol, seed, start) for symbol in symbols]
    return [*leaders, *_beside(leaders, seed, start)]


def lake_markets(lake: Lake, names: Sequence[str], seed: int, start: int | None = None) -> list[Market]:
    """Return the recordings called `names`, then what follows those of USDT-M and is not recorded itself.

    The recordings begin together: `start` is where the earliest of them is moved to; None leaves all where they were.
    """
    found = [lake.instrument(name) for name in names]
    first = min(lake.span(one.key)[0] for one in found)
    starts = [None if start is None else start + lake.span(one.key)[0] - first for one in found]
    leaders = [LakeMarket(lake, one.key, at) for one, at in zip(found, starts, strict=True)]
    perpetuals = [leader for leader in leaders if leader.instrument.venue is Venue.BINANCE_USDM]
    keys = {leader.instrument.key for leader in leaders}
    beside = _beside(perpetuals, seed, first if start is None else start)
    return [*leaders, *(market for market in beside if market.instrument.key not in keys)]


def _beside(leaders: Sequence[GeneratedMarket | LakeMarket], seed: int, start: int) -> list[Market]:
    spots = [SpotMarket(leader, seed, start) for leader in leaders]
    return [*spots, *(FollowerMarket(dydx_instrument(one.instrument), one, seed, start) for one in leaders)]
