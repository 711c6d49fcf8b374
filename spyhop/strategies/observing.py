"""Observations: how a market stood at an analysis, beside the market that leads it.

Binance leads (its price discovery precedes other venues' by a tenth of a second and more): a market elsewhere is led
by the one of the same base at the first of `LEADING` that the session has.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from spyhop.model.instruments import Instrument
from spyhop.model.observations import Leader, Observation
from spyhop.model.rows import TIMEFRAME
from spyhop.model.tape import Side, Venue

LEADING = (Venue.BINANCE_USDM, Venue.BINANCE_SPOT, Venue.BINANCE_COINM)
_HAS_RSI = 1 << (TIMEFRAME.names or ()).index("rsi")


class Sight(msgspec.Struct, frozen=True):
    """What is kept of a leader's newest row; times are nanoseconds."""

    ts: int
    mid: float
    last: float
    ts_venue: int
    ts_book: int
    lag: int


def leaders(instruments: Sequence[Instrument]) -> dict[int, int]:
    """Return the leader's number by the number of each instrument that has one."""
    first: dict[str, Instrument] = {}
    for venue in reversed(LEADING):
        for instrument in reversed(instruments):
            if instrument.venue is venue and instrument.base:
                first[instrument.base] = instrument
    led = [one for one in instruments if one.venue not in LEADING and one.base in first]
    return {one.id: first[one.base].id for one in led}


def data_age(row: np.void) -> int:
    """Return the age of a row's book, nanoseconds: the worse of how long we heard nothing and how late we hear."""
    return max(int(row["ts"]) - int(row["ts_book"]), int(row["venue_lag"]))


class Observer:
    """Remembers the leaders and makes observations; `sights` is all its state."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = {instrument.id: instrument for instrument in instruments}
        self._leaders = leaders(instruments)
        self._leading = frozenset(self._leaders.values())
        self.sights: dict[int, Sight] = {}

    def note(self, row: np.void) -> None:
        """Keep the row if its market leads another and has a price."""
        number = int(row["instrument"])
        if number in self._leading and row["mid"] > 0.0:
            self.sights[number] = Sight(
                ts=int(row["ts"]),
                mid=float(row["mid"]),
                last=float(row["last"]),
                ts_venue=int(row["ts_exchange"]),
                ts_book=int(row["ts_book"]),
                lag=int(row["venue_lag"]),
            )

    def observed(self, row: np.void, side: Side, probability: float) -> Observation:
        """Return how the row's market stands, with what the strategies think of it."""
        ts, number, evidence = int(row["ts"]), int(row["instrument"]), row["evidence"]
        lag = int(row["venue_lag"])
        rsi_1m, rsi_5m, rsi_15m = (_rsi(row["timeframes"][k]) for k in range(3))
        return Observation(
            ts=ts,
            instrument=number,
            mid=float(row["mid"]),
            last=float(row["last"]),
            ts_venue=int(row["ts_exchange"]),
            age_ns=data_age(row),
            spread=(int(row["ask"]) - int(row["bid"])) * self._instruments[number].tick,
            depth_bid=float(evidence["depth_bid"]),
            depth_ask=float(evidence["depth_ask"]),
            fill_buy=float(row["fill_buy"]),
            fill_sell=float(row["fill_sell"]),
            sigma_1m=float(evidence["sigma_1m"]),
            volatility_rank=float(evidence["vol_pct"]),
            atr=float(evidence["atr"]),
            # the lag is ts + skew - ts_exchange, and 0 while the skew is unknown
            clock_skew_ns=lag - ts + int(row["ts_exchange"]) if lag else 0,
            score=int(side) * probability,
            aligned=float(row["aligned"]),
            rsi_1m=rsi_1m,
            rsi_5m=rsi_5m,
            rsi_15m=rsi_15m,
            leader=self._leader(number, ts),
        )

    def _leader(self, number: int, ts: int) -> Leader | None:
        leader = self._leaders.get(number)
        sight = self.sights.get(leader) if leader is not None else None
        if leader is None or sight is None:
            return None
        return Leader(
            instrument=leader,
            mid=sight.mid,
            last=sight.last,
            ts=sight.ts_venue,
            age_ns=max(ts - sight.ts_book, sight.lag + ts - sight.ts),
        )


def _rsi(timeframe: np.void) -> float:
    return float(timeframe["rsi"]) if int(timeframe["ready"]) & _HAS_RSI else -1.0
