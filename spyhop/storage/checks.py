"""The checks of `verify`: each takes one channel of one instrument in batches and says what it found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_DAY, NS_PER_MINUTE, NS_PER_S
from spyhop.market.audit import BookAudit
from spyhop.model.tape import Events, Flag, Kind
from spyhop.storage.merge import Merged, RepeatFilter

MAX_PLACES = 5
MAX_SILENCE_NS = NS_PER_MINUTE
MAX_JUMP_FRAC = 0.2
ROWS_OF_A_LINE = 1 << 20
"""Readers count positions as line x 2^20 + row of the line."""

_FOREVER = 1 << 62


class Check(StrEnum):
    """What was looked at."""

    DAMAGE = "damaged file"
    SET_ASIDE = "lines set aside"
    OVERLAP = "overlapping sources"
    ORDER = "time going backwards"
    SILENCE = "silence"
    SEQUENCE = "sequence break"
    DUPLICATE = "duplicate"
    CROSSED = "crossed"
    PRICE = "impossible price"
    MISSING = "missing bars"
    FLAT = "flat bars"
    CLOCK = "clock offset"


class Place(msgspec.Struct, frozen=True):
    """Where something is: receive time, file, and line of that file (0 where it has no lines)."""

    ts: int
    file: str
    line: int


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found, with its count and first places; not `is_fault`: worth knowing, nothing is wrong."""

    instrument: str
    channel: str
    check: Check
    count: int
    text: str
    places: tuple[Place, ...] = ()
    is_fault: bool = True


class Said(msgspec.Struct, frozen=True):
    """A finding before it is known whose it is."""

    check: Check
    count: int
    text: str
    places: tuple[Place, ...] = ()
    is_fault: bool = True


class Checking(Protocol):
    """A check of one channel."""

    def on(self, batch: Merged) -> None: ...
    def said(self) -> Iterator[Said]: ...


Where = npt.NDArray[np.int64] | npt.NDArray[np.bool_]


