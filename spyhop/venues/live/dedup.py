"""Lets every event on the tape once, though overlapping connections, backfill and REST all tell it.

What an event is known by: a trade by its id, a quote and a whole depth frame by an update id that only grows, marks,
open interest, ratios and tickers by the venue's time, funding by its payment, liquidations by all they say, blocks by
height, bars by interval and open time once closed (`bar_order`), and bars under way only forward. Snapshots of a
book always pass: the consumer knows an old one by its id, and the same one may be needed twice.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.model import tape
from spyhop.model.tape import Events, Flag, Kind
from spyhop.venues.live import glance
from spyhop.venues.live.bar_order import BarOrder
from spyhop.venues.live.trade_ids import TradeIds

_MAX_LIQUIDATIONS = 4_096
_NUM_KINDS = max(Kind) + 1
_HOT = frozenset({Kind.TRADE, Kind.QUOTE, Kind.LEVEL})
_ALWAYS = frozenset({Kind.SNAPSHOT, Kind.STATUS, Kind.TIMER})
_PARTIAL, _LAST, _SETTLED, _BACKFILLED = int(Flag.PARTIAL), int(Flag.LAST), int(Flag.SETTLED), int(Flag.BACKFILLED)
_FROM_SNAPSHOT = int(Flag.FROM_SNAPSHOT)
_MINUTE_S: Final = 60

Mask = npt.NDArray[np.bool_]


class TradeHole(msgspec.Struct):
    """Ids of trades from `first` to `last` that did not come; the trade before them was made at `ts_before` (ns)."""

    first: int
    last: int
    ts_before: int
    num_asked: int = 0


class Dedup:
    """What one feed has put on its tape. With `has_contiguous_trades` a jump of the trade id is a hole."""

    def __init__(self, *, has_contiguous_trades: bool = False) -> None:
        self.bars = BarOrder()
        self.trade_holes: list[TradeHole] = []
        self.facts = np.zeros(glance.NUM_FACTS, np.int64)
        """What `glance` said about the prices of the newest batch."""
        self.ts_closed = 0
        """Open time of the newest minute that a stream (not REST) closed."""
        self.num_repeats = 0
        self.num_trade_holes = 0
        self.num_missing_trades = 0
        """Trades that no backfill brought either."""
        self._marks = np.zeros(glance.NUM_MARKS, np.int64)
        self._marks[glance.IS_CONTIGUOUS] = has_contiguous_trades
        self._told = TradeIds(is_contiguous=has_contiguous_trades)
        self._forward: dict[tuple[int, ...], int] = {}
        self._payments: set[int] = set()
        self._liquidations: dict[tuple[int, ...], None] = {}

    def resume(self, *, trade_id: int, ts_trade: int, bar_open: int) -> None:
        """Go on after a tape that ends with this trade and this closed minute (0: none)."""
        self._marks[glance.TRADE_ID], self._marks[glance.TS_TRADE] = trade_id, ts_trade
        self._told.resume(trade_id)
        self.bars.resume(bar_open)

    def reset_book(self) -> None:
        """Forget the update ids: a connection was lost, and the venue may count anew."""
        self._marks[glance.QUOTE_ID] = self._marks[glance.FRAME_ID] = 0

    @property
    def newest_trade(self) -> int:
        return int(self._marks[glance.TRADE_ID])

    @property
    def ts_trade(self) -> int:
        """Return the venue time of the newest trade, 0 before any."""
        return int(self._marks[glance.TS_TRADE])

    @property
    def has_hole(self) -> bool:
        """Say whether trades or minutes are missing that a backfill may still bring."""
        return bool(self.trade_holes) or self.bars.hole is not None

    def admit(self, events: Events) -> Events:
        """Return what is new of `events`, whole frames and bars, in their order; bars that may go come last."""
        if not len(events) or glance.glance(events, self._marks, self.facts):
            return events
        kinds = events["kind"]
        counts = np.bincount(kinds, minlength=_NUM_KINDS).tolist()
        keep = np.ones(len(events), bool)
        for kind in (kind for kind in range(_NUM_KINDS) if counts[kind] and kind not in _ALWAYS):
            if kind in _HOT:
                if counts[kind] == len(events):
                    keep &= self._is_new(kind, events)
                else:
                    mine = kinds == kind
                    keep[mine] = self._is_new(kind, events[mine])
            elif kind != Kind.BAR_CLOSE:
                self._admit_slow(kind, events, kinds, keep)
        num_kept = int(np.count_nonzero(keep))
        fresh = events if num_kept == len(events) else events[keep]
        self.num_repeats += len(events) - num_kept
        return tape.joined([fresh, self.bars.take()]) if counts[Kind.BAR_OPEN] else fresh

    def answered(self, first: int, last: int) -> Events:
        """Note that REST gave all minutes from `first` to `last` (open times); return the bars that may go now."""
        self.bars.answered(first, last)
        self.bars.anchor()
        return self.bars.take()

    def anchor(self) -> Events:
        """Note that nothing from before the feed began will come; return the bars that may go now."""
        self.bars.anchor()
        return self.bars.take()

    def asked_for_trades(self, max_asked: int) -> int:
        """Note that a backfill was put on the tape; return how many trades are given up after `max_asked` of them."""
        for hole in self.trade_holes:
            hole.num_asked += 1
        lost = sum(hole.last - hole.first + 1 for hole in self.trade_holes if hole.num_asked >= max_asked)
        self.trade_holes = [hole for hole in self.trade_holes if hole.num_asked < max_asked]
        self.num_missing_trades += lost
        return lost

    def _is_new(self, kind: int, rows: Events) -> Mask:
        if kind == Kind.TRADE:
            return self._new_trades(rows)
        return self._new_quotes(rows) if kind == Kind.QUOTE else self._new_levels(rows)

    def _new_trades(self, rows: Events) -> Mask:
        newest = self.newest_trade
        new = self._told.unseen(rows["id"].tolist(), newest)
        rows = rows[new]
        ids, stamps = rows["id"], rows["ts_event"]
        if not len(ids):
            return new
        if self.trade_holes:
            self._fill(np.sort(ids))
        beyond = ids > newest
        if beyond.any():
            if self._marks[glance.IS_CONTIGUOUS]:
                self._note_holes(ids[beyond], stamps[beyond])
            self._marks[glance.TRADE_ID] = ids.max()
            self._marks[glance.TS_TRADE] = max(self.ts_trade, int(stamps[beyond].max()))
        return new

    def _note_holes(self, ids: Events, stamps: Events) -> None:
        order = np.argsort(ids, kind="stable")
        before, ts_before = self.newest_trade, self.ts_trade
        for number, ts in zip(ids[order].tolist(), stamps[order].tolist(), strict=True):
            if before and number > before + 1:
                self.trade_holes.append(TradeHole(before + 1, number - 1, ts_before))
                self.num_trade_holes += 1
            before, ts_before = number, ts

    def _fill(self, ids: Events) -> None:
        left: list[TradeHole] = []
        for hole in self.trade_holes:
            inside = ids[(ids >= hole.first) & (ids <= hole.last)]
            edges = [hole.first - 1, *inside.tolist(), hole.last + 1]
            left += [TradeHole(a + 1, b - 1, hole.ts_before, hole.num_asked) for a, b in pairwise(edges) if b > a + 1]
        self.trade_holes = left

    def _new_quotes(self, rows: Events) -> Mask:
        ids, newest = rows["id"], self._marks[glance.QUOTE_ID]
        before = np.maximum.accumulate(np.concatenate([[newest], ids[:-1]]))
        self._marks[glance.QUOTE_ID] = max(newest, ids.max())
        # a quote without an update id cannot be known again
        return (ids > before) | (ids <= 0)

    def _new_levels(self, rows: Events) -> Mask:
        flags = rows["flags"]
        of_diff = (flags & _FROM_SNAPSHOT) == 0
        if not of_diff.all():
            new = np.ones(len(rows), bool)
            if of_diff.any():
                new[of_diff] = self._new_levels(rows[of_diff])
            return new
        ids = rows["id"]
        newest = self._marks[glance.FRAME_ID]
        starts = np.concatenate([[0], np.flatnonzero(flags & _LAST) + 1])
        starts = starts[starts < len(ids)]
        frames = ids[starts]
        before = np.maximum.accumulate(np.concatenate([[newest], frames[:-1]]))
        self._marks[glance.FRAME_ID] = max(newest, frames.max())
        lengths = np.diff(np.append(starts, len(ids)))
        return np.repeat(frames > before, lengths)

    def _admit_slow(self, kind: int, events: Events, kinds: npt.NDArray[Any], keep: Mask) -> None:
        for i in np.flatnonzero(kinds == kind).tolist():
            row = events[i]
            if kind != Kind.BAR_OPEN:
                keep[i] = self._is_new_rate(kind, row)
                continue
            keep[i : i + 2] = self._is_new_bar(row, events[i : i + 2])

    def _is_new_bar(self, row: Any, pair: Events) -> bool:
        interval, ts_open, flags = int(row["interval_s"]), int(row["id"]), int(row["flags"])
        closed, partial = (Kind.BAR_CLOSE, interval), (Kind.BAR_OPEN, interval)
        if flags & _PARTIAL:
            newest = self._forward.get(closed, 0)
            return ts_open > newest and self._goes_forward(partial, int(row["ts_event"]))
        if interval != _MINUTE_S:
            return self._goes_forward(closed, ts_open)
        if not flags & _BACKFILLED:
            self.ts_closed = max(self.ts_closed, ts_open)
        self._forward[closed] = max(self._forward.get(closed, 0), ts_open)
        self.num_repeats -= 2 * self.bars.offer(ts_open, pair.copy())
        return False

    def _is_new_rate(self, kind: int, row: Any) -> bool:
        ts_event = int(row["ts_event"])
        match kind:
            case Kind.BLOCK:
                return self._goes_forward((kind,), int(row["id"]))
            case Kind.RATIO:
                return self._goes_forward((kind, int(row["aux"]), int(row["id"])), ts_event)
            case Kind.FUNDING if int(row["flags"]) & _SETTLED:
                payment = int(row["id"])
                is_new = payment not in self._payments
                self._payments.add(payment)
                return is_new
            case Kind.LIQUIDATION:
                told = (ts_event, int(row["side"]), int(row["price"]), int(row["qty"]), int(row["aux"]))
                is_new = told not in self._liquidations
                self._liquidations[told] = None
                if len(self._liquidations) > _MAX_LIQUIDATIONS:
                    del self._liquidations[next(iter(self._liquidations))]
                return is_new
            case _:
                return self._goes_forward((kind,), ts_event)

    def _goes_forward(self, key: tuple[int, ...], number: int) -> bool:
        if number <= self._forward.get(key, -1):
            return False
        self._forward[key] = number
        return True
