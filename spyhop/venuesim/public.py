"""What everybody may know of one instrument: trades, bars, marks, funding, open interest, ratios, liquidations.

The long/short ratios are made up, since no tape tells who holds what, but follow from what it does tell: the takers'
net volume, decayed by half in four hours, against the open interest. Large traders lean with it, the crowd
against it; the takers' own ratio is exact. A tape that tells RATIO rows is repeated instead.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_S
from spyhop.model.instruments import Instrument
from spyhop.model.tape import EVENT, Events, Flag, Kind, Ratio, empty, joined
from spyhop.venuesim import bars
from spyhop.venuesim.views import MarkPrice, Ticker

TRADES_KEPT = 1 << 17
_SLOW_KEPT = 4_096
_E8, _E12 = Decimal("1e-8"), Decimal("1e-12")

_LEAN = {Ratio.TOP_POSITIONS: (0.52, 0.18), Ratio.TOP_ACCOUNTS: (0.54, 0.10), Ratio.GLOBAL_ACCOUNTS: (0.60, -0.14)}


class PublicRecord:
    """Folds the tape of one instrument; what it answers is the same however the tape was cut."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._unit = float(instrument.tick_size * instrument.lot_size * instrument.multiplier)
        self._minutes = np.zeros(1, bars.MINUTES)
        self._trades: Events = np.zeros(2 * TRADES_KEPT, EVENT)
        self._begin = self._end = 0
        self._mark: Any = None
        self._predicted: Any = None
        self._paid: deque[Events] = deque(maxlen=_SLOW_KEPT)
        self._liquidations: deque[Events] = deque(maxlen=_SLOW_KEPT)
        self._ratios: dict[Ratio, deque[Events]] = {ratio: deque(maxlen=_SLOW_KEPT) for ratio in Ratio}

    def fold(self, events: Events, until: int) -> None:
        """Take rows of the tape and let time reach `until`."""
        bars.fold(self._minutes[0], events, self._unit, until)
        if not len(events):
            return
        kinds = events["kind"]
        self._keep_trades(events[kinds == Kind.TRADE])
        for i in np.flatnonzero((kinds >= Kind.MARK) & (kinds != Kind.OPEN_INTEREST)):
            self._on_slow(events[i : i + 1])

    def _keep_trades(self, rows: Events) -> None:
        rows = rows[-TRADES_KEPT:]
        if self._end + len(rows) > len(self._trades):
            kept = min(self._end - self._begin, TRADES_KEPT)
            self._trades[:kept] = self._trades[self._end - kept : self._end]
            self._begin, self._end = 0, kept
        self._trades[self._end : self._end + len(rows)] = rows
        self._end += len(rows)
        self._begin = max(self._begin, self._end - TRADES_KEPT)

    def _on_slow(self, row: Events) -> None:
        kind = row["kind"][0]
        if kind == Kind.MARK:
            self._mark = row[0].copy()
        elif kind == Kind.FUNDING:
            self._on_funding(row)
        elif kind == Kind.LIQUIDATION:
            self._liquidations.append(row.copy())
        elif kind == Kind.RATIO and row["aux"][0] in self._ratios:
            self._ratios[Ratio(int(row["aux"][0]))].append(row.copy())

    def _on_funding(self, row: Events) -> None:
        if row["flags"][0] & Flag.SETTLED:
            self._pay(row)
            return
        before = self._predicted
        # a venue that only predicts has paid when it predicts for a later stamp
        if before is not None and before["id"][0] < row["id"][0]:
            self._pay(before)
        self._predicted = row.copy()

    def _pay(self, row: Events) -> None:
        if self._paid and self._paid[-1]["id"][0] >= row["id"][0]:
            return
        paid = row.copy()
        paid["flags"] |= np.uint8(Flag.SETTLED)
        paid["price"] = self.mark_ticks
        self._paid.append(paid)

    @property
    def last(self) -> int:
        """Return the price of the newest trade in ticks, 0 before any."""
        return int(self._minutes["last"][0])

    @property
    def mark_ticks(self) -> int:
        """Return the mark in ticks, the newest trade where none is told."""
        return int(self._mark["price"]) if self._mark is not None else self.last

    @property
    def open_interest(self) -> int:
        """Return the newest open interest in lots."""
        return int(self._minutes["open_interest"][0])

    def mark(self, now: int) -> MarkPrice:
        """Return mark, index and funding."""
        row, predicted = self._mark, self._predicted
        last = self.instrument.price(self.last)
        return MarkPrice(
            ts=int(row["ts_event"]) if row is not None else now,
            mark=int(row["aux"]) * _E8 if row is not None else last,
            index=int(row["aux2"]) * _E8 if row is not None else last,
            rate=int(predicted["aux"][0]) * _E12 if predicted is not None else Decimal(0),
            next_funding=int(predicted["id"][0]) if predicted is not None else 0,
            interval=int(predicted["aux2"][0]) if predicted is not None else 0,
        )

    def trades(self, limit: int, from_id: int, start: int, end: int) -> Events:
        """Return TRADE rows; see `Exchange.trades`."""
        kept = self._trades[self._begin : self._end]
        if end > 0:
            kept = kept[: np.searchsorted(kept["ts_event"], end, "right")]
        if from_id >= 0 or start > 0:
            at = np.searchsorted(kept["id"], from_id) if from_id >= 0 else np.searchsorted(kept["ts_event"], start)
            return kept[at : at + limit].copy()
        return kept[max(len(kept) - limit, 0) :].copy()

    def bars(self, interval_s: int, start: int, end: int, limit: int) -> bars.Bars:
        """Return bars; see `Exchange.bars`."""
        return bars.bars(self._minutes[0], interval_s, start, end, limit)

    def funding_history(self, start: int, end: int, limit: int) -> Events:
        """Return paid FUNDING rows."""
        rows = joined(list(self._paid))
        return _cut(rows, rows["id"], start, end, limit)

    def liquidations(self, limit: int) -> Events:
        """Return the newest LIQUIDATION rows."""
        return joined(list(self._liquidations)[-limit:])

    def open_interest_history(self, period_s: int, start: int, end: int, limit: int) -> Events:
        """Return OPEN_INTEREST rows at the ends of periods; `price` holds the mid in ticks."""
        taken = self._samples(period_s)
        rows = self._rows(Kind.OPEN_INTEREST, taken["ts"])
        rows["qty"] = taken["open_interest"]
        rows["price"] = taken["mid"]
        return _cut(rows, rows["ts_event"], start, end, limit)

    def ratios(self, ratio: Ratio, period_s: int, start: int, end: int, limit: int) -> Events:
        """Return RATIO rows at the ends of periods."""
        told = joined([row for row in self._ratios[ratio] if row["id"][0] == period_s])
        if len(told):
            return _cut(told, told["ts_event"], start, end, limit)
        taken = self._samples(period_s)
        rows = self._rows(Kind.RATIO, taken["ts"])
        rows["id"], rows["aux"] = period_s, int(ratio)
        if ratio is Ratio.TAKER_VOLUME:
            longs, shorts = taken["buy_lots"], taken["lots"] - taken["buy_lots"]
        else:
            centre, swing = _LEAN[ratio]
            lean = np.tanh(2.0 * taken["lean"] / np.maximum(taken["open_interest"], 1))
            longs = np.round(1e8 * (centre + swing * lean)).astype(np.int64)
            shorts = 100_000_000 - longs
        rows["price"], rows["qty"] = longs, shorts
        rows["aux2"] = np.round(1e8 * longs / np.maximum(shorts, 1)).astype(np.int64)
        return _cut(rows, rows["ts_event"], start, end, limit)

    def _rows(self, kind: Kind, ts: npt.NDArray[Any]) -> Events:
        rows = empty(len(ts))
        rows["kind"], rows["venue"], rows["instrument"] = kind, self.instrument.venue, self.instrument.id
        rows["flags"], rows["ts_event"], rows["ts_recv"] = Flag.SIMULATED, ts, ts
        return rows

    def _samples(self, period_s: int) -> npt.NDArray[Any]:
        kept = bars.samples(self._minutes[0])
        if period_s % 300 or period_s < 300:
            raise ValueError(f"a period is a multiple of 300 s, not {period_s}")
        at = np.flatnonzero(kept["ts"] % (period_s * NS_PER_S) == 0)
        taken = kept[at]
        for name in ("lots", "buy_lots"):
            sums = np.concatenate([[0], np.cumsum(kept[name])])
            taken[name] = sums[at + 1] - sums[np.maximum(at + 1 - period_s // 300, 0)]
        return taken

    def ticker(self, now: int, touch: tuple[int, int, int, int]) -> Ticker:
        """Return the last 24 hours; `touch` is (bid, bid lots, ask, ask lots)."""
        minutes = self.bars(60, 0, 0, 1_440)
        traded = minutes[minutes["num_trades"] > 0]
        ids = traded["last_id"]
        return Ticker(
            ts=now,
            ts_open=int(minutes["ts_open"][0]) if len(minutes) else now,
            open=int(minutes["open"][0]) if len(minutes) else 0,
            high=int(minutes["high"].max(initial=0)),
            low=int(minutes["low"].min()) if len(minutes) else 0,
            last=self.last,
            last_lots=int(self._minutes["last_lots"][0]),
            lots=int(minutes["lots"].sum()),
            tick_lots=int(minutes["tick_lots"].sum()),
            num_trades=int(minutes["num_trades"].sum()),
            first_id=int(traded["first_id"][0]) if len(ids) else 0,
            last_id=int(ids[-1]) if len(ids) else 0,
            bid=touch[0],
            bid_lots=touch[1],
            ask=touch[2],
            ask_lots=touch[3],
        )


def _cut(rows: Events, ts: npt.NDArray[Any], start: int, end: int, limit: int) -> Events:
    is_wanted = ts >= start
    if end > 0:
        is_wanted &= ts <= end
    found = rows[is_wanted]
    return found[:limit] if start > 0 else found[max(len(found) - limit, 0) :]
