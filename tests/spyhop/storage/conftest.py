from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from spyhop.model.instruments import Instrument
from spyhop.model.tape import EVENT, Events, Kind, Venue


class Make:
    """Small recordings."""

    def instrument(self, symbol: str = "BTCUSDT", tick: str = "0.1", lot: str = "0.001", **rest: object) -> Instrument:
        return Instrument(
            id=0, venue=Venue.BINANCE_USDM, symbol=symbol, tick_size=Decimal(tick), lot_size=Decimal(lot), **rest
        )

    def rows(self, kind: Kind, ts_recv: list[int], **columns: object) -> Events:
        events = np.zeros(len(ts_recv), EVENT)
        events["kind"], events["ts_recv"], events["ts_event"] = kind, ts_recv, ts_recv
        events["price"], events["qty"] = 100, 1
        for name, values in columns.items():
            events[name] = values
        return events

    def trades(self, ts_recv: list[int], first_id: int = 1, **columns: object) -> Events:
        return self.rows(
            Kind.TRADE, ts_recv, **{"id": np.arange(first_id, first_id + len(ts_recv)), "side": 1, **columns}
        )

    def random(self, generator: np.random.Generator, count: int, span_ns: int, kind: Kind = Kind.TRADE) -> Events:
        events = np.frombuffer(generator.bytes(count * EVENT.itemsize), EVENT).copy()
        events["kind"], events["instrument"] = kind, 0
        events["ts_recv"] = np.sort(generator.integers(0, span_ns, count))
        return events

    def positions(self, count: int, first_line: int = 1) -> np.ndarray:
        return np.arange(first_line, first_line + count, dtype=np.int64) << 20


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()