class Places:
    """A count and the first places of it."""

    def __init__(self, files: Sequence[str]) -> None:
        self._files = files
        self.count = 0
        self.first: tuple[Place, ...] = ()

    def add(self, batch: Merged, where: Where) -> None:
        """Note the rows of `batch` at `where` (indices or a mask)."""
        indices = np.flatnonzero(where) if where.dtype == np.bool_ else where
        self.count += len(indices)
        for index in indices[: MAX_PLACES - len(self.first)].tolist():
            line = max(0, int(batch.positions[index]) // ROWS_OF_A_LINE)
            self.first += (Place(int(batch.events["ts_recv"][index]), self._files[int(batch.ranks[index])], line),)

    def said(self, check: Check, text: str, *, is_fault: bool = True) -> Iterator[Said]:
        """Yield what was noted, unless it is nothing."""
        if self.count:
            yield Said(check, self.count, text, self.first, is_fault)


def before(values: npt.NDArray[np.int64], first: int) -> npt.NDArray[np.int64]:
    """Return for each value the one before it, `first` for the first one."""
    return np.concatenate([np.array([first], np.int64), values[:-1]])


class OrderCheck:
    """Receive times that went back in their source (the lake sorts by time, so the lines are out of order there)."""

    def __init__(self, files: Sequence[str]) -> None:
        self._places = Places(files)
        self._highest: dict[int, int] = {}

    def on(self, batch: Merged) -> None:
        for rank in np.unique(batch.ranks).tolist():
            where = np.flatnonzero(batch.ranks == rank)
            positions = batch.positions[where]
            highest = np.maximum.accumulate(before(positions, self._highest.get(rank, -_FOREVER)))
            self._places.add(batch, where[positions < highest])
            self._highest[rank] = int(max(highest[-1], positions[-1]))

    def said(self) -> Iterator[Said]:
        yield from self._places.said(Check.ORDER, "events stand after later ones in their file")


class Silences:
    """Where nothing came for long; a seam is a silence after which another recording goes on."""

    def __init__(self) -> None:
        self._last = _FOREVER
        self._rank = 0

    def on(self, batch: Merged) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return for each event the time since the one before, whether that was a silence, whether a seam."""
        times = batch.events["ts_recv"]
        gaps = times - before(times, min(self._last, int(times[0])))
        is_silent = gaps > MAX_SILENCE_NS
        is_seam = is_silent & (batch.ranks != before(batch.ranks, self._rank))
        self._last, self._rank = int(times[-1]), int(batch.ranks[-1])
        return gaps, is_silent, is_seam


class SilenceCheck:
    """Stretches in which nothing came, within recordings and between them."""

    def __init__(self, files: Sequence[str]) -> None:
        self._within, self._between = Places(files), Places(files)
        self._silences = Silences()
        self._total = self._longest = self._apart = 0

    def on(self, batch: Merged) -> None:
        gaps, is_silent, is_seam = self._silences.on(batch)
        is_within = is_silent & ~is_seam
        self._within.add(batch, is_within)
        self._between.add(batch, is_seam)
        self._total += int(gaps[is_within].sum())
        self._longest = max(self._longest, int(gaps[is_within].max(initial=0)))
        self._apart += int(gaps[is_seam].sum())

    def said(self) -> Iterator[Said]:
        text = f"silent {self._total / NS_PER_S:,.0f} s in all, {self._longest / NS_PER_S:,.0f} s at most"
        yield from self._within.said(Check.SILENCE, text)
        text = f"between recordings lie {self._apart / NS_PER_S:,.0f} s; prices and ids start anew there"
        yield from self._between.said(Check.SILENCE, text, is_fault=False)


class PriceCheck:
    """Prices that cannot be: not positive, or a fifth away from the one before."""

    def __init__(self, files: Sequence[str], columns: Sequence[str], kinds: Sequence[Kind], *, jumps: bool) -> None:
        self._bad, self._jumps = Places(files), Places(files)
        self._columns, self._kinds, self._looks_for_jumps = columns, kinds, jumps
        self._last, self._last_ts = 0.0, 0

    def on(self, batch: Merged) -> None:
        where = np.flatnonzero(
            np.isin(batch.events["kind"], self._kinds) & ((batch.events["flags"] & int(Flag.EMPTY)) == 0)
        )
        if not len(where):
            return
        events = batch.events[where]
        is_bad = np.zeros(len(where), np.bool_)
        for column in self._columns:
            is_bad |= events[column] <= 0
        self._bad.add(batch, where[is_bad | (events["qty"] < 0)])
        good = where[~is_bad]
        if not self._looks_for_jumps or not len(good):
            return
        prices = batch.events["price"][good].astype(np.float64)
        times = batch.events["ts_recv"][good]
        former = np.concatenate([[self._last or prices[0]], prices[:-1]])
        is_soon = times - before(times, self._last_ts) <= MAX_SILENCE_NS
        self._jumps.add(batch, good[is_soon & (np.abs(prices - former) > MAX_JUMP_FRAC * former)])
        self._last, self._last_ts = float(prices[-1]), int(times[-1])

    def said(self) -> Iterator[Said]:
        yield from self._bad.said(Check.PRICE, "prices or quantities that are not positive")
        yield from self._jumps.said(Check.PRICE, f"prices more than {MAX_JUMP_FRAC:.0%} from one of the minute before")


class TradeIdCheck:
    """Trades that are missing or came twice, by their ids."""

    def __init__(self, files: Sequence[str]) -> None:
        self._jumps, self._repeats = Places(files), Places(files)
        self._filter, self._silences = RepeatFilter(), Silences()
        self._highest = 0
        self._num_missing = self._num_seen = 0

    def on(self, batch: Merged) -> None:
        is_repeat = self._filter.repeats(batch.events)
        self._repeats.add(batch, is_repeat)
        is_seam = self._silences.on(batch)[2]
        where = np.flatnonzero((batch.events["id"] > 0) & ~is_repeat)
        if not len(where):
            return
        ids = batch.events["id"][where]
        highest = np.maximum.accumulate(before(ids, self._highest or int(ids[0]) - 1))
        steps = np.where(is_seam[where], 0, ids - highest - 1)
        self._jumps.add(batch, where[steps > 0])
        # an id that comes late was counted as missing when a higher one came before it
        self._num_missing += int(steps[steps > 0].sum()) - int((steps < 0).sum())
        self._highest = int(max(highest[-1], ids[-1]))
        self._num_seen += len(ids)

    def said(self) -> Iterator[Said]:
        missing = max(0, self._num_missing)
        text = f"trade ids jump, {missing:,} ids missing"
        is_selection = missing > self._num_seen
        if is_selection:
            text += f" for {self._num_seen:,} there: this is a selection of trades"
        yield from self._jumps.said(Check.SEQUENCE, text, is_fault=missing > 0 and not is_selection)
        yield from self._repeats.said(Check.DUPLICATE, "trades came again within 60 s")


class QuoteCheck:
    """Quotes that are crossed or came again."""

    def __init__(self, files: Sequence[str]) -> None:
        self._crossed, self._repeats = Places(files), Places(files)
        self._last = 0

    def on(self, batch: Merged) -> None:
        events = batch.events
        self._crossed.add(batch, (events["price"] >= events["aux"]) & (events["price"] > 0) & (events["aux"] > 0))
        ids = events["id"]
        self._repeats.add(batch, (ids != 0) & (ids == before(ids, self._last)))
        self._last = int(ids[-1])

    def said(self) -> Iterator[Said]:
        yield from self._crossed.said(Check.CROSSED, "quotes with bid at or above ask")
        yield from self._repeats.said(Check.DUPLICATE, "quotes came again with the same update id")


class BookCheck:
    """Diffs that do not follow the one before, came again or were cut short, and a book that is crossed."""

    def __init__(self, files: Sequence[str]) -> None:
        self._gaps, self._crossed, self._repeats = Places(files), Places(files), Places(files)
        self._audit, self._silences = BookAudit(), Silences()
        self._newest = -1

    def on(self, batch: Merged) -> None:
        gaps, crossed = self._audit.on(batch.events)
        is_seam = self._silences.on(batch)[2]
        self._gaps.add(batch, gaps[~is_seam[gaps]])
        self._crossed.add(batch, crossed)
        self._look_for_repeats(batch)

    # a frame is known by the row that ends it, so that one cut by a batch counts once
    def _look_for_repeats(self, batch: Merged) -> None:
        flags, kinds = batch.events["flags"], batch.events["kind"]
        is_end = (kinds == Kind.LEVEL) & ((flags & int(Flag.LAST)) != 0) & ((flags & int(Flag.FROM_SNAPSHOT)) == 0)
        where = np.flatnonzero(is_end)
        if not len(where):
            return
        ids = batch.events["id"][where]
        newest = np.maximum.accumulate(before(ids, self._newest))
        self._repeats.add(batch, where[ids <= newest])
        self._newest = int(max(newest[-1], ids[-1]))

    def said(self) -> Iterator[Said]:
        yield from self._gaps.said(Check.SEQUENCE, "book updates do not follow the one before")
        yield from self._crossed.said(Check.CROSSED, "updates left the book crossed")
        yield from self._repeats.said(Check.DUPLICATE, "book updates came again or late")
        if self._audit.num_unfinished:
            yield Said(Check.SEQUENCE, self._audit.num_unfinished, "book updates without their last level")
        if not self._audit.num_snapshots:
            yield Said(Check.SEQUENCE, 1, "no book snapshot: the book cannot be built")


class BarCheck:
    """Bars of one or more lengths: missing, repeated, flat, impossible, jumping."""

    def __init__(self, files: Sequence[str]) -> None:
        self._missing, self._repeats = Places(files), Places(files)
        self._bad, self._jumps = Places(files), Places(files)
        self._num_missing = self._num_bars = self._num_flat = self._num_idle = 0
        self._opened: dict[int, int] = {}
        self._closed: dict[int, int] = {}
        self._half: Merged | None = None

    def on(self, batch: Merged) -> None:
        batch = self._joined(batch)
        opens = np.flatnonzero(batch.events["kind"] == Kind.BAR_OPEN)
        opens = opens[opens + 1 < len(batch.events)]
        opens = opens[batch.events["kind"][opens + 1] == Kind.BAR_CLOSE]
        opens = opens[(batch.events["flags"][opens] & int(Flag.PARTIAL)) == 0]
        for interval in np.unique(batch.events["interval_s"][opens]).tolist():
            self._on_interval(batch, opens[batch.events["interval_s"][opens] == interval], interval)

    # a batch may end between the two rows of a bar
    def _joined(self, batch: Merged) -> Merged:
        if self._half is not None:
            batch = Merged(*(np.concatenate(columns) for columns in zip(self._half, batch, strict=True)))
        is_half = batch.events["kind"][-1] == Kind.BAR_OPEN
        self._half = Merged(*(column[-1:] for column in batch)) if is_half else None
        return batch

    def _on_interval(self, batch: Merged, opens: npt.NDArray[np.int64], interval_s: int) -> None:
        length = interval_s * NS_PER_S or NS_PER_DAY
        first, second = batch.events[opens], batch.events[opens + 1]
        at = first["id"]
        steps = (at - before(at, self._opened.get(interval_s, int(at[0]) - length))) // length
        self._missing.add(batch, opens[steps > 1])
        self._num_missing += int((steps[steps > 1] - 1).sum())
        self._repeats.add(batch, opens[steps < 1])
        self._opened[interval_s] = int(at[-1])
        self._look_at_prices(batch, opens, first, second, interval_s)

    def _look_at_prices(
        self, batch: Merged, opens: npt.NDArray[np.int64], first: Events, second: Events, interval_s: int
    ) -> None:
        low, high, close = second["price"], first["aux"], second["aux"]
        is_bad = (low <= 0) | (low > np.minimum(first["price"], close)) | (high < np.maximum(first["price"], close))
        self._bad.add(batch, opens[is_bad])
        self._num_bars += len(opens)
        self._num_flat += int(((low == high) & ~is_bad).sum())
        self._num_idle += int((first["qty"] == 0).sum())
        former = before(close, self._closed.get(interval_s, int(close[0])))
        self._jumps.add(batch, opens[np.abs(close - former) > MAX_JUMP_FRAC * np.abs(former)])
        self._closed[interval_s] = int(close[-1])

    def said(self) -> Iterator[Said]:
        yield from self._missing.said(Check.MISSING, f"gaps with {self._num_missing:,} bars missing")
        yield from self._repeats.said(Check.DUPLICATE, "bars came again or late")
        yield from self._bad.said(Check.PRICE, "bars whose low, high, open and close cannot be")
        yield from self._jumps.said(Check.PRICE, f"closes more than {MAX_JUMP_FRAC:.0%} from the one before")
        if self._num_flat:
            flat, idle = self._num_flat / self._num_bars, self._num_idle / self._num_bars
            text = f"{flat:.1%} of {self._num_bars:,} bars have one price, {idle:.1%} no volume"
            yield Said(Check.FLAT, self._num_flat, text, is_fault=False)


class FundingCheck:
    """Funding payments that are missing or came twice."""

    def __init__(self, files: Sequence[str]) -> None:
        self._missing, self._repeats = Places(files), Places(files)
        self._last = 0

    def on(self, batch: Merged) -> None:
        # a rate that is predicted is told again and again
        is_paid = (batch.events["flags"] & Flag.SETTLED) != 0
        where = np.flatnonzero((batch.events["kind"] == Kind.FUNDING) & (batch.events["id"] > 0) & is_paid)
        if not len(where):
            return
        at, interval = batch.events["id"][where], batch.events["aux2"][where]
        steps = at - before(at, self._last or int(at[0]) - max(1, int(interval[0])))
        self._missing.add(batch, where[(interval > 0) & (steps > interval + interval // 2)])
        self._repeats.add(batch, where[steps <= 0])
        self._last = int(at[-1])

    def said(self) -> Iterator[Said]:
        yield from self._missing.said(Check.MISSING, "payments come later than their interval says")
        yield from self._repeats.said(Check.DUPLICATE, "payments came again or late")
