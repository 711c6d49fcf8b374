"""What a session's data was like, measured by folding its tape once more."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from spyhop.detectors.stage import DetectionStage
from spyhop.detectors.state import DetectionParams
from spyhop.model.instruments import Instrument
from spyhop.model.rows import Health, RowFlag, Rows
from spyhop.model.tape import Events, Flag, Kind
from spyhop.reports.model import Quality

_TIMED = np.array([Kind.TRADE, Kind.QUOTE, Kind.LEVEL], np.uint8)
_UNTIMED = int(Flag.SIMULATED | Flag.BACKFILLED | Flag.FROM_SNAPSHOT)


class _Tally:
    def __init__(self) -> None:
        self.events = self.trades = self.out_of_order = 0
        self.first_ts = self.last_ts = 0
        self.offset: int | None = None
        self.simulated = 0
        self.seconds = 0
        self.health = dict.fromkeys(Health, 0)
        self.prices: list[float] = []

    def on_events(self, events: Events) -> None:
        ts = events["ts_recv"]
        self.first_ts = self.first_ts or int(ts[0])
        self.out_of_order += int((np.diff(ts, prepend=self.last_ts) < 0).sum())
        self.last_ts = max(self.last_ts, int(ts.max()))
        self.events += len(events)
        self.trades += int((events["kind"] == Kind.TRADE).sum())
        self.simulated += int(((events["flags"] & Flag.SIMULATED) != 0).sum())
        timed = events[np.isin(events["kind"], _TIMED) & ((events["flags"] & _UNTIMED) == 0) & (events["ts_event"] > 0)]
        if len(timed):
            least = int((timed["ts_recv"] - timed["ts_event"]).min())
            self.offset = least if self.offset is None else min(self.offset, least)

    def on_rows(self, rows: Rows) -> None:
        rows = rows[(rows["flags"] & RowFlag.SECOND) != 0]
        self.seconds += len(rows)
        for flag in Health:
            self.health[flag] += int(((rows["health"] & flag) != 0).sum())
        prices = np.where(rows["mid"] > 0.0, rows["mid"], rows["last"])
        prices = prices[prices > 0.0]
        if len(prices):
            self.prices = [(self.prices or [float(prices[0])])[0], float(prices[-1])]


def measure(tape: Iterable[Events], instrument: Instrument, params: DetectionParams | None = None) -> Quality:
    """Return the quality of an instrument's tape, read once and in batches; gaps are those that the book met."""
    stage = DetectionStage(instrument, params or DetectionParams())
    tally = _Tally()
    for events in tape:
        if len(events):
            tally.on_events(events)
            tally.on_rows(stage.on(events))
    first, last = tally.prices or (None, None)
    return Quality(
        symbol=instrument.symbol,
        is_simulated=tally.simulated > 0,
        first_ts=tally.first_ts,
        last_ts=tally.last_ts,
        num_events=tally.events,
        num_trades=tally.trades,
        seconds=tally.seconds,
        stale_book_s=tally.health[Health.STALE_BOOK],
        stale_trades_s=tally.health[Health.STALE_TRADES],
        no_book_s=tally.health[Health.NO_BOOK],
        crossed_s=tally.health[Health.CROSSED],
        gap_s=tally.health[Health.GAP],
        num_out_of_order=tally.out_of_order,
        clock_offset_ms=None if tally.offset is None else tally.offset * 1e-6,
        first_price=first,
        last_price=last,
        counters=stage.statistics(),
    )
